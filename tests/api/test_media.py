"""Sizes and kinds from heads, whole and cut at every byte."""

import base64

import pytest

from kiroproxy.api.media import head, image_format, pixels
from kiroproxy.api.turn import Image
from tests.api.turns import BMP, GIF, JPEG, PNG, WEBP

# RFC 9649: lossy keeps 14-bit sizes after the start code, lossless packs them into one word.
WEBP_LOSSY = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\x30\x01\x00\x9d\x01\x2a" + b"\x0a\x00\x14\x00"
WEBP_LOSSLESS = (
    b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (9 | 19 << 14).to_bytes(4, "little") + b"\0" * 5
)
# OS/2 1 wrote two bytes for each side; the rest of a real file stands behind them.
BMP_OLD = b"BM" + bytes(12) + b"\x0c\0\0\0" + b"\x03\0\x05\0\x01\0\x18\0" + bytes(4)
# An application segment, fill bytes, then the frame.
JPEG_LATE = (
    b"\xff\xd8\xff\xe1\x00\x06Exif" + b"\xff\xff\xc2\x00\x0b\x08\x00\x14\x00\x0a\x01\x01\x11\x00"
)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (Image("png", PNG), (30, 40)),
        (Image("gif", GIF), (5, 7)),
        (Image("jpeg", JPEG), (30, 20)),
        (Image("jpeg", encoded(JPEG_LATE)), (10, 20)),
        (Image("webp", WEBP), (10, 20)),
        (Image("webp", encoded(WEBP_LOSSY)), (10, 20)),
        (Image("webp", encoded(WEBP_LOSSLESS)), (10, 20)),
        (Image("bmp", BMP), (6, 8)),  # from the top down: the height is negative
        (Image("bmp", encoded(BMP_OLD)), (3, 5)),
        (Image("webp", encoded(b"RIFF\0\0\0\0WEBPVP9 " + bytes(20))), None),
        (Image("jpeg", encoded(b"\xff\xd8\xff\xe0\x00\x00" + bytes(20))), None),
        (Image("jpeg", encoded(b"\xff\xd8\xff\xe0\x00\x04ab" + bytes(20))), None),
    ],
)
def test_pixels(image: Image, size: tuple[int, int] | None) -> None:
    assert pixels(image) == size


@pytest.mark.parametrize(
    ("kind", "data"), [("png", PNG), ("gif", GIF), ("jpeg", JPEG), ("webp", WEBP), ("bmp", BMP)]
)
def test_pixels_cut_anywhere_is_right_or_none(kind: str, data: str) -> None:
    whole = base64.b64decode(data)
    known = pixels(Image(kind, data))
    assert known is not None
    for cut in range(len(whole)):
        assert pixels(Image(kind, encoded(whole[:cut]))) in (None, known)


def test_image_format_by_signature() -> None:
    kinds = [image_format(head(data)) for data in (PNG, GIF, JPEG, WEBP, BMP)]
    assert kinds == ["png", "gif", "jpeg", "webp", "bmp"]
    assert image_format(b"BM") is None
    assert image_format(b"BMW, an essay in plain words") is None


def test_head_decodes_the_beginning_only() -> None:
    assert head(encoded(bytes(300))) == bytes(48)
    assert head("!!!!") == b""
    assert head("é") == b""
