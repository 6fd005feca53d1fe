"""The numbers of a run of ``bench.load`` against the goals, as the table of docs/performance.md.

Run: ``python -m bench.goals bench/results/load.json``. The goals were set for one machine; how much
more processor time this one takes for the same work the yardstick tells, measured in the same run
between the scenarios. Numbers made of slices are compared at their quietest, as the yardstick is; both
columns are shown.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from bench.yardstick import GOALS_US


class Goal(NamedTuple):
    """``scenario``: as in ``bench.load``, or "process". ``limit``: in the number's own unit. ``scales``:
    whether a slower machine may take more (or do less); memory does not. ``is_most``: else at least.
    ``is_added``: to what the raw relay takes."""

    scenario: str
    number: str
    limit: float
    unit: str
    scales: bool = True
    is_most: bool = True
    is_added: bool = False

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
    Goal(FAST, "latency_ms_p50", 0.3, "ms p50 added", is_added=True),
    Goal(FAST, "latency_ms_p99", 4, "ms p99 added", is_added=True),
    Goal(SLOW, "cpu_percent", 31, "% CPU"),
    Goal(SLOW, "latency_ms_p50", 0.4, "ms p50 added", is_added=True),
    Goal(SLOW, "latency_ms_p99", 5, "ms p99 added", is_added=True),
    Goal(SMALL, "requests_per_s", 4_000, "/s", is_most=False),
    Goal(BIG, "requests_per_s", 80, "/s", is_most=False),
    Goal(BIG, "cpu_ms_per_request", 12, "CPU ms"),
    Goal("process", "memory_idle_mb", 35, "MB", scales=False),
    Goal("process", "memory_after_mb", 100, "MB", scales=False),
    Goal("process", "start_to_first_answer_s", 0.25, "s"),
    Goal("process", "idle_connection_kb", 10, "KB", scales=False),
)


def table(results: dict[str, Any]) -> str:
    """Markdown. Scenarios that were not run are left out."""
    slower = results["yardstick_us"]["quietest"] / GOALS_US
    lines = [
        f"| scenario | goal | goal here (× {slower:.2f}) | in the middle | quietest | |",
        "|---|---|---|---|---|---|",
    ]
    for goal in GOALS:
        measured = _measured(results, goal, goal.number)
        if measured is None:
            continue
        quietest = _measured(results, goal, f"{goal.number}_quietest")
        verdict = (
            "met" if goal.is_met(measured if quietest is None else quietest, slower) else "short"
        )
        shown = [f"{_figures(value)} {goal.unit}" for value in (goal.limit, goal.here(slower))]
        shown += ["" if value is None else _figures(value) for value in (measured, quietest)]
        lines.append(f"| {_name(goal)} | {' | '.join(shown)} | {verdict} |")
    return "\n".join(lines)


def _name(goal: Goal) -> str:
    return goal.number.replace("_", " ") if goal.scenario == "process" else goal.scenario


def _measured(results: dict[str, Any], goal: Goal, number: str) -> float | None:
    if goal.scenario == "process":
        rows = {"kiroproxy": results["process"]}
    else:
        rows = results["scenarios"].get(goal.scenario, {})
    value: float | None = rows.get("kiroproxy", {}).get(number)
    if value is not None and goal.is_added:
        value = max(0.0, value - rows["raw relay"][number])
    return value


def _figures(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="what bench.load --out wrote")
    arguments = parser.parse_args()
    print(table(json.loads(arguments.results.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
