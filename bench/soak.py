"""Hundreds of mixed clients with faults, for minutes or hours: ``python -m bench.soak --minutes 30``.

Three dialects, streamed and not, tools, clients that leave or read slowly, faults of the service that pass
and faults that stay; the server and the simulator are processes of their own. Each request has to end as
its order says: in exactly one of answer, error and departure. At the end the ledger must have counted what
was sent, memory must be flat, and all descriptors must be back; then 200 streaming clients leave at once,
and the service's streams must be closed within a second.

Linux only. Exit code 1, with the findings on stderr, when anything of this does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bench.load import machine
from bench.loops import run
from bench.processes import Process, free_port, start_proxy
from bench.soak_client import PATHS, Heard, hear, read, request
from kiroproxy.simulator import Simulator

KEY = "key-of-the-soak"
LEAVERS = 200
LEAVE_S = 1.0
GROWTH_MB = 8.0  # from the second quarter to the last; less is the allocator's breath
QUIET_S = 90.0  # idle upstream connections are kept for 50 s
MOST_FINDINGS = 20

ANSWER, ERROR, GONE = "answered", "failed", "cancelled"

# Faults that pass are mended by another try, as long as nothing is out.
PASSING = ["internal", "high_load", "close_at_once", "nothing", "cut after=0", "corrupt after=0"]
LASTING = [
    "cut after=5",
    "reset after=5",
    "cut_mid_frame after=5",
    "cut_mid_chunk after=5",
    "eof after=5",
    "eof_mid_frame after=5",
    "corrupt after=5",
    "garbage after=5",
    "exception name=InternalServerException after=5",
    "error_frame after=5",
    "stall after=5",
    "no_ending",
]


@dataclass(frozen=True)
class Order:
    """One request. ``end``: how it must end. ``rest_s``: between reads. ``leave``: how the client goes."""

    prompt: str
    end: str
    text: str = ""
    call: str = ""
    rest_s: float = 0.0
    leave: str = ""


def order(rand: random.Random, number: int) -> Order:
    """Its number makes each prompt a conversation of its own."""
    words = " ".join(f"w{rand.randrange(1000)}" for _ in range(rand.randrange(20, 120)))
    pace = f"[[sim:pace {rand.choice(('0', '0', '0.01', '0.03'))}]]"
    say = f"request {number} {pace}[[sim:say {words}]]"
    match rand.choices(range(6), (50, 12, 12, 12, 8, 6))[0]:
        case 0:
            return Order(say, ANSWER, words)
        case 1:
            call = f'{{"command":"echo {number}"}}'
            return Order(f"request {number} [[sim:tool Bash {call}]]", ANSWER, call=call)
        case 2:
            return Order(f"{say}[[sim:fault {rand.choice(PASSING)} times=1]]", ANSWER, words)
        case 3:
            return Order(f"{say}[[sim:fault {rand.choice(LASTING)}]]", ERROR, words)
        case 4:
            endless = f"request {number} [[sim:pace 0.05]][[sim:text 2000]]"
            return Order(endless, GONE, leave=rand.choice(("close", "reset", "half")))
        case _:
            return Order(say, ANSWER, words, rest_s=0.02)


@dataclass
class Soak:
    """One run. ``findings``: what does not hold; ``counts``: requests by end."""

    proxy: Process
    service: subprocess.Popen[str]
    clients: int
    rate: float
    ends: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    numbers: int = 0

    async def run(self, seconds: float) -> dict[str, Any]:
        await self._one(Order("[[sim:say warm]]", ANSWER, "warm"), "messages", stream=False)
        descriptors = self._descriptors()
        began_s = time.monotonic()
        watching = asyncio.create_task(self._watch(began_s))
        until_s = began_s + seconds
        await asyncio.gather(*(self._client(number, until_s) for number in range(self.clients)))
        watching.cancel()
        await self._quiet(descriptors)
        counted = await self._counted()
        if counted != dict(self.ends):
            self._find(f"the ledger counts {counted}, sent were {dict(self.ends)}")
        leave_s = await self._leave()
        growth_mb = self._growth_mb()
        if growth_mb > GROWTH_MB:
            self._find(f"memory grew by {growth_mb:.1f} MB")
        return {
            "seconds": round(seconds),
            "clients": self.clients,
            "requests": sum(self.ends.values()),
            "ends": dict(self.ends),
            "memory_mb": [round(mb, 1) for _, mb in self.memory[:: max(1, len(self.memory) // 30)]],
            "memory_growth_mb": round(growth_mb, 2),
            "descriptors_before_and_after": [descriptors, self._descriptors()],
            "streams_closed_after_s": round(leave_s, 3),
            "proxy_cpu_s": round(self.proxy.cpu_s(), 1),
            "findings": self.findings,
        }

    # -- clients

    async def _client(self, number: int, until_s: float) -> None:
        rand = random.Random(number)
        mean_s = self.clients / self.rate
        await asyncio.sleep(rand.uniform(0, mean_s))
        while time.monotonic() < until_s:
            self.numbers += 1
            what = order(rand, self.numbers)
            await self._one(what, rand.choice(list(PATHS)), stream=rand.random() < 0.7)
            await asyncio.sleep(rand.expovariate(1 / mean_s))

    async def _one(self, what: Order, dialect: str, *, stream: bool) -> None:
        self.ends[what.end] += 1
        try:
            async with asyncio.timeout(60):
                await self._ask(what, dialect, stream=stream)
        except Exception as error:
            self._find(f"{dialect} stream={stream} {what.prompt[:150]!r}: {error!r}")

    async def _ask(self, what: Order, dialect: str, *, stream: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        try:
            tool = bool(what.call)
            writer.write(request(dialect, what.prompt, stream=stream, tool=tool, key=KEY))
            if what.leave:
                await self._go(reader, writer, what.leave, stream=stream)
                return
            heard = hear(dialect, await read(reader, rest_s=what.rest_s))
        finally:
            writer.close()
        check(what, heard, stream=stream)

    async def _go(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, how: str, *, stream: bool
    ) -> None:
        if stream:
            await reader.readuntil(b"delta")
        else:
            await asyncio.sleep(0.5)
        if how == "reset":
            writer.transport.abort()
        elif how == "half":
            writer.write_eof()
            await read(reader, rest_s=0)

    # -- what is watched

    async def _watch(self, began_s: float) -> None:
        while True:
            self.memory.append((time.monotonic() - began_s, self.proxy.memory_mb()))
            await asyncio.sleep(1.0)

    def _growth_mb(self) -> float:
        values = [mb for _, mb in self.memory]
        quarter = max(1, len(values) // 4)
        return statistics.median(values[-quarter:]) - statistics.median(
            values[quarter : 2 * quarter]
        )

    def _descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.proxy.pid}/fd"))

    async def _quiet(self, descriptors: int) -> None:
        """Until everything is closed again."""
        give_up_s = time.monotonic() + QUIET_S
        while self._descriptors() > descriptors or self._open_streams():
            if time.monotonic() > give_up_s:
                self._find(f"{self._descriptors()} descriptors, {descriptors} at the start")
                return
            await asyncio.sleep(0.5)

    def _open_streams(self) -> int:
        assert self.service.stdin is not None and self.service.stdout is not None
        self.service.stdin.write("\n")
        self.service.stdin.flush()
        return int(json.loads(self.service.stdout.readline())["open"])

    async def _counted(self) -> dict[str, int]:
        """Requests by outcome, as ``/metrics`` has them."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        head = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        writer.write(head.encode())
        text = (await read(reader, rest_s=0)).decode()
        writer.close()
        found = re.findall(r'^kiroproxy_requests_total\{.*outcome="(\w+)".*\} (\d+)', text, re.M)
        counts: Counter[str] = Counter()
        for outcome, number in found:
            counts[outcome] += int(number)
        return {outcome: number for outcome, number in counts.items() if number}

    async def _leave(self) -> float:
        """Seconds from the departure of LEAVERS clients to the last closed stream of the service."""
        crowd = []
        text = "[[sim:pace 0.05]][[sim:text 2000]]"
        for number in range(LEAVERS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
            dialect = list(PATHS)[number % 3]
            writer.write(request(dialect, f"{number} {text}", stream=True, tool=False, key=KEY))
            crowd.append((reader, writer))
        for reader, _ in crowd:
            await reader.readuntil(b"delta")
        if self._open_streams() != LEAVERS:
            self._find(f"{self._open_streams()} streams are open, not {LEAVERS}")
        began_s = time.monotonic()
        for _, writer in crowd:
            writer.transport.abort()
        while self._open_streams() and time.monotonic() < began_s + 30:
            await asyncio.sleep(0.01)
        took_s = time.monotonic() - began_s
        if took_s > LEAVE_S:
            self._find(f"the service's streams were closed after {took_s:.2f} s")
        return took_s

    def _find(self, words: str) -> None:
        self.findings.append(words)
        if len(self.findings) <= MOST_FINDINGS:
            print(words, file=sys.stderr, flush=True)


def check(what: Order, heard: Heard, *, stream: bool) -> None:
    """Raises AssertionError unless the request ended as its order says."""
    assert heard.proper + heard.errors == 1, f"{heard.proper} ends, {heard.errors} errors"
    if what.end == ANSWER:
        assert (heard.status, heard.errors) == (200, 0), heard
        assert heard.text == what.text, heard
        assert heard.calls == ([what.call] if what.call else []), heard
    else:
        assert heard.errors == 1, heard
        assert what.text.startswith(heard.text), heard
        assert stream or heard.status >= 400, heard


async def soak(folder: Path, seconds: float, clients: int, rate: float) -> dict[str, Any]:
    service_port = free_port()
    service = subprocess.Popen(
        [sys.executable, "-m", "bench.soak_service", str(service_port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{service_port}"
    entries = Simulator().demo_credentials()
    settings = {
        "KIRO_AUTH_TOKEN": orjson.dumps(entries).decode(),
        **dict.fromkeys(("KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL", "KIRO_OIDC_URL"), url),
        "KIRO_CLIENT_TOKEN": KEY,
        "KIROPROXY_IDLE_TIMEOUT_S": "5",  # what stalls is given up soon
        "LOG_LEVEL": "error",
    }
    proxy = start_proxy(folder / "home", folder / "proxy.log", settings)
    try:
        proxy.wait_until_open()
        results = await Soak(proxy, service, clients, rate).run(seconds)
        return {"machine": machine(), **results}
    finally:
        proxy.stop()
        service.kill()
        service.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument(
        "--rate", type=float, default=50.0, help="requests a second, of all together"
    )
    parser.add_argument("--out", type=Path, help="write the numbers there as JSON")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="kiroproxy-soak-") as folder:
        seconds = arguments.minutes * 60
        results = run(soak(Path(folder), seconds, arguments.clients, arguments.rate))
    text = json.dumps(results, indent=1, ensure_ascii=False)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")
    return 1 if results["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
