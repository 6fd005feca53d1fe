"""The pooled HTTP/1.1 client: acquire, write, await the head.

When a request is sent twice, and when not. Every request that matters here is a POST that may be
billed, so repeating one that the service might already be working on is not ours to do. RFC 9112
§9.3.1 lets a client repeat only what is idempotent or known not to have been acted on. Known is:

- The peer closed the connection while it was idle and we see it before writing: nothing was sent.
  The pool finds most of these; ``Connection.begin`` asks the kernel once more.
- A reused connection ends, without one response byte, while part of the request still waits in our
  own buffer: the service cannot hold a whole request, as its length was announced up front.

Both come as StaleConnectionError and are answered by one more try on a new connection. A reused
connection that ends without a byte after the whole request went to the kernel looks exactly like
a service that took the request and broke; it is a ConnectionLostError, and whether to pay twice is
decided by whoever knows what the request costs. A short idle expiry keeps that case rare.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections.abc import Coroutine
from typing import Any, Final, NamedTuple

from kiroproxy.alarms import Alarms
from kiroproxy.clock import Clock, SystemClock
from kiroproxy.errors import StaleConnectionError, TransportError
from kiroproxy.http.messages import RawHeader
from kiroproxy.upstream.connection import Connection
from kiroproxy.upstream.dial import Dialer, Resolver, resolve
from kiroproxy.upstream.head import HeadReader, request_headers
from kiroproxy.upstream.origin import Origin, parse_url
from kiroproxy.upstream.pool import Pool, PoolLimits
from kiroproxy.upstream.proxy import ProxyTable
from kiroproxy.upstream.response import UpstreamResponse
from kiroproxy.upstream.timeouts import Timeouts, timeout_error

_log = logging.getLogger("kiroproxy.upstream")

_JOIN_BELOW_BYTES: Final = 64 * 1024  # above it copying the body costs more than a second write


class _Request(NamedTuple):
    method: str
    origin: Origin
    target: str
    headers: list[RawHeader]
    body: bytes


class UpstreamClient:
    """Sends requests over kept connections. Made inside a running loop, used on that loop only.

    ``tls`` is None when nothing but plain http is going to be asked for. ``resolver`` finds the
    addresses of hosts and proxies; connections go to those very addresses. ``shows_paths``: the paths of
    requests hold no secret, and may stand in the log.
    """

    def __init__(
        self,
        pool_limits: PoolLimits | None = None,
        tls: ssl.SSLContext | None = None,
        proxies: ProxyTable | None = None,
        clock: Clock | None = None,
        resolver: Resolver = resolve,
        *,
        shows_paths: bool = False,
    ) -> None:
        self._clock = clock or SystemClock()
        self._shows_paths = shows_paths
        self._alarms = Alarms(asyncio.get_running_loop())
        self._dialer = Dialer(tls, proxies or ProxyTable({}), resolver)
        self.pool = Pool(pool_limits or PoolLimits(), self._clock, self._dialer.dial)

    def send(
        self,
        method: str,
        url: str,
        headers: list[RawHeader],
        body: bytes,
        timeouts: Timeouts,
    ) -> Coroutine[Any, Any, UpstreamResponse]:
        """Send one request; returns when the answer's head is here, whatever its status.

        ``Host`` and ``Content-Length`` are added. Raises ConfigError for a bad URL, else
        TransportError: ConnectError when nothing was sent, UpstreamTimeoutError with its phase,
        ConnectionLostError, PeerProtocolError, StaleConnectionError (only if it happens twice).
        Cancelling closes the connection.
        """
        started_at_s = self._clock.monotonic()
        request = _Request(method, *parse_url(url), headers, body)
        if _log.isEnabledFor(logging.DEBUG):
            return self._send_told(request, timeouts, started_at_s)
        return self._send(request, timeouts, started_at_s)

    async def _send_told(
        self, request: _Request, timeouts: Timeouts, started_at_s: float
    ) -> UpstreamResponse:
        fields: dict[str, object] = {
            "method": request.method,
            "host": request.origin.host,
            "sent_bytes": len(request.body),
        }
        if self._shows_paths:  # without the query: it is the service's business
            fields["path"] = request.target.partition("?")[0]
        try:
            response = await self._send(request, timeouts, started_at_s)
        except TransportError as error:
            fields["ms"] = round((self._clock.monotonic() - started_at_s) * 1000, 1)
            fields["error"] = type(error).__name__
            _log.debug("no answer from upstream", extra={"fields": fields})
            raise
        fields["connection"] = "reused" if response.is_reused else "new"
        fields["head_ms"] = round((self._clock.monotonic() - started_at_s) * 1000, 1)
        fields["status"] = response.status
        _log.debug("upstream answers", extra={"fields": fields})
        return response

    async def aclose(self) -> None:
        """Close all connections; exchanges under way end in ConnectionLostError."""
        await self.pool.aclose()

    async def _send(
        self, request: _Request, timeouts: Timeouts, started_at_s: float
    ) -> UpstreamResponse:
        fresh = False
        while True:
            head_reader = self._head_reader(request)
            connection = None if fresh else self.pool.take(request.origin)
            is_checked = connection is not None
            if connection is None:
                connection = await self._connect(request.origin, timeouts, fresh=fresh)
            monotonic, release = self._clock.monotonic, self.pool.release
            response = UpstreamResponse(
                connection, head_reader, timeouts, started_at_s, monotonic, release, self._alarms
            )
            try:
                response.begin(_writes(head_reader.request, request.body), is_checked=is_checked)
                await response.head_arrived()
                return response
            except StaleConnectionError:
                if fresh:
                    raise
                fresh = True

    def _head_reader(self, request: _Request) -> HeadReader:
        """The head to send. Through a proxy, plain http has the whole URL (RFC 9112 §3.2.2)."""
        method, origin, target = request.method, request.origin, request.target
        headers = request_headers(method, origin.host_header, request.headers, request.body)
        proxy = self._dialer.proxy_for(origin) if origin.scheme == "http" else None
        if proxy is not None:
            target = f"{origin}{target}"
            headers += proxy.headers()
        return HeadReader(method, target, headers)

    async def _connect(self, origin: Origin, timeouts: Timeouts, *, fresh: bool) -> Connection:
        limit_s = None if math.isinf(timeouts.connect_s) else timeouts.connect_s
        try:
            async with asyncio.timeout(limit_s):
                return await self.pool.acquire(origin, fresh=fresh)
        except TimeoutError:
            raise timeout_error("connect", origin.host, timeouts) from None


def _writes(head: bytes, body: bytes) -> list[bytes]:
    """One write for what is small, two for what is big."""
    if len(body) < _JOIN_BELOW_BYTES:
        return [head + body]
    return [head, body]
