"""Neutral events → items, one open at a time; whoever listens hears of each step.

The item that is open is the whole state::

    open       event                    what happens                    open then
    NONE       TEXT                     a message opens, grows          TEXT
    NONE       THINKING                 a reasoning item opens, grows   THINKING
    NONE       TOOL_START               a call opens                    TOOL
    NONE       REDACTED, SEARCH         an item opens and closes        NONE
    TEXT       TEXT                     it grows                        TEXT
    TEXT       another start            it closes, then as from NONE
    THINKING   THINKING                 it grows                        THINKING
    THINKING   THINKING_END             it closes                       NONE
    TOOL       TOOL_INPUT               it grows                        TOOL
    TOOL       TOOL_END                 it closes                       NONE

``_MOVES`` holds these lines; a pair that is not in it cannot come from ``Answer``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final, Protocol

from kiroproxy.api.events import (
    REDACTED,
    SEARCH,
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_INPUT,
    TOOL_START,
    AnswerEvent,
    Ending,
    SearchHit,
)
from kiroproxy.api.openai.responses_output import (
    COMPLETED,
    CompactionItem,
    HiddenReasoningItem,
    Item,
    MessageItem,
    ReasoningItem,
    RedactedItem,
    WebSearchItem,
    call_item,
)
from kiroproxy.api.openai.responses_style import FormKind, ResponsesStyle, ToolForm
from kiroproxy.api.openai.responses_wire import item_status
from kiroproxy.errors import IncompleteAnswerError, InternalError


class Open(enum.Enum):
    """The kind of the item that is open."""

    __hash__ = object.__hash__  # the same, without a call: it is the key of a table

    NONE = enum.auto()
    TEXT = enum.auto()
    THINKING = enum.auto()
    TOOL = enum.auto()


class Listener(Protocol):
    """Hears of each step of each item."""

    def opened(self, item: Item) -> None:
        """It began; it is empty."""

    def grew(self, item: Item, shown: str) -> None:
        """It got this much more that can be shown; never empty."""

    def closed(self, item: Item, status: str, whole: dict[str, Any]) -> None:
        """It is complete, or the answer ended in it. ``whole``: as it goes into ``output``."""


class Items:
    """One answer's items. ``done``: those that are complete, as they go into ``output``. ``text_item``:
    the one that takes text, while it is open."""

    def __init__(self, response_id: str, style: ResponsesStyle, listener: Listener) -> None:
        self._key = response_id.removeprefix("resp_")
        self._style = style
        self._listener = listener
        self._state = Open.NONE
        self._item: Item | None = None
        self.text_item: Item | None = None
        self._hits: dict[str, SearchHit] = {}  # by address; of several with one the first
        self.done: list[dict[str, Any]] = []

    def feed(self, batch: list[AnswerEvent]) -> None:
        """The events of one upstream read."""
        if self._style.compaction:  # a summary is words; nobody would run its calls
            batch = [event for event in batch if event[0] == TEXT]
        for event in batch:
            move = _MOVES.get((self._state, event[0]))
            if move is None:
                raise InternalError("The answer's parts came in an impossible order.")
            move(self, event)

    def finish(self, ending: Ending) -> None:
        """Close what the answer's end may leave open: its text. Raises IncompleteAnswerError when a
        summary was asked for and there is none: the client would go on with an empty memory."""
        if self._state in (Open.TOOL, Open.THINKING):
            raise InternalError("The answer ended inside an item.")
        self._close(item_status(ending))
        if self._style.compaction and not self.done:
            raise IncompleteAnswerError("The model gave no summary of the conversation; ask again.")

    # -- steps -------------------------------------------------------------------------------------

    def _begin(self, state: Open, item: Item) -> None:
        self._close()
        self._state, self._item = state, item
        self.text_item = item if state is Open.TEXT else None
        self._listener.opened(item)

    def _close(self, status: str = COMPLETED) -> None:
        item, self._state = self._item, Open.NONE
        self._item = self.text_item = None
        if item is None:
            return
        rest = item.rest()
        if rest:
            self._listener.grew(item, rest)
        whole = item.item(status)
        self._listener.closed(item, status, whole)
        self.done.append(whole)

    @property
    def _next(self) -> int:
        """The index of the item that begins now; the open one will be closed first."""
        return len(self.done) + (self._item is not None)

    # -- moves: what one event does ----------------------------------------------------------------

    def _grow(self, event: AnswerEvent) -> None:
        if self._item is not None and event[1]:
            shown = self._item.add(event[1])
            if shown:
                self._listener.grew(self._item, shown)

    def _text(self, event: AnswerEvent) -> None:
        if event[1]:
            if self._style.compaction:
                item: Item = CompactionItem(self._key, self._next)
            else:
                item = MessageItem(self._key, self._next, self._hits.values())
            self._begin(Open.TEXT, item)
            self._grow(event)

    def _thinking(self, event: AnswerEvent) -> None:
        kind = ReasoningItem if self._style.summary else HiddenReasoningItem
        self._begin(Open.THINKING, kind(self._key, self._next))
        self._grow(event)

    def _thinking_end(self, event: AnswerEvent) -> None:
        if isinstance(self._item, ReasoningItem) and self._style.sealed:
            self._item.seal_signature(event[1])
        self._close()

    def _redacted(self, event: AnswerEvent) -> None:
        data = event[1] if self._style.sealed else ""
        self._begin(Open.THINKING, RedactedItem(self._key, self._next, data))
        self._close()

    def _tool_start(self, event: AnswerEvent) -> None:
        form = self._style.forms.get(event[2]) or ToolForm(FormKind.FUNCTION, event[2])
        self._begin(Open.TOOL, call_item(self._key, self._next, event[1], form))

    def _tool_end(self, event: AnswerEvent) -> None:
        self._close()

    def _search(self, event: AnswerEvent) -> None:
        for hit in event[3]:
            self._hits.setdefault(hit.url, hit)
        self._begin(Open.TOOL, WebSearchItem(self._key, self._next, *event[2:]))
        self._close()


_Move = Callable[[Items, AnswerEvent], None]
_STARTS: Final[dict[int, _Move]] = {
    TEXT: Items._text,
    THINKING: Items._thinking,
    REDACTED: Items._redacted,
    TOOL_START: Items._tool_start,
    SEARCH: Items._search,
}
_MOVES: Final[dict[tuple[Open, int], _Move]] = {
    **{(Open.NONE, number): move for number, move in _STARTS.items()},
    **{(Open.TEXT, number): move for number, move in _STARTS.items()},
    (Open.TEXT, TEXT): Items._grow,
    (Open.THINKING, THINKING): Items._grow,
    (Open.THINKING, THINKING_END): Items._thinking_end,
    (Open.TOOL, TOOL_INPUT): Items._grow,
    (Open.TOOL, TOOL_END): Items._tool_end,
}
