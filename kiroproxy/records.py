"""``dataclass`` of the standard library, made in a third of the time.

The standard library writes each method of a dataclass as source text and compiles it. With some 150 of
them that was a fifth of the program's start. Here only ``__init__`` is compiled; ``__repr__``,
``__eq__`` and ``__hash__`` are closures over the fields.

To mypy this is ``dataclasses.dataclass`` itself, and ``frozen`` is what mypy checks: at runtime nothing
stops an assignment, and making an instance takes a third of the time. ``fields``, ``replace``,
``asdict``, ``match`` and ``copy`` work as ever.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["asdict", "dataclass", "field", "replace"]

if TYPE_CHECKING:
    from dataclasses import asdict, dataclass, field, replace
else:
    asdict, field, replace = dataclasses.asdict, dataclasses.field, dataclasses.replace

    def dataclass(*, slots: bool, frozen: bool = False, eq: bool = True) -> Callable[[type], type]:
        """As its namesake. ``frozen`` gives a hash of the fields; see above."""

        def decorate(cls: type) -> type:
            return _made(cls, slots, frozen, eq)

        return decorate


def _made(cls: type, slots: bool, frozen: bool, eq: bool) -> type:
    own = set(vars(cls))
    if cls.__doc__ is None:
        cls.__doc__ = ""  # else ``inspect`` is asked for a signature, at half the cost of the class
    made: Any = dataclasses.dataclass(slots=slots, repr=False, eq=False)(cls)
    fields = dataclasses.fields(made)
    if "__repr__" not in own:
        made.__repr__ = _representation([field.name for field in fields if field.repr])
    if eq and "__eq__" not in own:
        values = _values([field.name for field in fields if field.compare])
        made.__eq__ = _equality(values)
        if "__hash__" not in own:
            made.__hash__ = _hash(values) if frozen else None
    return made  # type: ignore[no-any-return]


def _values(names: list[str]) -> Callable[[Any], object]:
    return attrgetter(*names) if names else lambda one: ()


def _representation(names: list[str]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:
        inside = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{type(self).__qualname__}({inside})"

    return __repr__


def _equality(values: Callable[[Any], object]) -> Callable[[Any, Any], bool]:
    def __eq__(self: Any, other: Any) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    return __eq__


def _hash(values: Callable[[Any], object]) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:
        return hash((type(self), values(self)))

    return __hash__
