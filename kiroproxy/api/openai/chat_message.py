"""The neutral answer as one Chat Completions body: a fold over the same events that are streamed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

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
from kiroproxy.api.openai.chat_wire import ChatStyle, finish_reason, usage_fields
from kiroproxy.api.openai.citations import Citations
from kiroproxy.api.openai.unwrap import unwrapped
from kiroproxy.errors import InternalError


class ChatFold:
    """One whole answer; the arguments are the encoder's."""

    def __init__(self, chat_id: str, model: str, created: int, style: ChatStyle) -> None:
        self._head = {
            "id": chat_id,
            "object": "chat.completion",
            "created": created,
            "model": model,
        }
        self._style = style
        self._citations = Citations()
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[tuple[str, str, str]] = []  # id, name, arguments
        self._open: tuple[str, str] | None = None
        self._input: list[str] = []

    def events(self, batch: list[AnswerEvent]) -> None:
        """Take in a batch."""
        for event in batch:
            _STEPS[event[0]](self, event)

    def finish(self, ending: Ending) -> bytes:
        """The whole JSON body."""
        if self._open is not None:
            raise InternalError("The answer ended inside a tool call.")
        choice = {
            "index": 0,
            "message": self._message(),
            "logprobs": None,
            "finish_reason": finish_reason(ending.stop, self._style),
        }
        return orjson.dumps(self._head | {"choices": [choice], "usage": usage_fields(ending.usage)})

    def _message(self) -> dict[str, Any]:
        text = "".join(self._text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": text if text or not self._calls else None,
            "refusal": None,
        }
        if self._citations.searched:
            message["annotations"] = self._citations.annotations()
        thinking = "".join(self._thinking)
        if thinking:
            message["reasoning_content"] = thinking
        if self._calls and self._style.legacy:
            _, name, arguments = self._calls[0]
            message["function_call"] = {"name": name, "arguments": arguments or "{}"}
        elif self._calls:
            message["tool_calls"] = [self._call(*call) for call in self._calls]
        return message

    def _call(self, call_id: str, name: str, arguments: str) -> dict[str, Any]:
        kind, key = self._style.keys(name)
        given = unwrapped(arguments) if name in self._style.custom else arguments or "{}"
        return {"id": call_id, "type": kind, kind: {"name": name, key: given}}

    def _add_text(self, event: AnswerEvent) -> None:
        if event[1]:
            self._text.append(self._citations.take_text(event[1]))

    def _add_thinking(self, event: AnswerEvent) -> None:
        self._thinking.append(event[1])

    def _add_search(self, event: AnswerEvent) -> None:
        if self._style.searching:
            self._citations.add_hits(event[3])

    def _tool_start(self, event: AnswerEvent) -> None:
        self._open = (event[1], event[2])

    def _tool_input(self, event: AnswerEvent) -> None:
        self._input.append(event[1])

    def _tool_end(self, _event: AnswerEvent) -> None:
        if self._open is not None:
            self._calls.append((*self._open, "".join(self._input)))
        self._open, self._input = None, []


def _nothing(_fold: ChatFold, _event: AnswerEvent) -> None:
    """There is no place for it in this dialect."""


# Not bound methods: a fold that refers to itself keeps its text until a collection finds it.
_STEPS: Final[dict[int, Callable[[ChatFold, AnswerEvent], None]]] = {
    TEXT: ChatFold._add_text,
    THINKING: ChatFold._add_thinking,
    THINKING_END: _nothing,
    REDACTED: _nothing,
    SEARCH: ChatFold._add_search,
    TOOL_START: ChatFold._tool_start,
    TOOL_INPUT: ChatFold._tool_input,
    TOOL_END: ChatFold._tool_end,
}
