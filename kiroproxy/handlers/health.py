"""``GET /health`` and the probes that clients send before they talk; none of them needs a key."""

from __future__ import annotations

import orjson

from kiroproxy import __version__
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.http.responses import json_response


class HealthHandler:
    """Alive and able to answer. Says nothing about accounts: that needs a key."""

    def __init__(self, instance: str = "") -> None:
        said = {"status": "ok", "version": __version__}
        self._body = orjson.dumps({**said, "instance": instance} if instance else said)

    async def __call__(self, request: Request, exchange: Exchange) -> Response:
        return json_response(200, self._body)


async def hello(request: Request, exchange: Exchange) -> Response:
    """``HEAD /api/hello`` of Claude Code: any quick answer will do."""
    return json_response(200, orjson.dumps({"name": "kiroproxy", "version": __version__}))
