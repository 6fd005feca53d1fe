"""The service's operations as methods: typed results out, the service's errors mapped once.

Retries belong to the caller; the one loop here walks over hosts and profile ARNs (``routes``), since
only this module knows them. All tries of one logical call share one invocation id.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import orjson

from kiroproxy.errors import (
    CredentialError,
    KiroProxyError,
    TransportError,
    UpstreamError,
    UpstreamRefusedError,
)
from kiroproxy.http.messages import Headers
from kiroproxy.kiro.endpoints import (
    Call,
    Candidate,
    Overrides,
    ProfileArn,
    RefreshInputs,
    chat_headers,
    control_candidates,
    mcp_call,
    models_call,
    parse_arn,
    profile_candidates,
    profiles_call,
    refresh_request,
    usage_call,
)
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.kiro.models import ModelInfo, parse_models, parse_next_token
from kiroproxy.kiro.renewal import (
    RefreshedTokens,
    classify_refresh_refusal,
    parse_refresh_reply,
)
from kiroproxy.kiro.replies import classify_reply
from kiroproxy.kiro.usage import UsageLimits, parse_usage
from kiroproxy.metrics import Metrics
from kiroproxy.upstream.response import UpstreamResponse
from kiroproxy.upstream.routes import (
    Route,
    chat_routes,
    is_lasting,
    next_routes,
    plan_routes,
    truest,
)
from kiroproxy.upstream.timeouts import Timeouts

_log = logging.getLogger("kiroproxy.upstream")
_T = TypeVar("_T")

STREAM_TYPE: Final = "application/vnd.amazon.eventstream"
MAX_ERROR_BYTES: Final = 64 * 1024  # real error bodies are under 1 KiB
MAX_CONTROL_BYTES: Final = 4 * 1024 * 1024  # a page of 50 models with schemas has about 200 KiB
MAX_TRIES: Final = 6  # announced in amz-sdk-request
MAX_PAGES: Final = 20
MIN_TOKEN_BYTES: Final = 8  # anything shorter is no token, but may be part of a word

CONTROL_TIMEOUTS: Final = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=30)
REFRESH_TIMEOUTS: Final = Timeouts(connect_s=10, first_byte_s=45, idle_s=45, total_s=60)


class Sender(Protocol):
    """The part of UpstreamClient that is needed here."""

    async def send(
        self,
        method: str,
        url: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        timeouts: Timeouts,
    ) -> UpstreamResponse: ...


@dataclass(frozen=True, slots=True)
class CallTimeouts:
    """``chat``: answers that may take minutes. ``control``: the small calls. ``refresh``: a sign-in
    renewal, which is not given up early: its reply holds the only copy of the new token."""

    chat: Timeouts
    control: Timeouts = CONTROL_TIMEOUTS
    refresh: Timeouts = REFRESH_TIMEOUTS


class _Enough(Exception):
    """Internal: as many bytes of an error body as we look at."""


class KiroCalls:
    """One instance for the whole program."""

    def __init__(
        self,
        client: Sender,
        overrides: Overrides,
        timeouts: CallTimeouts,
        metrics: Metrics | None = None,
    ) -> None:
        self._client = client
        self._metrics = metrics or Metrics()
        self._overrides = overrides
        self._timeouts = timeouts
        # (account, operation) → the route that worked after another was refused for good.
        self._preferred: dict[tuple[str, str], Route] = {}

    def configure(self, timeouts: CallTimeouts) -> None:
        """For the calls from now on."""
        self._timeouts = timeouts

    # -- chat

    def generate(
        self,
        identity: Identity,
        encode: Callable[[str | None], bytes],
        *,
        invocation_id: str,
        attempt: int,
    ) -> Coroutine[Any, Any, UpstreamResponse]:
        """Send a conversation; returns a 200 whose content type is the event stream.

        ``encode`` makes the body for a profile ARN. ``attempt``: the caller's count, from 1. Raises
        UpstreamRefusedError, TransportError, or CredentialError (malformed region or token).
        """
        tries = attempt - 1

        async def send(route: Route) -> UpstreamResponse:
            nonlocal tries
            tries += 1
            headers = chat_headers(
                identity,
                route.candidate,
                invocation_id=invocation_id,
                attempt=tries,
                max_attempts=max(tries, MAX_TRIES),
            )
            body = encode(route.profile_arn)
            url = route.candidate.chat_url
            response = await self._client.send("POST", url, headers, body, self._timeouts.chat)
            if response.status == 200 and _is_stream(response.headers):
                return response
            raise await _refusal(response, identity)

        return self._walk(identity, "chat", self._chat_routes(identity, "chat"), send)

    async def mcp(self, identity: Identity, payload: bytes, limit_bytes: int) -> bytes:
        """A JSON-RPC call to the service's own tools; the reply's body. Errors as ``generate``."""
        invocation_id = str(uuid.uuid4())

        async def send(route: Route) -> bytes:
            call = mcp_call(identity, route.candidate, route.profile_arn, invocation_id, payload)
            return await self._control(identity, call, limit_bytes)

        return await self._walk(identity, "mcp", self._chat_routes(identity, "mcp"), send)

    # -- control plane

    async def list_models(self, identity: Identity) -> list[ModelInfo]:
        """All pages of the account's catalogue. Raises UpstreamError or CredentialError."""
        invocation_id = str(uuid.uuid4())

        async def send(route: Route) -> list[ModelInfo]:
            models: list[ModelInfo] = []
            pages = _Pages()
            while pages.more:
                host, arn = route.candidate, route.profile_arn
                call = models_call(identity, host, arn, invocation_id, pages.token)
                body = await self._control(identity, call, MAX_CONTROL_BYTES)
                models += parse_models(body)
                pages.turn(parse_next_token(body))
            return models

        return await self._walk(identity, "models", self._control_routes(identity, "models"), send)

    async def usage_limits(self, identity: Identity) -> UsageLimits:
        """Plan and credits. Ask rarely. Raises UpstreamError or CredentialError."""
        invocation_id = str(uuid.uuid4())

        async def send(route: Route) -> UsageLimits:
            call = usage_call(identity, route.candidate, route.profile_arn, invocation_id)
            return parse_usage(await self._control(identity, call, MAX_CONTROL_BYTES))

        return await self._walk(identity, "usage", self._control_routes(identity, "usage"), send)

    async def list_profiles(self, identity: Identity) -> list[ProfileArn]:
        """The profiles of a sign-in over all regions, without repeats, in the regions' order.

        A region that fails is left out as long as another one has answered. Raises the first
        region's UpstreamError or CredentialError when none has.
        """
        found: dict[str, ProfileArn] = {}
        errors: list[KiroProxyError] = []
        candidates = profile_candidates(identity, self._overrides.api)
        for candidate in candidates:
            try:
                for profile in await self._profiles_at(identity, candidate):
                    found.setdefault(profile.arn, profile)
            except (UpstreamError, CredentialError) as error:
                errors.append(error)
        if len(errors) == len(candidates):
            raise errors[0]
        return list(found.values())

    async def _profiles_at(self, identity: Identity, candidate: Candidate) -> list[ProfileArn]:
        invocation_id = str(uuid.uuid4())
        profiles: list[ProfileArn] = []
        pages = _Pages()
        while pages.more:
            call = profiles_call(identity, candidate, invocation_id, pages.token)
            page = _object(
                await self._control(identity, call, MAX_CONTROL_BYTES), "ListAvailableProfiles"
            )
            profiles += _profiles(page)
            token = page.get("nextToken")
            pages.turn(token if isinstance(token, str) else None)
        return profiles

    async def _control(self, identity: Identity, call: Call, limit_bytes: int) -> bytes:
        """One small call: the body of a 200 that is no error in disguise."""
        timeouts = self._timeouts.control
        response = await self._client.send(call.method, call.url, call.headers, call.body, timeouts)
        if response.status != 200:
            raise await _refusal(response, identity)
        body = await response.read(limit_bytes)
        if _is_error(body):
            raise classify_reply(200, response.headers.get, _without_token(body, identity))
        return body

    # -- sign-in

    async def refresh(self, kind: CredentialKind, inputs: RefreshInputs) -> RefreshedTokens:
        """Renew a sign-in once.

        Raises CredentialError when the sign-in is dead (sign in again), UpstreamError when the try
        says nothing about it.
        """
        result = "failed"
        try:
            tokens = await self._refresh(kind, inputs)
            result = "renewed"
        except CredentialError:
            result = "denied"
            raise
        finally:
            self._metrics.count_refresh(result)
        return tokens

    async def _refresh(self, kind: CredentialKind, inputs: RefreshInputs) -> RefreshedTokens:
        call = refresh_request(kind, inputs, self._overrides)
        response = await self._client.send(
            call.method, call.url, call.headers, call.body, self._timeouts.refresh
        )
        if response.status != 200:
            body = await _read_some(response)
            raise classify_refresh_refusal(response.status, response.headers.get, body)
        return parse_refresh_reply(await response.read(MAX_ERROR_BYTES))

    # -- the walk

    def _chat_routes(self, identity: Identity, operation: str) -> list[Route]:
        preferred = self._preferred.get((identity.account_id, operation))
        return chat_routes(identity, self._overrides.api, preferred)

    def _control_routes(self, identity: Identity, operation: str) -> list[Route]:
        preferred = self._preferred.get((identity.account_id, operation))
        return plan_routes(identity, control_candidates(identity, self._overrides.api), preferred)

    async def _walk(
        self,
        identity: Identity,
        operation: str,
        routes: list[Route],
        send: Callable[[Route], Awaitable[_T]],
    ) -> _T:
        """The first route that works; see ``routes`` for when the next one is tried."""
        key = (identity.account_id, operation)
        errors: list[KiroProxyError] = []
        while routes:
            route = routes.pop(0)
            try:
                result = await send(route)
            except UpstreamError as error:
                errors.append(error.with_traceback(None))  # whose frames hold this list
                routes = next_routes(error, route, routes)
                if routes:
                    _log.info(
                        "next route",
                        extra={"fields": _fields(identity, operation, route, error)},
                    )
            else:
                if errors and all(is_lasting(error) for error in errors) and identity.account_id:
                    self._preferred[key] = route
                return result
        self._preferred.pop(key, None)
        raise truest(errors)


def _fields(
    identity: Identity, operation: str, route: Route, error: UpstreamError
) -> dict[str, str]:
    return {
        "account": identity.account_id,
        "operation": operation,
        "host": route.candidate.host_url,
        "error": error.message,
    }


class _Pages:
    """Follows ``nextToken``; stops on a token that was seen, and after MAX_PAGES."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.more = True
        self._seen: set[str] = set()

    def turn(self, token: str | None) -> None:
        self.token = token
        self.more = bool(token) and token not in self._seen and len(self._seen) < MAX_PAGES - 1
        self._seen.add(token or "")


def _is_stream(headers: Headers) -> bool:
    kind = headers.get("content-type") or ""
    return kind == STREAM_TYPE or kind.partition(";")[0].strip().lower() == STREAM_TYPE


async def _refusal(response: UpstreamResponse, identity: Identity) -> UpstreamRefusedError:
    body = _without_token(await _read_some(response), identity)
    return classify_reply(response.status, response.headers.get, body)


def _without_token(body: bytes, identity: Identity) -> bytes:
    """An error text that quotes the very token it was sent must not carry it to a client."""
    token = identity.token.reveal().encode("utf-8", "replace")
    return body.replace(token, b"***") if len(token) >= MIN_TOKEN_BYTES else body


async def _read_some(response: UpstreamResponse) -> bytes:
    """An error's body up to MAX_ERROR_BYTES; a body that breaks off is better than none."""
    parts: list[bytes] = []
    total = 0

    def collect(data: bytes) -> None:
        nonlocal total
        parts.append(data)
        total += len(data)
        if total >= MAX_ERROR_BYTES:
            raise _Enough

    try:
        await response.pipe(collect)
    except (_Enough, TransportError):
        pass
    finally:
        response.close()
    return b"".join(parts)[:MAX_ERROR_BYTES]


def _is_error(body: bytes) -> bool:
    """A 200 whose JSON says ``__type``: the service does that now and then."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and "__type" in value


def _object(body: bytes, operation: str) -> dict[str, object]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamError(f"{operation}: the reply is not JSON.") from None
    if not isinstance(value, dict):
        raise UpstreamError(f"{operation}: the reply is not a JSON object.")
    return value


def _profiles(page: dict[str, object]) -> list[ProfileArn]:
    """The well-formed ARNs of one page: they decide a host, so no other is used."""
    entries = page.get("profiles")
    found: list[ProfileArn] = []
    for entry in entries if isinstance(entries, list) else []:
        arn = entry.get("arn") if isinstance(entry, dict) else None
        try:
            found += [parse_arn(arn)] if isinstance(arn, str) else []
        except CredentialError:
            _log.warning("ListAvailableProfiles: an entry's ARN is malformed and left out")
    return found
