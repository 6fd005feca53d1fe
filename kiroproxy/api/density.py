"""How many values a request's JSON holds: how many are too many, and the memory they take.

A value of two bytes, such as ``[]``, is an object of 72, and what is made of it on the way to the service
is more: bytes alone say nothing about such a body. Each value also takes its time on the event loop, in
which nobody else is served. Two bounds, since they cost differently to look at:

``MAX_MARKS``
    Commas and opening brackets, those in texts among them: counted in the bytes, before anything is made
    of them. It bounds what reading the JSON alone may take, of one body at a time: 240 MB and 0.7 s.
``MAX_VALUES``
    Values in the JSON as it was read, so that texts are free, however many commas they hold. It bounds
    all that comes after: some 115 MB and a second. A session of 400 messages and 20 tools has 5,500. The
    service takes 10,000 messages of history; if all were calls and results, they would have 75,000
    values, and 300 tools of 100 each are 30,000. Within a call's input a value is two tokens at the
    least, so 200,000 of them are more than most models' windows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from kiroproxy.errors import Kind, RequestError

MAX_MARKS: Final = 1_000_000
MAX_VALUES: Final = 200_000
VALUE_BYTES: Final = 150
"""What a value counts as beside the bytes of the body. In memory it is 1 to 3.6 times as much:
``python -m bench.density`` measures it."""

Hold = Callable[[int], None]
"""Takes so many bytes of the room that all requests share, until this one is answered. Raises
RequestError (OVERLOADED) when there are not as many."""


def hold_nothing(_size_bytes: int) -> None:
    """For what is bounded elsewhere."""


def refuse_many_marks(source: bytes) -> None:
    """Raise RequestError (PROMPT_TOO_LONG) for JSON that is not to be read at all. What is too short for
    that is not looked at; the rest takes 1.5 ms a MB."""
    if len(source) > 2 * MAX_MARKS and _marks(source, b",", b"[", b"{") > MAX_MARKS:
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
    containers: list[Any] = [value]
    for found in containers:  # which grows meanwhile
        if type(found) is dict:
            if "arguments" in found and type(words := found["arguments"]) is str:
                count += _marks(words, ",", "[", "{")
            found = found.values()
        count += len(found)
        if count > MAX_VALUES:
            break
        for item in found:
            kind = type(item)
            if kind is not str and (kind is dict or kind is list):  # most are texts
                containers.append(item)
    return count


def _marks(source: Any, *marks: Any) -> int:
    return sum(map(source.count, marks))


def _refuse(rule: str) -> NoReturn:
    raise RequestError(f"prompt is too long: {rule}.", kind=Kind.PROMPT_TOO_LONG)
