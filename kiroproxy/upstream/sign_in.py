"""The calls of a device sign-in, made. The caller waits and repeats."""

from __future__ import annotations

from typing import Final

from kiroproxy.errors import KiroProxyError
from kiroproxy.kiro.hosts import Call, Overrides
from kiroproxy.kiro.renewal import RefreshedTokens
from kiroproxy.kiro.sign_in import (
    DeviceCode,
    Portal,
    Registration,
    Wait,
    device_call,
    parse_device,
    parse_poll,
    parse_registration,
    refusal,
    register_call,
    token_call,
)
from kiroproxy.secret import Secret
from kiroproxy.upstream.calls import Sender
from kiroproxy.upstream.response import UpstreamResponse
from kiroproxy.upstream.timeouts import Timeouts

_MAX_BYTES: Final = 64 * 1024  # real answers are some KiB of token
_TIMEOUTS: Final = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=30)


class SignInCalls:
    """All methods raise UpstreamError (ask again) or CredentialError (over)."""

    def __init__(self, client: Sender, overrides: Overrides) -> None:
        self._client = client
        self._overrides = overrides

    async def register(self, portal: Portal) -> Registration:
        """A client of our own at the portal's OIDC service."""
        return parse_registration(await self._ask(register_call(portal, self._overrides)))

    async def authorize(self, portal: Portal, registration: Registration) -> DeviceCode:
        """A code to confirm."""
        return parse_device(await self._ask(device_call(portal, registration, self._overrides)))

    async def poll(
        self, portal: Portal, registration: Registration, code: Secret
    ) -> RefreshedTokens | Wait:
        """The tokens, if it was confirmed."""
        response = await self._send(token_call(portal, registration, code, self._overrides))
        body = await response.read(_MAX_BYTES)
        return parse_poll(response.status, response.headers.get, body)

    async def _ask(self, call: Call) -> bytes:
        response = await self._send(call)
        body = await response.read(_MAX_BYTES)
        if response.status != 200:
            error: KiroProxyError = refusal(response.status, response.headers.get, body)
            raise error
        return body

    async def _send(self, call: Call) -> UpstreamResponse:
        return await self._client.send(call.method, call.url, call.headers, call.body, _TIMEOUTS)
