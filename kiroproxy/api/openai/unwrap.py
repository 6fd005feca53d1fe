"""The plain text of a custom tool's call, out of the JSON the service wraps it in, as it comes.

A custom tool is offered as a function with one text property (``tools.add_custom``), so a call's input
is ``{"input": "…"}``. Its text is passed on while it streams::

    state   what comes                          next
    HEAD    up to the property's opening quote  TEXT
    HEAD    anything else                       WHOLE  (kept until the end)
    TEXT    characters and escapes              TEXT   (passed on decoded)
    TEXT    the closing quote                   DONE
    DONE    the rest                            DONE   (nothing)
"""

from __future__ import annotations

import enum
import json
import re
from typing import Final

CUSTOM_INPUT: Final = "input"

_HEAD: Final = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_HEAD_CHARS: Final = 64  # an opening that is not there by then will not come
# Whole characters only: no half escape, no half surrogate pair.
_SAFE: Final = re.compile(
    r'(?:[^"\\]|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
)


class State(enum.Enum):
    HEAD = enum.auto()
    TEXT = enum.auto()
    DONE = enum.auto()
    WHOLE = enum.auto()


class InputUnwrapper:
    """One call. ``feed`` fragments of its JSON, then ``finish`` once; both give plain text."""

    __slots__ = ("_held", "state")

    def __init__(self) -> None:
        self.state = State.HEAD
        self._held = ""

    def feed(self, fragment: str) -> str:
        """The text that is certain by now."""
        if self.state is State.DONE:
            return ""
        self._held += fragment
        if self.state is State.HEAD:
            self._read_head()
        return self._read_text() if self.state is State.TEXT else ""

    def finish(self) -> str:
        """What was kept back."""
        held, self._held = self._held, ""
        if self.state is State.DONE or not held:
            return ""
        if self.state is State.TEXT:  # half a surrogate pair, or an input that broke off
            return _decoded(held.partition('"')[0])
        return unwrapped(held)

    def _read_head(self) -> None:
        opening = _HEAD.match(self._held)
        if opening:
            self.state = State.TEXT
            self._held = self._held[opening.end() :]
        elif len(self._held) > _HEAD_CHARS:
            self.state = State.WHOLE

    def _read_text(self) -> str:
        match = _SAFE.match(self._held)
        end = match.end() if match else 0
        text = _decoded(self._held[:end])
        if self._held[end : end + 1] == '"':
            self.state = State.DONE
        self._held = self._held[end:]
        return text


def unwrapped(arguments: str) -> str:
    """The plain text of a whole input; JSON of another form stays as it is."""
    try:
        value = json.loads(arguments, strict=False)
    except ValueError:
        return arguments
    if not isinstance(value, dict):
        return arguments
    inner = value.get(CUSTOM_INPUT)
    if not isinstance(inner, str) and len(value) == 1:
        inner = next(iter(value.values()))
    return _whole(inner) if isinstance(inner, str) else arguments


def _decoded(escaped: str) -> str:
    try:
        return _whole(json.loads(f'"{escaped}"', strict=False))
    except ValueError:
        return escaped


def _whole(text: str) -> str:
    """Half surrogate pairs cannot leave as UTF-8."""
    return text.encode("utf-8", "replace").decode()
