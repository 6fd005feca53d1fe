"""Goals that compare two benchmarks of one run, reported under pytest-benchmark's own tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from bench.workloads import SMALL_EVENTS


class Goal(NamedTuple):
    """``limit`` bounds fastest time of ``name`` / fastest time of ``beside`` (or seconds, without
    one). The fastest round is what the code costs; the rest is what the machine did meanwhile."""

    name: str
    beside: str | None
    limit: float
    words: str


GOALS = (
    Goal(
        "test_decode_small_events[kiroproxy]", "test_decode_small_events[botocore]", 1 / 6, "≥ 6 ×"
    ),
    # 1.2 µs on a machine where botocore needs 6.5
    Goal("test_stream_small_events", "test_decode_small_events[botocore]", 1.2 / 6.5, "≤ 0.185 ×"),
    Goal("test_big_request", None, 0.008, "≤ 8 ms"),
)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    best = {one.name: one.stats.min for one in session.benchmarks} if session else {}
    rows = [_verdict(goal, best) for goal in GOALS if goal.name in best]
    if not rows:
        return
    terminalreporter.section("goals")
    for row in rows:
        terminalreporter.write_line(row)


def _verdict(goal: Goal, best: dict[str, float]) -> str:
    seconds = best[goal.name]
    if goal.beside is None:
        word = "met" if seconds <= goal.limit else "MISSED"
        return f"{goal.name}: {seconds * 1e3:.2f} ms; goal {goal.words}: {word}"
    if goal.beside not in best:
        return f"{goal.name}: {goal.beside} did not run, no verdict"
    ratio = seconds / best[goal.beside]
    word = "met" if ratio <= goal.limit else "MISSED"
    each, beside = (value / SMALL_EVENTS * 1e6 for value in (seconds, best[goal.beside]))
    return (
        f"{goal.name}: {each:.2f} µs an event, botocore's decoder {beside:.2f} "
        f"({ratio:.3f} ×, {1 / ratio:.1f} times as fast); goal {goal.words}: {word}"
    )
