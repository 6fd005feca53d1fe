"""What is submitted to the database's thread, how a batch of it is written, and what is said of one that
cannot be. No thread, no file."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import itertools
import logging
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

_log = logging.getLogger("kiroproxy.database")
Work = Callable[[sqlite3.Connection], object]

_BROKEN: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_ROOM: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})  # a quota is the latter
LOSSES_EVERY_S: Final = 600.0
FAILING_S: Final = 60.0
MAX_VARIABLES: Final = 999  # of one statement; SQLite's own bound before 3.32


class Rows:
    """Where rows of one kind go: ``table`` and its ``columns``, which are names of ours."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        self._insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608
        self._values = f"({', '.join('?' * len(columns))})"
        self._most = MAX_VARIABLES // len(columns)

    def insert(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Many rows a statement: each statement lets go of the interpreter, and to get it back takes
        it from the event loop."""
        for at in range(0, len(rows), self._most):
            some = rows[at : at + self._most]
            sql = self._insert + ", ".join([self._values] * len(some))
            connection.execute(sql, [value for row in some for value in row])


class Row:
    """The work of storing one row; neighbours of one kind are stored together."""

    __slots__ = ("into", "values")

    def __init__(self, into: Rows, values: tuple[Any, ...]) -> None:
        self.into = into
        self.values = values

    def __call__(self, connection: sqlite3.Connection) -> None:
        self.into.insert(connection, [self.values])


class Job:
    """``done`` None: submitted, nobody waits. ``is_urgent``: it does not wait for company either."""

    __slots__ = ("done", "is_urgent", "work")

    def __init__(
        self,
        work: Work,
        done: concurrent.futures.Future[Any] | None = None,
        *,
        is_urgent: bool = False,
    ) -> None:
        self.work = work
        self.done = done
        self.is_urgent = is_urgent


class Losses:
    """Records that could not be written: what is to be said of them, at the first, at most every ten
    minutes while it goes on, and when it is over. Empty where nothing is to be said.

    ``now_s``: of any clock that does not jump. It is over when nothing has failed for a minute, not with
    the first write that succeeds: a full disk still has room for small records.
    """

    def __init__(self) -> None:
        self._lost = 0
        self._said_at_s = 0.0
        self._failed_at_s = -math.inf

    def add(self, records: int, now_s: float) -> str:
        is_first = self._lost == 0
        self._lost += records
        self._failed_at_s = now_s
        if not is_first and now_s - self._said_at_s < LOSSES_EVERY_S:
            return ""
        self._said_at_s = now_s
        return f"{self._lost} records are lost" if self._lost > 1 else "1 record is lost"

    def is_going_on(self, now_s: float) -> bool:
        return now_s - self._failed_at_s < FAILING_S

    def end(self, now_s: float) -> str:
        """Something could be written."""
        if self._lost == 0 or self.is_going_on(now_s):
            return ""
        lost, self._lost = self._lost, 0
        return f"{lost} records were lost" if lost > 1 else "1 record was lost"


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A writer's from the start: one that began as a reader could not become one behind another's
    back, and would fail instead of waiting."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def write_batch(connection: sqlite3.Connection, batch: list[Job]) -> None:
    """In one transaction. One job's own mistake undoes it, and all are done again, each by itself."""
    try:
        with transaction(connection):
            for work in _joined(job.work for job in batch):
                work(connection)
            return
    except Exception as error:
        if isinstance(error, sqlite3.Error) and is_fatal(error):
            raise
    with transaction(connection):
        for job in batch:
            _write_one(connection, job.work)


def write_what_fits(
    connection: sqlite3.Connection, batch: list[Job]
) -> tuple[int, sqlite3.Error | None]:
    """How many works of a batch are lost, and the last error. Where room is short, a small record is not
    lost with a large one. Raises sqlite3.Error when the file is broken."""
    try:
        write_batch(connection, batch)
        return 0, None
    except sqlite3.Error as error:
        failure = error
    if is_broken(failure):
        raise failure
    if len(batch) == 1 or primary(failure) not in _ROOM:
        return len(batch), failure
    lost = 0
    for at, job in enumerate(batch):
        one_lost, error_of_one = write_what_fits(connection, [job])
        if error_of_one is not None:
            failure = error_of_one
            if primary(failure) not in _ROOM:  # it may have waited long, and the next would as well
                return lost + len(batch) - at, failure
        lost += one_lost
    return lost, failure


def _joined(works: Iterable[Work]) -> Iterator[Work]:
    """The same works in the same order, rows of one kind that stand together as one."""
    for into, run in itertools.groupby(works, _kind):
        if into is None:
            yield from run
        else:
            rows = [work.values for work in run if isinstance(work, Row)]
            yield functools.partial(into.insert, rows=rows)


def _kind(work: Work) -> Rows | None:
    return work.into if isinstance(work, Row) else None


def _write_one(connection: sqlite3.Connection, work: Work) -> None:
    """One work of a batch; its own mistake does not undo its neighbours'."""
    connection.execute("SAVEPOINT one")
    try:
        work(connection)
    except Exception as error:
        if isinstance(error, sqlite3.Error) and is_fatal(error):
            raise
        _log.exception("a record could not be written")
        connection.execute("ROLLBACK TO one")
    connection.execute("RELEASE one")


def primary(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for errors that Python's module makes itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_broken(error: sqlite3.Error) -> bool:
    return primary(error) in _BROKEN


def is_fatal(error: sqlite3.Error) -> bool:
    """Whether the file is at fault, and not the statement."""
    statement = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)
    return primary(error) not in (0, *statement)
