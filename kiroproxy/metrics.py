"""Counters and histograms as plain numbers, and how Prometheus reads them.

Counting is an addition on the event loop; everything else happens when somebody asks.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Final

_log = logging.getLogger("kiroproxy.metrics")

MAX_UNKNOWN_EVENTS = 100
"""Distinct unknown event types we remember: the names come from outside, so their number is bounded."""

FIRST_TOKEN_BOUNDS_S: Final = (0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300)
TOTAL_BOUNDS_S: Final = (0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800)

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


class Histogram:
    """Counts by fixed upper bounds, in seconds; the last count is for what is above them all."""

    __slots__ = ("bounds", "counts", "sum_s")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """A bound counts for its own bucket (Prometheus: less or equal)."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum_s += seconds

    def as_json(self) -> list[Any]:
        return [self.sum_s, *self.counts]

    def add(self, numbers: list[Any]) -> None:
        """Add what ``as_json`` of another one with the same bounds gave."""
        self.sum_s += numbers[0]
        self.counts = [a + b for a, b in zip(self.counts, numbers[1:], strict=True)]


class Metrics:
    """What this process has seen since it started."""

    def __init__(self) -> None:
        self.unknown_events: dict[str, int] = {}
        self.requests: dict[tuple[str, str], int] = {}  # (dialect, outcome)
        self.failures: dict[str, int] = {}  # by the kind of error, whatever ended without an answer
        self.retries: dict[str, int] = {}  # by what was done after a failed try
        self.refreshes: dict[str, int] = {}  # by result: renewed, denied, failed
        self.stream_errors: dict[str, int] = {}  # by the error's class
        self.tokens: dict[str, int] = {}  # by direction
        self.credits = 0.0
        self.active = 0
        """Answers under way."""
        self.first_token = Histogram(FIRST_TOKEN_BOUNDS_S)
        self.total = Histogram(TOTAL_BOUNDS_S)

    def count_unknown_event(self, name: str, count: int) -> None:
        """An upstream event type we do not know; logged the first time, counted always."""
        known = self.unknown_events
        if name in known:
            known[name] += count
        elif len(known) < MAX_UNKNOWN_EVENTS:
            known[name] = count
            _log.warning("unknown upstream event", extra={"fields": {"event_type": name[:80]}})

    def count_request(self, dialect: str, outcome: str) -> None:
        self.requests[dialect, outcome] = self.requests.get((dialect, outcome), 0) + 1

    def count_failure(self, kind: str) -> None:
        _add(self.failures, kind, 1)

    def count_retry(self, step: str) -> None:
        _add(self.retries, step, 1)

    def count_refresh(self, result: str) -> None:
        _add(self.refreshes, result, 1)

    def count_stream_error(self, name: str) -> None:
        _add(self.stream_errors, name, 1)

    def count_tokens(self, *, input: int, output: int, cache_read: int, cache_write: int) -> None:
        """Of an answer."""
        tokens = self.tokens
        tokens["input"] = tokens.get("input", 0) + input
        tokens["output"] = tokens.get("output", 0) + output
        tokens["cache_read"] = tokens.get("cache_read", 0) + cache_read
        tokens["cache_write"] = tokens.get("cache_write", 0) + cache_write

    def as_json(self) -> dict[str, Any]:
        """Every number, for ``add`` in another process."""
        return {
            **{name: getattr(self, name) for name in _COUNTERS},
            "requests": [[*key, count] for key, count in self.requests.items()],
            "credits": self.credits,
            "active": self.active,
            "first_token": self.first_token.as_json(),
            "total": self.total.as_json(),
        }

    def add(self, numbers: Mapping[str, Any]) -> None:
        """Add what ``as_json`` of another process gave, the answers under way included."""
        for name in _COUNTERS:
            for key, count in numbers[name].items():
                _add(getattr(self, name), key, count)
        for dialect, outcome, count in numbers["requests"]:
            key = (dialect, outcome)
            self.requests[key] = self.requests.get(key, 0) + count
        self.credits += numbers["credits"]
        self.active += numbers["active"]
        self.first_token.add(numbers["first_token"])
        self.total.add(numbers["total"])


_COUNTERS: Final = (
    "unknown_events",
    "failures",
    "retries",
    "refreshes",
    "stream_errors",
    "tokens",
)


def _add(counts: dict[str, int], name: str, count: int) -> None:
    counts[name] = counts.get(name, 0) + count


class Exposition:
    """Collects metric families and writes them as Prometheus text, format 0.0.4."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(self, name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> None:
        """``kind``: counter or gauge. A family without samples is left out."""
        lines = [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
        if lines:
            self._lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *lines]

    def single(self, name: str, kind: str, meaning: str, value: float | None) -> None:
        """A family with one number; None: it is not known here."""
        if value is not None:
            self.family(name, kind, meaning, [((), value)])

    def counts(self, name: str, meaning: str, label: str, counts: Mapping[str, int]) -> None:
        """A counter with one label."""
        samples = [(((label, key),), count) for key, count in sorted(counts.items())]
        self.family(name, "counter", meaning, samples)

    def histogram(self, name: str, meaning: str, histogram: Histogram) -> None:
        self._lines += [f"# HELP {name} {meaning}", f"# TYPE {name} histogram"]
        running = 0
        bounds = [_number(bound) for bound in histogram.bounds] + ["+Inf"]
        for bound, count in zip(bounds, histogram.counts, strict=True):
            running += count
            self._lines.append(f'{name}_bucket{{le="{bound}"}} {running}')
        self._lines += [f"{name}_sum {_number(histogram.sum_s)}", f"{name}_count {running}"]

    def encode(self) -> bytes:
        return ("\n".join(self._lines) + "\n").encode()


_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels) + "}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value == int(value) else repr(float(value))
