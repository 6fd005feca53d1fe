"""Paths into parsed settings, and what they hold. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Keys = tuple[str, ...]
"""The way from the top of a document to a value: ``("env", "ANTHROPIC_BASE_URL")``."""


class Absent:
    """No such key, as opposed to a key without a value."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()
Changes = Mapping[Keys, Any]
"""What shall be where; ABSENT takes the key out."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall stand in one file of the other program."""

    path: Path
    changes: Changes


def value_at(document: Mapping[str, Any], keys: Keys) -> Any:
    """The value, or ABSENT."""
    value: Any = document
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return ABSENT
        value = value[key]
    return value


def is_same(one: Any, other: Any) -> bool:
    """Equal, and of one type: to Python ``True`` and ``1`` are equal, to other programs they are not."""
    return type(one) is type(other) and bool(one == other)


def changed(document: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """A copy with ``changes``; containers on the way are made. Raises ValueError when one of them is
    there but no object."""
    result: dict[str, Any] = copy.deepcopy(dict(document))
    for keys, value in changes.items():
        holder = _holder(result, keys, make=value is not ABSENT)
        if holder is None:
            continue
        if value is ABSENT:
            holder.pop(keys[-1], None)
        else:
            holder[keys[-1]] = copy.deepcopy(value)
    return result


def _holder(document: dict[str, Any], keys: Keys, *, make: bool) -> dict[str, Any] | None:
    holder = document
    for number, key in enumerate(keys[:-1], 1):
        if key not in holder:
            if not make:
                return None
            holder[key] = {}
        if not isinstance(holder[key], dict):
            raise ValueError(f"{'.'.join(keys[:number])} must hold named values")
        holder = holder[key]
    return holder
