"""Dataclasses of our own making behave as those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from kiroproxy import records


def _both(name: str, namespace: dict[str, Any], **how: bool) -> tuple[Any, Any]:
    made = []
    for module in (records, dataclasses):
        cls = type(name, (), {"__module__": __name__, "__qualname__": name, **copy.copy(namespace)})
        made.append(module.dataclass(**how)(cls))
    return made[0], made[1]


FIELDS: dict[str, Any] = {
    "__annotations__": {"a": "int", "b": "str", "key": "str", "seen": "list[int]"},
    "b": "x",
    "key": records.field(default="hidden", repr=False),
    "seen": records.field(default_factory=list, compare=False),
}
HOW = [
    {"slots": True},
    {"slots": True, "frozen": True},
    {"slots": True, "eq": False},
]


@pytest.mark.parametrize("how", HOW)
def test_behaves_as_the_standard_library(how: dict[str, bool]) -> None:
    told = []
    for cls in _both("Example", FIELDS, **how):
        one, same, other, seen = cls(1), cls(1), cls(1, "y"), cls(1, seen=[2])
        hashes = cls.__hash__ is not None
        told.append(
            [
                repr(one),
                [one == same, one == other, one == seen, one != same, one == 1, one is same],
                hashes,
                hashes and [hash(one) == hash(same), len({one, same, other, seen})],
                repr(records.replace(one, a=5)),
                records.asdict(other),
                repr(copy.copy(other)),
                repr(copy.deepcopy(seen)),
                [field.name for field in dataclasses.fields(cls)],
                cls.__match_args__,
                cls.__slots__,
                one.seen is same.seen,
            ]
        )
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            cls()
        with pytest.raises((AttributeError, TypeError)):  # 3.11's own frozen ones: the latter
            one.unknown = 1
    assert told[0] == told[1]


def test_what_a_class_says_itself_stays() -> None:
    own = {
        "__annotations__": {"a": "int"},
        "__repr__": lambda self: "mine",
        "__eq__": lambda self, other: True,
        "__hash__": lambda self: 7,
        "__doc__": "Words.",
    }
    for cls in _both("Own", own, slots=True, frozen=True):
        assert (repr(cls(1)), cls(1) == 2, hash(cls(1)), cls.__doc__) == ("mine", True, 7, "Words.")


def test_without_fields_all_are_equal() -> None:
    for cls in _both("Empty", {"__annotations__": {}}, slots=True, frozen=True):
        assert cls() == cls() and hash(cls()) == hash(cls()) and repr(cls()) == "Empty()"


def test_classes_with_equal_fields_differ() -> None:
    for one, other in zip(
        _both("One", FIELDS, slots=True, frozen=True),
        _both("Other", FIELDS, slots=True, frozen=True),
        strict=True,
    ):
        assert one(1) != other(1)
