"""``POST /v1/responses``: what it takes beyond an answer: kept responses, and patience with Codex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kiroproxy.api.checks import (
    GetHeader,
    InexactNumber,
    Object,
    load_exactly,
    load_object,
    mapping,
    optional_text,
)
from kiroproxy.api.density import Hold, hold_values
from kiroproxy.api.openai.responses_past import references, resolved, with_ids
from kiroproxy.api.openai.responses_request import parse_responses, style_of
from kiroproxy.api.turn import Turn
from kiroproxy.clock import Clock
from kiroproxy.errors import KiroProxyError, RequestError
from kiroproxy.handlers.errors import status_of
from kiroproxy.handlers.responses_store import ResponseStore
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.http.router import Handler

_CODEX = "codex"
_SERVER_ERROR = 500


def response_id(request_id: str) -> str:
    """The answer's id."""
    return "resp_" + request_id.removeprefix("req_")


class ResponsesReader:
    """Reads a request, with what it names of kept responses: the conversation of its
    ``previous_response_id``, and single items."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def __call__(self, request: Request, hold: Hold) -> Turn:
        """Raises RequestError."""
        turn = await self.read(request, lambda body: body, hold)
        style = style_of(turn)
        style.store = style.store and self._store.keeps
        if style.store:
            own_id = response_id(request.id)
            items = with_ids(style.items, own_id)
            style.keep = lambda final: self._store.put(own_id, final, items)
        return turn

    async def read(self, request: Request, change: Callable[[Object], Object], hold: Hold) -> Turn:
        """The turn of the body that ``change`` makes of the request's; ``hold`` takes the room for it and
        for what was kept. Raises RequestError."""
        headers = request.headers.get
        body = load_object(request.body, hold)
        try:
            return await self._turn(change(body), headers, hold, exact=False)
        except InexactNumber:
            body = mapping(load_exactly(request.body), ())
            return await self._turn(change(body), headers, hold, exact=True)

    async def _turn(self, body: Object, headers: GetHeader, hold: Hold, *, exact: bool) -> Turn:
        previous = optional_text(body.get("previous_response_id"), ("previous_response_id",))
        earlier = await self._earlier(previous, hold, exact) if previous else None
        items = body.get("input")
        wanted = references(items) if isinstance(items, list) else {}
        if wanted:
            known = await self._store.items(wanted.values(), exact=exact)
            hold_values(known, hold)
            body = {**body, "input": resolved(body["input"], wanted, known)}
        return parse_responses(body, headers, earlier)

    async def _earlier(self, previous: str, hold: Hold, exact: bool) -> list[Any]:
        found = await self._store.conversation(previous, hold, exact=exact)
        if found is None:
            raise RequestError(
                f"previous_response_id: {previous[:100]!r} is not kept here (any more, or it was made "
                "with store: false, was too large or could not be stored); send the whole input",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        hold_values(found, hold)
        return found


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
