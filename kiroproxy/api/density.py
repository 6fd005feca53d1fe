"""How many values a request's JSON holds: how many are too many, and the memory they take.

A value of two bytes, such as ``[]``, is an object of 72, and what is made of it on the way to the service
is more: bytes alone say nothing about such a body. Each value also takes its time on the event loop, in
which nobody else is served. Two bounds, since they cost differently to look at:

``MAX_MARKS``
    Commas and opening brackets, those in texts among them: counted in the bytes, before anything is made
    of them. It bounds what reading the JSON alone may take: 240 MB and some 0.4 s.
``MAX_VALUES``
    Values in the JSON as it was read, so that texts are free, however many commas they hold. It bounds
    all that comes after: some 100 MB and a second. 200,000 are fifty times a long session's; nobody's
    prompt has them, for each takes its tokens: structure is some five tokens a value, and the
    longest answers hold 64,000 tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from kiroproxy.errors import Kind, RequestError

MAX_MARKS: Final = 1_000_000
MAX_VALUES: Final = 200_000
VALUE_BYTES: Final = 150
"""What a value counts as beside the bytes of the body. Both take about three times as much in memory:
``python -m bench.density`` measures it."""

Hold = Callable[[int], None]
"""Takes so many bytes of the room that all requests share, until this one is answered. Raises
RequestError (OVERLOADED) when there are not as many."""

_CONTAINERS: Final = (dict, list)


def hold_nothing(_size_bytes: int) -> None:
    """For what is bounded elsewhere."""


def refuse_many_marks(source: bytes) -> None:
    """Raise RequestError (PROMPT_TOO_LONG) for JSON that is not to be read at all. What is too short for
    that is not looked at; the rest takes 1.5 ms a MB."""
    if len(source) > MAX_MARKS and _marks(source, b",", b"[", b"{") > MAX_MARKS:
        _refuse(f"its JSON has more than {MAX_MARKS} commas and brackets")


def hold_values(value: dict[str, Any] | list[Any], hold: Hold) -> None:
    """Room for what JSON was read into. Raises RequestError: PROMPT_TOO_LONG, or as ``hold``."""
    count = count_values(value)
    if count > MAX_VALUES:
        _refuse(f"its JSON has more than {MAX_VALUES} values")
    hold(count * VALUE_BYTES)


def count_values(value: dict[str, Any] | list[Any]) -> int:
    """Members and items, at any depth; one too many ends the count. A call's ``arguments`` are JSON in a
    text, and will be read, too: each comma and bracket of theirs is one."""
    count = 0
    waiting: list[Any] = [value]
    while waiting and count <= MAX_VALUES:
        found = waiting.pop()
        count += len(found)
        if type(found) is dict:
            words = found.get("arguments")
            if type(words) is str:
                count += _marks(words, ",", "[", "{")
            found = found.values()
        waiting += [item for item in found if type(item) in _CONTAINERS]
    return count


def _marks(source: Any, *marks: Any) -> int:
    return sum(map(source.count, marks))


def _refuse(rule: str) -> NoReturn:
    raise RequestError(f"prompt is too long: {rule}.", kind=Kind.PROMPT_TOO_LONG)
