"""How cost grows: processor time per request or answer, for more events, streams, history and tools.

Run: ``python -m bench.growth``. Within one process and without sockets, so that nothing but the program
is timed; the least of several rounds counts. Linear growth shows as an even last column. The relay under
many streams at once is in ``bench.load``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

import orjson

from bench.workloads import big_request, ending_stream, reads, small_stream
from kiroproxy.api.answer import Answer
from kiroproxy.api.anthropic import MessagesEncoder
from kiroproxy.api.anthropic.request import parse_messages_request
from kiroproxy.api.events import AnswerEvent
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.api.to_kiro import build
from kiroproxy.cli.process import settle
from kiroproxy.clock import SystemClock
from kiroproxy.kiro.models import ModelInfo
from kiroproxy.relay import Pump

ROUNDS = 5
MODEL = ModelInfo("claude-sonnet-4.5", "Claude", max_input_tokens=1_000_000)
Rows = Iterator[tuple[int, float]]


def least_ms(work: Callable[[], object]) -> float:
    took = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        work()
        took.append(time.process_time() - began_s)
    return min(took) * 1e3


class _Stream:
    """One answer on its way, as the relay has it."""

    def __init__(self) -> None:
        self._encoder = MessagesEncoder("msg_1", "claude")
        self._pump = Pump(Answer(AnswerPlan(1_000, 200_000)), self._deliver, SystemClock())
        self.bytes = 0

    def _deliver(self, batch: list[AnswerEvent]) -> None:
        self.bytes += len(self._encoder.events(batch))

    def run(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._pump.feed(piece)
        self._encoder.finish(self._pump.finish())


def events(counts: Iterable[int] = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000)) -> Rows:
    """One answer of so many small events."""
    for count in counts:
        pieces = reads(small_stream(count) + ending_stream())
        yield count, least_ms(lambda pieces=pieces: _Stream().run(pieces))  # type: ignore[misc]


def streams(counts: Iterable[int] = (10, 50, 100, 500, 1_000, 2_000)) -> Rows:
    """So many answers of 20 events, a read for each, all under way at once and taking turns."""
    pieces = [*reads(small_stream(20), 131), ending_stream()]

    def together(count: int) -> None:
        open_ = [_Stream() for _ in range(count)]
        for piece in pieces:
            for stream in open_:
                stream._pump.feed(piece)
        for stream in open_:
            stream._encoder.finish(stream._pump.finish())

    for count in counts:
        yield count, least_ms(lambda count=count: together(count))  # type: ignore[misc]


def _translated(body: bytes) -> None:
    build(parse_messages_request(body, lambda name: None), MODEL).encode(None)


def history(counts: Iterable[int] = (51, 101, 201, 401, 801, 1_601)) -> Rows:
    """A request with so many messages of 4 KB."""
    for count in counts:
        body = big_request(count, 60_000 + count * 4_000)
        yield count, least_ms(lambda body=body: _translated(body))  # type: ignore[misc]


def tools(counts: Iterable[int] = (20, 40, 80, 160, 320, 640)) -> Rows:
    """A request with so many tools."""
    request = orjson.loads(big_request(3, 70_000))
    (tool, *_) = request["tools"]
    for count in counts:
        request["tools"] = [{**tool, "name": f"tool_{number}"} for number in range(count)]
        body = orjson.dumps(request)
        yield count, least_ms(lambda body=body: _translated(body))  # type: ignore[misc]


def main() -> None:
    settle()  # memory and collector as the server has them
    for name, unit, rows in (
        ("events of one answer", "event", events()),
        ("streams at once, 20 reads each", "stream", streams()),
        ("messages of a request", "message", history()),
        ("tools of a request", "tool", tools()),
    ):
        print(f"\n| {name} | ms | µs a {unit} |\n|---|---|---|")
        for count, ms in rows:
            print(f"| {count:,} | {ms:.2f} | {ms / count * 1e3:.2f} |", flush=True)


if __name__ == "__main__":
    main()
