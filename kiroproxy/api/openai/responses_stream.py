"""The neutral answer as Responses API events.

The SDKs need ``response.created``, ``output_item.added``, ``content_part.added`` and the whole ``output``
in ``response.completed``; Codex needs ``output_item.done`` and runs a call as soon as it sees one, so that
event is written for complete calls only. Everything is sent, in the order of the API, numbered without
gaps. The end is one of ``response.completed``, ``response.incomplete`` and ``response.failed``: Codex
ignores ``error`` events.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from kiroproxy.api.events import TEXT, AnswerEvent, Ending, Usage
from kiroproxy.api.jsontexts import json_each
from kiroproxy.api.openai.responses_items import Items
from kiroproxy.api.openai.responses_output import IN_PROGRESS, Item
from kiroproxy.api.openai.responses_style import ResponsesStyle
from kiroproxy.api.openai.responses_wire import ResponseObject
from kiroproxy.errors import IncompleteAnswerError, KiroProxyError

_NUMBER_END: Final = b',"delta":'
_DELTA_END: Final = b"}\n\n"
_DELTA: Final = b"%b%d" + _NUMBER_END + b"%b" + _DELTA_END
_FIRST_NUMBER: Final = 2  # behind those of ``start``

_dumps = orjson.dumps


class ResponsesEncoder:
    """One streamed answer. ``response_id`` and ``model`` are shown to the client as they are;
    ``created_s`` are seconds since 1970."""

    def __init__(self, response_id: str, model: str, created_s: int, style: ResponsesStyle) -> None:
        self._response = ResponseObject(response_id, model, created_s, style)
        self._writer = _Writer()
        self._items = Items(response_id, style, self._writer)
        self._keep = style.keep

    def start(self, usage: Usage) -> bytes:
        """``response.created`` and ``response.in_progress``. May be asked for after the first events have
        been made: the head goes out with them."""
        fields = self._announcement()
        return sse("response.created", 0, fields) + sse("response.in_progress", 1, fields)

    def events(self, batch: list[AnswerEvent]) -> bytes:
        """All events of one upstream read as one buffer.

        A batch of text inside an open message, nearly every batch there is, is written without looking
        at any event twice.
        """
        item = self._items.text_item
        if item is not None and item.delta:
            if len(batch) == 1 and batch[0][0] == TEXT and batch[0][1]:  # at a model's pace
                return self._writer.delta(item.add(batch[0][1]))
            texts = [event[1] for event in batch if event[0] == TEXT and event[1]]
            if texts and len(texts) == len(batch):
                item.add_all(texts)
                return self._writer.deltas(texts)
        if item is None and len(batch) > 1 and batch[0][0] == TEXT:
            return self.events(batch[:1]) + self.events(batch[1:])  # the first opens the message
        self._items.feed(batch)
        return self._writer.taken()

    def ping(self) -> bytes:
        """A repeated ``response.in_progress``: comments do not reset Codex's idle clock, events do."""
        number = self._writer.take_number()
        return sse("response.in_progress", number, self._announcement())

    def finish(self, ending: Ending) -> bytes:
        """``response.completed`` or ``response.incomplete``, with all items and the usage;
        ``response.failed`` when the one item that was asked for has not come."""
        try:
            self._items.finish(ending)
        except IncompleteAnswerError as error:
            return self._writer.taken() + self.fail(error)
        response = self._response.ended(ending, self._items.done)
        if self._keep is not None:
            self._keep(_dumps(response))
        self._writer.event(f"response.{response['status']}", {"response": response})
        return self._writer.taken()

    def fail(self, error: KiroProxyError) -> bytes:
        """``response.failed``; an open item is not closed, nothing follows."""
        response = self._response.failed(error, self._items.done)
        self._writer.event("response.failed", {"response": response})
        return self._writer.taken()

    def _announcement(self) -> dict[str, Any]:
        """The response as JSON already: with a client's instructions and tools it is large, and ``start``
        says it twice."""
        return {"response": orjson.Fragment(_dumps(self._response.fields(IN_PROGRESS, [])))}


class _Writer:
    """Listens to the items and writes their events, numbered. Were it the encoder itself, that and its
    items would hold each other, and keep the answer's text until a garbage collection."""

    __slots__ = ("_before", "_number", "_parts")

    def __init__(self) -> None:
        self._number = _FIRST_NUMBER  # of the next event
        self._parts: list[bytes] = []
        self._before = b""  # the open item's delta events up to their number

    # -- what the items tell -----------------------------------------------------------------------

    def opened(self, item: Item) -> None:
        """``output_item.added`` and what stands in front of the first fragment."""
        fields = {"output_index": item.index, "item": item.first()}
        self.event("response.output_item.added", fields)
        for name, more in item.opened():
            self.event(name, more)
        if item.delta:
            constant = _dumps({"type": item.delta, **item.delta_fields()})
            self._before = b'event: %b\ndata: %b,"sequence_number":' % (
                item.delta.encode(),
                constant[:-1],
            )

    def grew(self, item: Item, shown: str) -> None:
        """A delta event, for items that have them."""
        if item.delta:
            self._parts.append(self.delta(shown))

    def closed(self, item: Item, status: str, whole: dict[str, Any]) -> None:
        """The ``…done`` events and ``output_item.done``."""
        for name, more in item.closed(status):
            self.event(name, more)
        fields = {"output_index": item.index, "item": whole}
        self.event("response.output_item.done", fields)

    # -- writing -----------------------------------------------------------------------------------

    def delta(self, text: str) -> bytes:
        """The next delta event of the open item: to be written now, or behind what waits to be taken."""
        number = self._number
        self._number = number + 1
        return _DELTA % (self._before, number, _dumps(text))

    def deltas(self, texts: list[str]) -> bytes:
        """One for each text, all of them in one join."""
        numbers = range(self._number, self._number + len(texts))
        self._number = numbers.stop
        parts = [self._before, b"", _NUMBER_END, b"", _DELTA_END] * len(texts)
        parts[1::5] = json_each(numbers)
        parts[3::5] = json_each(texts)
        return b"".join(parts)

    def event(self, name: str, fields: dict[str, Any]) -> None:
        """One event, to be taken."""
        self._parts.append(sse(name, self.take_number(), fields))

    def take_number(self) -> int:
        """That of the next event."""
        number = self._number
        self._number += 1
        return number

    def taken(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def sse(name: str, number: int, fields: dict[str, Any]) -> bytes:
    """One event. ``name`` is its type."""
    data = _dumps({"type": name, "sequence_number": number, **fields})
    return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
