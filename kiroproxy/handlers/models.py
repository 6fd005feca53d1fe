"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kiroproxy.accounts import AccountManager
from kiroproxy.api.catalogue import model_body, models_body, public_models
from kiroproxy.errors import Kind, RequestError
from kiroproxy.handlers.gate import Gate
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.http.responses import json_response


class ModelsHandler:
    """The union of what the accounts' live catalogues offer, in one body for both SDK families."""

    def __init__(
        self, accounts: AccountManager, gate: Gate, aliases: Mapping[str, str] | None = None
    ) -> None:
        self._accounts = accounts
        self._gate = gate
        self.aliases = aliases or {}

    async def list(self, request: Request, exchange: Exchange) -> Response:
        self._gate.check(request)
        return json_response(200, models_body(await self._entries()))

    async def retrieve(self, request: Request, exchange: Exchange) -> Response:
        self._gate.check(request)
        wanted = exchange.params["id"]
        body = model_body(wanted, await self._entries())
        if body is None:
            raise RequestError(
                f"model: {wanted[:100]!r} is not offered by any account; see GET /v1/models",
                kind=Kind.MODEL_NOT_FOUND,
                param="model",
            )
        return json_response(200, body)

    async def _entries(self) -> Sequence[dict[str, Any]]:
        return public_models(await self._accounts.models(), self.aliases)
