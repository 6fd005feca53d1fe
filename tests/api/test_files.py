"""Base64, image and document checks at their edges."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kiroproxy.api.files import (
    checked_base64,
    checked_image,
    checked_pdf,
    data_url,
    decoded_text,
)
from kiroproxy.errors import RequestError
from tests.api.turns import PNG, PROPERTY

PATH = ("x",)


@given(st.binary(min_size=1))
@PROPERTY
def test_checked_base64_takes_all_base64(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert checked_base64(text, PATH) == text
    assert checked_base64(base64.encodebytes(data).decode(), PATH) == text


@given(st.text(alphabet="AZaz09+/=-_ \n!é", max_size=12))
@example("0000=")  # padding that nothing needs: the library lets it pass
@example("0000====")
@PROPERTY
def test_checked_base64_agrees_with_the_standard_library(text: str) -> None:
    joined = "".join(text.split())
    try:
        decoded = base64.b64decode(joined.encode("ascii"), validate=True)
        valid = bool(decoded) and len(joined) == len(base64.b64encode(decoded))
    except ValueError:
        valid = False
    if valid:
        assert checked_base64(text, PATH) == joined
    else:
        with pytest.raises(RequestError, match=r"^x: must "):
            checked_base64(text, PATH)


def test_checked_image_at_the_limit() -> None:
    head = base64.b64decode(PNG)
    most = base64.b64encode(head + bytes(20_000_000 - len(head))).decode()
    assert checked_image("image/png", most, PATH).data is most
    over = base64.b64encode(head + bytes(20_000_001 - len(head))).decode()
    with pytest.raises(RequestError, match="larger than 20 MB"):
        checked_image("image/png", over, PATH)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("data:image/png;base64,AAAA", ("image/png", "AAAA")),
        ("DATA:Image/PNG;charset=x;BASE64,AAAA", ("image/png", "AAAA")),
        ("data: image/PNG ; charset=x; base64,AAAA", ("image/png", "AAAA")),
        ("data:,hi", ("", "")),
        ("data:image/png,hi", ("", "")),
        ("https://x", None),
    ],
)
def test_data_url(url: str, parts: tuple[str, str] | None) -> None:
    assert data_url(url) == parts


def test_checked_pdf_finds_a_late_signature() -> None:
    data = base64.b64encode(b"\n" * 500 + b"%PDF-1.7").decode()
    assert checked_pdf("n", data, PATH).format == "pdf"
    with pytest.raises(RequestError, match="no PDF"):
        checked_pdf("n", base64.b64encode(b"\n" * 2000 + b"%PDF-1.7").decode(), PATH)


def test_decoded_text_is_utf8() -> None:
    assert decoded_text(base64.b64encode("é".encode()).decode(), PATH) == "é"
    with pytest.raises(RequestError, match="UTF-8"):
        decoded_text(base64.b64encode(b"\xff").decode(), PATH)


def test_image_in_one_url_is_named_as_a_whole() -> None:
    assert checked_image("image/png", PNG, PATH, one_url=True).format == "png"
    for written in (
        "image/PNG",
        "IMAGE/png",
        " image/png ",
        "image/png; charset=binary",
        "image/Png;x",
    ):
        assert checked_image(written, PNG, PATH).format == "png"
    for media_type, data in (("image/tiff", PNG), ("image/gif", PNG), ("image/png", "%")):
        with pytest.raises(RequestError) as caught:
            checked_image(media_type, data, PATH, one_url=True)
        assert caught.value.param == "x"
