"""Real pictures, scaled and converted; broken ones and bombs refused."""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, ImageSequence

from kiroproxy.api.media import image_format
from kiroproxy.api.pictures import IMAGE_BYTES, IMAGE_SIDE
from kiroproxy.api.scaling import SCALE, scaled
from kiroproxy.errors import MediaError


def written(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def opened(found: tuple[str, bytes]) -> Image.Image:
    """The picture, once it is known to fit and to be what it says."""
    kind, content = found
    assert kind in ("png", "jpeg") and image_format(content) == kind
    assert len(content) <= IMAGE_BYTES
    picture = Image.open(io.BytesIO(content), formats=[kind.upper()])
    picture.load()
    assert max(picture.size) <= IMAGE_SIDE
    return picture


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Nothing compresses it."""
    size = width * height * len(mode)
    return Image.frombytes(mode, (width, height), random.Random(7).randbytes(size))


def test_the_extra_is_found() -> None:
    assert SCALE is scaled


def test_bmp_becomes_png_with_every_pixel() -> None:
    before = noise(31, 17)
    after = opened(scaled(written(before, "BMP"), "bmp"))
    assert (after.mode, after.size) == ("RGB", (31, 17))
    assert after.tobytes() == before.tobytes()


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "bmp"])
def test_too_many_pixels_a_side_are_scaled(kind: str) -> None:
    before = Image.new("RGB", (8100, 90), "red")
    after = opened(scaled(written(before, kind), kind))
    assert after.format == ("JPEG" if kind == "jpeg" else "PNG")
    assert after.size == (8000, 88)
    red, green, blue = after.convert("RGB").getpixel((4000, 40))  # type: ignore[misc]
    assert red > 240 and green < 16 and blue < 16


def test_webp_at_its_own_limit_of_size() -> None:
    before = Image.new("RGBA", (16383, 20), (0, 0, 255, 128))
    after = opened(scaled(written(before, "webp", lossless=True), "webp"))
    assert (after.mode, after.width) == ("RGBA", 8000)
    assert after.getpixel((4000, 4)) == (0, 0, 255, 128)


def test_too_many_bytes_are_scaled_down_to_what_a_model_looks_at() -> None:
    content = written(noise(2100, 2000), "PNG", compress_level=0)
    assert len(content) > IMAGE_BYTES
    kind, smaller = scaled(content, "png")
    assert opened((kind, smaller)).size == (2049, 1951)  # four million pixels


def test_a_png_that_stays_too_large_becomes_jpeg_on_white() -> None:
    content = written(noise(2500, 2500, "RGBA"), "PNG", compress_level=0)
    after = opened(scaled(content, "png"))
    assert (after.format, after.mode) == ("JPEG", "RGB")


def test_large_jpeg_stays_jpeg() -> None:
    content = written(noise(3300, 3300), "JPEG", quality=97)
    assert len(content) > IMAGE_BYTES
    after = opened(scaled(content, "jpeg"))
    assert after.format == "JPEG"
    assert after.width * after.height <= 4_000_000 < (after.width + 2) * (after.height + 2)


def test_a_picture_is_turned_as_its_exif_data_says() -> None:
    before = Image.new("RGB", (8100, 60), "white")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    after = opened(scaled(written(before, "JPEG", exif=exif), "jpeg"))
    assert after.height > after.width
    assert not after.getexif()


def test_of_a_moving_picture_the_first_frame_is_kept() -> None:
    frames = [Image.new("RGB", (8100, 10), color) for color in ("lime", "red", "blue")]
    content = written(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    with Image.open(io.BytesIO(content)) as moving:
        assert len(list(ImageSequence.Iterator(moving))) == 3
    after = opened(scaled(content, "gif")).convert("RGB")
    assert after.getpixel((100, 4)) == (0, 255, 0)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_can_be_scaled(mode: str) -> None:
    grey = Image.new("L", (8100, 4), 200)
    before = grey.convert(mode) if mode != "I;16" else Image.new("I;16", (8100, 4), 200 * 256)
    after = opened(scaled(written(before, "PNG"), "png")).convert("L")
    assert after.getpixel((4000, 1)) == 200


def test_black_and_white_can_be_scaled() -> None:
    before = Image.new("1", (8100, 4), 1)
    assert opened(scaled(written(before, "PNG"), "png")).convert("L").getpixel((9, 1)) == 255


def test_transparency_of_a_palette_is_kept() -> None:
    before = Image.new("P", (8100, 4), 0)
    before.putpalette([9, 9, 9, 0, 0, 0])
    after = opened(scaled(written(before, "PNG", transparency=0), "png"))
    assert after.mode == "RGBA"
    assert after.getpixel((9, 1))[3] == 0  # type: ignore[index]


def png_head(width: int, height: int) -> bytes:
    """A PNG that announces its size and then ends: what is decoded of it fails, what is not does not."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (ihdr, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("size", [(8001, 8000), (9000, 9000), (60_000, 60_000), (1_000_000, 1000)])
def test_a_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(MediaError, match=r"pixels is too large to be scaled down \(at most 64"):
        scaled(png_head(*size), "png")


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "bmp"])
def test_a_broken_file_is_refused(kind: str) -> None:
    whole = written(noise(60, 60), kind)
    for cut in (20, len(whole) // 2):
        with pytest.raises(MediaError, match="is damaged"):
            scaled(whole[:cut], kind)


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(MediaError, match="is damaged"):
        scaled(written(noise(4, 4), "PNG"), "gif")
