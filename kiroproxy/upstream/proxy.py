"""HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, as curl and most tools read them.

The lower-case name wins over the upper-case one. Loopback is never proxied: a local simulator or a
local gateway is meant when somebody writes 127.0.0.1. Only ``http://`` proxies: TLS to the service
goes through them in a CONNECT tunnel and stays end to end.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from kiroproxy.errors import ConfigError
from kiroproxy.secret import Secret
from kiroproxy.upstream.origin import Origin, is_loopback


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens, and the ``Proxy-Authorization`` value it wants, if any."""

    host: str
    port: int
    authorization: Secret | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What a request to the proxy itself carries. The value is secret."""
        if self.authorization is None:
            return []
        return [(b"proxy-authorization", self.authorization.reveal().encode("ascii"))]


@dataclass(frozen=True, slots=True)
class ProxyTable:
    """Which proxy, if any, stands between us and an origin."""

    by_scheme: Mapping[str, Proxy]
    exceptions: tuple[str, ...] = ()

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> ProxyTable:
        """Read the four variables; unset and empty mean none. Raises ConfigError, no secret in it."""
        everything = _read(environ, "ALL_PROXY")
        by_scheme = {}
        for scheme in ("http", "https"):
            proxy = _read(environ, f"{scheme.upper()}_PROXY") or everything
            if proxy is not None:
                by_scheme[scheme] = proxy
        listed = _lookup(environ, "NO_PROXY")[1].lower().replace(",", " ").split()
        return cls(by_scheme, tuple(listed))

    def choose(self, origin: Origin) -> Proxy | None:
        """The proxy for ``origin``, or None to go there directly."""
        proxy = self.by_scheme.get(origin.scheme)
        if proxy is None or is_loopback(origin.host):
            return None
        if any(_matches(entry, origin) for entry in self.exceptions):
            return None
        return proxy


def _lookup(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The spelling in use and the value, ``""`` for unset."""
    for spelling in (name.lower(), name):
        value = environ.get(spelling, "").strip()
        if value:
            return spelling, value
    return name, ""


def _read(environ: Mapping[str, str], name: str) -> Proxy | None:
    spelling, value = _lookup(environ, name)
    return _parse_proxy(spelling, value) if value else None


def _parse_proxy(name: str, value: str) -> Proxy:
    """One proxy URL. The value may hold a password and is never quoted in an error."""
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"{name} has a malformed host or port") from None
    if parts.scheme != "http":
        raise ConfigError(f"{name}: {parts.scheme}:// proxies are not supported, only http://")
    if not host:
        raise ConfigError(f"{name} names no host; expected http://host:port")
    return Proxy(host, 80 if port is None else port, _authorization(parts.username, parts.password))


def _authorization(username: str | None, password: str | None) -> Secret | None:
    if username is None:
        return None
    pair = unquote_to_bytes(username) + b":" + unquote_to_bytes(password or "")
    return Secret("Basic " + base64.b64encode(pair).decode("ascii"))


def _matches(entry: str, origin: Origin) -> bool:
    """Whether a NO_PROXY entry covers ``origin``.

    ``*``, a host (which covers its subdomains, with or without a leading dot or ``*.``), an address,
    a network such as ``10.0.0.0/8``; each may end in ``:port``.
    """
    if entry == "*":
        return True
    host, port = _split_port(entry)
    if port is not None and port != origin.port:
        return False
    try:
        return ipaddress.ip_address(origin.host) in ipaddress.ip_network(host, strict=False)
    except ValueError:  # one of the two is a name
        domain = host.removeprefix("*").lstrip(".")
        return origin.host == domain or (bool(domain) and origin.host.endswith(f".{domain}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    if entry.startswith("["):
        host, _, tail = entry[1:].partition("]")
        return host, int(tail[1:]) if tail[1:].isdecimal() else None
    host, _, tail = entry.rpartition(":")
    if host and ":" not in host and tail.isdecimal():
        return host, int(tail)
    return entry, None
