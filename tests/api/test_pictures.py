"""What is noted to be completed, and what is taken of what was fetched."""

import base64

import pytest

from kiroproxy.api.ignored import Ignored
from kiroproxy.api.pictures import (
    excess,
    image_by_url,
    noted,
    pdf_by_url,
    place_fetched,
    place_scaled,
)
from kiroproxy.api.turn import Document, Image, Unfinished
from kiroproxy.errors import RequestError
from tests.api.turns import BMP, GIF, JPEG, PDF, PNG, WEBP

PATH = ("messages", 0, "content", 1, "image_url", "url")


def png_of(width: int, height: int, size: int = 40) -> Image:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return Image("png", base64.b64encode(head + bytes(size - len(head))).decode())


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image("png", PNG), ""),
        (Image("gif", GIF), ""),
        (Image("jpeg", JPEG), ""),
        (Image("webp", WEBP), ""),
        (png_of(8000, 8000), ""),
        (png_of(8001, 1), "a picture with more than 8000 pixels a side has to be scaled down"),
        (png_of(1, 8001), "a picture with more than 8000 pixels a side has to be scaled down"),
        (png_of(9, 9, 10_000_000), ""),
        (png_of(9, 9, 10_000_001), "a picture over 10 MB has to be scaled down"),
        (Image("bmp", BMP), "a BMP picture has to be converted"),
    ],
)
def test_excess(image: Image, reason: str) -> None:
    assert excess(image) == reason
    ignored = Ignored()
    assert noted(image, PATH, ignored) is image
    assert [(item.block, item.path, item.url) for item in ignored.unfinished] == (
        [(image, PATH, "")] if reason else []
    )


@pytest.mark.parametrize("url", ["ftp://x/a.png", "//x/a.png", "a.png", "javascript:0", "https:/x"])
def test_only_web_addresses_are_taken(url: str) -> None:
    for refuse in (
        lambda: image_by_url(url, PATH, Ignored()),
        lambda: pdf_by_url("", url, PATH, Ignored()),
    ):
        with pytest.raises(RequestError, match="http:// or https://") as caught:
            refuse()
        assert caught.value.param == "messages.0.content.1.image_url.url"
        assert url not in caught.value.message


@pytest.mark.parametrize(
    ("media_type", "data", "kind"),
    [
        ("image/png", PNG, "png"),
        ("image/jpg", JPEG, "jpeg"),
        ("image/gif", GIF, "gif"),
        ("image/webp", WEBP, "webp"),
        ("image/x-ms-bmp", BMP, "bmp"),
    ],
)
def test_fetched_picture_is_placed(media_type: str, data: str, kind: str) -> None:
    image = Image("", "")
    place_fetched(Unfinished(image, PATH, "https://x"), media_type, base64.b64decode(data))
    assert image == Image(kind, data)


def test_fetched_pdf_is_placed() -> None:
    paper = Document("a", "pdf", "")
    place_fetched(Unfinished(paper, PATH, "https://x"), "application/pdf", base64.b64decode(PDF))
    assert paper == Document("a", "pdf", PDF)


@pytest.mark.parametrize(
    ("block", "media_type", "content", "rule"),
    [
        (
            Image("", ""),
            "text/html",
            b"<html>",
            "what was fetched says text/html; it must be image/png",
        ),
        (Image("", ""), "", b"x", "what was fetched says no type"),
        (Image("", ""), "<script>é\r\n", b"x", "what was fetched says script;"),
        (
            Image("", ""),
            "application/pdf",
            b"%PDF-1.4",
            "says application/pdf; it must be image/png",
        ),
        (Image("", ""), "image/png", b"", "what was fetched is empty"),
        (Image("", ""), "image/png", b"<html>", "the bytes are no png image"),
        (Image("", ""), "image/png", base64.b64decode(GIF), "but the bytes are a gif image"),
        (Document("", "pdf", ""), "image/png", b"x", "it must be application/pdf"),
        (Document("", "pdf", ""), "application/pdf", b"x" * 2000 + b"%PDF-", "is no PDF document"),
        (Document("", "pdf", ""), "application/pdf", b"", "what was fetched is empty"),
    ],
)
def test_fetched_content_of_another_kind_is_refused(
    block: Image | Document, media_type: str, content: bytes, rule: str
) -> None:
    with pytest.raises(RequestError) as caught:
        place_fetched(Unfinished(block, PATH, "https://x"), media_type, content)
    assert rule in caught.value.message
    assert caught.value.message.startswith("messages.0.content.1.image_url.url: ")
    assert block.data == ""


def test_scaled_picture_is_placed() -> None:
    image = Image("bmp", BMP)
    place_scaled(image, "png", base64.b64decode(PNG))
    assert image == Image("png", PNG)
