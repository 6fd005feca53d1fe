"""Pictures and documents that have to be completed: those elsewhere, and those over the limits.

The parsers note them here, in ``Turn.unfinished``; whoever may wait fetches and scales them and gives the
result back through ``place_fetched`` and ``place_scaled``.
"""

from __future__ import annotations

import binascii
from typing import Final

from kiroproxy.api.checks import Path, fail
from kiroproxy.api.files import IMAGE_TYPES, checked_image, decoded_bytes
from kiroproxy.api.ignored import Ignored
from kiroproxy.api.media import pixels
from kiroproxy.api.turn import Document, Image, Unfinished

IMAGE_BYTES: Final = 10_000_000  # per image, decoded; the service's model
IMAGE_SIDE: Final = 8000  # pixels, width and height; what Anthropic publishes for the models behind
_URL_CHARS: Final = 8192
_SCHEMES: Final = ("https://", "http://")
_PDF: Final = "application/pdf"
_PDF_SEARCHED_BYTES: Final = 1024


def noted(image: Image, path: Path, ignored: Ignored) -> Image:
    """``image``, noted if it is over the limits."""
    if excess(image):
        ignored.unfinished.append(Unfinished(image, path))
    return image


def image_by_url(url: str, path: Path, ignored: Ignored) -> Image:
    """A picture that is to be fetched; empty until then."""
    image = Image("", "")
    ignored.unfinished.append(Unfinished(image, path, _web_address(url, path)))
    return image


def pdf_by_url(name: str, url: str, path: Path, ignored: Ignored) -> Document:
    """A PDF that is to be fetched; empty until then."""
    document = Document(name, "pdf", "")
    ignored.unfinished.append(Unfinished(document, path, _web_address(url, path)))
    return document


def _web_address(url: str, path: Path) -> str:
    if not url.lower().startswith(_SCHEMES):
        fail(path, "must be a data: URL (base64), or an http:// or https:// URL")
    if len(url) > _URL_CHARS:
        fail(path, f"a URL must not have more than {_URL_CHARS} characters")
    return url


def excess(image: Image) -> str:
    """What keeps the service from taking this picture, as the end of a sentence; empty if nothing does."""
    if image.format == "bmp":
        return "a BMP picture has to be converted"
    if decoded_bytes(image.data) > IMAGE_BYTES:
        return f"a picture over {IMAGE_BYTES // 1_000_000} MB has to be scaled down"
    size = pixels(image)
    if size is not None and max(size) > IMAGE_SIDE:
        return f"a picture with more than {IMAGE_SIDE} pixels a side has to be scaled down"
    return ""


def place_fetched(item: Unfinished, media_type: str, content: bytes) -> None:
    """Fill the block with what its URL gave. Raises RequestError when that is not what the field holds."""
    if not content:
        fail(item.path, "what was fetched is empty")
    if isinstance(item.block, Image):
        _place_image(item.block, item.path, media_type, content)
    else:
        _place_pdf(item.block, item.path, media_type, content)


def place_scaled(image: Image, kind: str, content: bytes) -> None:
    """Put the smaller picture in the place of the one that came."""
    image.format, image.data = kind, binascii.b2a_base64(content, newline=False).decode()


def _place_image(image: Image, path: Path, media_type: str, content: bytes) -> None:
    if media_type not in IMAGE_TYPES:
        rule = "it must be image/png, image/jpeg, image/gif, image/webp or image/bmp"
        fail(path, f"what was fetched says {_shown(media_type)}; {rule}")
    data = binascii.b2a_base64(content, newline=False).decode()
    found = checked_image(media_type, data, path, one_url=True)
    image.format, image.data = found.format, found.data


def _place_pdf(document: Document, path: Path, media_type: str, content: bytes) -> None:
    if media_type != _PDF:
        fail(path, f"what was fetched says {_shown(media_type)}; it must be {_PDF}")
    if b"%PDF-" not in content[:_PDF_SEARCHED_BYTES]:
        fail(path, "what was fetched is no PDF document")
    document.data = binascii.b2a_base64(content, newline=False).decode()


def _shown(media_type: str) -> str:
    """A stranger's content type, safe to stand in a sentence."""
    kept = "".join(c for c in media_type[:60] if c.isascii() and (c.isalnum() or c in "/+-."))
    return kept or "no type"
