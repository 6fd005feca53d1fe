"""The neutral answer as Chat Completions chunks.

Chunks stand alone, so the only state is the call that is open: its index, and whether any of its
arguments went out (a call without input needs ``{}``, for clients parse what they get)::

    open   event                        what is written                    open then
    NONE   TEXT                         content                            NONE
    NONE   THINKING                     reasoning_content                  NONE
    NONE   THINKING_END REDACTED        nothing: no place for it           NONE
    NONE   SEARCH                       nothing yet, see below             NONE
    NONE   TOOL_START                   index, id, type, name              CALL
    CALL   TOOL_INPUT                   index, fragment                    CALL
    CALL   TOOL_END                     ``{}`` if nothing came             NONE

What a search found is cited at the end, in a chunk of annotations: before it the text is not whole.

Role first, ``index`` on every call delta, ``id``, ``type`` and ``name`` once: the SDKs fail or double
names otherwise. ``[DONE]`` follows a proper end alone; a failure is one line with ``error`` and nothing
after it.
"""

from __future__ import annotations

import enum
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
    Usage,
)
from kiroproxy.api.jsontexts import json_joined
from kiroproxy.api.openai.chat_wire import ChatStyle, finish_reason, usage_fields
from kiroproxy.api.openai.citations import Citations
from kiroproxy.api.openai.errors import error_body
from kiroproxy.api.openai.unwrap import InputUnwrapper
from kiroproxy.errors import InternalError, KiroProxyError

DONE: Final = b"data: [DONE]\n\n"
PING: Final = b": ping\n\n"  # a comment; every client skips it

_dumps = orjson.dumps


class Open(enum.Enum):
    """What the next event may belong to."""

    __hash__ = object.__hash__  # the same, without a call: it is the key of a table

    NONE = enum.auto()
    CALL = enum.auto()


_NOTHING_OPEN: Final = Open.NONE  # before Python 3.12 to name a member costs 0.15 µs


class ChatEncoder:
    """One streamed answer. ``chat_id`` and ``model`` are shown to the client as they are; ``created``:
    seconds since the epoch."""

    def __init__(self, chat_id: str, model: str, created: int, style: ChatStyle) -> None:
        self._style = style
        head = {
            "id": chat_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._head = b"data: %b," % _dumps(head)[:-1]
        # Every chunk but the last says null where the numbers will be, if they will be.
        tail = b',"usage":null}\n\n' if style.include_usage else b"}\n\n"
        self._before = self._head + b'"choices":[{"index":0,"delta":'
        self._after = b',"logprobs":null,"finish_reason":null}]' + tail
        self._end = b',"logprobs":null,"finish_reason":%b}]' + tail
        self._text_before = self._before + b'{"content":'
        self._text_after = b"}" + self._after
        self._text_between = self._text_after + self._text_before
        self._citations = Citations() if style.searching else None
        self._open = Open.NONE
        self._calls = 0
        self._kind, self._key = "", ""  # of the open call: where its input goes
        self._arguments = False  # some of it went out
        self._unwrapper: InputUnwrapper | None = None

    def start(self, usage: Usage) -> bytes:
        """The role, in a chunk of its own."""
        return self._chunk(b'{"role":"assistant","content":"","refusal":null}')

    def events(self, batch: list[AnswerEvent]) -> bytes:
        """All events of one upstream read as one buffer; text alone is one piece of JSON."""
        if self._open is _NOTHING_OPEN:
            if len(batch) == 1 and batch[0][0] == TEXT and self._citations is None:
                return self._text_before + _dumps(batch[0][1]) + self._text_after
            texts = [event[1] for event in batch if event[0] == TEXT]
            if texts and len(texts) == len(batch) and not self._add_cited(texts):
                joined = json_joined(texts, self._text_between)
                return b"%b%b%b" % (self._text_before, joined, self._text_after)
        parts: list[bytes] = []
        for event in batch:
            move = _MOVES.get((self._open, event[0]))
            if move is None:
                raise InternalError("The answer's parts came in an impossible order.")
            move(self, event, parts)
        return b"".join(parts)

    def ping(self) -> bytes:
        """A comment line."""
        return PING

    def finish(self, ending: Ending) -> bytes:
        """The finish reason, the numbers if they were asked for, ``[DONE]``."""
        if self._open is not Open.NONE:
            raise InternalError("The answer ended inside a tool call.")
        reason = _dumps(finish_reason(ending.stop, self._style))
        parts = [self._before, b"{}", self._end % reason]
        annotations = self._citations.annotations() if self._citations is not None else []
        if annotations:
            parts.insert(0, self._chunk(_dumps({"annotations": annotations})))
        if self._style.include_usage:
            usage = _dumps(usage_fields(ending.usage))
            parts.append(b'%b"choices":[],"usage":%b}\n\n' % (self._head, usage))
        parts.append(DONE)
        return b"".join(parts)

    def fail(self, error: KiroProxyError) -> bytes:
        """The error alone; no finish reason and no ``[DONE]``."""
        return b"data: %b\n\n" % error_body(error)

    # -- moves -------------------------------------------------------------------------------------

    def _chunk(self, delta: bytes) -> bytes:
        return self._before + delta + self._after

    def _text(self, event: AnswerEvent, parts: list[bytes]) -> None:
        text: str = event[1]
        if text:
            if self._citations is not None:
                text = self._citations.take_text(text)
            parts.append(self._chunk(b'{"content":%b}' % _dumps(text)))

    def _thinking(self, event: AnswerEvent, parts: list[bytes]) -> None:
        if event[1]:
            parts.append(self._chunk(b'{"reasoning_content":%b}' % _dumps(event[1])))

    def _nothing(self, event: AnswerEvent, parts: list[bytes]) -> None:
        pass

    def _add_cited(self, texts: list[str]) -> bool:
        """Keep a batch of text where its positions matter; whether it has to be looked at more closely."""
        if self._citations is not None:
            if self._citations.gap:
                return True
            self._citations.add_text(texts)
        return False

    def _search(self, event: AnswerEvent, parts: list[bytes]) -> None:
        if self._citations is not None:
            self._citations.add_hits(event[3])

    def _tool_start(self, event: AnswerEvent, parts: list[bytes]) -> None:
        _, call_id, name = event
        self._open = Open.CALL
        self._arguments = False
        self._unwrapper = InputUnwrapper() if name in self._style.custom else None
        self._kind, self._key = self._style.keys(name)
        self._call({"id": call_id, "type": self._kind}, {"name": name, self._key: ""}, parts)

    def _tool_input(self, event: AnswerEvent, parts: list[bytes]) -> None:
        fragment: str = event[1]
        if self._unwrapper is not None:
            fragment = self._unwrapper.feed(fragment)
        if fragment:
            self._add(fragment, parts)

    def _tool_end(self, event: AnswerEvent, parts: list[bytes]) -> None:
        if self._unwrapper is not None:
            rest = self._unwrapper.finish()
            if rest:
                self._add(rest, parts)
        elif not self._arguments:
            self._add("{}", parts)
        self._open = Open.NONE
        self._calls += 1

    def _add(self, fragment: str, parts: list[bytes]) -> None:
        self._arguments = True
        self._call({}, {self._key: fragment}, parts)

    def _call(self, fields: dict[str, Any], body: dict[str, Any], parts: list[bytes]) -> None:
        if self._style.legacy:
            delta: dict[str, Any] = {"function_call": body}
        else:
            delta = {"tool_calls": [{"index": self._calls, **fields, self._kind: body}]}
        parts.append(self._chunk(_dumps(delta)))


_Move = Callable[[ChatEncoder, AnswerEvent, list[bytes]], None]
_MOVES: Final[dict[tuple[Open, int], _Move]] = {
    (Open.NONE, TEXT): ChatEncoder._text,
    (Open.NONE, THINKING): ChatEncoder._thinking,
    (Open.NONE, THINKING_END): ChatEncoder._nothing,
    (Open.NONE, REDACTED): ChatEncoder._nothing,
    (Open.NONE, SEARCH): ChatEncoder._search,
    (Open.NONE, TOOL_START): ChatEncoder._tool_start,
    (Open.CALL, TOOL_INPUT): ChatEncoder._tool_input,
    (Open.CALL, TOOL_END): ChatEncoder._tool_end,
}
