"""Pictures over the service's limits, made to fit with Pillow (the extra ``images``).

Plain blocking functions, bytes in and bytes out; run them in a thread. What a picture may cost is known
before it is decoded: ``MOST_PIXELS`` is 64 million, about 200 MB of memory. JPEG stays JPEG, all else
becomes PNG; of a moving picture the first frame is kept. Metadata goes, after the picture has been
turned the way its EXIF data says.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from kiroproxy.api.pictures import IMAGE_BYTES, IMAGE_SIDE
from kiroproxy.errors import MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

Scale = Callable[[bytes, str], tuple[str, bytes]]
"""Content and format (png, jpeg, gif, webp, bmp) → format and content within the service's limits. Blocks.
Raises MediaError."""

INSTALL: Final = "pip install 'kiroproxy[images]'"
MOST_PIXELS: Final = 64_000_000
# More than any of the models looks at; what has to be made smaller at all is made this small.
_TARGET_PIXELS: Final = 4_000_000
_JPEG_QUALITY: Final = 88


def scaled(content: bytes, kind: str) -> tuple[str, bytes]:
    """See ``Scale``."""
    try:
        return _scaled(content, kind)
    except MediaError:
        raise
    except Exception as error:  # a broken file raises whatever its decoder happened to be doing
        raise MediaError(f"the {kind} picture is damaged ({type(error).__name__})") from None


SCALE: Final[Scale | None] = scaled if importlib.util.find_spec("PIL") is not None else None
"""None without the extra."""


def _scaled(content: bytes, kind: str) -> tuple[str, bytes]:
    # Here, since it takes a while and few requests need it.
    from PIL import Image as pillow
    from PIL import ImageOps

    pillow.MAX_IMAGE_PIXELS = None  # opening reads the head only; the next lines look at the size
    with pillow.open(io.BytesIO(content), formats=[kind.upper()]) as opened:
        width, height = opened.size
        if width * height > MOST_PIXELS:
            raise MediaError(
                f"a picture of {width}x{height} pixels is too large to be scaled down "
                f"(at most {MOST_PIXELS // 1_000_000} million pixels)"
            )
        # A BMP is not compressed: its length says nothing about the PNG's.
        shrinks = max(opened.size) > IMAGE_SIDE or (kind != "bmp" and len(content) > IMAGE_BYTES)
        if shrinks and kind == "jpeg":
            opened.draft("RGB", _fitting(opened.size))  # decodes at a fraction of the size
        picture = _plain(ImageOps.exif_transpose(opened))
    if shrinks:
        picture = _shrunk(picture)
    return _encoded(picture, "jpeg" if kind == "jpeg" else "png")


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    """The size to shrink to: under the side limit and the target area, never larger than it was."""
    width, height = size
    factor = min(1.0, IMAGE_SIDE / max(size), math.sqrt(_TARGET_PIXELS / (width * height)))
    return max(1, int(width * factor)), max(1, int(height * factor))


def _shrunk(picture: Image) -> Image:
    from PIL.Image import Resampling

    return picture.resize(_fitting(picture.size), Resampling.LANCZOS)


def _plain(picture: Image) -> Image:
    """As L, RGB or RGBA: what can be resized well and written as PNG."""
    if picture.mode.startswith(("I", "F")):  # 16 bits and more: the upper eight of sixteen
        picture = picture.point(_upper_byte).convert("L")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        return picture.convert("RGBA")
    return picture if picture.mode == "L" else picture.convert("RGB")


def _upper_byte(value: Any) -> Any:
    return value / 256


def _encoded(picture: Image, kind: str) -> tuple[str, bytes]:
    """In ``kind``; if that is too large, smaller, and at last as JPEG on white."""
    content = _written(picture, kind)
    if len(content) > IMAGE_BYTES:
        picture = _shrunk(picture)
        content = _written(picture, kind)
    if len(content) > IMAGE_BYTES:
        kind, content = "jpeg", _written(_on_white(picture), "jpeg")
    return kind, content


def _written(picture: Image, kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "jpeg":
        picture.save(out, "JPEG", quality=_JPEG_QUALITY)
    else:
        picture.save(out, "PNG")
    return out.getvalue()


def _on_white(picture: Image) -> Image:
    if picture.mode != "RGBA":
        return picture
    from PIL import Image as pillow

    white = pillow.new("RGBA", picture.size, "white")
    return pillow.alpha_composite(white, picture).convert("RGB")
