"""What workers cost each other: one server with 1, 2 and 4 of them, under the same load.

Run: ``python -m bench.scaling [--rounds N] [--out FILE]``. First all workers of a server share one
processor and the load has the other, so that only processor time counts and a busy machine does little
harm: if workers got in each other's way, a request would cost more with four of them. Then, where there are
two processors, 1 and 2 workers have both together with the load: what a machine of this size really gains.
The servers take turns, round after round, and the medians are shown. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.load import machine
from bench.load_client import connect_many
from bench.loops import run
from bench.processes import (
    START_TIMEOUT_S,
    Process,
    children,
    cpu_s,
    free_port,
    one_account,
    start_proxy,
)
from bench.scenarios import (
    KEY,
    Row,
    Target,
    check_short,
    check_stream,
    short_request,
    stream_request,
)

WORKERS = (1, 2, 4)
CONNECTIONS = 64
SMALL_S = 2.0
STREAM_EVENTS = 500


class Server:
    """A proxy with ``workers`` of them, and the processor time of each."""

    def __init__(self, folder: Path, upstream_port: int, workers: int, cpus: set[int]) -> None:
        self.workers = workers
        home = folder / f"home-{workers}-{len(cpus)}"
        settings = {**one_account(upstream_port, KEY), "KIROPROXY_WORKERS": str(workers)}
        process = start_proxy(home, folder / f"{home.name}.log", settings)
        os.sched_setaffinity(process.pid, cpus)  # before it makes workers, which inherit it
        self.target = Target("kiroproxy", process)

    async def ready(self) -> None:
        """All workers serve."""
        process = self.target.process
        while " serves on " not in (text := process.log.read_text(errors="replace")):
            if time.monotonic() > process.started_s + START_TIMEOUT_S:
                raise RuntimeError(f"it does not start: {text[-2000:]}")
            await asyncio.sleep(0.01)

    def cpu_s(self) -> list[float]:
        """Of each worker so far; the parent does nothing."""
        pid = self.target.process.pid
        return [cpu_s(worker) for worker in sorted(children(pid)) or [pid]]


class Meter:
    """Processor time of workers, upstream and client between ``with`` and its end."""

    def __init__(self, server: Server, upstream: Process) -> None:
        self._server, self._upstream = server, upstream

    def __enter__(self) -> Meter:
        self._before = self._server.cpu_s()
        self._load_s = time.process_time() + self._upstream.cpu_s()
        self._began_s = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s = time.monotonic() - self._began_s
        self.load_s = time.process_time() + self._upstream.cpu_s() - self._load_s
        after = self._server.cpu_s()
        self.each_s = [now - then for now, then in zip(after, self._before, strict=True)]

    @property
    def cpu_s(self) -> float:
        return sum(self.each_s)

    @property
    def evenness(self) -> float:
        """The idlest worker's part against the busiest one's; 1 is even."""
        return min(self.each_s) / max(self.each_s)

    @property
    def load_share(self) -> float:
        """Of all the processor time spent."""
        return self.load_s / (self.load_s + self.cpu_s)


async def small_requests(server: Server, upstream: Process) -> Row:
    open_ = await connect_many(server.target.process.port, CONNECTIONS)
    request, done = short_request(), 0
    with Meter(server, upstream) as meter:
        until_s = time.monotonic() + SMALL_S

        async def ask(index: int) -> None:
            nonlocal done
            while time.monotonic() < until_s:
                check_short(server.target, await open_[index].request(request))
                done += 1

        await asyncio.gather(*map(ask, range(CONNECTIONS)))
    for connection in open_:
        connection.close()
    return {
        "cpu_ms_per_request": meter.cpu_s / done * 1e3,
        "requests_per_s": done / meter.wall_s,
        "idlest_to_busiest": meter.evenness,
        "load_share_of_cpu": meter.load_share,
    }


async def streams(server: Server, upstream: Process) -> Row:
    open_ = await connect_many(server.target.process.port, CONNECTIONS)
    request = stream_request(STREAM_EVENTS)
    with Meter(server, upstream) as meter:
        replies = await asyncio.gather(*(one.request(request) for one in open_))
    for connection, reply in zip(open_, replies, strict=True):
        check_stream(server.target, reply, STREAM_EVENTS)
        connection.close()
    events = CONNECTIONS * STREAM_EVENTS
    return {
        "cpu_s_per_million_events": meter.cpu_s / events * 1e6,
        "events_per_s": events / meter.wall_s,
        "load_share_of_cpu": meter.load_share,
    }


async def in_turn(servers: Sequence[Server], upstream: Process, rounds: int) -> dict[str, Row]:
    """Medians by number of workers."""
    rows: dict[int, list[Row]] = {server.workers: [] for server in servers}
    for server in servers:
        await server.ready()
        await small_requests(server, upstream)  # warm
    for number in range(rounds):
        for server in servers if number % 2 else servers[::-1]:
            small, stream = (
                await small_requests(server, upstream),
                await streams(server, upstream),
            )
            row = {f"small {name}": value for name, value in small.items()}
            row |= {f"streams {name}": value for name, value in stream.items()}
            rows[server.workers].append(row)
    return {
        str(workers): {name: statistics.median(row[name] for row in found) for name in found[0]}
        for workers, found in rows.items()
    }


async def measure(folder: Path, rounds: int) -> dict[str, Any]:
    cpus = sorted(os.sched_getaffinity(0))
    port = free_port()
    upstream = Process(
        ["-m", "bench.fast_upstream", str(port)], port=port, log=folder / "upstream.log"
    )
    results: dict[str, Any] = {"machine": machine(), "rounds": rounds}
    try:
        upstream.wait_until_open()
        plans: list[tuple[str, tuple[int, ...], set[int], set[int]]] = [
            ("one processor", WORKERS, {cpus[-1]}, {cpus[0]})
        ]
        if len(cpus) > 1:
            plans.append(("two processors", WORKERS[:2], set(cpus[:2]), set(cpus[:2])))
        for name, counts, of_server, of_load in plans:
            for pid in (0, upstream.pid):
                os.sched_setaffinity(pid, of_load)
            servers = [Server(folder, port, workers, of_server) for workers in counts]
            try:
                results[name] = await in_turn(servers, upstream, rounds)
            finally:
                for server in servers:
                    server.target.process.stop()
            for workers, row in results[name].items():
                words = ", ".join(f"{key} {value:,.3g}" for key, value in row.items())
                print(f"{name}, {workers} workers: {words}", flush=True)
    finally:
        upstream.stop()
    return results


def tables(results: dict[str, Any]) -> str:
    """Markdown for docs/performance.md."""
    lines = [
        "| workers, one processor | CPU ms a request | CPU s a million events | idlest to busiest |",
        "|---|---|---|---|",
    ]
    for workers, row in results["one processor"].items():
        lines.append(
            f"| {workers} | {row['small cpu_ms_per_request']:.2f} "
            f"| {row['streams cpu_s_per_million_events']:.2f} | {row['small idlest_to_busiest']:.2f} |"
        )
    if "two processors" in results:
        lines += [
            "",
            "| workers, two processors | requests/s | events/s | the load's part of the CPU |",
        ]
        lines += ["|---|---|---|---|"]
        for workers, row in results["two processors"].items():
            lines.append(
                f"| {workers} | {row['small requests_per_s']:,.0f} | {row['streams events_per_s']:,.0f} "
                f"| {row['small load_share_of_cpu']:.0%}, {row['streams load_share_of_cpu']:.0%} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, help="keep the numbers here, as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kiroproxy-bench-") as folder:
        results = run(measure(Path(folder), given.rounds))
    if given.out is not None:
        given.out.write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))


if __name__ == "__main__":
    main()
