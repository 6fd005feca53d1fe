"""The ledger: one row a request in the state file, and what can be asked of it.

Rows are handed to the database's thread, which writes those that come together in one transaction.
Sums are made there too, and kept for a while in proportion to what they cost.
"""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kiroproxy.batches import Rows
from kiroproxy.clock import Clock
from kiroproxy.database import Database
from kiroproxy.usage.record import RequestRecord

Json = dict[str, Any]

DAY_S: Final = 86_400
MAX_PAGE: Final = 500
_PRUNE_EVERY_S: Final = 3600.0
_KEEP_FACTOR: Final = 20  # a sum that took 50 ms is asked again after a second
_KEEP_LEAST_S: Final = 0.5
_MOST_GROUPS: Final = 50

_COLUMNS: Final = RequestRecord._fields
_SOURCES: Final = _COLUMNS.index("sources")
_NAMES: Final = ", ".join(_COLUMNS)
_ROWS: Final = Rows("requests", _COLUMNS)

# Everything is summed the same way, whatever it is grouped by. A client that left is no failure.
SUMS: Final = """
    COUNT(*) AS requests,
    COALESCE(SUM(outcome = 'failed'), 0) AS failures,
    COALESCE(SUM(input_tokens), 0) AS input_tokens,
    COALESCE(SUM(output_tokens), 0) AS output_tokens,
    COALESCE(SUM(cache_read_tokens), 0) AS cache_read_tokens,
    COALESCE(SUM(cache_write_tokens), 0) AS cache_write_tokens,
    COALESCE(SUM(credits), 0.0) AS credits
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A series: ``count`` buckets of ``width_s`` seconds up to now, aligned to UTC."""

    name: str
    width_s: int
    count: int


SPANS: Final = (Span("minute", 60, 60), Span("hour", 3600, 48), Span("day", DAY_S, 30))


class Ledger:
    """``keep_days``: older rows are deleted, at start and then about once an hour."""

    def __init__(self, database: Database, clock: Clock, keep_days: int) -> None:
        self._database = database
        self._clock = clock
        self._keep_s = keep_days * DAY_S
        self._prune_after_s = 0.0
        self._kept: dict[str, tuple[float, Any]] = {}  # part → until when (monotonic), value

    def add(self, record: RequestRecord) -> None:
        """Store a finished request soon; never waits, never fails."""
        row = _row_of(record)
        self._database.add(_ROWS, row)
        now_s = self._clock.monotonic()
        if now_s >= self._prune_after_s:
            self._prune_after_s = now_s + _PRUNE_EVERY_S
            self.prune()

    def prune(self) -> None:
        """Forget what is older than the retention time."""
        before = self._clock.wall() - self._keep_s
        self._database.submit(
            lambda connection: connection.execute(
                "DELETE FROM requests WHERE time_epoch_s < ?", (before,)
            )
        )

    async def recent(self, limit: int, before: str = "") -> list[Json]:
        """The latest requests, newest first; ``before``: only those that ended before the request with
        this id (nothing for an id nobody knows). Raises StorageError."""

        def read(connection: sqlite3.Connection) -> list[Json]:
            older = "WHERE seq < (SELECT seq FROM requests WHERE id = ?)" if before else ""
            query = f"SELECT {_NAMES} FROM requests {older} ORDER BY seq DESC LIMIT ?"  # noqa: S608
            values = (before, limit) if before else (limit,)
            return [_json_of(row) for row in connection.execute(query, values)]

        return await self._database.read(read)

    async def last(self) -> int:
        """The number of the latest row, 0 without one. Raises StorageError."""
        return await self._database.read(
            lambda connection: int(
                connection.execute("SELECT COALESCE(MAX(seq), 0) FROM requests").fetchone()[0]
            )
        )

    async def since(self, seq: int) -> tuple[int, list[Json]]:
        """Rows after the one with that number, oldest first and at most a page of them, with the number
        of the last: other processes' rows are among them. Raises StorageError."""

        def read(connection: sqlite3.Connection) -> tuple[int, list[Json]]:
            query = f"SELECT seq, {_NAMES} FROM requests WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608
            rows = connection.execute(query, (seq, MAX_PAGE)).fetchall()
            return (rows[-1][0] if rows else seq), [_json_of(row[1:]) for row in rows]

        return await self._database.read(read)

    async def summary(self) -> Json:
        """``totals``, ``series`` and ``by``: see the sums below. Raises StorageError."""
        now_s = self._clock.monotonic()
        due = [name for name in PARTS if now_s >= self._kept.get(name, (0.0, None))[0]]
        if due:
            wall_s = self._clock.wall()
            made = await self._database.read(lambda connection: _made(connection, due, wall_s))
            for name, (value, cost_s) in made.items():
                until_s = now_s + max(_KEEP_LEAST_S, cost_s * _KEEP_FACTOR)
                self._kept[name] = (until_s, value)
        parts = {name: self._kept[name][1] for name in PARTS}
        series = {span.name: parts[span.name] for span in SPANS}
        return {"totals": parts["totals"], "series": series, "by": parts["by"]}

    async def last_used(self) -> dict[str, float]:
        """Account → when its last request ended. Raises StorageError."""

        def read(connection: sqlite3.Connection) -> dict[str, float]:
            query = "SELECT account, MAX(time_epoch_s) FROM requests GROUP BY account"
            return {account: at for account, at in connection.execute(query) if account}

        return await self._database.read(read)


def _row_of(record: RequestRecord) -> tuple[Any, ...]:
    row: list[Any] = list(record)
    row[_SOURCES] = orjson.dumps(record.sources).decode()
    return tuple(row)


def _json_of(row: tuple[Any, ...]) -> Json:
    fields: Json = dict(zip(_COLUMNS, row, strict=True))
    fields["sources"] = orjson.loads(fields["sources"])
    fields["stream"] = bool(fields["stream"])
    return fields


# -- sums, in the database's thread


def _made(
    connection: sqlite3.Connection, names: Sequence[str], wall_s: float
) -> dict[str, tuple[Any, float]]:
    """Part → its value and the seconds it took."""
    made = {}
    for name in names:
        began_s = time.perf_counter()
        value = PARTS[name](connection, wall_s)
        made[name] = (value, time.perf_counter() - began_s)
    return made


def _totals(connection: sqlite3.Connection, wall_s: float) -> Json:
    """Over everything kept, with the time of the oldest row."""
    query = f"SELECT {SUMS}, MIN(time_epoch_s) AS since_epoch_s FROM requests"  # noqa: S608
    return dicts(connection.execute(query))[0]


def _by(connection: sqlite3.Connection, wall_s: float) -> Json:
    """Sums per account, model and client, most requests first."""
    return {name: _grouped(connection, name) for name in ("account", "model", "client")}


def _grouped(connection: sqlite3.Connection, column: str) -> list[Json]:
    query = (
        f"SELECT {column} AS name, {SUMS} FROM requests "  # noqa: S608
        f"GROUP BY {column} ORDER BY requests DESC, name LIMIT {_MOST_GROUPS}"
    )
    return dicts(connection.execute(query))


def _series(span: Span, connection: sqlite3.Connection, wall_s: float) -> list[Json]:
    """Buckets without a gap, oldest first; times to first token and in total as the 50th and 95th
    percentile of the answered requests, None where there was none."""
    width = span.width_s
    last = int(wall_s // width) * width
    first = last - (span.count - 1) * width
    query = (
        f"SELECT CAST(time_epoch_s AS INTEGER) / {width} * {width} AS t, {SUMS} "  # noqa: S608
        "FROM requests WHERE time_epoch_s >= ? GROUP BY t"
    )
    found = {row["t"]: row for row in dicts(connection.execute(query, (first,)))}
    first_tokens = _percentiles(connection, "first_token_ms", width, first)
    totals = _percentiles(connection, "total_ms", width, first)
    buckets = []
    for t in range(first, last + 1, width):
        bucket = found.get(t) or {**_NOTHING, "t": t}
        bucket["first_token_ms_p50"], bucket["first_token_ms_p95"] = first_tokens.get(t, _NONE)
        bucket["total_ms_p50"], bucket["total_ms_p95"] = totals.get(t, _NONE)
        buckets.append(bucket)
    return buckets


_NONE: Final = (None, None)
_NOTHING: Final[Json] = {
    "requests": 0,
    "failures": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "cache_read_tokens": 0,
    "cache_write_tokens": 0,
    "credits": 0.0,
}


def _percentiles(
    connection: sqlite3.Connection, column: str, width: int, first: int
) -> dict[int, tuple[float | None, float | None]]:
    """Bucket → (50th, 95th) by nearest rank."""
    query = (
        "SELECT t, MIN(value) FILTER (WHERE place * 100 >= many * 50), "  # noqa: S608
        "MIN(value) FILTER (WHERE place * 100 >= many * 95) FROM ("
        f"SELECT CAST(time_epoch_s AS INTEGER) / {width} * {width} AS t, {column} AS value, "
        f"ROW_NUMBER() OVER bucket AS place, "
        f"COUNT(*) OVER (PARTITION BY CAST(time_epoch_s AS INTEGER) / {width}) AS many "
        f"FROM requests WHERE time_epoch_s >= ? AND outcome = 'answered' AND {column} IS NOT NULL "
        f"WINDOW bucket AS (PARTITION BY CAST(time_epoch_s AS INTEGER) / {width} ORDER BY {column})"
        ") GROUP BY t"
    )
    return {t: (p50, p95) for t, p50, p95 in connection.execute(query, (first,))}


def dicts(cursor: sqlite3.Cursor) -> list[Json]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


Part = Callable[[sqlite3.Connection, float], Any]
PARTS: Final[dict[str, Part]] = {
    "totals": _totals,
    "by": _by,
    **{span.name: functools.partial(_series, span) for span in SPANS},
}
"""What ``summary`` is made of; each is kept by itself, so that the costly ones do not age the others."""
