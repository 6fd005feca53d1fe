"""How fast this machine is just now: a piece of work that is nobody's to tune.

botocore decodes an event stream, in processor time, where the relay runs. The goals were set for a
machine that takes ``GOALS_US`` for each event; what this one takes, divided by it, says how much more
processor time anything may take here. One machine and its neighbours differ by a factor of two within a
minute.

Run: ``python -m bench.yardstick`` prints µs an event, a round a line.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from botocore.eventstream import EventStreamBuffer

from bench.workloads import reads, small_stream

GOALS_US = 6.5
EVENTS = 2_000
ROUNDS = 15
TIMEOUT_S = 60.0


def measure() -> list[float]:
    """µs of processor time for each event, a value for each round."""
    pieces = reads(small_stream(EVENTS))
    took: list[float] = []
    for _ in range(ROUNDS):
        buffer, count = EventStreamBuffer(), 0
        began_s = time.process_time()
        for piece in pieces:
            buffer.add_data(piece)
            count += sum(1 for _ in buffer)
        took.append((time.process_time() - began_s) / EVENTS * 1e6)
        assert count == EVENTS, count
    return took


def rounds_us(cpu: int | None) -> list[float]:
    """``measure`` in a process of its own, on processor ``cpu``."""
    pinned = [] if cpu is None else ["taskset", "-c", str(cpu)]
    command = [*pinned, sys.executable, "-m", "bench.yardstick"]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=True)
    return [float(line) for line in done.stdout.split()]


def row(rounds: list[list[float]]) -> dict[str, float]:
    """Of a whole run: the middle, and the tenth from below of a hundred."""
    values = sorted(value for one in rounds for value in one)
    return {"median": statistics.median(values), "quietest": values[len(values) // 10]}


if __name__ == "__main__":
    print(*(f"{value:.3f}" for value in measure()), sep="\n")
