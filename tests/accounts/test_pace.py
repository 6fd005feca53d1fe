"""How many at once, how fast after each other."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.accounts.pace import CAUTIOUS_S, SPACING_S, Pace, PaceLimits


def test_without_limits_nobody_waits() -> None:
    pace = Pace(PaceLimits())
    for _ in range(1000):
        assert pace.wait_s(0.0) == 0
        pace.begin(0.0)
    assert pace.active == 1000


def test_concurrency() -> None:
    pace = Pace(PaceLimits(concurrency=2))
    pace.begin(0.0)
    assert pace.wait_s(0.0) == 0
    pace.begin(0.0)
    assert pace.wait_s(1e9) == math.inf
    pace.end()
    assert pace.wait_s(0.0) == 0


def test_burst_then_the_exact_pace() -> None:
    pace = Pace(PaceLimits(per_minute=60, burst=3))
    for _ in range(3):
        assert pace.wait_s(100.0) == 0
        pace.begin(100.0)
    assert pace.wait_s(100.0) == 1
    assert pace.wait_s(100.75) == 0.25
    pace.begin(101.0)
    assert pace.wait_s(101.0) == 1
    assert pace.wait_s(1000.0) == 0


def test_burst_is_no_more_than_a_minutes_worth() -> None:
    pace = Pace(PaceLimits(per_minute=2, burst=10))
    pace.begin(0.0)
    pace.begin(0.0)
    assert pace.wait_s(0.0) == 30


def test_spacing_after_a_throttle() -> None:
    pace = Pace(PaceLimits())
    pace.begin(10.0)
    pace.throttled(10.5)
    assert pace.wait_s(10.5) == SPACING_S - 0.5
    pace.begin(11.0)
    assert pace.wait_s(11.0) == SPACING_S
    pace.begin(10.5 + CAUTIOUS_S)
    assert pace.wait_s(10.5 + CAUTIOUS_S) == 0


@settings(max_examples=100)
@given(st.integers(1, 120), st.integers(1, 20), st.lists(st.floats(0, 5), max_size=80))
def test_never_more_than_burst_and_pace_in_any_span(
    per_minute: int, burst: int, pauses: list[float]
) -> None:
    pace = Pace(PaceLimits(per_minute=per_minute, burst=burst))
    now_s, starts = 0.0, []
    for pause_s in pauses:
        now_s += pause_s
        now_s += pace.wait_s(now_s)
        assert pace.wait_s(now_s + 1e-9) == 0  # it keeps its word
        pace.begin(now_s)
        starts.append(now_s)
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            allowed = burst + (starts[last] - starts[first]) * per_minute / 60
            assert last - first + 1 <= allowed + 1 + 1e-6
