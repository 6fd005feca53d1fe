"""Tables, numbers and times as people read them."""

from __future__ import annotations

import pytest

from kiroproxy.cli.terminal import distance, facts, moment, number, table


def test_columns_stand_under_each_other_whatever_they_hold() -> None:
    lines = table(
        ("NAME", "N"), [("帐号", "1"), ("e\u0301", "22"), ("a\x1b[2Jb", "333")], frozenset({1})
    )
    assert lines == ["NAME      N", "帐号      1", "e\u0301        22", "a�[2Jb  333"]


def test_facts_leave_out_what_is_empty() -> None:
    assert facts([("a", "1"), ("longer", "2"), ("none", "")]) == ["  a       1", "  longer  2"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "in 0 s"),
        (59, "in 59 s"),
        (60, "in 1 min"),
        (-3599, "59 min ago"),
        (3600, "in 1 h 0 min"),
        (86_399, "in 23 h 59 min"),
        (90_000, "in 25 h"),
        (-200_000, "2 days ago"),
    ],
)
def test_distances(seconds: float, words: str) -> None:
    assert distance(seconds) == words


def test_numbers_and_moments() -> None:
    assert [number(value) for value in (None, 0, 1234567, 0.5, 1999.999, 12.30)] == [
        "-",
        "0",
        "1,234,567",
        "0.5",
        "2,000",
        "12.3",
    ]
    assert moment(1e300) == "out of range"
