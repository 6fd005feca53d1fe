"""What the first bytes of a base64 file tell: its kind and, for images, its size in pixels.

Only the head is decoded (a JPEG's size may stand behind its metadata, hence the larger head there);
the content itself stays the base64 text the client sent.
"""

from __future__ import annotations

import binascii
from typing import Final

from kiroproxy.api.turn import Image

# 4 base64 characters per 3 bytes; both heads are multiples of 4.
_HEAD_CHARS: Final = 64
_JPEG_HEAD_CHARS: Final = 128 * 1024

# Start-of-frame markers hold the size; C4, C8 and CC in the same range are tables, not frames.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# The lengths that a BMP's second header has had, from OS/2 1 to Windows 5.
_BMP_HEADERS: Final = frozenset(
    length.to_bytes(4, "little") for length in (12, 16, 40, 52, 56, 64, 108, 124)
)


def head(data: str, chars: int = _HEAD_CHARS) -> bytes:
    """The decoded first ``chars`` characters of base64 text; empty when they are no base64."""
    part = data[:chars]
    part = part[: len(part) & ~3]
    try:
        return binascii.a2b_base64(part)
    except (binascii.Error, ValueError):
        return b""


def image_format(first: bytes) -> str | None:
    """png, jpeg, gif, webp or bmp by the file's own signature, or None."""
    if first.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if first.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if first[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return "webp"
    # Two letters are a weak signature: the length of the second header makes it a strong one.
    if first[:2] == b"BM" and first[14:18] in _BMP_HEADERS:
        return "bmp"
    return None


def pixels(image: Image) -> tuple[int, int] | None:
    """Width and height, or None when the head does not tell."""
    chars = _JPEG_HEAD_CHARS if image.format == "jpeg" else _HEAD_CHARS
    first = head(image.data, chars)
    if image.format == "png" and len(first) >= 24:
        return int.from_bytes(first[16:20], "big"), int.from_bytes(first[20:24], "big")
    if image.format == "gif" and len(first) >= 10:
        return int.from_bytes(first[6:8], "little"), int.from_bytes(first[8:10], "little")
    if image.format == "webp" and len(first) >= 30:
        return _webp_pixels(first)
    if image.format == "jpeg":
        return _jpeg_pixels(first)
    if image.format == "bmp" and len(first) >= 26:
        return _bmp_pixels(first)
    return None


def _webp_pixels(first: bytes) -> tuple[int, int] | None:
    """The three kinds of WebP keep the size in three ways (RFC 9649 §2.5-2.7)."""
    kind = first[12:16]
    if kind == b"VP8X":
        wide, high = first[24:27], first[27:30]
        return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(first[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        wide, high = first[26:28], first[28:30]
        return int.from_bytes(wide, "little") & 0x3FFF, int.from_bytes(high, "little") & 0x3FFF
    return None


def _bmp_pixels(first: bytes) -> tuple[int, int]:
    """A negative height says that the rows go from the top down."""
    if first[14] == 12:
        return int.from_bytes(first[18:20], "little"), int.from_bytes(first[20:22], "little")
    wide = int.from_bytes(first[18:22], "little", signed=True)
    return abs(wide), abs(int.from_bytes(first[22:26], "little", signed=True))


def _jpeg_pixels(first: bytes) -> tuple[int, int] | None:
    """Walk the segments to the first frame header (ITU T.81 B.2.2)."""
    at = 2
    while at + 9 <= len(first) and first[at] == 0xFF:
        marker = first[at + 1]
        if marker in _JPEG_FRAMES:
            high, wide = first[at + 5 : at + 7], first[at + 7 : at + 9]
            return int.from_bytes(wide, "big"), int.from_bytes(high, "big")
        length = int.from_bytes(first[at + 2 : at + 4], "big")
        # A marker byte may be preceded by fill bytes; a length below 2 is a broken file.
        at += 1 if marker == 0xFF else 2 + length
        if length < 2 and marker != 0xFF:
            return None
    return None
