"""The neutral answer as Messages API events.

Clients are strict about order: ``message_start``; blocks with consecutive indices, each start, deltas,
stop, never two open; one ``message_delta`` with stop reason and final usage; ``message_stop``. The block
that is open is the whole state::

    open       event          what is written                          open then
    NONE       TEXT           start, delta                             TEXT
    NONE       THINKING       start, delta                             THINKING
    NONE       TOOL_START     start                                    TOOL
    NONE       REDACTED       start, stop                              NONE
    NONE       SEARCH         start, stop, twice                       NONE
    TEXT       TEXT           delta                                    TEXT
    TEXT       another start  stop, then as from NONE
    THINKING   THINKING       delta                                    THINKING
    THINKING   THINKING_END   signature delta, stop                    NONE
    TOOL       TOOL_INPUT     delta                                    TOOL
    TOOL       TOOL_END       stop                                     NONE

``_MOVES`` holds these lines; a pair that is not in it cannot come from ``Answer``. A failure writes the
``error`` event alone: an open block stays open, so that nobody takes half a tool call for a whole one.
"""

from __future__ import annotations

import enum
import itertools
import operator
from collections.abc import Callable
from typing import Final

import orjson

from kiroproxy.api.anthropic.errors import error_body
from kiroproxy.api.anthropic.wire import (
    dumps,
    ending_fields,
    message_fields,
    search_blocks,
    sse,
    usage_fields,
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
    Usage,
)
from kiroproxy.api.jsontexts import json_joined
from kiroproxy.api.signatures import PLACEHOLDER_SIGNATURE
from kiroproxy.errors import InternalError, KiroProxyError


class Block(enum.Enum):
    """The block that is open."""

    __hash__ = object.__hash__  # the same, without a call: it is the key of a table

    NONE = enum.auto()
    TEXT = enum.auto()
    THINKING = enum.auto()
    TOOL = enum.auto()


_IN_TEXT: Final = Block.TEXT  # before Python 3.12 to name a member costs 0.15 µs
PING: Final = sse("ping", b'{"type":"ping"}')
_STOPPED: Final = sse("message_stop", b'{"type":"message_stop"}')
_DELTA_END: Final = b"}}\n\n"

_dumps = orjson.dumps
_kind = operator.itemgetter(0)


def _delta_start(index: int, kind: str, field: str) -> bytes:
    """Everything of a delta event before its text."""
    return (
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
    ) % (index, kind.encode(), field.encode())


def _block_start(index: int, block: bytes) -> bytes:
    data = b'{"type":"content_block_start","index":%d,"content_block":%b}' % (index, block)
    return sse("content_block_start", data)


def _block_stop(index: int) -> bytes:
    return sse("content_block_stop", b'{"type":"content_block_stop","index":%d}' % index)


_TEXT_BLOCK: Final = b'{"type":"text","text":""}'
_THINKING_BLOCK: Final = b'{"type":"thinking","thinking":"","signature":""}'


class MessagesEncoder:
    """One streamed answer. ``message_id`` and ``model`` are shown to the client as they are."""

    def __init__(self, message_id: str, model: str) -> None:
        self._id = message_id
        self._model = model
        self._block = Block.NONE
        self._index = 0  # of the open block, or of the next one
        # Constant parts around the open block's deltas
        self._before = b""
        self._between = b""

    def start(self, usage: Usage) -> bytes:
        """``message_start``."""
        message = message_fields(self._id, self._model, usage, [])
        return sse("message_start", dumps({"type": "message_start", "message": message}))

    def events(self, batch: list[AnswerEvent]) -> bytes:
        """All events of one upstream read as one buffer.

        A batch of text inside an open text block, nearly every batch there is, is one list
        comprehension and one piece of JSON: no event is built or looked at twice.
        """
        if self._block is _IN_TEXT:
            if len(batch) == 1 and batch[0][0] == TEXT:  # at a model's pace
                return self._before + _dumps(batch[0][1]) + _DELTA_END
            texts = [event[1] for event in batch if event[0] == TEXT]
            if texts and len(texts) == len(batch):
                return b"%b%b%b" % (self._before, json_joined(texts, self._between), _DELTA_END)
        parts: list[bytes] = []
        for kind, group in itertools.groupby(batch, _kind):
            run = list(group)
            if kind == TEXT and self._block is not _IN_TEXT:
                self._move(run[0], parts)  # opens the block
                del run[0]
            if kind == TEXT and self._block is _IN_TEXT:
                texts = [event[1] for event in run if event[1]]
                if texts:
                    parts += (self._before, json_joined(texts, self._between), _DELTA_END)
                continue
            for event in run:
                self._move(event, parts)
        return b"".join(parts)

    def _move(self, event: AnswerEvent, parts: list[bytes]) -> None:
        move = _MOVES.get((self._block, event[0]))
        if move is None:
            raise InternalError("The answer's parts came in an impossible order.")
        move(self, event, parts)

    def ping(self) -> bytes:
        """Keeps the client from giving up."""
        return PING

    def finish(self, ending: Ending) -> bytes:
        """``message_delta`` with the final usage, ``message_stop``."""
        if self._block in (Block.TOOL, Block.THINKING):
            raise InternalError("The answer ended inside a block.")
        parts: list[bytes] = []
        self._close(parts)
        data = {
            "type": "message_delta",
            "delta": ending_fields(ending),
            "usage": usage_fields(ending.usage),
        }
        parts += (sse("message_delta", dumps(data)), _STOPPED)
        return b"".join(parts)

    def fail(self, error: KiroProxyError) -> bytes:
        """The ``error`` event; nothing is closed, nothing follows."""
        return sse("error", error_body(error))

    # -- moves: what one event writes ---------------------------------------------------------------

    def _close(self, parts: list[bytes]) -> None:
        if self._block is not Block.NONE:
            parts.append(_block_stop(self._index))
            self._index += 1
            self._block = Block.NONE

    def _open(self, block: Block, start: bytes, kind: str, field: str, parts: list[bytes]) -> None:
        self._close(parts)
        parts.append(_block_start(self._index, start))
        self._block = block
        self._before = _delta_start(self._index, kind, field)
        self._between = _DELTA_END + self._before

    def _whole(self, block: bytes, parts: list[bytes]) -> None:
        """A block that has no deltas."""
        self._close(parts)
        parts += (_block_start(self._index, block), _block_stop(self._index))
        self._index += 1

    def _delta(self, event: AnswerEvent, parts: list[bytes]) -> None:
        if event[1]:
            parts += (self._before, _dumps(event[1]), _DELTA_END)

    def _text(self, event: AnswerEvent, parts: list[bytes]) -> None:
        self._open(Block.TEXT, _TEXT_BLOCK, "text_delta", "text", parts)
        self._delta(event, parts)

    def _thinking(self, event: AnswerEvent, parts: list[bytes]) -> None:
        self._open(Block.THINKING, _THINKING_BLOCK, "thinking_delta", "thinking", parts)
        self._delta(event, parts)

    def _thinking_end(self, event: AnswerEvent, parts: list[bytes]) -> None:
        signature = event[1] or PLACEHOLDER_SIGNATURE
        before = _delta_start(self._index, "signature_delta", "signature")
        parts += (before, _dumps(signature), _DELTA_END)
        self._close(parts)

    def _redacted(self, event: AnswerEvent, parts: list[bytes]) -> None:
        self._whole(dumps({"type": "redacted_thinking", "data": event[1]}), parts)

    def _tool_start(self, event: AnswerEvent, parts: list[bytes]) -> None:
        block = {"type": "tool_use", "id": event[1], "name": event[2], "input": {}}
        self._open(Block.TOOL, dumps(block), "input_json_delta", "partial_json", parts)

    def _tool_end(self, event: AnswerEvent, parts: list[bytes]) -> None:
        self._close(parts)

    def _search(self, event: AnswerEvent, parts: list[bytes]) -> None:
        for block in search_blocks(*event[1:]):
            self._whole(dumps(block), parts)


_Move = Callable[[MessagesEncoder, AnswerEvent, list[bytes]], None]
_STARTS: Final[dict[int, _Move]] = {
    TEXT: MessagesEncoder._text,
    THINKING: MessagesEncoder._thinking,
    REDACTED: MessagesEncoder._redacted,
    TOOL_START: MessagesEncoder._tool_start,
    SEARCH: MessagesEncoder._search,
}
_MOVES: Final[dict[tuple[Block, int], _Move]] = {
    **{(Block.NONE, number): move for number, move in _STARTS.items()},
    **{(Block.TEXT, number): move for number, move in _STARTS.items()},
    (Block.TEXT, TEXT): MessagesEncoder._delta,
    (Block.THINKING, THINKING): MessagesEncoder._delta,
    (Block.THINKING, THINKING_END): MessagesEncoder._thinking_end,
    (Block.TOOL, TOOL_INPUT): MessagesEncoder._delta,
    (Block.TOOL, TOOL_END): MessagesEncoder._tool_end,
}
