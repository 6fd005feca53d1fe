"""kiroproxy beside a peer that a registry has, in one run: speed, size, and what clients are told.

Run: ``make peers``. The peer is kiro-openai-gateway (FastAPI, uvicorn with uvloop, httpx) at the version
that pyproject.toml names, in an environment of its own, with no account and nobody's home folder. It speaks
Chat Completions alone, so that is what both are asked. Same client, same upstream, same processor, in turn;
an event that does not arrive fails the run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from bench import load
from bench.load import Bench, figures, first_answer, machine
from bench.loops import run
from bench.peer_cases import CASES, CaseUpstream, ask
from bench.processes import Process, free_port
from bench.scenarios import (
    CHAT,
    KEY,
    Row,
    Scenario,
    Target,
    many_streams,
    one_stream,
    paced,
    short_requests,
)

PEER = "kiro-openai-gateway"
SCENARIO_TIMEOUT_S = 300.0
STARTS = 3

SCENARIOS: dict[str, Scenario] = {
    "one stream, 20,000 events": one_stream(1, CHAT, rounds=3),
    "64 streams × 500 events": many_streams(CHAT, rounds=3),
    "20 streams × 50 events/s": paced(20, 50, 6, CHAT),
    "small requests, 32 connections": short_requests(32, 4.0, dialect=CHAT),
}

Start = Callable[[int], Target]
"""Starts a proxy in front of the upstream at a port; does not wait for it."""


class Peers(Bench):
    """Both proxies and their upstream."""

    def __init__(self, folder: Path, python: str) -> None:
        super().__init__(folder)
        self._python = python
        self.starts: dict[str, Start] = {"kiroproxy": self.start_proxy, PEER: self.start_peer}

    def start_peer(self, upstream_port: int) -> Target:
        home = self.folder / "peer"
        home.mkdir(exist_ok=True)
        sign_in = home / "sign-in.json"
        tokens = {"accessToken": "bench", "refreshToken": "bench"}
        sign_in.write_bytes(orjson.dumps({**tokens, "expiresAt": "2099-01-01T00:00:00Z"}))
        # It starts only where such a file is, and reads its settings from the environment first.
        (home / ".env").write_text(f"KIRO_CREDS_FILE={sign_in}\n")
        port = free_port()
        process = Process(
            [str(Path(__file__).parent / "peer_gateway.py"), str(port), str(upstream_port)],
            port=port,
            log=self.folder / "peer.log",
            cpu=self.relay_cpu,
            python=self._python,
            cwd=home,
            whole_env={
                "HOME": str(home),
                "PROXY_API_KEY": KEY,
                "KIRO_CREDS_FILE": str(sign_in),
            },
        )
        return Target(PEER, process)


async def speed(bench: Peers) -> dict[str, dict[str, Row]]:
    """Scenario → proxy → numbers. Each proxy runs alone, all scenarios in one process."""
    results: dict[str, dict[str, Row]] = {name: {} for name in (*SCENARIOS, "process")}
    for name, start in bench.starts.items():
        took = []
        for _ in range(STARTS):
            target = start(bench.upstream.port)
            took.append(await first_answer(target, CHAT))
            target.process.stop()
        target = start(bench.upstream.port)
        await first_answer(target, CHAT)
        idle_mb = target.process.memory_mb()
        try:
            for scenario, measure in SCENARIOS.items():
                async with asyncio.timeout(SCENARIO_TIMEOUT_S):
                    row = await measure(target)
                results[scenario][name] = row
                print(f"{scenario}: {name}: {load.shown(row)}", flush=True)
            await asyncio.sleep(load.QUIET_S)
            results["process"][name] = {
                "start_to_first_answer_s": statistics.median(took),
                "memory_idle_mb": idle_mb,
                "memory_after_mb": target.process.memory_mb(),
            }
        finally:
            target.process.stop()
    return results


async def behaviour(bench: Peers) -> dict[str, dict[str, str]]:
    """Case → proxy → what its client was told, streamed and not."""
    results: dict[str, dict[str, str]] = {case.name: {} for case in CASES}
    async with CaseUpstream().serving() as upstream:
        for name, start in bench.starts.items():
            target = start(upstream.port)
            target.process.wait_until_open()
            try:
                for upstream.case in CASES:
                    told = [
                        await _verdict(target.process.port, upstream, stream=stream)
                        for stream in (True, False)
                    ]
                    same = told[0] == told[1]
                    words = told[0] if same else f"streamed: {told[0]}; whole: {told[1]}"
                    results[upstream.case.name][name] = words
                    print(f"{upstream.case.name}: {name}: {words}", flush=True)
            finally:
                target.process.stop()
    return results


async def _verdict(port: int, upstream: CaseUpstream, *, stream: bool) -> str:
    try:
        return (await ask(port, KEY, stream=stream)).verdict(upstream.case)
    except TimeoutError:
        return "no end at all"


def tables(results: dict[str, Any]) -> str:
    names = ["kiroproxy", PEER]
    lines = [f"| scenario | number | {' | '.join(names)} |", "|---|---|---|---|"]
    for scenario, rows in results["scenarios"].items():
        for number in rows[names[0]]:
            cells = " | ".join(figures(rows[name][number]) for name in names)
            lines.append(f"| {scenario} | {number} | {cells} |")
    lines += ["", f"| case | {' | '.join(names)} |", "|---|---|---|"]
    for case, told in results["cases"].items():
        lines.append(f"| {case} | {' | '.join(told[name] for name in names)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", required=True, help="the Python that has the peer")
    parser.add_argument("--out", type=Path, help="write the numbers there as JSON")
    arguments = parser.parse_args()
    gc.disable()  # of this process alone: its pauses would count as the proxies' latency
    with tempfile.TemporaryDirectory(prefix="kiroproxy-peers-") as folder:
        bench = Peers(Path(folder), arguments.python)
        try:
            results = {
                "machine": machine(),
                "cases": run(behaviour(bench)),
                "scenarios": run(speed(bench)),
            }
        finally:
            bench.upstream.stop()
    print(tables(results))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
