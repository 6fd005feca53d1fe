"""The neutral answer as one response object: a fold over the same events that are streamed."""

from __future__ import annotations

from typing import Any

import orjson

from kiroproxy.api.events import AnswerEvent, Ending
from kiroproxy.api.openai.responses_items import Items
from kiroproxy.api.openai.responses_output import Item
from kiroproxy.api.openai.responses_past import is_users, listed, with_ids
from kiroproxy.api.openai.responses_style import ResponsesStyle
from kiroproxy.api.openai.responses_wire import ResponseObject, usage_fields


class _Nobody:
    """Listens to the items of a fold. Were it the fold itself, both would hold each other, and keep the
    answer's text until a garbage collection."""

    def opened(self, item: Item) -> None:
        """Of no interest."""

    def grew(self, item: Item, shown: str) -> None:
        """Of no interest."""

    def closed(self, item: Item, status: str, whole: dict[str, Any]) -> None:
        """The item is in ``done``."""


class ResponsesFold:
    """One whole answer. ``response_id`` and ``model`` are shown to the client as they are;
    ``created_s`` are seconds since 1970."""

    def __init__(self, response_id: str, model: str, created_s: int, style: ResponsesStyle) -> None:
        self._response = ResponseObject(response_id, model, created_s, style)
        self._items = Items(response_id, style, _Nobody())
        self._keep = style.keep

    def events(self, batch: list[AnswerEvent]) -> None:
        """Take in a batch."""
        self._items.feed(batch)

    def finish(self, ending: Ending) -> bytes:
        """The whole JSON body."""
        self._items.finish(ending)
        body = orjson.dumps(self._response.ended(ending, self._items.done))
        if self._keep is not None:
            self._keep(body)
        return body


class CompactionFold(ResponsesFold):
    """The answer of ``/v1/responses/compact``: what the user has said, and a summary of the rest."""

    def __init__(self, response_id: str, created_s: int, style: ResponsesStyle) -> None:
        super().__init__(response_id, "", created_s, style)
        self._head = {
            "id": response_id,
            "object": "response.compaction",
            "created_at": created_s,
        }
        self._said = [listed(item) for item in with_ids(style.items, response_id) if is_users(item)]

    def finish(self, ending: Ending) -> bytes:
        """The whole JSON body."""
        self._items.finish(ending)
        output = [*self._said, *self._items.done]
        return orjson.dumps({**self._head, "output": output, "usage": usage_fields(ending.usage)})
