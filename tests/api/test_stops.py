"""Stop sequences against a plain search over the whole text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.api.stops import StopMatcher
from tests.api.cuts import every_text_cut


def run(pieces: list[str], sequences: tuple[str, ...]) -> tuple[str, str | None]:
    matcher = StopMatcher(sequences)
    text = "".join([matcher.feed(piece) for piece in pieces])
    return text + matcher.finish(), matcher.hit


def reference(text: str, sequences: tuple[str, ...]) -> tuple[str, str | None]:
    """One character at a time, as a generation goes."""
    for end in range(1, len(text) + 1):
        found = [s for s in sequences if s and text[:end].endswith(s)]
        if found:
            longest = max(found, key=len)
            return text[: end - len(longest)], longest
    return text, None


@pytest.mark.parametrize(
    ("text", "sequences"),
    [
        ("Hello END there", ("END",)),
        ("Hello EN", ("END",)),
        ("aXbXc", ("bX", "aXbXc", "Xb")),
        ("aaab", ("aab",)),
        ("abcd", ("abcd", "bc")),
        ("xyz", ("yz", "z")),
        ("END", ("END", "")),
        ("naïve 🙂 stop", ("🙂 s",)),
        ("", ("a",)),
    ],
)
def test_stop_in_every_chunking(text: str, sequences: tuple[str, ...]) -> None:
    expected = reference(text, sequences)
    for pieces in every_text_cut(text):
        assert run(pieces, sequences) == expected


def test_only_a_possible_beginning_is_kept_back() -> None:
    matcher = StopMatcher(("\n\nHuman:",))
    assert matcher.feed("Hi\n") == "Hi"
    assert matcher.feed("there") == "\nthere"
    assert matcher.feed("\n\nHuman") == ""
    assert matcher.finish() == "\n\nHuman"


def test_nothing_comes_after_a_hit() -> None:
    matcher = StopMatcher(("X",))
    assert matcher.feed("aXb") == "a"
    assert matcher.feed("c") == ""
    assert matcher.finish() == ""


@settings(max_examples=200)
@given(
    st.lists(st.text("ab\n", max_size=4), max_size=12),
    st.lists(st.text("ab\n", max_size=4), min_size=1, max_size=4),
)
def test_stop_matches_the_reference(pieces: list[str], sequences: list[str]) -> None:
    assert run(pieces, tuple(sequences)) == reference("".join(pieces), tuple(sequences))
