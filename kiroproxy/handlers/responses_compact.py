"""``POST /v1/responses/compact`` and ``…/input_tokens``: a Responses body that is not to be answered."""

from __future__ import annotations

from typing import Any

import orjson

from kiroproxy.api.checks import Object
from kiroproxy.api.density import Hold
from kiroproxy.api.openai.responses_input import COMPACTION_TRIGGER
from kiroproxy.api.tokens import estimate_turn
from kiroproxy.api.turn import Turn
from kiroproxy.handlers.gate import Gate
from kiroproxy.handlers.responses import ResponsesReader
from kiroproxy.handlers.system_prompt import SystemPrompt
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.http.responses import json_response

_ANY_MODEL = "any"  # the count does not depend on it, and clients may leave it out


class CompactReader:
    """Reads the request as one that ends in a ``compaction_trigger``; nothing is kept."""

    def __init__(self, reader: ResponsesReader) -> None:
        self._reader = reader

    async def __call__(self, request: Request, hold: Hold) -> Turn:
        """Raises RequestError."""
        return await self._reader.read(request, _compaction, hold)


class InputTokensHandler:
    """Answered here: the service has no such call. The same estimate as everywhere."""

    def __init__(self, reader: ResponsesReader, gate: Gate, system_prompt: SystemPrompt) -> None:
        self._reader = reader
        self._gate = gate
        self._system_prompt = system_prompt

    async def __call__(self, request: Request, exchange: Exchange) -> Response:
        self._gate.check(request)
        turn = await self._reader.read(request, _counted, exchange.hold)
        await self._system_prompt.apply(turn)
        count = {"object": "response.input_tokens", "input_tokens": estimate_turn(turn)}
        return json_response(200, orjson.dumps(count))


def _counted(body: Object) -> Object:
    return body if body.get("model") is not None else {**body, "model": _ANY_MODEL}


def _compaction(body: Object) -> Object:
    given: Any = body.get("input")
    trigger = {"type": COMPACTION_TRIGGER}
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": given}, trigger]
    elif isinstance(given, list) and given[-1:] != [trigger]:
        given = [*given, trigger]
    elif given is None and body.get("previous_response_id") is not None:
        given = [trigger]
    return {**body, "input": given, "stream": False, "store": False}
