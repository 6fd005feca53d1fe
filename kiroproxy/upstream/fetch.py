"""Fetching what a client's URL names, without letting the URL choose whom we talk to.

The rules (a breach is a MediaError, whose text names the host at most, never path or query):

- http and https, ports 80 and 443, no user info; TLS checks the certificate against the host's name.
- The host is resolved here, once a connection; every address found must be public
  (``public.is_public``), and the socket is connected to one of those very addresses. A name that
  resolves to something else a moment later changes nothing.
- Up to three redirects, each of them checked like the first URL; none from https to http.
- No cookies, no credentials; nothing of the client's request is passed on.
- Bytes are counted while they come, the whole fetch has one time limit.

A configured outgoing proxy would resolve the name itself, and what it reaches could not be checked:
such URLs are refused. The connections are in a pool of their own, apart from the service's.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from kiroproxy import __version__
from kiroproxy.clock import Clock
from kiroproxy.errors import ConfigError, MediaError, TransportError
from kiroproxy.http.messages import RawHeader
from kiroproxy.upstream.client import UpstreamClient
from kiroproxy.upstream.dial import Address, Resolver, resolve
from kiroproxy.upstream.origin import Origin, parse_url
from kiroproxy.upstream.pool import PoolLimits
from kiroproxy.upstream.proxy import ProxyTable
from kiroproxy.upstream.public import is_public
from kiroproxy.upstream.response import UpstreamResponse
from kiroproxy.upstream.timeouts import Timeouts

FILE_BYTES: Final = 20_000_000
TOTAL_S: Final = 10.0
MAX_REDIRECTS: Final = 3
PORTS: Final = frozenset({80, 443})

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_POOL: Final = PoolLimits(total=64, per_origin=8, idle=8, idle_expiry_s=10)
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_.])?|[0-9a-f:.]+")
_PATH_CHARS: Final = "/%:@!$&'()*+,;=~[]"
_QUERY_CHARS: Final = _PATH_CHARS + "?"
_HEADERS: Final[list[RawHeader]] = [
    (b"accept", b"image/png, image/jpeg, image/gif, image/webp, image/bmp, application/pdf"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", f"kiroproxy/{__version__}".encode()),
]


@dataclass(frozen=True, slots=True)
class Reach:
    """What fetches may reach. ``resolver``: host and port → addresses; ``allows``: whether a numeric
    address may be connected to."""

    resolver: Resolver = resolve
    allows: Callable[[str], bool] = is_public
    ports: frozenset[int] = PORTS


@dataclass(frozen=True, slots=True)
class Fetched:
    """``media_type``: lower case, without parameters."""

    media_type: str
    content: bytes


class Room:
    """How many bytes may still be fetched; shared by the fetches of one request."""

    def __init__(self, left_bytes: int) -> None:
        self._left_bytes = left_bytes
        self._most_bytes = left_bytes

    def take(self, size: int) -> None:
        """Raises MediaError when there is not so much left."""
        self._left_bytes -= size
        if self._left_bytes < 0:
            raise MediaError(
                f"the files of one request must not have more than {_megabytes(self._most_bytes)}"
            )


class Fetcher:
    """Fetches URLs that clients name. Made inside a running loop. ``proxies`` are those in the way to
    the service: what would go through one is refused."""

    def __init__(
        self,
        tls: ssl.SSLContext | None,
        proxies: ProxyTable,
        clock: Clock,
        reach: Reach | None = None,
        total_s: float = TOTAL_S,
    ) -> None:
        self._reach = reach or Reach()
        self._proxies = proxies
        self._total_s = total_s
        self._timeouts = Timeouts(total_s, total_s, total_s, total_s)
        self._client = UpstreamClient(_POOL, tls=tls, clock=clock, resolver=self._addresses)

    async def fetch(self, url: str, room: Room) -> Fetched:
        """The content behind ``url``. Raises MediaError."""
        try:
            async with asyncio.timeout(self._total_s):
                return await self._follow(url, room)
        except TimeoutError:
            raise MediaError(f"the URL was not fetched within {self._total_s:g} s") from None
        except TransportError as error:
            raise MediaError(f"the URL cannot be fetched: {error.message}") from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _follow(self, url: str, room: Room) -> Fetched:
        origin, target = self._checked(url)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._client.send(
                "GET", f"{origin}{target}", _HEADERS, b"", self._timeouts
            )
            if response.status not in _REDIRECTS:
                return await _content(response, origin, room)
            location = response.headers.get("location")
            response.close()
            if not location:
                raise MediaError(f"{origin.host} redirects without saying where to")
            before = origin
            origin, target = self._checked(_joined(f"{origin}{target}", location))
            if before.scheme == "https" and origin.scheme == "http":
                raise MediaError(f"{before.host} redirects from https to http")
        raise MediaError(f"more than {MAX_REDIRECTS} redirects")

    def _checked(self, url: str) -> tuple[Origin, str]:
        """Origin and target of a URL that may be asked for, the target in ASCII."""
        origin, target = _split(url)
        if origin.port not in self._reach.ports:
            raise MediaError("a URL's port must be 80 or 443")
        if self._proxies.choose(origin) is not None:
            raise MediaError(
                "an outgoing proxy is set, behind which the address cannot be checked: URLs are not "
                "fetched; send the content as base64"
            )
        return origin, target

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """The resolver of our client's connections."""
        found = await self._reach.resolver(host, port)
        # One that is not public spoils the name: who points at both means no good.
        if not found or not all(self._reach.allows(str(where[0])) for _, where in found):
            raise MediaError("the URL's host is not on the public Internet")
        return found


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise MediaError("the redirect has a malformed host or port") from None


def _split(url: str) -> tuple[Origin, str]:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        port = parts.port
    except ValueError:  # UnicodeError is one
        raise MediaError("the URL has a malformed host or port") from None
    if parts.scheme not in ("http", "https"):
        raise MediaError("a URL must begin with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise MediaError("a URL must not hold a user name or password")
    if not _HOST.fullmatch(host):
        raise MediaError("the URL has a malformed host or port")
    bracketed = f"[{host}]" if ":" in host else host
    plain = f"{parts.scheme}://{bracketed}" + (f":{port}" if port is not None else "")
    query = f"?{quote(parts.query, safe=_QUERY_CHARS)}" if parts.query else ""
    try:
        return parse_url(f"{plain}{quote(parts.path, safe=_PATH_CHARS) or '/'}{query}")
    except ConfigError:
        raise MediaError("the URL has a malformed host or port") from None


async def _content(response: UpstreamResponse, origin: Origin, room: Room) -> Fetched:
    """The whole body of a good answer. Closes the connection over what is not wanted."""
    try:
        _check_head(response, origin)
        parts: list[bytes] = []
        size = 0

        def collect(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if size > FILE_BYTES:
                raise _too_large(origin)
            room.take(len(data))
            parts.append(data)

        await response.pipe(collect)
    finally:
        response.close()  # does nothing when the message is complete
    media_type = (response.headers.get("content-type") or "").partition(";")[0].strip().lower()
    return Fetched(media_type, b"".join(parts))


def _check_head(response: UpstreamResponse, origin: Origin) -> None:
    if response.status != 200:
        raise MediaError(f"{origin.host} answered the fetch with status {response.status}")
    coding = (response.headers.get("content-encoding") or "identity").strip().lower()
    if coding != "identity":
        raise MediaError(f"{origin.host} sends the file compressed, without being asked to")
    length = response.headers.get("content-length") or ""
    if length.isdecimal() and len(length) < 20 and int(length) > FILE_BYTES:
        raise _too_large(origin)


def _too_large(origin: Origin) -> MediaError:
    return MediaError(f"the file at {origin.host} is larger than {_megabytes(FILE_BYTES)}")


def _megabytes(size: int) -> str:
    return f"{size // 1_000_000} MB"
