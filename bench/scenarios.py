"""What the load test asks of a relay, and how each answer is checked and each number made.

A scenario runs against one relay and gives a row of numbers, most of them twice: as it was in the
middle (a median, or all of it), and ``…_quietest``, the tenth best of a hundred slices of the same run.
Other programs, and other machines on the same processor, only ever add to what work takes: the quietest
slices tell what the code costs, the middle what was to be had just then.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import orjson

from bench.load_client import Connection, Reply, connect_many, dechunked, http_request, numbers_in
from bench.processes import Process
from bench.workloads import big_request

KEY = "key"
WARM_UP_S = 2.0
SHORT_EVENTS = 5  # of an answer to a request without an order
IDLE_CONNECTIONS = 10_000
SLICE_S = 0.25
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


class Slice(NamedTuple):
    wall_s: float
    cpu_s: float
    done: int


@contextlib.asynccontextmanager
async def slices(target: Target, done: Callable[[], int]) -> AsyncIterator[list[Slice]]:
    """A list that grows by one every SLICE_S. ``done``: how much has been done until now."""
    found: list[Slice] = []

    async def watch() -> None:
        while True:
            before = done()
            with Meter(target) as meter:
                await asyncio.sleep(SLICE_S)
            found.append(Slice(meter.wall_s, meter.cpu_s, done() - before))

    watching = asyncio.create_task(watch())
    try:
        yield found
    finally:
        watching.cancel()


def least(values: list[float]) -> float:
    """The tenth from below of a hundred."""
    return sorted(values)[len(values) // 10]


def most(values: list[float]) -> float:
    return sorted(values, reverse=True)[len(values) // 10]


def _event_rows(events: int, walls: list[float], cpus: list[float]) -> Row:
    return {
        "events_per_s": events / statistics.median(walls),
        "events_per_s_quietest": events / least(walls),
        "cpu_s_per_million_events": statistics.median(cpus) / events * 1e6,
        "cpu_s_per_million_events_quietest": least(cpus) / events * 1e6,
    }


# -- scenarios ----------------------------------------------------------------------------------------


def one_stream(
    batch: int, dialect: Dialect = MESSAGES, events: int = 20_000, rounds: int = 20
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
        return _event_rows(events, walls, cpus)

    return scenario


def many_streams(
    dialect: Dialect = MESSAGES, streams: int = 64, events: int = 500, rounds: int = 20
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
        return _event_rows(streams * events, walls, cpus)

    return scenario


def paced(streams: int, rate: int, seconds: int, dialect: Dialect = MESSAGES) -> Scenario:
    """Answers at a model's pace. Latency: from the upstream's write to the client's read, for events
    written after the first WARM_UP_S, when all requests have been taken in."""

    async def scenario(target: Target) -> Row:
        connections = await connect_many(target.process.port, streams)
        count = rate * seconds
        request = stream_request(count, rate=rate, dialect=dialect)
        async with slices(target, int) as found:
            from_ns = time.monotonic_ns() + int(WARM_UP_S * 1e9)
            replies = await asyncio.gather(
                *(one.request(request, timed=True, measure_from_ns=from_ns) for one in connections)
            )
        memory = target.process.memory_mb()
        for reply in replies:
            assert (reply.status, reply.events) == (200, count), (reply.status, reply.events)
        _close(connections)
        samples = [one for reply in replies for one in reply.latencies_ns]
        steady = found[int(WARM_UP_S / SLICE_S) : int((seconds - 2 * SLICE_S) / SLICE_S)]
        latencies = sorted(latency for _, latency in samples)
        return {
            "events": len(latencies),
            "latency_ms_p50": latencies[len(latencies) // 2] / 1e6,
            "latency_ms_p99": latencies[len(latencies) * 99 // 100] / 1e6,
            "latency_ms_max": latencies[-1] / 1e6,
            "latency_ms_p99_of_median_second": median_second_p99_ms(samples),
            "cpu_percent": sum(one.cpu_s for one in found) / sum(one.wall_s for one in found) * 100,
            "cpu_percent_quietest": least([one.cpu_s / one.wall_s * 100 for one in steady]),
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

        async with slices(target, lambda: len(took)) as found:
            with Meter(target) as meter:
                until_s = time.monotonic() + seconds
                await asyncio.gather(*(ask(one, until_s) for one in open_))
        _close(open_)
        return {
            "requests_per_s": len(took) / meter.wall_s,
            "requests_per_s_quietest": most([one.done / one.wall_s for one in found]),
            "cpu_ms_per_request": meter.cpu_s / len(took) * 1e3,
            "cpu_ms_per_request_quietest": least(
                [one.cpu_s / one.done * 1e3 for one in found if one.done]
            ),
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
    "small requests, 32 connections": short_requests(32, 6.0),
    "1.77 MB requests, 4 connections": short_requests(4, 6.0, big=True),
}
