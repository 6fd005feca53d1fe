"""Takes thinking written as tags out of an answer's text, however the text is cut.

Models that are asked for thinking by a prompt write ``<thinking>…</thinking>`` in front of the answer.
They also *talk about* these tags, so not every one counts:

* opening: only at the very start of the answer, after optional whitespace. One line break after it
  belongs to the tag;
* closing: only when a blank line follows (it belongs to the tag), or nothing but whitespace up to a tool
  call or the end. Not in a code fence, not in an inline code span, not behind an opening quote. The
  first one that counts ends the thinking for good: later tags are text.

::

    state     what comes                                      next
    START     whitespace, or the beginning of a tag           START (kept back)
    START     the opening tag                                 OPENED
    START     anything else                                   TEXT
    OPENED    one line break (dropped), or anything else      THINKING
    THINKING  a closing tag that counts                       GAP
    GAP       whitespace (kept back)                          GAP
    GAP       anything else                                   TEXT
    TEXT      is text

What may still become a tag is kept back, by characters and never more than needed; all else goes out at
once.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Final

from kiroproxy.api.events import TEXT, THINKING, THINKING_END, AnswerEvent

OPEN: Final = "<thinking>"
CLOSE: Final = "</thinking>"
_BLANK_LINE: Final = re.compile(r"[ \t\r]*\n[ \t\r]*\n")
_FENCES: Final = ("```", "~~~")
_OPENING_QUOTES: Final = frozenset("\"'`“‘«")
_BEFORE_A_QUOTE: Final = frozenset(" \t\r\n([{<=:,-")  # else the quote closes something


class State(enum.Enum):
    START = enum.auto()
    OPENED = enum.auto()
    THINKING = enum.auto()
    GAP = enum.auto()
    TEXT = enum.auto()


def proper_prefix_tail(text: str, wanted: str) -> int:
    """Length of the longest tail of ``text`` that ``wanted`` begins with and goes on after."""
    for length in range(min(len(wanted) - 1, len(text)), 0, -1):
        if text.endswith(wanted[:length]):
            return length
    return 0


class ThinkingSplitter:
    """``feed`` text, ``finish`` at a tool call or at the end. Events: THINKING, THINKING_END, TEXT.

    A THINKING_END without a THINKING before it is an empty block; whoever reads may drop it.
    """

    def __init__(self) -> None:
        self.state = State.START
        self._held = ""
        self._place = _Place()

    @property
    def is_over(self) -> bool:
        """Whether all that follows is text, so that nobody needs to ask any more."""
        return self.state is State.TEXT

    def feed(self, text: str) -> list[AnswerEvent]:
        """What is certain by now."""
        out: list[AnswerEvent] = []
        rest: str | None = self._held + text
        self._held = ""
        while rest:
            rest = _STEPS[self.state](self, rest, out)
        return out

    def finish(self, *, at_end: bool = True) -> list[AnswerEvent]:
        """Nothing follows, or another kind of block: what was kept back is decided. Only text follows.

        Whitespace alone is worth a text block only if it is the whole answer (``at_end``).
        """
        held, self._held = self._held, ""
        state, self.state = self.state, State.TEXT
        if state is State.START:
            return [(TEXT, held)] if held.strip() or (held and at_end) else []
        if state is State.THINKING:
            ended: list[AnswerEvent] = [(THINKING_END, "")]
            # a whole tag is kept back only with whitespace behind it: then it counts
            return [(THINKING, held), *ended] if held and not held.startswith(CLOSE) else ended
        if state is State.OPENED:
            return [(THINKING_END, "")]
        return []  # GAP: whitespace between thinking and nothing

    def _start(self, text: str, out: list[AnswerEvent]) -> str | None:
        stripped = text.lstrip()
        if stripped.startswith(OPEN):
            self.state = State.OPENED
            return stripped[len(OPEN) :]
        if OPEN.startswith(stripped):  # also when there is only whitespace
            self._held = text
            return None
        self.state = State.TEXT
        return text

    def _opened(self, text: str, out: list[AnswerEvent]) -> str | None:
        if text == "\r":
            self._held = text
            return None
        self.state = State.THINKING
        return text.removeprefix("\r\n") if text[0] == "\r" else text.removeprefix("\n")

    def _thinking(self, text: str, out: list[AnswerEvent]) -> str | None:
        sent = 0  # of text, as thinking
        search = 0
        while (at := text.find(CLOSE, search)) >= 0:
            self._place.advance(text[sent:at])
            _append_thinking(out, text[sent:at])
            sent, search = at, at + len(CLOSE)
            if self._place.is_quoted:
                continue
            blank_line = _BLANK_LINE.match(text, search)
            if blank_line:
                out.append((THINKING_END, ""))
                self.state = State.GAP
                return text[blank_line.end() :]
            if not text[search:].strip():  # not decided yet
                self._held = text[at:]
                return None
        keep = len(text) - proper_prefix_tail(text[search:], CLOSE)
        self._place.advance(text[sent:keep])
        _append_thinking(out, text[sent:keep])
        self._held = text[keep:]
        return None

    def _gap(self, text: str, out: list[AnswerEvent]) -> str | None:
        if not text.strip():
            self._held = text
            return None
        self.state = State.TEXT
        return text

    def _text(self, text: str, out: list[AnswerEvent]) -> str | None:
        out.append((TEXT, text))
        return None


def _append_thinking(out: list[AnswerEvent], text: str) -> None:
    if text:
        out.append((THINKING, text))


class _Place:
    """Where in Markdown the thinking stands: in a fence, in a code span, behind an opening quote.

    Keeps of the current line only its first three characters, its backticks' parity and its last two
    characters, so that long lines cost nothing.
    """

    __slots__ = ("_fence", "_head", "_last", "_odd_ticks")

    def __init__(self) -> None:
        self._fence = ""  # the open fence's marker
        self._head = ""  # the line's first three characters that are not whitespace
        self._odd_ticks = False
        self._last = "\n"

    def advance(self, text: str) -> None:
        """``text`` comes next."""
        if not text:
            return
        first, *others = text.split("\n")
        self._extend(first)
        for line in others:
            self._end_line()
            self._extend(line)
        self._last = (self._last + text)[-2:]

    @property
    def is_quoted(self) -> bool:
        """Whether a tag that stands here is only being talked about."""
        if self._fence:
            return self._head != self._fence  # the line that closes the fence is outside again
        if self._head in _FENCES or self._odd_ticks:
            return True
        before = self._last[-1]
        return before in _OPENING_QUOTES and self._last[:-1] in _BEFORE_A_QUOTE

    def _extend(self, piece: str) -> None:
        if len(self._head) < 3:
            self._head = (self._head + piece.lstrip() if not self._head else self._head + piece)[:3]
        if piece.count("`") % 2:
            self._odd_ticks = not self._odd_ticks

    def _end_line(self) -> None:
        if self._head in _FENCES:
            if not self._fence:
                self._fence = self._head
            elif self._fence == self._head:
                self._fence = ""
        self._head = ""
        self._odd_ticks = False


# Not bound methods: a splitter that refers to itself lies in memory until a collection finds it.
_STEPS: Final[dict[State, Callable[[ThinkingSplitter, str, list[AnswerEvent]], str | None]]] = {
    State.START: ThinkingSplitter._start,
    State.OPENED: ThinkingSplitter._opened,
    State.THINKING: ThinkingSplitter._thinking,
    State.GAP: ThinkingSplitter._gap,
    State.TEXT: ThinkingSplitter._text,
}
