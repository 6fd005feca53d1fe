"""``/v1/responses``: what the Responses API has beyond an answer: kept responses, and Codex."""

from __future__ import annotations

import orjson

from kiroproxy.api.checks import load_object, optional_text
from kiroproxy.api.openai.responses_request import parse_responses, style_of
from kiroproxy.api.turn import Turn
from kiroproxy.clock import Clock
from kiroproxy.errors import Kind, KiroProxyError, RequestError
from kiroproxy.handlers.errors import status_of
from kiroproxy.handlers.gate import Gate
from kiroproxy.handlers.responses_store import ResponseStore
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.http.responses import json_response
from kiroproxy.http.router import Handler

_CODEX = "codex"
_SERVER_ERROR = 500


def response_id(request_id: str) -> str:
    """The answer's id."""
    return "resp_" + request_id.removeprefix("req_")


class ResponsesReader:
    """Reads a request, with the conversation that its ``previous_response_id`` names."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def __call__(self, request: Request) -> Turn:
        """Raises RequestError."""
        body = load_object(request.body)
        at = ("previous_response_id",)
        previous = optional_text(body.get("previous_response_id"), at)
        earlier = await self._earlier(previous) if previous else None
        turn = parse_responses(body, request.headers.get, earlier)
        style = style_of(turn)
        style.store = style.store and self._store.keeps
        if style.store:
            own_id = response_id(request.id)
            style.keep = lambda final: self._store.put(own_id, final, style.items)
        return turn

    async def _earlier(self, previous: str) -> list[object]:
        found = await self._store.conversation(previous)
        if found is None:
            raise RequestError(
                f"previous_response_id: {previous[:100]!r} is not kept here (any more, or it was made "
                "with store: false); send the whole input",
                param="previous_response_id",
            )
        return found


class KeptResponses:
    """``GET`` and ``DELETE`` of ``/v1/responses/{id}``."""

    def __init__(self, store: ResponseStore, gate: Gate) -> None:
        self._store = store
        self._gate = gate

    async def retrieve(self, request: Request, exchange: Exchange) -> Response:
        self._gate.check(request)
        wanted = exchange.params["id"]
        body = await self._store.body(wanted)
        if body is None:
            raise _not_found(wanted)
        return json_response(200, body)

    async def delete(self, request: Request, exchange: Exchange) -> Response:
        self._gate.check(request)
        wanted = exchange.params["id"]
        if not await self._store.delete(wanted):
            raise _not_found(wanted)
        answer = {"id": wanted, "object": "response", "deleted": True}
        return json_response(200, orjson.dumps(answer))


def _not_found(wanted: str) -> RequestError:
    return RequestError(
        f"Response with id {wanted[:100]!r} not found.", kind=Kind.NOT_FOUND, param="id"
    )


class CodexPause:
    """Lets Codex wait before a 5xx: it repeats such a request thirty times in 25 seconds, and each of
    them would ask the service again. A second a try halves that, and the user still reads the error
    within a minute. Everybody else gets the error at once."""

    def __init__(self, handler: Handler, clock: Clock, pause_s: float) -> None:
        self._handler = handler
        self._clock = clock
        self._pause_s = pause_s

    async def __call__(self, request: Request, exchange: Exchange) -> Response | None:
        try:
            return await self._handler(request, exchange)
        except KiroProxyError as error:
            if self._is_due(request, error):
                await self._clock.sleep(self._pause_s)
            raise

    def _is_due(self, request: Request, error: KiroProxyError) -> bool:
        originator = request.headers.get("originator") or ""
        return (
            self._pause_s > 0
            and originator.lower().startswith(_CODEX)
            and status_of(request, error) >= _SERVER_ERROR
        )
