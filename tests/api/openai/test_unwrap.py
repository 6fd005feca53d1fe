"""A custom tool's plain text, in every chunking of its JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.openai.unwrap import InputUnwrapper, unwrapped
from tests.api.cuts import every_text_cut
from tests.api.turns import PROPERTY

HARD = 'a "quoted" \\ line\n\ttab café 世界 👋🏽 \x00 \\u0041 </>'


def fed(pieces: list[str]) -> str:
    unwrapper = InputUnwrapper()
    return "".join(map(unwrapper.feed, pieces)) + unwrapper.finish()


@pytest.mark.parametrize("ascii_only", [True, False])
def test_every_cut_gives_the_same_text(ascii_only: bool) -> None:
    arguments = json.dumps({"input": HARD}, ensure_ascii=ascii_only)
    for pieces in every_text_cut(arguments):
        assert fed(pieces) == HARD


@PROPERTY
@given(st.text(), st.booleans(), st.sampled_from([None, 1]))
def test_any_text_survives(text: str, ascii_only: bool, indent: int | None) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only, indent=indent)
    assert fed([arguments]) == fed(list(arguments)) == unwrapped(arguments) == text


def test_text_goes_out_as_it_comes() -> None:
    unwrapper = InputUnwrapper()
    assert unwrapper.feed('{"input": "one ') == "one "
    assert unwrapper.feed("two\\") == "two"
    assert unwrapper.feed("n") == "\n"
    assert unwrapper.feed("\\ud83d") == ""
    assert unwrapper.feed("\\ude00") == "😀"
    assert unwrapper.feed('"}') == ""
    assert unwrapper.feed(" ") == ""
    assert unwrapper.finish() == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"patch": "x"}', "x"),  # models do not always keep to the property's name
        ('{"why": "y", "input": "x"}', "x"),
        ('{"a": "1", "b": "2"}', '{"a": "1", "b": "2"}'),
        ('{"input": {"a": 1}}', '{"input": {"a": 1}}'),
        ("[1]", "[1]"),
        ("{", "{"),
        ("", ""),
        ("{}", "{}"),
        ('{"input": "a\\ud83d"}', "a?"),
        ('{"input": "a', "a"),
    ],
)
def test_other_forms(arguments: str, text: str) -> None:
    assert fed([arguments]) == fed(list(arguments)) == text
