"""Thinking tags in every chunking; tags that are only talked about."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.api.events import TEXT, THINKING, THINKING_END, AnswerEvent
from kiroproxy.api.thinking import CLOSE, State, ThinkingSplitter, proper_prefix_tail
from tests.api.cuts import every_text_cut, merged


def split(pieces: list[str], *, at_end: bool = True) -> list[AnswerEvent]:
    splitter = ThinkingSplitter()
    out = [event for piece in pieces for event in splitter.feed(piece)]
    out += splitter.finish(at_end=at_end)
    assert all(event[0] == THINKING_END or event[1] for event in out)
    return merged(out)


# text → thinking (None: no block), text
CASES: dict[str, tuple[str, str | None, str]] = {
    "plain": ("Hello.", None, "Hello."),
    "empty": ("", None, ""),
    "usual": ("<thinking>\nhm\n</thinking>\n\nHi", "hm\n", "Hi"),
    "without line breaks inside": ("<thinking>hm</thinking>\n\nHi", "hm", "Hi"),
    "whitespace before": (" \n\n<thinking>hm</thinking>\n\nHi", "hm", "Hi"),
    "crlf": ("<thinking>\r\nhm\r\n</thinking>\r\n\r\nHi", "hm\r\n", "Hi"),
    "only one line break is dropped": ("<thinking>\n\nhm</thinking>\n\nHi", "\nhm", "Hi"),
    "more blank lines are text's": ("<thinking>hm</thinking>\n\n\n Hi", "hm", "\n Hi"),
    "not at the start": ("So: <thinking>x</thinking>\n\ny",) * 1
    + (None, "So: <thinking>x</thinking>\n\ny"),
    "second block": (
        "<thinking>a</thinking>\n\nb <thinking>c</thinking>\n\nd",
        "a",
        "b <thinking>c</thinking>\n\nd",
    ),
    "never closed": ("<thinking>hm", "hm", ""),
    "closed by the end": ("<thinking>hm</thinking>", "hm", ""),
    "closed by whitespace and the end": ("<thinking>hm</thinking> \n ", "hm", ""),
    "half a closing tag": ("<thinking>hm</thin", "hm</thin", ""),
    "half an opening tag": ("<thin", None, "<thin"),
    "nearly an opening tag": ("<thinkin> no", None, "<thinkin> no"),
    "only whitespace": (" \n", None, " \n"),
    "empty thinking": ("<thinking></thinking>\n\nHi", "", "Hi"),
    "spoken of in prose": (
        "<thinking>the </thinking> tag ends it</thinking>\n\nHi",
        "the </thinking> tag ends it",
        "Hi",
    ),
    "quoted": (
        '<thinking>write "</thinking>\n\n" there</thinking>\n\nHi',
        'write "</thinking>\n\n" there',
        "Hi",
    ),
    "behind a closing quote": ('<thinking>he said "no"</thinking>\n\nHi', 'he said "no"', "Hi"),
    "in a code span": (
        "<thinking>`x </thinking>\n\n` is it\n</thinking>\n\nHi",
        "`x </thinking>\n\n` is it\n",
        "Hi",
    ),
    "in a fence": (
        "<thinking>a\n```xml\n</thinking>\n\n```\nb</thinking>\n\nHi",
        "a\n```xml\n</thinking>\n\n```\nb",
        "Hi",
    ),
    "in a fence of tildes": (
        "<thinking>~~~\n```\n</thinking>\n\n~~~\n</thinking>\n\nHi",
        "~~~\n```\n</thinking>\n\n~~~\n",
        "Hi",
    ),
    "right behind a fence": ("<thinking>```\nx\n```</thinking>\n\nHi", "```\nx\n```", "Hi"),
    "after a fence's end": ("<thinking>```\nx\n```\n</thinking>\n\nHi", "```\nx\n```\n", "Hi"),
    "one line break is not enough": (
        "<thinking>a</thinking>\nb</thinking>\n\nHi",
        "a</thinking>\nb",
        "Hi",
    ),
    "twice the tag": ("<thinking>a</thinking></thinking>\n\nHi", "a</thinking>", "Hi"),
    "other alphabets": ("<thinking>думаю 🤔</thinking>\n\nДа 👍", "думаю 🤔", "Да 👍"),
    "the beginning of the beginning": ("<<thinking>x", None, "<<thinking>x"),
    "tag in the tag": ("<thinking></think</thinking>\n\nHi", "</think", "Hi"),
}


@pytest.mark.parametrize("case", CASES)
def test_split_in_every_chunking(case: str) -> None:
    text, thinking, rest = CASES[case]
    expected: list[AnswerEvent] = []
    if thinking is not None:
        expected += [(THINKING, thinking)] if thinking else []
        expected.append((THINKING_END, ""))
    if rest:
        expected.append((TEXT, rest))
    for pieces in every_text_cut(text):
        assert split(pieces) == expected, pieces


def test_whitespace_before_another_block_is_no_text() -> None:
    assert split([" \n"], at_end=False) == []
    assert split(["<thinking>a</thinking>\n\n\n"], at_end=False) == [
        (THINKING, "a"),
        (THINKING_END, ""),
    ]


def test_nothing_is_kept_back_without_need() -> None:
    splitter = ThinkingSplitter()
    assert splitter.feed("Hello <") == [(TEXT, "Hello <")]
    assert splitter.is_over
    splitter = ThinkingSplitter()
    assert splitter.feed("<thinking>") == []
    assert splitter.feed("abc </th") == [(THINKING, "abc ")]
    assert splitter.feed("e") == [(THINKING, "</the")]
    assert splitter.feed("</thinking>\n") == []
    assert splitter.feed("\nx") == [(THINKING_END, ""), (TEXT, "x")]


def test_states_are_all_reached_and_all_have_a_step() -> None:
    splitter = ThinkingSplitter()
    seen = [splitter.state]
    for piece in ("<thinking>", "\na", "</thinking>\n\n", "b"):
        splitter.feed(piece)
        seen.append(splitter.state)
    assert seen == [State.START, State.OPENED, State.THINKING, State.GAP, State.TEXT]
    for state in State:
        other = ThinkingSplitter()
        other.state = state
        other.feed(" a")
        other.finish()
        assert other.state is State.TEXT


@settings(max_examples=200)
@given(
    st.lists(
        st.sampled_from(
            ["<thinking>", CLOSE, "\n", "\n\n", "`", "```", '"', " ", "a", "</", "<", "é🤔"]
        ),
        max_size=12,
    ),
    st.data(),
)
def test_any_text_splits_alike_in_any_chunking(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    whole = split([text])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(pieces) == whole
    assert split(list(text)) == whole
    kinds = [event[0] for event in whole]
    assert kinds in ([], [TEXT], [THINKING, THINKING_END], [THINKING, THINKING_END, TEXT],
                     [THINKING_END], [THINKING_END, TEXT])  # fmt: skip
    shown = "".join(event[1] for event in whole)
    assert _is_subsequence(shown, text)
    if THINKING_END not in kinds:
        assert shown == text


def _is_subsequence(short: str, long: str) -> bool:
    rest = iter(long)
    return all(character in rest for character in short)


@pytest.mark.parametrize(
    ("text", "wanted", "length"),
    [("abc", "cd", 1), ("abcd", "cd", 0), ("", "x", 0), ("aaa", "aaaa", 3), ("x<<", "<<a", 2)],
)
def test_proper_prefix_tail(text: str, wanted: str, length: int) -> None:
    assert proper_prefix_tail(text, wanted) == length
