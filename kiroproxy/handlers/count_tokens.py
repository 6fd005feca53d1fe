"""``POST /v1/messages/count_tokens``: answered here, for the service has no such call."""

from __future__ import annotations

import orjson

from kiroproxy.api.anthropic.request import parse_count_tokens
from kiroproxy.api.tokens import estimate_turn
from kiroproxy.handlers.gate import Gate
from kiroproxy.handlers.system_prompt import SystemPrompt
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.http.responses import json_response


class CountTokensHandler:
    """The same estimator that fills ``message_start.usage``."""

    def __init__(self, gate: Gate, system_prompt: SystemPrompt) -> None:
        self._gate = gate
        self._system_prompt = system_prompt

    async def __call__(self, request: Request, exchange: Exchange) -> Response:
        self._gate.check(request)
        turn = parse_count_tokens(request.body, exchange.hold)
        await self._system_prompt.apply(turn)
        return json_response(200, orjson.dumps({"input_tokens": estimate_turn(turn)}))
