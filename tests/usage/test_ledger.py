"""The ledger over a real file: rows, pages, sums, percentiles, retention."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kiroproxy.database import Database
from kiroproxy.usage import Ledger, RequestRecord

NOON = 1_763_726_400.0  # a full hour
DAY = 86_400


class FixedClock:
    """Both clocks stand where the test puts them."""

    def __init__(self) -> None:
        self.monotonic_s = 1000.0
        self.wall_s = NOON

    def monotonic(self) -> float:
        return self.monotonic_s

    def wall(self) -> float:
        return self.wall_s

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a ledger does not sleep")


RECORD = RequestRecord(
    id="req_1",
    time_epoch_s=NOON,
    client="claude-cli/2.1.0",
    dialect="messages",
    model="claude-sonnet-4-5",
    upstream_model="claude-sonnet-4.5",
    account="social-1",
    stream=True,
    status=200,
    outcome="answered",
    input_tokens=100,
    output_tokens=10,
    cache_read_tokens=5,
    cache_write_tokens=0,
    credits=0.25,
    sources={"input_tokens": "derived", "output_tokens": "estimated", "credits": "reported"},
    first_token_ms=120.5,
    total_ms=900.0,
    tries=1,
)
FAILURE = RequestRecord(
    id="req_f",
    time_epoch_s=NOON,
    client="",
    dialect="messages",
    model="claude-sonnet-4-5",
    upstream_model="",
    account="",
    stream=False,
    status=402,
    outcome="failed",
    total_ms=3.0,
    error_kind="quota",
    error="The credits are used up.",
)


@asynccontextmanager
async def ledger(path: Path, keep_days: int = 30) -> AsyncIterator[tuple[Ledger, FixedClock]]:
    database = Database.open(path / "state.db")
    clock = FixedClock()
    try:
        yield Ledger(database, clock, keep_days), clock
    finally:
        await database.close()


def numbered(count: int, **changes: Any) -> list[RequestRecord]:
    return [RECORD._replace(id=f"req_{n}", **changes) for n in range(count)]


async def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (book, _):
        book.add(RECORD)
        book.add(FAILURE)
        assert await book.recent(10) == [FAILURE.as_json(), RECORD.as_json()]


async def test_records_survive_a_restart(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (book, _):
        book.add(RECORD)
    async with ledger(tmp_path) as (book, _):
        assert await book.recent(10) == [RECORD.as_json()]
        assert await book.last_used() == {"social-1": NOON}


async def test_pages_follow_each_other(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (book, _):
        for record in numbered(5):
            book.add(record)
        first = [row["id"] for row in await book.recent(2)]
        second = [row["id"] for row in await book.recent(2, before=first[-1])]
        last = [row["id"] for row in await book.recent(2, before=second[-1])]
        assert first + second + last == ["req_4", "req_3", "req_2", "req_1", "req_0"]
        assert await book.recent(2, before="req_unknown") == []


async def test_totals_and_groups_add_up(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (book, _):
        for record in [*numbered(3), FAILURE, RECORD._replace(id="x", outcome="cancelled")]:
            book.add(record)
        summary = await book.summary()
        assert summary["totals"] == {
            "requests": 5,
            "failures": 1,
            "input_tokens": 400,
            "output_tokens": 40,
            "cache_read_tokens": 20,
            "cache_write_tokens": 0,
            "credits": 1.0,
            "since_epoch_s": NOON,
        }
        accounts = {row["name"]: row["requests"] for row in summary["by"]["account"]}
        assert accounts == {"social-1": 4, "": 1}
        assert [row["name"] for row in summary["by"]["model"]] == ["claude-sonnet-4-5"]
        assert {row["name"] for row in summary["by"]["client"]} == {"", "claude-cli/2.1.0"}


async def test_series_have_no_gap_and_end_now(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (book, clock):
        clock.wall_s = NOON + 30
        book.add(RECORD._replace(time_epoch_s=NOON - 61))
        book.add(RECORD._replace(time_epoch_s=NOON + 29.9))
        series = (await book.summary())["series"]
        minutes = [bucket["t"] for bucket in series["minute"]]
        assert minutes == list(range(int(NOON) - 59 * 60, int(NOON) + 1, 60))
        busy = {b["t"]: b["requests"] for b in series["minute"] if b["requests"]}
        assert busy == {int(NOON) - 120: 1, int(NOON): 1}
        assert [b["requests"] for b in series["hour"]][-2:] == [1, 1]
        assert [b["requests"] for b in series["day"]][-2:] == [0, 2]
        assert (len(series["hour"]), len(series["day"])) == (48, 30)
        assert set(series["minute"][0]) == set(series["minute"][-1])


async def test_percentiles_are_nearest_rank_of_what_was_answered(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (book, _):
        for n in range(1, 101):
            book.add(RECORD._replace(id=f"req_{n}", first_token_ms=float(n), total_ms=n * 10.0))
        book.add(FAILURE)
        bucket = (await book.summary())["series"]["minute"][-1]
        assert (bucket["requests"], bucket["failures"]) == (101, 1)
        assert (bucket["first_token_ms_p50"], bucket["first_token_ms_p95"]) == (50.0, 95.0)
        assert (bucket["total_ms_p50"], bucket["total_ms_p95"]) == (500.0, 950.0)


async def test_an_empty_ledger_has_sums_too(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (book, _):
        summary = await book.summary()
        assert summary["totals"]["requests"] == 0
        assert summary["totals"]["since_epoch_s"] is None
        assert summary["series"]["day"][-1]["first_token_ms_p50"] is None


async def test_sums_are_kept_for_a_moment(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (book, clock):
        assert (await book.summary())["totals"]["requests"] == 0
        book.add(RECORD)
        assert (await book.summary())["totals"]["requests"] == 0
        clock.monotonic_s += 60
        assert (await book.summary())["totals"]["requests"] == 1


async def test_old_rows_are_forgotten(tmp_path: Path) -> None:
    async with ledger(tmp_path, keep_days=2) as (book, _):
        book.add(RECORD._replace(id="old", time_epoch_s=NOON - 2 * DAY - 1))
        book.add(RECORD._replace(id="young", time_epoch_s=NOON - 2 * DAY + 1))
        book.prune()
        assert [row["id"] for row in await book.recent(10)] == ["young"]


async def test_rows_hold_no_more_than_the_record(tmp_path: Path) -> None:
    async with ledger(tmp_path) as (book, _):
        book.add(RECORD)
    with sqlite3.connect(tmp_path / "state.db") as connection:
        (row,) = connection.execute("SELECT * FROM requests").fetchall()
    connection.close()
    assert len(row) == len(RECORD.as_json()) + 1
