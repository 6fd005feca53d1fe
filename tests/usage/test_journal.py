"""The end of a request: counted, stored, told and logged once."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kiroproxy import logs
from kiroproxy.api.events import Ending, Source, Stop, Usage
from kiroproxy.config import Log
from kiroproxy.database import Database
from kiroproxy.errors import Kind, UpstreamError
from kiroproxy.metrics import Metrics
from kiroproxy.usage import Feed, Journal, Ledger, RequestRecord
from kiroproxy.usage.journal import client_name
from tests.usage.test_ledger import NOON, FixedClock


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@dataclass
class Desk:
    journal: Journal
    metrics: Metrics
    ledger: Ledger
    clock: FixedClock
    told: list[RequestRecord]
    listener: Lines

    @property
    def lines(self) -> list[Any]:
        return self.listener.records


@asynccontextmanager
async def desk(path: Path) -> AsyncIterator[Desk]:
    database = Database.open(path / "state.db")
    metrics, clock, feed, lines = Metrics(), FixedClock(), Feed(), Lines()
    told: list[RequestRecord] = []
    feed.listen(told.append)
    logger = logging.getLogger("kiroproxy.access")
    logger.addHandler(lines)
    level = logger.level
    logger.setLevel(logging.INFO)
    ledger = Ledger(database, clock, 30)
    try:
        journal = Journal(metrics, ledger, feed, clock)
        yield Desk(journal, metrics, ledger, clock, told, lines)
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)
        await database.close()


def ending(source: Source = Source.DERIVED) -> Ending:
    return Ending(Stop.END_TURN, Usage(100, 10, 5, 2, source, credits=0.5))


async def test_an_answer_is_recorded_once_everywhere(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        trace = at.journal.open("req_1", "messages", "claude-cli/2.1.0 (external)")
        assert at.metrics.active == 1
        trace.model, trace.upstream_model, trace.account = "sonnet", "claude-sonnet-4.5", "acc"
        trace.tries, trace.stream = 2, True
        trace.first_event_at_s = at.clock.monotonic_s + 0.5
        at.clock.monotonic_s += 2
        at.journal.answered(trace, ending(), "no stop reason")
        (record,) = at.told
        assert await at.ledger.recent(5) == [record.as_json()]
        assert (record.first_token_ms, record.total_ms, record.tries) == (500.0, 2000.0, 2)
        assert (record.outcome, record.status, record.time_epoch_s) == ("answered", 200, NOON)
        assert record.sources == {
            "input_tokens": "derived",
            "output_tokens": "estimated",
            "cache_read_tokens": "estimated",
            "cache_write_tokens": "estimated",
            "credits": "reported",
        }
        assert at.metrics.active == 0
        assert at.metrics.requests == {("messages", "answered"): 1}
        assert at.metrics.tokens == {"input": 100, "output": 10, "cache_read": 5, "cache_write": 2}
        assert at.metrics.credits == 0.5
        assert at.journal.last_used == {"acc": NOON}


async def test_the_log_line_says_what_counts(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        trace = at.journal.open("req_1", "messages", None)
        trace.model, trace.account = "sonnet", "acc"
        trace.first_event_at_s = at.clock.monotonic_s
        at.journal.answered(trace, ending(Source.REPORTED))
        (line,) = at.lines
        assert (line.getMessage(), line.levelname) == ("answered", "INFO")
        fields = line.fields
        assert (fields["status"], fields["account"], fields["model"]) == (200, "acc", "sonnet")
        assert (fields["response_time"], fields["first_token_ms"]) == (0.0, 0.0)
        assert fields["token_usage"] == {
            "input": 100,
            "output": 10,
            "cache_read": 5,
            "cache_write": 2,
            "source": "reported",
        }


@pytest.mark.parametrize("format", ["text", "json"])
async def test_a_note_that_quotes_the_service_is_cleaned(tmp_path: Path, format: str) -> None:
    stream = io.StringIO()
    with redirect_stderr(stream):
        logs.setup(Log(format=format))
    async with desk(tmp_path) as at:
        logging.getLogger("kiroproxy.access").removeHandler(at.listener)
        trace = at.journal.open("req_1", "messages", None)
        at.journal.answered(trace, ending(), "unknown: 'Bearer MARKED-token'\nforged")
    for handler in list(logging.getLogger("kiroproxy").handlers):
        logging.getLogger("kiroproxy").removeHandler(handler)
    logging.getLogger("kiroproxy").propagate = True
    (line,) = stream.getvalue().splitlines()
    assert "unknown: '***" in line
    assert "MARKED" not in line


async def test_a_failure_keeps_its_kind_and_no_numbers(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        trace = at.journal.open("req_1", "messages", None)
        error = UpstreamError("x" * 2000, kind=Kind.QUOTA, upstream_request_id="up-1")
        at.journal.failed(trace, error, 402)
        (record,) = at.told
        assert (record.outcome, record.status, record.error_kind) == ("failed", 402, "quota")
        assert (record.input_tokens, record.credits, record.sources) == (None, None, {})
        assert len(record.error) == 500
        assert at.metrics.failures == {"quota": 1}
        assert at.metrics.first_token.sum_s == 0
        (line,) = at.lines
        assert (line.getMessage(), line.levelname) == ("failed", "WARNING")
        assert line.fields["upstream_request_id"] == "up-1"


@pytest.mark.parametrize(("begun", "status"), [(True, 200), (False, 499)])
async def test_a_client_that_left_is_no_failure(tmp_path: Path, begun: bool, status: int) -> None:
    async with desk(tmp_path) as at:
        trace = at.journal.open("req_1", "messages", None)
        trace.stream = True
        trace.first_event_at_s = 1.0 if begun else None
        at.journal.cancelled(trace)
        assert (at.told[0].outcome, at.told[0].status) == ("cancelled", status)
        assert at.metrics.failures == {}
        assert at.metrics.active == 0


async def test_last_use_is_known_after_a_restart(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        trace = at.journal.open("req_1", "messages", None)
        trace.account = "acc"
        at.journal.answered(trace, ending())
    async with desk(tmp_path) as at:
        await at.journal.restore()
        assert at.journal.last_used == {"acc": NOON}


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, ""),
        ("", ""),
        ("claude-cli/2.1.0 (external, cli)", "claude-cli/2.1.0"),
        ("AsyncAnthropic/Python 0.70", "AsyncAnthropic/Python"),
        ("<script>alert(1)</script> x", "?script?alert?1??/script?"),
        ("a" * 500, "a" * 100),
    ],
)
def test_clients_are_named_by_their_first_product(header: str | None, name: str) -> None:
    assert client_name(header) == name
