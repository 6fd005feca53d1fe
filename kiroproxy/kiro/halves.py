"""Characters that the service cut in two.

A service that cuts text by UTF-16 code units can end one event with half a surrogate pair and begin the
next with the other half. Strict parsers refuse the escape of a half, so a stream leaves their way at the
first one and goes on through here. Halves that meet are one character again; one that stays alone becomes
U+FFFD, and the rest of the answer is saved. No I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

import orjson

Fields = dict[str, Any]
Event = tuple[Any, ...]
Parser = Callable[[bytes], Event]

_FIRST_HALF: Final = ("\ud800", "\udbff")
_ALONE: Final = "\ufffd"

# The escape of a half without its other one; whole pairs and escaped backslashes are stepped over.
_ESCAPE: Final = re.compile(
    r"\\(?:\\|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<alone>u[dD][89a-fA-F][0-9a-fA-F]{2}))"
)


class HalfPairs:
    """One stream's. ``read`` each event that carries text while one is ``waiting``, and each that holds a
    half itself; ``give_up`` before any other."""

    __slots__ = ("_fields", "_half", "_name", "_parser")

    def __init__(self) -> None:
        # What was kept back of the event before, that event without its text, and how it is read.
        self._half = ""
        self._fields: Fields = {}
        self._name = ""
        self._parser: Parser | None = None

    @property
    def waiting(self) -> bool:
        """Whether something is kept back."""
        return bool(self._half)

    def read(
        self, payload: bytes | memoryview, names: tuple[str, ...], parser: Parser
    ) -> list[Event]:
        """The events of ``payload``, whose text stands in one of ``names``: what was kept back before it,
        if it does not go on here, and its own without a half at the end. ``parser`` gets numbers as
        written, but zeros beside a text, where they mean nothing. Raises ValueError for what is no JSON,
        and what ``parser`` raises."""
        fields = json.loads(bytes(payload), parse_int=_zero, parse_float=_zero)
        name = _filled(fields, names)
        if not name:
            return [*self.give_up(), parser(repaired(payload))]
        out: list[Event] = []
        if self._half and name == self._name and _is_same(fields, self._fields):
            fields[name] = self._half + fields[name]
            self._half = ""
        else:
            out = self.give_up()
        text: str = fields[name]
        if _FIRST_HALF[0] <= text[-1] <= _FIRST_HALF[1]:
            self._half, self._name, self._parser = text[-1], name, parser
            self._fields = {key: fields[key] for key in ("toolUseId", "name") if key in fields}
            fields[name] = text[:-1]
        return [*out, parser(_written(fields))]

    def give_up(self) -> list[Event]:
        """Its other half does not come: an event that says so, or none."""
        if not self._half or self._parser is None:
            return []
        self._half = ""
        return [self._parser(_written({**self._fields, self._name: _ALONE}))]


def repaired(payload: bytes | memoryview) -> bytes:
    """The same JSON with whole characters only, all else as it was written. Raises ValueError for bytes
    that are no text."""
    text = bytes(payload).decode("utf-8-sig", "surrogatepass")
    return _encoded(_ESCAPE.sub(_whole_escape, text))


def _whole_escape(match: re.Match[str]) -> str:
    return r"\ufffd" if match["alone"] else match[0]


def _zero(_digits: str) -> int:
    """A number whose value nobody asks for: Python reads some badly, and writes others as no JSON."""
    return 0


def _filled(fields: Any, names: tuple[str, ...]) -> str:
    """The first of ``names`` that holds text; empty if none does."""
    if not isinstance(fields, dict):
        return ""
    return next((n for n in names if isinstance(fields.get(n), str) and fields[n]), "")


def _written(value: Any) -> bytes:
    data = _encoded(json.dumps(value, ensure_ascii=False))
    orjson.loads(data)  # Python writes NaN, which is no JSON
    return data


def _encoded(text: str) -> bytes:
    """Halves that meet become whole, others U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _is_same(fields: Fields, before: Fields) -> bool:
    """Whether both are of one tool call, as far as they say; text belongs together always."""
    call_id = fields.get("toolUseId")
    return call_id is None or call_id == before.get("toolUseId")
