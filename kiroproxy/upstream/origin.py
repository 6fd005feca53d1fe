"""Where a request goes: the part of a URL that names a connection, and the part that does not."""

from __future__ import annotations

import functools
import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit

from kiroproxy.errors import ConfigError

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Scheme, host (lower case, no brackets) and port: connections are shared within one. A tuple, since it
    is looked up in tables several times a request."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """``host:port`` with brackets around an IPv6 address, as CONNECT wants it."""
        return f"{self._bracketed}:{self.port}"

    @property
    def host_header(self) -> str:
        """The ``Host`` value: the port stands in it only when it is not the scheme's own."""
        return _host_header(self)

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host_header}"


@functools.lru_cache(maxsize=256)
def _host_header(origin: Origin) -> str:
    is_default = _DEFAULT_PORTS[origin.scheme] == origin.port
    return origin._bracketed if is_default else origin.authority


@functools.lru_cache(maxsize=256)
def parse_url(url: str) -> tuple[Origin, str]:
    """A URL's origin and request target (path and query). Raises ConfigError.

    User info is refused: it would end up in error messages.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("an upstream URL has a malformed host or port") from None
    if parts.scheme not in _DEFAULT_PORTS or not host or parts.username is not None:
        raise ConfigError("an upstream URL must look like https://host/path, without user info")
    origin = Origin(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port)
    target = parts.path or "/"
    return origin, f"{target}?{parts.query}" if parts.query else target


def is_loopback(host: str) -> bool:
    """Whether ``host`` means this machine, without asking DNS."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
