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
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from bench import goals
from bench.load_client import Connection, Reply, connect_many, dechunked, http_request, numbers_in
from bench.loops import loop_name, run
from bench.processes import START_TIMEOUT_S, Process, free_port
from bench.workloads import big_request

KEY = "key"
SCENARIO_TIMEOUT_S = 120.0
WARM_UP_S = 2.0
SHORT_EVENTS = 5  # of an answer to a request without an order
IDLE_CONNECTIONS = 10_000
QUIET_S = 12.0  # after which the proxy has given back what it kept
BIG_MESSAGES, BIG_BYTES = 403, 1_680_000  # makes 1.77 MB of JSON, with 20 tools
HEALTH = b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


class Dialect(NamedTuple):
    """``texts_end``: behind it Responses says all the text again."""

    path: str
    prompt: str
    limit: str
    end: bytes
    texts_end: bytes = b""


MESSAGES = Dialect("/v1/messages", "messages", "max_tokens", b'data: {"type":"message_stop"}\n\n')
CHAT = Dialect("/v1/chat/completions", "messages", "max_completion_tokens", b"data: [DONE]\n\n")
RESPONSES = Dialect(
    "/v1/responses",
    "input",
    "max_output_tokens",
    b"event: response.completed\n",
    b"event: response.output_text.done\n",
)

Row = dict[str, float]


class Target(NamedTuple):
    name: str
    process: Process

    @property
    def translates(self) -> bool:
        """Else it only copies."""
        return self.name != "raw relay"


Scenario = Callable[[Target], Awaitable[Row]]


# -- requests and checks ------------------------------------------------------------------------------


def stream_request(count: int, rate: int = 0, batch: int = 1, dialect: Dialect = MESSAGES) -> bytes:
    order = f"[[bench count={count} rate={rate} batch={batch}]]"
    return _request(order, stream=True, dialect=dialect)


def short_request(dialect: Dialect = MESSAGES) -> bytes:
    return _request("Hi", stream=False, dialect=dialect)


def _request(text: str, *, stream: bool, dialect: Dialect = MESSAGES) -> bytes:
    fields: dict[str, Any] = {
        "model": "claude-sonnet-4-5",
        dialect.limit: 10_000_000,
        "stream": stream,
        dialect.prompt: [{"role": "user", "content": text}],
    }
    if dialect is RESPONSES:
        fields["store"] = False
    return http_request(orjson.dumps(fields), KEY, dialect.path)


def check_stream(target: Target, reply: Reply, count: int, dialect: Dialect = MESSAGES) -> None:
    assert reply.status == 200, (reply.status, reply.body[:500])
    body = dechunked(reply.body)
    if target.translates:
        assert dialect.end in body, "no proper end"
        if dialect.texts_end:
            body = body[: body.index(dialect.texts_end)]
    assert numbers_in(body) == list(range(count)), f"{target.name}: events lost or out of order"


def check_short(target: Target, reply: Reply, dialect: Dialect = MESSAGES) -> None:
    assert reply.status == 200, (reply.status, reply.body[:500])
    if target.translates:
        found = orjson.loads(reply.body)
        is_chat = dialect is CHAT
        text = found["choices"][0]["message"]["content"] if is_chat else found["content"][0]["text"]
        assert text.count("@") == 2 * SHORT_EVENTS, text
    else:
        assert numbers_in(dechunked(reply.body)) == list(range(SHORT_EVENTS))


class Meter:
    """Wall and processor time between ``with`` and its end."""

    def __init__(self, target: Target) -> None:
        self._process = target.process

    def __enter__(self) -> Meter:
        self._cpu_s, self._began_s = self._process.cpu_s(), time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s = time.monotonic() - self._began_s
        self.cpu_s = self._process.cpu_s() - self._cpu_s


# -- scenarios ----------------------------------------------------------------------------------------


def one_stream(
    batch: int, dialect: Dialect = MESSAGES, events: int = 20_000, rounds: int = 8
) -> Scenario:
    """One client, one answer after the other, as fast as they come."""

    async def scenario(target: Target) -> Row:
        (connection,) = await connect_many(target.process.port, 1)
        request = stream_request(events, batch=batch, dialect=dialect)
        await connection.request(request)
        walls, cpus = [], []
        for _ in range(rounds):
            with Meter(target) as meter:
                reply = await connection.request(request)
            check_stream(target, reply, events, dialect)
            walls.append(meter.wall_s)
            cpus.append(meter.cpu_s)
        connection.close()
        return {
            "events_per_s": events / statistics.median(walls),
            "cpu_s_per_million_events": statistics.median(cpus) / events * 1e6,
        }

    return scenario


def many_streams(
    dialect: Dialect = MESSAGES, streams: int = 64, events: int = 500, rounds: int = 5
) -> Scenario:
    """Many answers at once, as fast as they come."""

    async def scenario(target: Target) -> Row:
        connections = await connect_many(target.process.port, streams)
        request = stream_request(events, dialect=dialect)
        walls, cpus = [], []
        for _ in range(rounds):
            with Meter(target) as meter:
                replies = await asyncio.gather(*(one.request(request) for one in connections))
            for reply in replies:
                check_stream(target, reply, events, dialect)
            walls.append(meter.wall_s)
            cpus.append(meter.cpu_s)
        _close(connections)
        total = streams * events
        return {
            "events_per_s": total / statistics.median(walls),
            "cpu_s_per_million_events": statistics.median(cpus) / total * 1e6,
        }

    return scenario


def paced(streams: int, rate: int, seconds: int, dialect: Dialect = MESSAGES) -> Scenario:
    """Answers at a model's pace. Latency: from the upstream's write to the client's read, for events
    written after the first WARM_UP_S, when all requests have been taken in."""

    async def scenario(target: Target) -> Row:
        connections = await connect_many(target.process.port, streams)
        count = rate * seconds
        request = stream_request(count, rate=rate, dialect=dialect)
        with Meter(target) as meter:
            from_ns = time.monotonic_ns() + int(WARM_UP_S * 1e9)
            replies = await asyncio.gather(
                *(one.request(request, timed=True, measure_from_ns=from_ns) for one in connections)
            )
        memory = target.process.memory_mb()
        for reply in replies:
            assert (reply.status, reply.events) == (200, count), (reply.status, reply.events)
        _close(connections)
        samples = [one for reply in replies for one in reply.latencies_ns]
        latencies = sorted(latency for _, latency in samples)
        return {
            "events": len(latencies),
            "latency_ms_p50": latencies[len(latencies) // 2] / 1e6,
            "latency_ms_p99": latencies[len(latencies) * 99 // 100] / 1e6,
            "latency_ms_max": latencies[-1] / 1e6,
            "latency_ms_p99_of_median_second": median_second_p99_ms(samples),
            "cpu_percent": meter.cpu_s / meter.wall_s * 100,
            "memory_mb": memory,
        }

    return scenario


def median_second_p99_ms(samples: list[tuple[int, int]]) -> float:
    """The p99 of each second, and of these the median: what another program's burst on the same
    machine does not move, while anything that the relay does every second would."""
    seconds: dict[int, list[int]] = {}
    for stamp, latency in samples:
        seconds.setdefault(stamp // 1_000_000_000, []).append(latency)
    tails = [sorted(one)[len(one) * 99 // 100] for one in seconds.values()]
    return statistics.median(tails) / 1e6


def short_requests(
    connections: int, seconds: float, big: bool = False, dialect: Dialect = MESSAGES
) -> Scenario:
    """Not streamed: each connection asks again as soon as it is answered. Big ones are Messages."""

    async def scenario(target: Target) -> Row:
        request = (
            http_request(big_request(BIG_MESSAGES, BIG_BYTES, stream=False), KEY)
            if big
            else short_request(dialect)
        )
        open_ = await connect_many(target.process.port, connections)
        took: list[float] = []

        async def ask(connection: Connection, until_s: float) -> None:
            while (began_s := time.monotonic()) < until_s:
                check_short(target, await connection.request(request), dialect)
                took.append(time.monotonic() - began_s)

        with Meter(target) as meter:
            until_s = time.monotonic() + seconds
            await asyncio.gather(*(ask(one, until_s) for one in open_))
        _close(open_)
        return {
            "requests_per_s": len(took) / meter.wall_s,
            "cpu_ms_per_request": meter.cpu_s / len(took) * 1e3,
            "answer_ms_p50": statistics.median(took) * 1e3,
        }

    return scenario


async def idle_connections(target: Target, count: int = IDLE_CONNECTIONS) -> Row:
    """Kept alive after one request each, and asked again at the end: each must have been held. In a
    process that has done nothing else, so that no memory lies ready."""
    before_mb = target.process.memory_mb()
    open_ = await connect_many(target.process.port, count)
    await _ask_all(open_)
    idle_mb = target.process.memory_mb()
    held = await _ask_all(open_)
    assert held == count, f"{count - held} of {count} idle connections were lost"
    _close(open_)
    return {
        "idle_connections_held": held,
        "idle_connection_kb": (idle_mb - before_mb) * 1024 / count,
    }


async def _ask_all(connections: list[Connection]) -> int:
    """In groups; how many got a good answer."""
    held = 0
    for at in range(0, len(connections), 100):
        replies = await asyncio.gather(*(one.request(HEALTH) for one in connections[at : at + 100]))
        held += sum(reply.status == 200 for reply in replies)
    return held


def _close(connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()


SCENARIOS: dict[str, Scenario] = {
    "one stream, 20,000 events, a chunk each": one_stream(batch=1),
    "one stream, 20,000 events, 64 to a chunk": one_stream(batch=64),
    "64 streams × 500 events": many_streams(),
    "one stream, 20,000 events, Chat Completions": one_stream(1, CHAT),
    "one stream, 20,000 events, Responses": one_stream(1, RESPONSES),
    "64 streams × 500 events, Chat Completions": many_streams(CHAT),
    "64 streams × 500 events, Responses": many_streams(RESPONSES),
    "200 streams × 50 events/s": paced(200, 50, 8),
    "1000 streams × 10 events/s": paced(1_000, 10, 10),
    "small requests, 32 connections": short_requests(32, 4.0),
    "1.77 MB requests, 4 connections": short_requests(4, 5.0, big=True),
}


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
        self.upstream = self._start("upstream", arguments, port, cpu=other_cpu)
        self.upstream.wait_until_open()

    def _start(
        self,
        name: str,
        arguments: list[str],
        port: int,
        *,
        cpu: int | None,
        env: dict[str, str] | None = None,
    ) -> Process:
        return Process(arguments, port=port, log=self.folder / f"{name}.log", env=env, cpu=cpu)

    def start_raw_relay(self) -> Target:
        port = free_port()
        arguments = ["-m", "bench.raw_relay", str(port), str(self.upstream.port)]
        relay = self._start("raw", arguments, port, cpu=self.relay_cpu)
        relay.wait_until_open()
        return Target("raw relay", relay)

    def start_proxy(self, upstream_port: int | None = None) -> Target:
        """Not waited for: what comes until its first answer is measured."""
        port = free_port()
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        env = {
            "HOME": str(home),
            "KIROPROXY_STATE_DIR": str(home / "state"),
            "KIRO_API_KEY": "ksk_" + "b" * 32,
            "KIRO_API_URL": f"http://127.0.0.1:{upstream_port or self.upstream.port}",
            "KIRO_CLIENT_TOKEN": KEY,
            "KIROPROXY_ACCOUNT_CONCURRENCY": "0",  # the proxy is measured, not its manners
            "MAX_CONCURRENT_SESSIONS": "0",
        }
        arguments = ["-m", "kiroproxy", "server", "--port", str(port)]
        proxy = self._start("proxy", arguments, port, cpu=self.relay_cpu, env=env)
        return Target("kiroproxy", proxy)


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
        for name, scenario in SCENARIOS.items():
            if only and not any(word in name for word in only):
                continue
            results[name] = {}
            for target in (raw, proxy):
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
        return {"machine": machine(), "scenarios": results, "process": process}
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
