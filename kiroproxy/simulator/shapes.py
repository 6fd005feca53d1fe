"""A small language for the shape of a JSON value: what must be there, what may, and of which type.

A ``Shape`` looks at a value and reports each breach as ``say(path, detail)``. Shapes are built once,
at import. They check types and closed sets of names only; meaning is checked by the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Say = Callable[[str, str], None]
Shape = Callable[[Any, str, Say], None]


def anything(value: Any, path: str, say: Say) -> None:
    """Any JSON value."""


def any_object(value: Any, path: str, say: Say) -> None:
    """A JSON object with whatever inside."""
    if not isinstance(value, dict):
        say(path, f"expected an object, got {type_name(value)}")


def text(value: Any, path: str, say: Say) -> None:
    """A string of any length."""
    if not isinstance(value, str):
        say(path, f"expected a string, got {type_name(value)}")


def boolean(value: Any, path: str, say: Say) -> None:
    """true or false."""
    if not isinstance(value, bool):
        say(path, f"expected a boolean, got {type_name(value)}")


def sized_text(shortest: int, longest: int) -> Shape:
    """A string of ``shortest`` to ``longest`` characters."""

    def check(value: Any, path: str, say: Say) -> None:
        if not isinstance(value, str):
            say(path, f"expected a string, got {type_name(value)}")
        elif not shortest <= len(value) <= longest:
            say(path, f"expected {shortest} to {longest} characters, got {len(value)}")

    return check


def one_of(allowed: frozenset[str]) -> Shape:
    """A string out of a closed set."""

    def check(value: Any, path: str, say: Say) -> None:
        if not isinstance(value, str) or value not in allowed:
            say(path, f"not one of the {len(allowed)} allowed words")

    return check


def items(shape: Shape, longest: int | None = None) -> Shape:
    """A list whose elements all have ``shape``."""

    def check(value: Any, path: str, say: Say) -> None:
        if not isinstance(value, list):
            say(path, f"expected a list, got {type_name(value)}")
            return
        if longest is not None and len(value) > longest:
            say(path, f"expected at most {longest} elements, got {len(value)}")
        for index, element in enumerate(value):
            shape(element, f"{path}[{index}]", say)

    return check


def record(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """An object with all of ``required``, some of ``optional``, and nothing else."""
    known = {**required, **(optional or {})}

    def check(value: Any, path: str, say: Say) -> None:
        if not isinstance(value, dict):
            say(path, f"expected an object, got {type_name(value)}")
            return
        for name in required:
            if name not in value:
                say(f"{path}.{name}", "required, but absent")
        for name, inner in value.items():
            shape = known.get(name)
            if shape is None:
                say(f"{path}.{name}", "unknown member")
            else:
                shape(inner, f"{path}.{name}", say)

    return check


def union(members: Mapping[str, Shape]) -> Shape:
    """An object with exactly one of ``members``."""
    names = " | ".join(members)

    def check(value: Any, path: str, say: Say) -> None:
        if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= members.keys():
            say(path, f"expected exactly one of {names}")
            return
        ((name, inner),) = value.items()
        members[name](inner, f"{path}.{name}", say)

    return check


def type_name(value: Any) -> str:
    """JSON's word for the type of a value."""
    return _TYPE_NAMES.get(type(value), type(value).__name__)


_TYPE_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "list",
    dict: "object",
}
