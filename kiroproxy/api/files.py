"""Images and documents of a request, checked before they travel: base64, kind, size."""

from __future__ import annotations

import binascii
from typing import Final

from kiroproxy.api.checks import Path, fail
from kiroproxy.api.media import head, image_format
from kiroproxy.api.turn import Document, Image, Text

TAKEN_BYTES: Final = (
    20_000_000  # per image, decoded; what is over the service's limit is scaled down
)
IMAGE_TYPES: Final = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/x-bmp": "bmp",
    "image/x-ms-bmp": "bmp",
}
TEXT_TYPES: Final = {
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
}

_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def checked_base64(data: str, path: Path) -> str:
    """``data`` without line breaks, proven to be padded base64 of at least one byte.

    The check deletes the alphabet in one C call instead of decoding megabytes.
    """
    if not data.isascii():
        fail(path, "must be valid base64")
    rest = data.encode("ascii").translate(None, _BASE64)
    if rest not in (b"", b"=", b"=="):
        data = "".join(data.split())
        rest = data.encode("ascii").translate(None, _BASE64)
    if rest not in (b"", b"=", b"==") or len(data) % 4 or not data.endswith(rest.decode()):
        fail(path, "must be valid base64")
    if not data:
        fail(path, "must not be empty")
    return data


def plain_type(media_type: str) -> str:
    """A media type as the tables have it: upper case and parameters say nothing (RFC 9110 §8.3.1)."""
    return media_type.partition(";")[0].strip().lower()


def checked_image(media_type: str, data: str, source: Path, *, one_url: bool = False) -> Image:
    """An image whose bytes are what ``media_type`` says. ``source``: path of the object that holds both,
    or, with ``one_url``, of the data: URL that does."""
    type_at, data_at = (*source, "media_type"), (*source, "data")
    if one_url:
        type_at = data_at = source
    media_type = plain_type(media_type)
    kind = IMAGE_TYPES.get(media_type)
    if kind is None:
        fail(type_at, "must be image/png, image/jpeg, image/gif, image/webp or image/bmp")
    data = checked_base64(data, data_at)
    if decoded_bytes(data) > TAKEN_BYTES:
        fail(data_at, f"an image must not be larger than {TAKEN_BYTES // 1_000_000} MB")
    found = image_format(head(data))
    if found is None:
        fail(data_at, f"the bytes are no {kind} image")
    if found != kind:
        fail(type_at, f"says {media_type}, but the bytes are a {found} image")
    return Image(found, data)


def decoded_bytes(data: str) -> int:
    """How many bytes padded base64 stands for."""
    return len(data) // 4 * 3 - data[-2:].count("=")


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 of a ``data:`` URL; None for any other URL."""
    if url[:5].lower() != "data:":
        return None
    head_part, _, data = url[5:].partition(",")
    media_type, *parameters = (part.strip() for part in head_part.lower().split(";"))
    return (media_type, data) if "base64" in parameters else ("", "")


def checked_pdf(name: str, data: str, path: Path) -> Document:
    """A PDF: its signature may stand behind a little rubbish (readers look through 1 KiB)."""
    data = checked_base64(data, path)
    if b"%PDF-" not in head(data, 1400):
        fail(path, "the bytes are no PDF document")
    return Document(name, "pdf", data)


def decoded_text(data: str, path: Path) -> str:
    """The text of a base64 text file."""
    try:
        return binascii.a2b_base64(checked_base64(data, path)).decode("utf-8")
    except UnicodeDecodeError:
        fail(path, "must be UTF-8 text in base64")


def titled(title: str, content: str) -> Text:
    """A text file as words, under its name if it has one."""
    return Text(f'[document "{title}"]\n{content}'.rstrip("\n") if title else content)
