"""Sizes out of hand-made image headers."""

from __future__ import annotations

import struct

import pytest

from kiroproxy.simulator.media import decode_blob, image_format, image_size, page_count
from tests.simulator.bodies import png


def jpeg(width: int, height: int, *, marker: int = 0xC0) -> bytes:
    app0 = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + b"\0" * 9
    frame = bytes((0xFF, marker)) + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\0" * 3
    return b"\xff\xd8" + app0 + frame + b"\xff\xd9"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def webp(kind: bytes, data: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(data) + 12) + b"WEBP" + kind + data


VP8X = struct.pack("<I", 10) + b"\0" * 4 + (299).to_bytes(3, "little") + (199).to_bytes(3, "little")
VP8L = struct.pack("<I", 5) + b"\x2f" + struct.pack("<I", 299 | 199 << 14)
VP8 = struct.pack("<I", 10) + b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 300, 200)


@pytest.mark.parametrize(
    ("data", "format_", "size"),
    [
        (png(300, 200), "png", (300, 200)),
        (jpeg(300, 200), "jpeg", (300, 200)),
        (jpeg(300, 200, marker=0xC2), "jpeg", (300, 200)),
        (gif(300, 200), "gif", (300, 200)),
        (webp(b"VP8X", VP8X), "webp", (300, 200)),
        (webp(b"VP8L", VP8L), "webp", (300, 200)),
        (webp(b"VP8 ", VP8), "webp", (300, 200)),
    ],
)
def test_size(data: bytes, format_: str, size: tuple[int, int]) -> None:
    assert image_format(data) == format_
    assert image_size(data) == size


@pytest.mark.parametrize("length", range(40))
@pytest.mark.parametrize(
    "data", [png(), jpeg(3, 2), gif(3, 2), webp(b"VP8X", VP8X), webp(b"VP8L", VP8L)]
)
def test_cut_short_is_no_crash(data: bytes, length: int) -> None:
    size = image_size(data[:length])
    assert size is None or size == image_size(data)


@pytest.mark.parametrize("data", [b"", b"BM", b"\x89PNG", b"RIFF....WAVE", b"<svg/>"])
def test_not_an_image(data: bytes) -> None:
    assert image_format(data) is None
    assert image_size(data) is None


def test_pages() -> None:
    assert page_count(b"/Type /Pages /Type /Page /Type/Page\n/Type /PageLabel") == 2


@pytest.mark.parametrize("text", ["a", "YQ=", "Y Q==", "é", "YQ==\n", "-_-_"])
def test_strict_base64(text: str) -> None:
    assert decode_blob(text) is None
