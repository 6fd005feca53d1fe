"""Who may read the figures: whoever has the key, and this machine's own user without it.

A browser makes every web site a program on this machine. So "from loopback" is not enough: a page's
requests carry its Origin or ``Sec-Fetch-Site``, and a name that was rebound to 127.0.0.1 stands in the
Host header. A reverse proxy on this machine speaks for strangers, and says so.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from kiroproxy.config import is_loopback
from kiroproxy.handlers.gate import Gate
from kiroproxy.http.messages import Request

_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_OWN_SITE: Final = frozenset({"same-origin", "none"})


class LocalGate:
    """The gate of the read-only routes."""

    def __init__(self, gate: Gate, *, asks_everybody: bool = False) -> None:
        """``asks_everybody``: this machine's programs need the key too."""
        self._gate = gate
        self._asks_everybody = asks_everybody

    def check(self, request: Request) -> None:
        """Raises RequestError(UNAUTHENTICATED)."""
        if self._asks_everybody or not is_local(request):
            self._gate.check(request)


def is_local(request: Request) -> bool:
    """Whether a program of this machine asks, and not a web page of somebody else through it."""
    headers = request.headers
    host = headers.get("host") or ""
    if not _is_loopback_authority(request.peer) or not _is_loopback_authority(host):
        return False
    if any(headers.get(name) is not None for name in _FORWARDED):
        return False
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host}".lower():
        return False
    site = headers.get("sec-fetch-site")
    return site is None or site.lower() in _OWN_SITE


def _is_loopback_authority(authority: str) -> bool:
    """``host`` or ``host:port``."""
    try:
        parts = urlsplit(f"//{authority}")
        name = parts.hostname
    except ValueError:
        return False
    return name is not None and parts.netloc == authority and is_loopback(name)
