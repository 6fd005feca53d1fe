"""The dashboard's files, from the package. They hold no data, so they need no key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiroproxy.errors import Kind, RequestError
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.http.messages import RawHeader

PAGE: Final = "index.html"
# Not by importlib.resources, which takes 0.5 MB for programs in zip files. This one is not run from one:
# orjson is compiled.
_FOLDER: Final = Path(__file__).parents[1] / "dashboard"

_TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}

#: Nothing comes from elsewhere and nothing is written inline, so text that slips into the page as
#: markup could still run nothing and send nothing away.
POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDS: Final[tuple[RawHeader, ...]] = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # A browser asks each time, and is told 304: after an update nobody sees yesterday's page.
    (b"cache-control", b"no-cache"),
)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. ``etag`` changes with its bytes."""

    body: bytes
    etag: str
    headers: tuple[RawHeader, ...]


class StaticHandler:
    """Serves the files that were in the package at start, by exact name: no path reaches the disk."""

    def __init__(self) -> None:
        self._assets = load_assets()

    async def page(self, request: Request, exchange: Exchange) -> Response:
        """``GET /``; also ``HEAD /``, which Claude Code sends to see whether anybody is there."""
        return _answer(request, self._assets[PAGE])

    async def file(self, request: Request, exchange: Exchange) -> Response:
        """``GET /static/{name}``. Raises RequestError(NOT_FOUND)."""
        name = exchange.params["name"]
        asset = self._assets.get(name)
        if asset is None:
            raise RequestError(f"no such file: {name[:100]!r}", kind=Kind.NOT_FOUND)
        return _answer(request, asset)


def load_assets() -> dict[str, Asset]:
    """File name → asset, for every file of a known type in ``kiroproxy/dashboard``."""
    found = {}
    for path in _FOLDER.iterdir():
        content_type = _TYPES.get(path.suffix)
        if content_type is not None:
            found[path.name] = _asset(path.read_bytes(), content_type)
    return found


def _asset(body: bytes, content_type: bytes) -> Asset:
    etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
    return Asset(body, etag, ((b"content-type", content_type), (b"etag", etag.encode()), *_GUARDS))


def _answer(request: Request, asset: Asset) -> Response:
    if _is_known(request.headers.get("if-none-match"), asset.etag):
        return Response(304, b"", list(asset.headers))
    return Response(200, asset.body, list(asset.headers))


def _is_known(offered: str | None, etag: str) -> bool:
    """RFC 9110 §13.1.2: a list of tags, compared weakly, or ``*``."""
    if offered is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in offered.split(",")]
    return etag in tags or tags == ["*"]
