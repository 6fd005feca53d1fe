"""Images and documents looked at from outside: format by magic bytes, size, pages.

Headers only, nothing is decoded. Used to refuse a wrong format and to let the model say what it saw.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable

MAX_IMAGES = 10  # per message
MAX_BLOB_BYTES = 10_000_000  # per image or document
MAX_SIDE = 8_000  # pixels; Anthropic's published limit for the models behind
IMAGE_TOKENS = 1_500  # flat, good enough for a window check

Size = tuple[int, int]

# Start-of-frame markers carry the size; C4, C8 and CC lie in the range but mean other things.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")


def decode_blob(encoded: str) -> bytes | None:
    """The bytes behind strict base64, or None."""
    try:
        return base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None


def image_format(data: bytes) -> str | None:
    """png, jpeg, gif or webp by the first bytes, else None."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


def image_size(data: bytes) -> Size | None:
    """Width and height in pixels, or None when the header does not hold them."""
    reader = _READERS.get(image_format(data) or "")
    if reader is None:
        return None
    try:
        return reader(data)
    except (struct.error, IndexError):
        return None


def page_count(pdf: bytes) -> int:
    """Pages of a PDF, by counting its page objects; 0 when they are compressed away."""
    return len(_PAGE.findall(pdf))


def _png_size(data: bytes) -> Size:
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif_size(data: bytes) -> Size:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _jpeg_size(data: bytes) -> Size | None:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 if marker in _JPEG_BARE else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _webp_size(data: bytes) -> Size | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = struct.unpack_from("<3s3s", data, 24)
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


_READERS: dict[str, Callable[[bytes], Size | None]] = {
    "png": _png_size,
    "gif": _gif_size,
    "jpeg": _jpeg_size,
    "webp": _webp_size,
}
