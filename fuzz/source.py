"""Bytes as decisions: what a target needs besides the bytes that it gives to the program."""

from __future__ import annotations

import json
from typing import Any, Final

_MOST_EDITS: Final = 6

ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 1.5, 1e308, 2**31, 2**63, 2**64, 10**30, -(2**63) - 1, "", " ", "x",
    "user", "assistant", "system", "tool", "auto", "none", "\ud800", "\udc00\ud800", "\x00", "é", "𝒳",
    "a" * 70, "<thinking>", "data:image/png;base64,iVBORw0KGgo=", "https://example.org/a.png", "{}", "[]",
    "[", '{"a":1}', [], [[]], {}, {"type": "text", "text": "x"}, {"type": "object"}, ["a", "a"], [None],
    {"": None}, {"a": {"b": []}},
)  # fmt: skip


class Source:
    """Reads ``data`` from its front; behind its end there are only zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return max(len(self._data) - self._at, 0)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""
        value = self.byte() if limit <= 256 else self.byte() << 8 | self.byte()
        return value % limit if limit > 0 else 0

    def choice(self, items: Any) -> Any:
        return items[self.below(len(items))]

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def block(self) -> bytes:
        """A length in one byte, then so many bytes."""
        return self.take(self.byte())

    def rest(self) -> bytes:
        return self.take(self.left)


def pieces(data: bytes, source: Source) -> list[bytes]:
    """``data`` cut as ``source`` says; what lies behind its last cut is one piece."""
    found = []
    at = 0
    while at < len(data):
        size = (source.byte() or 1) if source.left else len(data)
        found.append(data[at : at + size])
        at += size
    return found


def edited(sample: Any, source: Source) -> Any:
    """A copy of a JSON value with a few things in it changed as ``source`` says."""
    box = [json.loads(json.dumps(sample))]
    for _ in range(_MOST_EDITS):
        if not source.left:
            break
        _edit(box, source)
    return box[0]


def as_json(value: Any) -> bytes:
    """Also of half surrogate pairs and of numbers of any size."""
    return json.dumps(value).encode()


def _slots(value: Any) -> list[tuple[Any, Any]]:
    """All places of values: container and key."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        container = waiting.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], (dict, list)):
                waiting.append(container[key])
    return found


def _edit(box: list[Any], source: Source) -> None:
    slots = _slots(box)
    container, key = slots[source.below(len(slots))]
    kind = source.below(8)
    if kind <= 2:
        container[key] = _copy(source.choice(ODD))
    elif kind == 3:
        if container is not box:
            del container[key]
    elif kind == 4:
        other, place = slots[source.below(len(slots))]
        container[key] = _copy(other[place])
    elif kind == 5:
        value = container[key]
        for _ in range(source.choice((1, 2, 90, 110, 300))):
            value = [value] if source.byte() & 1 else {"a": value}
        container[key] = value
    elif kind == 6:
        container[key] = source.block().decode("utf-8", "surrogateescape")
    elif isinstance(container, list):
        container.insert(key, _copy(container[key]))
    else:
        name = source.block().decode("utf-8", "replace")
        other, place = slots[source.below(len(slots))]
        container[name if name else str(place)] = _copy(other[place])


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))
