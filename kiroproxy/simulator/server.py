"""The simulated service on a real socket."""

from __future__ import annotations

from collections import deque

from kiroproxy.clock import Clock
from kiroproxy.errors import Kind, KiroProxyError
from kiroproxy.http import (
    Exchange,
    Handler,
    HttpLimits,
    HttpServer,
    Request,
    Response,
    Route,
    Router,
)
from kiroproxy.simulator import control, refusals, sign_in
from kiroproxy.simulator.catalogue import JsonObject
from kiroproxy.simulator.chat import CHAT
from kiroproxy.simulator.desk import Desk
from kiroproxy.simulator.faults import Faults
from kiroproxy.simulator.gate import JSON_10, Call, Operation, Outcome, render, serve
from kiroproxy.simulator.refusals import Refusal
from kiroproxy.simulator.settings import MAX_BODY_BYTES, Account, Settings
from kiroproxy.simulator.world import Received, World

PATHS: dict[tuple[str, str], Operation] = {
    ("POST", "/generateAssistantResponse"): CHAT,
    ("POST", "/refreshToken"): sign_in.SOCIAL_REFRESH,
    ("POST", "/token"): sign_in.OIDC_TOKEN,
    ("POST", "/client/register"): sign_in.REGISTER,
    ("POST", "/device_authorization"): sign_in.DEVICE,
    ("GET", "/getUsageLimits"): control.USAGE,
    ("GET", "/ListAvailableModels"): control.MODELS,
    ("POST", "/ListAvailableModels"): control.MODELS,
    ("POST", "/ListAvailableProfiles"): control.PROFILES,
    ("POST", "/mcp"): control.MCP,
}

_STREAMING = ("AmazonCodeWhispererStreamingService", "KiroRuntimeService")
_CONTROL = ("AmazonCodeWhispererService", "KiroControlPlaneBearerService")

# X-Amz-Target of ``POST /`` → operation
TARGETS: dict[str, Operation] = {
    **{f"{service}.GenerateAssistantResponse": CHAT for service in _STREAMING},
    **{f"{service}.InvokeMCP": control.MCP for service in _STREAMING},
    **{f"{service}.GetUsageLimits": control.USAGE for service in _CONTROL},
    **{f"{service}.ListAvailableModels": control.MODELS for service in _CONTROL},
    **{f"{service}.ListAvailableProfiles": control.PROFILES for service in _CONTROL},
}
_KINDS: dict[Kind, Refusal] = {
    Kind.NOT_FOUND: refusals.UNKNOWN_OPERATION,
    Kind.METHOD_NOT_ALLOWED: refusals.UNKNOWN_OPERATION,
    Kind.TOO_LARGE: refusals.TOO_LARGE,
    Kind.INTERNAL: refusals.INTERNAL,
}


class Simulator:
    """A Kiro that runs here. ``faults`` breaks things, ``requests`` tells what came in."""

    def __init__(self, settings: Settings | None = None, clock: Clock | None = None) -> None:
        self.settings = settings or Settings()
        self._world = World(self.settings, clock)
        self._server = HttpServer(
            Router(self._routes()),
            HttpLimits(max_body_bytes=MAX_BODY_BYTES),
            error_renderer=self._render_error,
        )

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base URL for all services at once; the same one when it runs."""
        if self._world.base_url:
            return self._world.base_url
        address = (await self._server.start(host, port))[0]
        self._world.base_url = f"http://{address[0]}:{address[1]}"
        return self._world.base_url

    async def stop(self) -> None:
        """Close everything at once, open streams included."""
        self._world.base_url = ""
        await self._server.shutdown(0)

    @property
    def base_url(self) -> str:
        """Where it listens; empty before ``start``."""
        return self._world.base_url

    @property
    def faults(self) -> Faults:
        """Faults still to come."""
        return self._world.faults

    @property
    def tokens(self) -> Desk:
        """The token desk: revoke, expire."""
        return self._world.desk

    @property
    def requests(self) -> deque[Received]:
        """The log, oldest first, at most ``settings.keep_requests`` long."""
        return self._world.requests

    @property
    def open_streams(self) -> int:
        """Chat streams that are being sent right now."""
        return self._world.open_streams

    @property
    def connections(self) -> int:
        """Connections from clients, idle ones included."""
        return self._server.connections

    def received(self, route: str) -> list[Received]:
        """The log entries of one route."""
        return [entry for entry in self._world.requests if entry.route == route]

    def account(self, label: str) -> Account:
        """One account by label, to change its quota or to suspend it."""
        return self._world.desk.account(label)

    def demo_credentials(self, *labels: str) -> list[JsonObject]:
        """Sign-ins as KIRO_AUTH_TOKEN entries; all accounts, or those of the given labels."""
        accounts = [self.account(label) for label in labels] or self._world.desk.accounts
        return [account.entry for account in accounts]

    def _routes(self) -> list[Route]:
        routes = [
            Route(method, path, self._handler(operation))
            for (method, path), operation in PATHS.items()
        ]
        return [*routes, Route("POST", "/", self._by_target)]

    def _handler(self, operation: Operation) -> Handler:
        async def handle(request: Request, exchange: Exchange) -> Response | None:
            return await serve(self._world, request, exchange, operation, typed=False)

        return handle

    async def _by_target(self, request: Request, exchange: Exchange) -> Response | None:
        """``POST /``: the JSON 1.0 binding, told apart by its two headers."""
        content_type = (request.headers.get("content-type") or "").partition(";")[0].strip()
        operation = TARGETS.get(request.headers.get("x-amz-target") or "")
        if operation is None or content_type != JSON_10:
            operation = UNKNOWN
        return await serve(self._world, request, exchange, operation, typed=True)

    def _render_error(self, request: Request | None, error: KiroProxyError) -> Response:
        """Errors of the HTTP layer in the service's words."""
        refusal = _KINDS.get(error.kind, refusals.IMPROPER)
        rendered = render(refusal, typed=False, world=self._world)
        return rendered or Response(refusal.status)


async def _unknown(call: Call) -> Outcome:
    return refusals.UNKNOWN_OPERATION


UNKNOWN = Operation("unknown", _unknown, bearer=False)
