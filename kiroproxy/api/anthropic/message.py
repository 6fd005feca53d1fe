"""The neutral answer as one Messages API body: a fold over the same events that are streamed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from kiroproxy.api.anthropic.wire import (
    dumps,
    ending_fields,
    message_fields,
    search_blocks,
)
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
)
from kiroproxy.api.signatures import PLACEHOLDER_SIGNATURE
from kiroproxy.errors import InternalError


class MessageFold:
    """One whole answer. ``message_id`` and ``model`` are shown to the client as they are."""

    def __init__(self, message_id: str, model: str) -> None:
        self._id = message_id
        self._model = model
        self._content: list[dict[str, Any]] = []
        self._parts: list[str] = []  # of the block that is open
        self._open: dict[str, Any] | None = None  # a thinking or tool_use block

    def events(self, batch: list[AnswerEvent]) -> None:
        """Take in a batch."""
        for event in batch:
            if event[0] == TEXT:  # nearly all, as elsewhere: without a call
                self._parts.append(event[1])
            else:
                _STEPS[event[0]](self, event)

    def finish(self, ending: Ending) -> bytes:
        """The whole JSON body."""
        if self._open is not None:
            raise InternalError("The answer ended inside a block.")
        self._end_text()
        message = message_fields(self._id, self._model, ending.usage, self._content)
        message |= ending_fields(ending)
        return dumps(message)

    def _add(self, event: AnswerEvent) -> None:
        self._parts.append(event[1])

    def _taken(self) -> str:
        parts, self._parts = self._parts, []
        return "".join(parts)

    def _end_text(self) -> None:
        if self._open is None and self._parts:
            self._content.append({"type": "text", "text": self._taken()})

    def _append(self, block: dict[str, Any]) -> None:
        self._end_text()
        self._content.append(block)

    def _thinking(self, event: AnswerEvent) -> None:
        if self._open is None:
            self._end_text()
            self._open = {"type": "thinking"}
        self._parts.append(event[1])

    def _thinking_end(self, event: AnswerEvent) -> None:
        self._open = None
        signature = event[1] or PLACEHOLDER_SIGNATURE
        block = {"type": "thinking", "thinking": self._taken(), "signature": signature}
        self._content.append(block)

    def _redacted(self, event: AnswerEvent) -> None:
        self._append({"type": "redacted_thinking", "data": event[1]})

    def _tool_start(self, event: AnswerEvent) -> None:
        self._end_text()
        self._open = {"type": "tool_use", "id": event[1], "name": event[2]}

    def _tool_end(self, event: AnswerEvent) -> None:
        """The input goes in as the text it came as: numbers keep their digits."""
        block, self._open = self._open, None
        text = self._taken()
        value: Any = orjson.Fragment(text.encode()) if text.strip() else {}
        self._content.append({**(block or {}), "input": value})

    def _search(self, event: AnswerEvent) -> None:
        for block in search_blocks(*event[1:]):
            self._append(block)


# Not bound methods: a fold that refers to itself keeps its text until a collection finds it.
_STEPS: Final[dict[int, Callable[[MessageFold, AnswerEvent], None]]] = {
    THINKING: MessageFold._thinking,
    THINKING_END: MessageFold._thinking_end,
    REDACTED: MessageFold._redacted,
    TOOL_START: MessageFold._tool_start,
    TOOL_INPUT: MessageFold._add,
    TOOL_END: MessageFold._tool_end,
    SEARCH: MessageFold._search,
}
