"""Which handler answers which request: a table, and the liberties clients take with paths as data."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from kiroproxy.errors import Kind, KiroProxyError, RequestError
from kiroproxy.http.messages import Headers, RawHeader, Request, Response

if TYPE_CHECKING:
    from kiroproxy.http.exchange import Exchange

#: Returns the answer, or has streamed it through the exchange and returns None. The task that runs
#: it is cancelled when the client goes away.
Handler = Callable[[Request, "Exchange"], Awaitable[Response | None]]

Check = Callable[[Request], None]
Segments = tuple[str, ...]

#: First segments that say nothing: base URLs people carry over from other proxies.
STRIPPED_PREFIXES: Final = frozenset({"claude-kiro-oauth"})
#: A base URL that ends in /v1, in a client that adds /v1 itself, asks for /v1/v1/messages.
COLLAPSED_SEGMENTS: Final = frozenset({"v1"})
#: Where clients try a WebSocket first. Codex goes on with HTTP at once, and silently, on 426 alone.
WEBSOCKET_PATHS: Final = frozenset({("v1", "responses")})

_EXPOSED: Final = (
    b"request-id, x-request-id, retry-after, x-should-retry, "
    b"x-kiroproxy-account, x-kiroproxy-ignored, x-kiroproxy-model"
)
CORS_LINES: Final = (
    b"access-control-allow-origin: *\r\naccess-control-expose-headers: %b\r\n" % _EXPOSED
)
"""On every answer of an API route. An open origin is safe there: each of them asks for the key."""

#: RFC 9110 §15.5.22 wants both with a 426.
_UPGRADE_LINES: Final = b"upgrade: HTTP/1.1\r\nconnection: upgrade\r\n"

_USUAL_REQUEST_HEADERS: Final = b"authorization, content-type, x-api-key, anthropic-version"
_PREFLIGHT_MAX_AGE_S: Final = b"86400"


@dataclass(frozen=True, slots=True)
class Route:
    """One row. ``pattern`` may hold ``{name}`` segments; each matches one segment, percent-decoded.

    ``api``: a route that browsers may call from other origins, because it asks for a key. ``check``:
    looks at a request's head (the body is empty then) before its body is read, and raises KiroProxyError.
    """

    method: str
    pattern: str
    handler: Handler
    api: bool = False
    check: Check | None = None


@dataclass(slots=True)
class Match:
    """What to do with a request: call ``handler``, or answer ``error``, or send ``response``. Never
    changed: requests share it."""

    handler: Handler | None = None
    api: bool = False
    params: dict[str, str] = field(default_factory=dict)
    error: KiroProxyError | None = None
    response: Response | None = None
    extra_lines: bytes = b""
    """Header lines that belong to the answer whatever renders it (``Allow``, ``Upgrade``)."""
    check: Check | None = None
    """The route's."""


class _Resource:
    """All methods of one pattern."""

    __slots__ = ("allow", "api", "checks", "methods", "segments")

    def __init__(self, segments: Segments) -> None:
        self.segments = segments
        self.methods: dict[str, Handler] = {}
        self.checks: dict[str, Check | None] = {}
        self.api = False
        self.allow = b""

    def add(self, route: Route) -> None:
        if route.method in self.methods:
            raise ValueError(f"two routes for {route.method} {route.pattern}")
        self.methods[route.method] = route.handler
        self.checks[route.method] = route.check
        self.api = self.api or route.api
        names = {*self.methods, "OPTIONS"} | ({"HEAD"} if "GET" in self.methods else set())
        self.allow = ", ".join(sorted(names)).encode("ascii")

    def match(self, method: str, params: dict[str, str]) -> Match:
        return Match(self.methods[method], self.api, params, check=self.checks[method])

    def params(self, segments: Segments) -> dict[str, str] | None:
        """The values of the ``{name}`` segments; None when the path is another."""
        if len(segments) != len(self.segments):
            return None
        values: dict[str, str] = {}
        for ours, theirs in zip(self.segments, segments, strict=True):
            if _is_parameter(ours):
                values[ours[1:-1]] = unquote(theirs)
            elif ours != theirs:
                return None
        return values


class Router:
    """Looks routes up. Fixed paths come before patterns, patterns in the order they were given."""

    def __init__(self, routes: Iterable[Route]) -> None:
        resources: dict[Segments, _Resource] = {}
        for route in routes:
            segments = split_path(route.pattern)
            resources.setdefault(segments, _Resource(segments)).add(route)
        self._fixed = {
            key: value for key, value in resources.items() if not any(map(_is_parameter, key))
        }
        self._patterns = [value for key, value in resources.items() if key not in self._fixed]
        self._known = {
            (method, key): resource.match(method, {})
            for key, resource in self._fixed.items()
            for method in resource.methods
        }
        # Paths as nearly every client writes them: found without being taken apart.
        self._written = {
            (method, "/" + "/".join(key)): match
            for (method, key), match in self._known.items()
            if not (method == "GET" and key in WEBSOCKET_PATHS)
        }

    def match(self, method: str, path: str, headers: Headers) -> Match:
        """Never fails: what cannot be served comes back as a Match with an error."""
        written = self._written.get((method, path))
        if written is not None:
            return written
        segments = _known_path(path) if len(path) <= MAX_KNOWN_PATH else split_path(path)
        if segments in WEBSOCKET_PATHS and _wants_websocket(method, headers):
            return _upgrade_required()
        known = self._known.get((method, segments))
        if known is not None:
            return known
        found = self._find(segments, path)
        if found is None:
            return Match(error=_not_found(method, path))
        resource, params = found
        looked_up = "GET" if method == "HEAD" else method
        if looked_up in resource.methods:
            return resource.match(looked_up, params)
        if method == "OPTIONS":
            return _options(resource, headers)
        return _method_not_allowed(method, path, resource)

    def _find(self, segments: Segments, path: str) -> tuple[_Resource, dict[str, str]] | None:
        if path == "*":
            return None
        fixed = self._fixed.get(segments)
        if fixed is not None:
            return fixed, {}
        for resource in self._patterns:
            params = resource.params(segments)
            if params is not None:
                return resource, params
        return None


def split_path(path: str) -> Segments:
    """A raw path as segments, the liberties above taken back; empty segments do not count."""
    segments = [segment for segment in path.split("/") if segment]
    while segments and segments[0] in STRIPPED_PREFIXES:
        del segments[0]
    while len(segments) > 1 and segments[0] == segments[1] and segments[0] in COLLAPSED_SEGMENTS:
        del segments[0]
    return tuple(segments)


MAX_KNOWN_PATH: Final = 200
"""Paths come from clients; longer ones are split each time instead of being kept."""
_known_path: Final = functools.lru_cache(maxsize=256)(split_path)


def _is_parameter(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith("}")


def _wants_websocket(method: str, headers: Headers) -> bool:
    return method == "GET" and "websocket" in (headers.get("upgrade") or "").lower()


def _upgrade_required() -> Match:
    error = RequestError(
        "WebSocket is not spoken here; send the request as POST over HTTP",
        kind=Kind.UPGRADE_REQUIRED,
    )
    return Match(error=error, api=True, extra_lines=_UPGRADE_LINES)


def _not_found(method: str, path: str) -> RequestError:
    return RequestError(f"no such route: {method[:20]} {path[:200]}", kind=Kind.NOT_FOUND)


def _method_not_allowed(method: str, path: str, resource: _Resource) -> Match:
    allow = resource.allow
    error = RequestError(
        f"{method[:20]} is not allowed on {path[:200]}; allowed: {allow.decode('ascii')}",
        kind=Kind.METHOD_NOT_ALLOWED,
    )
    return Match(error=error, api=resource.api, extra_lines=b"allow: %b\r\n" % allow)


def _options(resource: _Resource, headers: Headers) -> Match:
    answer: list[RawHeader] = [(b"allow", resource.allow)]
    if resource.api:
        wanted = headers.get("access-control-request-headers")
        answer += [
            (b"access-control-allow-methods", resource.allow),
            (
                b"access-control-allow-headers",
                wanted.encode("latin-1") if wanted else _USUAL_REQUEST_HEADERS,
            ),
            (b"access-control-max-age", _PREFLIGHT_MAX_AGE_S),
            (b"vary", b"access-control-request-headers"),
        ]
        # A page of the Internet that asks for a machine nearby. It still needs the key.
        if headers.get("access-control-request-private-network") == "true":
            answer.append((b"access-control-allow-private-network", b"true"))
    return Match(api=resource.api, response=Response(204, b"", answer))
