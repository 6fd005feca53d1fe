"""``/v1/responses/{id}`` and what is below it: kept responses, read and deleted."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import parse_qsl

import orjson

from kiroproxy.api.checks import fail
from kiroproxy.api.openai.responses_past import page
from kiroproxy.api.openai.responses_replay import replay
from kiroproxy.errors import Kind, RequestError
from kiroproxy.handlers.answers import SSE_HEADERS
from kiroproxy.handlers.gate import Gate
from kiroproxy.handlers.responses_store import ResponseStore
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.http.responses import json_response


class KeptResponses:
    """One handler a method and path."""

    def __init__(self, store: ResponseStore, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    async def retrieve(self, request: Request, exchange: Exchange) -> Response:
        """The response object, or with ``stream=true`` the events of it."""
        self._gate.check(request)
        query = dict(parse_qsl(request.query))
        stream, after = _stream(query), _starting_after(query)
        wanted = exchange.params["id"]
        body = await self._store.body(wanted)
        if body is None:
            _not_found(wanted)
        if not stream:
            return json_response(200, body)
        return Response(200, replay(body, after), list(SSE_HEADERS))

    async def delete(self, request: Request, exchange: Exchange) -> Response:
        self._gate.check(request)
        wanted = exchange.params["id"]
        if not await self._store.delete(wanted):
            _not_found(wanted)
        answer = {"id": wanted, "object": "response", "deleted": True}
        return json_response(200, orjson.dumps(answer))

    async def input_items(self, request: Request, exchange: Exchange) -> Response:
        """A page of what the response was made from, earlier turns included."""
        self._gate.check(request)
        wanted = exchange.params["id"]
        items = await self._store.input_items(wanted)
        if items is None:
            _not_found(wanted)
        return json_response(200, orjson.dumps(page(items, dict(parse_qsl(request.query)))))

    async def cancel(self, request: Request, exchange: Exchange) -> Response:
        """Only answers in the background can be cancelled by id, and there are none."""
        self._gate.check(request)
        rule = (
            "answers in the background are not supported; a running one ends when its client leaves"
        )
        fail(("id",), rule)


def _stream(query: dict[str, str]) -> bool:
    value = query.get("stream", "false")
    if value not in ("true", "false"):
        fail(("stream",), "must be true or false")
    return value == "true"


def _starting_after(query: dict[str, str]) -> int:
    value = query.get("starting_after", "")
    if not value:
        return -1
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        fail(("starting_after",), "must be the number of an event")
    return int(value)


def _not_found(wanted: str) -> NoReturn:
    raise RequestError(
        f"Response with id {wanted[:100]!r} not found: it is not kept here (any more, or it was made with "
        "store: false, was too large or could not be stored).",
        kind=Kind.NOT_FOUND,
        param="id",
        code="response_not_found",
    )
