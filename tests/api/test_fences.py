"""Fences around bare JSON, in every chunking."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.api.fences import FenceStripper, State
from tests.api.cuts import every_text_cut


def strip(pieces: list[str]) -> str:
    stripper = FenceStripper()
    return "".join([stripper.feed(piece) for piece in pieces]) + stripper.finish()


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ('```\n{"a": 1}\n```\n', '{"a": 1}'),
        ('\n ```JSON \r\n{"a": 1}\r\n``` \n', '{"a": 1}'),
        ('```json\n{"a": "``` \\n"}\n```', '{"a": "``` \\n"}'),
        ('```json\n{"a": 1}', '{"a": 1}'),
        ('```json\n{"a": 1}\n``', '{"a": 1}\n``'),
        ("```json {}", "```json {}"),
        ("`a` is", "`a` is"),
        ("````\nx\n````", "````\nx\n````"),
        ('{"a": "```"}\n', '{"a": "```"}\n'),
        ("```json\n{}\n```\nThat is it.", "{}\n```\nThat is it."),
        ("```json\n{}````", "{}````"),
        ("", ""),
        (" ", " "),
        ("``", "``"),
        ("```json\n```", ""),
        ("```json\n[1,  2]\n\n```", "[1,  2]"),
    ],
)
def test_fence_in_every_chunking(text: str, bare: str) -> None:
    for pieces in every_text_cut(text):
        assert strip(pieces) == bare, pieces


@pytest.mark.parametrize("ticks", [1, 2, 4, 5, 6, 7, 15])
def test_a_run_of_other_length_is_no_closing(ticks: int) -> None:
    for tail in ("", "\n", "a"):
        text = f"```\n{{}}\n{'`' * ticks}{tail}"
        bare = text.removeprefix("```\n")
        for pieces in every_text_cut(text):
            assert strip(pieces) == bare, pieces


def test_text_streams() -> None:
    stripper = FenceStripper()
    assert stripper.feed("```js") == ""
    assert stripper.feed('on\n{"a":') == '{"a":'
    assert stripper.feed(" 1}\n") == " 1}"
    assert stripper.state is State.FENCED
    assert stripper.feed("\n```") == ""
    assert stripper.finish() == ""


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["```", "`", "json", "\n", " ", "{}", "a", "\r\n"]), max_size=12),
    st.data(),
)
def test_any_text_is_stripped_alike_in_any_chunking(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    whole = strip([text])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert strip(pieces) == whole == strip(list(text))
    assert whole in text
    if not text.lstrip().startswith("```"):
        assert whole == text
