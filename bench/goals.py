"""The numbers of a run of ``bench.load`` against the goals, as the table of docs/performance.md.

Run: ``python -m bench.goals bench/results/load.json [--slower FACTOR]``. The goals were set for one
machine; FACTOR says how much more processor time this one takes for the same work (botocore's decoder
tells: bench/test_bench_decoder.py prints its time, divide it by 6.5 µs).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

SLOWER = 1.7


class Goal(NamedTuple):
    """``scenario``: as in ``bench.load``, or "process". ``limit``: in the number's own unit. ``scales``:
    whether a slower machine may take more (or do less); memory does not. ``is_most``: else at least."""

    scenario: str
    number: str
    limit: float
    unit: str
    scales: bool = True
    is_most: bool = True

    def here(self, slower: float) -> float:
        if not self.scales:
            return self.limit
        return self.limit * slower if self.is_most else self.limit / slower

    def is_met(self, measured: float, slower: float) -> bool:
        limit = self.here(slower)
        return measured <= limit if self.is_most else measured >= limit


ONE, MANY = "one stream, 20,000 events, a chunk each", "64 streams × 500 events"
FAST, SLOW = "200 streams × 50 events/s", "1000 streams × 10 events/s"
SMALL, BIG = "small requests, 32 connections", "1.77 MB requests, 4 connections"
GOALS = (
    Goal(ONE, "events_per_s", 470_000, "/s", is_most=False),
    Goal(ONE, "cpu_s_per_million_events", 2.5, "CPU s a million"),
    Goal(MANY, "events_per_s", 400_000, "/s", is_most=False),
    Goal(MANY, "cpu_s_per_million_events", 2.5, "CPU s a million"),
    Goal(FAST, "cpu_percent", 26, "% CPU"),
    Goal(FAST, "latency_ms_p50", 0.3, "ms p50"),
    Goal(FAST, "latency_ms_p99", 4, "ms p99"),
    Goal(SLOW, "cpu_percent", 31, "% CPU"),
    Goal(SLOW, "latency_ms_p50", 0.4, "ms p50"),
    Goal(SLOW, "latency_ms_p99", 5, "ms p99"),
    Goal(SMALL, "requests_per_s", 4_000, "/s", is_most=False),
    Goal(BIG, "requests_per_s", 80, "/s", is_most=False),
    Goal(BIG, "cpu_ms_per_request", 12, "CPU ms"),
    Goal("process", "memory_idle_mb", 35, "MB", scales=False),
    Goal("process", "memory_after_mb", 100, "MB", scales=False),
    Goal("process", "start_to_first_answer_s", 0.25, "s"),
    Goal("process", "idle_connection_kb", 10, "KB", scales=False),
)


def table(results: dict[str, Any], slower: float = SLOWER) -> str:
    """Markdown. Scenarios that were not run are left out."""
    lines = ["| scenario | goal | goal on this machine | measured | |", "|---|---|---|---|---|"]
    for goal in GOALS:
        measured = _measured(results, goal)
        if measured is None:
            continue
        verdict = "met" if goal.is_met(measured, slower) else "short"
        shown = (
            f"{_figures(value)} {goal.unit}" for value in (goal.limit, goal.here(slower), measured)
        )
        lines.append(f"| {_name(goal)} | {' | '.join(shown)} | {verdict} |")
    return "\n".join(lines)


def _name(goal: Goal) -> str:
    return goal.number.replace("_", " ") if goal.scenario == "process" else goal.scenario


def _measured(results: dict[str, Any], goal: Goal) -> float | None:
    if goal.scenario == "process":
        numbers = results["process"]
    else:
        numbers = results["scenarios"].get(goal.scenario, {}).get("kiroproxy", {})
    value: float | None = numbers.get(goal.number)
    return value


def _figures(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="what bench.load --out wrote")
    parser.add_argument("--slower", type=float, default=SLOWER, help="default 1.7")
    arguments = parser.parse_args()
    print(table(json.loads(arguments.results.read_text()), arguments.slower))
    return 0


if __name__ == "__main__":
    sys.exit(main())
