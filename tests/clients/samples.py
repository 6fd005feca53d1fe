"""The smallest real files of their kinds."""

from __future__ import annotations

import base64
import struct
import zlib


def png(width: int, height: int) -> bytes:
    """A red picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xff\0\0" * width) * height
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pdf(pages: int) -> bytes:
    """Empty pages."""
    numbers = range(3, 3 + pages)
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = [
        "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj",
        f"2 0 obj<</Type/Pages/Kids[{kids}]/Count {pages}>>endobj",
        *(f"{n} 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj" for n in numbers),
    ]
    return "\n".join(["%PDF-1.4", *objects, "trailer<</Root 1 0 R>>", "%%EOF", ""]).encode()


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode()
