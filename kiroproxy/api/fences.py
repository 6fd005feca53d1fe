"""Takes the code fence off an answer that ought to be bare JSON, while it streams.

Models asked for JSON like to wrap it in a fence. Only a fence around the *whole* text goes: its
opening line at the very start and its closing marks at the very end; what stands between is not
touched, and a text that does not begin with a fence is not changed at all.
"""

from __future__ import annotations

import enum
import re
from typing import Final

_FENCE: Final = "```"
_OPENING: Final = re.compile(r"\s*```[ \t]*[A-Za-z0-9_+.-]{0,20}[ \t]*\r?\n")
# Everything that can still become an opening line.
_MAYBE_OPENING: Final = re.compile(r"\s*(?:`{0,2}|```[ \t]*[A-Za-z0-9_+.-]{0,20}[ \t]*\r?)")


class State(enum.Enum):
    START = enum.auto()  # nothing but a possible opening line so far
    FENCED = enum.auto()  # the opening line is off; the tail may be the closing marks
    BARE = enum.auto()  # no fence: all goes through


class FenceStripper:
    """``feed`` text, ``finish`` at the end."""

    __slots__ = ("_held", "state")

    def __init__(self) -> None:
        self.state = State.START
        self._held = ""

    def feed(self, text: str) -> str:
        """What is certain to belong to the text proper."""
        if self.state is State.BARE:
            return text
        text = self._held + text
        self._held = ""
        if self.state is State.START:
            opening = _OPENING.match(text)
            if opening:
                self.state = State.FENCED
                text = text[opening.end() :]
            elif _MAYBE_OPENING.fullmatch(text):
                self._held = text
                return ""
            else:
                self.state = State.BARE
                return text
        cut = _closing_at(text)
        self._held = text[cut:]
        return text[:cut]

    def finish(self) -> str:
        """What was kept back and is no fence."""
        held, self._held = self._held, ""
        if self.state is State.FENCED and held.strip() == _FENCE:
            return ""
        return held


def _closing_at(text: str) -> int:
    """Where a tail begins that can still become the closing marks with whitespace around them."""
    body = text.rstrip()
    ticks = len(body) - len(body.rstrip("`"))
    if ticks == 0 or (ticks != len(_FENCE) and len(body) < len(text)):
        return len(body)  # no marks, or too few or too many and already followed by whitespace
    return len(body[:-ticks].rstrip())
