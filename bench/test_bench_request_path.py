"""Guards of what makes a small request cheap: heads, the log line, and an answer that is one read."""

from __future__ import annotations

import asyncio
import io
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest

from bench.experiments.heads import ANSWER, ASKED, FIELDS
from bench.workloads import ending_stream, small_stream
from kiroproxy import logs
from kiroproxy.alarms import Alarms
from kiroproxy.api.answer import Answer
from kiroproxy.api.anthropic import MessagesEncoder
from kiroproxy.api.events import AnswerEvent
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.batches import Job, Row, Rows, write_batch
from kiroproxy.cli.process import settle
from kiroproxy.clock import SystemClock
from kiroproxy.config import Log
from kiroproxy.http.head import HeadReader
from kiroproxy.http.limits import HttpLimits
from kiroproxy.ids import make_ordered
from kiroproxy.relay import Pump
from kiroproxy.schema import MIGRATIONS
from kiroproxy.upstream.plain import plain_request, plain_response
from kiroproxy.usage import RequestRecord

SHORT_EVENTS = 500
ROWS = Rows("requests", RequestRecord._fields)


def test_head_to_the_service(benchmark: Any) -> None:
    assert benchmark(plain_request, b"POST", b"/generate", FIELDS) is not None


def test_head_from_the_service(benchmark: Any) -> None:
    assert benchmark(plain_response, ANSWER, 65_536) is not None


def test_head_of_a_client_seen_before(benchmark: Any) -> None:
    limits = HttpLimits()
    found = benchmark(lambda: HeadReader(limits).feed(ASKED))
    assert found[0].body_bytes == 12_000


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    with redirect_stderr(io.StringIO()):
        logs.setup(Log())
    logger = logging.getLogger("kiroproxy")
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.propagate = True


def test_log_line_of_a_request(benchmark: Any, logger: logging.Logger) -> None:
    recurring = logs.Recurring("status", "dialect", "client", "model", "stream", "account", "tries")
    values = (200, "messages", "claude-cli/2.1.0", "claude-sonnet-4-5", True, "d0af4cc4", 1)
    usage = {"input": 12, "output": 10, "cache_read": 0, "cache_write": 0, "source": "estimated"}

    def say() -> None:
        fields = {"first_token_ms": 2.1, "response_time": 3.4, "token_usage": usage}
        logs.say(logger, "answered", recurring, values, fields)

    benchmark(say)


def test_deadline_of_a_request(benchmark: Any) -> None:
    """Set and dropped, as nearly all are; a timer of the loop for each costs ten times as much."""
    with asyncio.Runner() as runner:
        alarms = Alarms(runner.get_loop())
        watch = Bell()

        def deadline() -> None:
            alarms.set(watch, 300.0)
            alarms.drop(watch)

        benchmark(deadline)


class Bell:
    def ring(self) -> None:
        """Nobody waits that long here."""


def test_ledger_rows_of_a_batch(benchmark: Any, tmp_path: Path) -> None:
    """A hundred rows in a file that has thousands: their ids follow each other, so few pages change."""
    benchmark(store, connection_with(5_000, tmp_path), 100)


def connection_with(rows: int, folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / "state.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    for statements in MIGRATIONS:
        for statement in statements:
            connection.execute(statement)
    store(connection, rows)
    return connection


def store(connection: sqlite3.Connection, rows: int) -> None:
    works = [Row(ROWS, row_of(f"req_{make_ordered()}")) for _ in range(rows)]
    write_batch(connection, [Job(work) for work in works])


def row_of(request_id: str) -> tuple[Any, ...]:
    record = RequestRecord(
        request_id, 1.8e9, "claude-cli/2.1.0", "messages", "claude-sonnet-4-5", "claude-sonnet-4.5",
        "d0af4cc4", True, 200, "answered", 14_972, 28, 0, 0, 0.01,
    )  # fmt: skip
    return (*record[:15], "{}", *record[16:])


@pytest.fixture
def as_served() -> None:
    """Memory as the server has it: else each run takes its pages from the kernel anew."""
    settle()


@pytest.mark.usefixtures("as_served")
def test_answer_in_one_read(benchmark: Any) -> None:
    """Opening, 500 events and the end together: all but a few of them take the short path."""
    stream = small_stream(SHORT_EVENTS) + ending_stream()

    def answer() -> int:
        encoder = MessagesEncoder("msg_1", "claude")
        out: list[bytes] = []

        def deliver(batch: list[AnswerEvent]) -> None:
            out.append(encoder.events(batch))

        pump = Pump(Answer(AnswerPlan(1_000, 200_000)), deliver, SystemClock())
        pump.feed(stream)
        encoder.finish(pump.finish())
        return b"".join(out).count(b"text_delta")

    assert benchmark(answer) == SHORT_EVENTS
