"""The whole relay under load, on loopback, beside a relay that only copies bytes.

Run: ``python -m bench.load [--only NAME …] [--out FILE]``. Every scenario runs against both relays in
turn, in the same run, with the same client and the same upstream; all are processes of their own. With
two processors or more the relay has one to itself. Every answer is checked: all events, in order,
with a proper end; one that is not fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import goals, yardstick
from bench.load_client import connect_many
from bench.loops import loop_name, run
from bench.processes import START_TIMEOUT_S, Process, free_port, one_account, start_proxy
from bench.scenarios import (
    KEY,
    MESSAGES,
    SCENARIOS,
    Dialect,
    Row,
    Target,
    check_short,
    idle_connections,
    short_request,
)

SCENARIO_TIMEOUT_S = 120.0
QUIET_S = 12.0  # after which the proxy has given back what it kept

# -- the run ------------------------------------------------------------------------------------------


class Bench:
    """The processes of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.relay_cpu: int | None
        self.relay_cpu, other_cpu = (1, 0) if (os.cpu_count() or 1) > 1 else (None, None)
        if other_cpu is not None:
            os.sched_setaffinity(0, {other_cpu})
        port = free_port()
        arguments = ["-m", "bench.fast_upstream", str(port)]
        self.upstream = self._start("upstream", arguments, port, other_cpu)
        self.upstream.wait_until_open()

    def _start(self, name: str, arguments: list[str], port: int, cpu: int | None) -> Process:
        return Process(arguments, port=port, log=self.folder / f"{name}.log", cpu=cpu)

    def start_raw_relay(self) -> Target:
        port = free_port()
        arguments = ["-m", "bench.raw_relay", str(port), str(self.upstream.port)]
        relay = self._start("raw", arguments, port, self.relay_cpu)
        relay.wait_until_open()
        return Target("raw relay", relay)

    def start_proxy(self, upstream_port: int | None = None) -> Target:
        """Not waited for: what comes until its first answer is measured."""
        settings = one_account(upstream_port or self.upstream.port, KEY)
        home, log = self.folder / "home", self.folder / "proxy.log"
        return Target("kiroproxy", start_proxy(home, log, settings, cpu=self.relay_cpu))


async def first_answer(target: Target, dialect: Dialect = MESSAGES) -> float:
    """Seconds from the start of the process to the end of its first good answer."""
    target.process.wait_until_open()
    (connection,) = await connect_many(target.process.port, 1)
    while time.monotonic() < target.process.started_s + START_TIMEOUT_S:
        reply = await connection.request(short_request(dialect))
        if reply.status == 200:
            check_short(target, reply, dialect)
            connection.close()
            return time.monotonic() - target.process.started_s
        await asyncio.sleep(0.005)
    raise RuntimeError(f"no good answer: {reply.status} {reply.body[:500]!r}")


async def measure(bench: Bench, only: list[str]) -> dict[str, Any]:
    starts = []
    for _ in range(3):
        trial = bench.start_proxy()
        starts.append(await first_answer(trial))
        trial.process.stop()
    trial = bench.start_proxy()
    await first_answer(trial)
    idle = await idle_connections(trial)
    trial.process.stop()
    raw, proxy = bench.start_raw_relay(), bench.start_proxy()
    try:
        await first_answer(proxy)
        idle_mb = proxy.process.memory_mb()
        results: dict[str, dict[str, Row]] = {}
        yards: list[list[float]] = []
        for name, scenario in SCENARIOS.items():
            if only and not any(word in name for word in only):
                continue
            results[name] = {}
            for target in (raw, proxy):
                yards.append(yardstick.rounds_us(bench.relay_cpu))
                async with asyncio.timeout(SCENARIO_TIMEOUT_S):
                    row = await scenario(target)
                results[name][target.name] = row
                print(f"{name}: {target.name}: {shown(row)}", flush=True)
        await asyncio.sleep(QUIET_S)
        process = {
            "start_to_first_answer_s": statistics.median(starts),
            "memory_idle_mb": idle_mb,
            "memory_after_mb": proxy.process.memory_mb(),
            "memory_most_mb": proxy.process.memory_mb("VmHWM"),
            "sockets_left_open": proxy.process.open_sockets(),
            **idle,
        }
        print(f"process: {shown(process)}")
        return {
            "machine": machine(),
            "yardstick_us": yardstick.row(yards),
            "scenarios": results,
            "process": process,
        }
    finally:
        proxy.process.stop()
        raw.process.stop()


def shown(row: Row) -> str:
    return ", ".join(f"{name} {value:,.2f}" for name, value in row.items())


def table(results: dict[str, Any]) -> str:
    """The numbers as Markdown, for README.md."""
    lines = ["| scenario | number | raw relay | kiroproxy |", "|---|---|---|---|"]
    for name, rows in results["scenarios"].items():
        for number in rows["kiroproxy"]:
            raw, proxy = rows["raw relay"][number], rows["kiroproxy"][number]
            lines.append(f"| {name} | {number} | {figures(raw)} | {figures(proxy)} |")
    for number, value in results["process"].items():
        lines.append(f"| process | {number} | | {figures(value)} |")
    return "\n".join(lines)


def figures(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:,.3g}"


def machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processors": os.cpu_count(),
        "model": models[0] if models else platform.machine(),
        "python": platform.python_version(),
        "loop": loop_name(),
        "load_average_at_start": os.getloadavg()[0],
        "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[], help="scenarios whose name has this word")
    parser.add_argument("--out", type=Path, help="write the numbers there as JSON")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()  # of this process alone: its pauses would count as the relay's latency
    with tempfile.TemporaryDirectory(prefix="kiroproxy-bench-") as folder:
        bench = Bench(Path(folder))
        try:
            results = run(measure(bench, arguments.only))
        finally:
            bench.upstream.stop()
    print(f"{table(results)}\n\n{goals.table(results)}")
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
