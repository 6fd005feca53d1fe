"""Estimates: never zero for something, in proportion to what is there, images by their size."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.signatures import PLACEHOLDER_SIGNATURE
from kiroproxy.api.tokens import (
    IMAGE_TOKENS,
    estimate_document,
    estimate_image,
    estimate_text,
    estimate_turn,
)
from kiroproxy.api.turn import (
    Block,
    Document,
    Image,
    Message,
    Reasoning,
    RedactedReasoning,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from tests.api.turns import PDF, PNG, PROPERTY, TURNS


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(wide: int, high: int) -> Image:
    head = (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + wide.to_bytes(4, "big") + high.to_bytes(4, "big")
    )
    return Image("png", encoded(head + bytes(9)))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("a" * 4000, 1000),
        ("你好世界", 4),
        ("приветмы", 5),
        ("\ud800", 1),
    ],
)
def test_estimate_text(text: str, tokens: int) -> None:
    assert estimate_text(text) == tokens


@given(st.text(), st.text())
@PROPERTY
def test_estimate_text_grows_with_the_text(left: str, right: str) -> None:
    whole = estimate_text(left + right)
    assert max(estimate_text(left), estimate_text(right)) <= whole
    assert whole <= estimate_text(left) + estimate_text(right) + 1
    assert (whole == 0) == (left + right == "")


@pytest.mark.parametrize(
    ("image", "tokens"),
    [
        (png(750, 100), 100),
        (png(1, 1), 16),
        (png(9000, 9000), 1640),
        (Image("png", "!!!!"), IMAGE_TOKENS),
        (Image("jpeg", encoded(b"\xff\xd8\xff")), IMAGE_TOKENS),
    ],
)
def test_estimate_image(image: Image, tokens: int) -> None:
    assert estimate_image(image) == tokens


def test_estimate_document_by_kind_and_size() -> None:
    assert estimate_document(Document("", "pdf", PDF)) == 1500
    assert estimate_document(Document("", "pdf", "AAAA" * 100_000)) == 7500
    assert estimate_document(Document("", "txt", encoded(b"a" * 8000))) == 2000
    assert estimate_document(Document("", "txt", encoded("字".encode() * 900))) in range(850, 950)


def tokens_of(*blocks: Block) -> int:
    return estimate_turn(Turn("m", [Message("user", list(blocks))]))


def test_estimate_turn_counts_what_is_sent() -> None:
    empty = tokens_of()
    assert tokens_of(Text("a" * 400)) == empty + 100
    assert tokens_of(Reasoning("a" * 400, "sig")) == empty + 100
    assert tokens_of(Reasoning("a" * 400, "")) == empty
    assert tokens_of(Reasoning("a" * 400, PLACEHOLDER_SIGNATURE)) == empty
    assert tokens_of(RedactedReasoning("cmVk")) == empty
    assert tokens_of(ToolUse("i", "n", {"a": "b" * 400})) > empty + 100
    assert tokens_of(ToolResult("i", [Text("a" * 400), Image("png", PNG)])) > empty + 100


def test_estimate_turn_counts_system_and_tools() -> None:
    bare = estimate_turn(Turn("m", []))
    assert bare == 1
    assert estimate_turn(Turn("m", [], system=["a" * 400])) == 100
    tool = Tool("n", "d" * 400, {"type": "object"})
    assert estimate_turn(Turn("m", [], tools=[tool])) > 400
    assert estimate_turn(Turn("m", [], tools=[tool] * 2)) > 500


@given(TURNS)
@PROPERTY
def test_estimate_turn_any_turn_is_positive(turn: Turn) -> None:
    assert estimate_turn(turn) >= 1
