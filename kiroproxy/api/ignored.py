"""What a request asks for and does not get: collected while parsing, named in the answer's head.

Nothing is dropped in silence. A field that has no effect is named in ``Turn.ignored``; with
``KIROPROXY_STRICT`` on, a request that has any such field is refused instead.
"""

from __future__ import annotations

import re
from typing import Any, Final

from kiroproxy.api.turn import Turn, Unfinished
from kiroproxy.errors import RequestError


class Ignored(set[str]):
    """What a parser notes on its way: the names of fields without effect, and the blocks that have to
    be completed (``Turn.unfinished``)."""

    __slots__ = ("unfinished",)

    def __init__(self) -> None:  # a new set is empty without being told
        self.unfinished: list[Unfinished] = []


# Ignored names go into a response header, and some of them are the client's own spelling.
_SHOWABLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_NAMES: Final = 24
# Bodies are large; beyond this not even the number of further names is of interest.
_MOST_NOTED: Final = 1000

# Has one name wherever it stands: clients put it into any object.
CACHE: Final = "cache_control"


def is_set(value: Any) -> bool:
    """Whether a field says anything at all."""
    return value is not None and value != [] and value != {}


def note_unused(request: dict[str, Any], used: frozenset[str], ignored: set[str]) -> None:
    """Take in every field of ``request`` that nobody reads."""
    if request.keys() <= used:
        return
    ignored.update(key for key, value in request.items() if key not in used and is_set(value))


def note_unread(
    holder: dict[str, Any], known: frozenset[str], place: str, ignored: set[str]
) -> None:
    """Take in every key of an object inside a request that is not ``known``, as ``place.key``: one name
    however often it comes. An object with nothing else costs one comparison."""
    if holder.keys() <= known:
        return
    for key in holder.keys() - known:
        if not is_set(holder[key]) or len(ignored) >= _MOST_NOTED:
            continue
        ignored.add(CACHE if key == CACHE else f"{place}.{key}")


def shown(ignored: set[str]) -> list[str]:
    """Sorted, short, and safe to stand in a header; the rest is counted."""
    if not ignored:
        return []
    names = sorted(name for name in ignored if _SHOWABLE.fullmatch(name))
    kept = names[:_MOST_NAMES]
    left = len(ignored) - len(kept)
    return [*kept, f"and-{left}-more"] if left else kept


def refuse_ignored(turn: Turn) -> None:
    """Raise the RequestError that strict mode has for a request with ignored fields."""
    if turn.ignored:
        raise RequestError(
            f"{', '.join(turn.ignored)}: no effect here, and KIROPROXY_STRICT is on; leave it out.",
            param=turn.ignored[0],
        )
