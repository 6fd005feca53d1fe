"""The state folder's SQLite file: what shall survive a restart and may be lost without harm.

One thread owns the connection; everybody else hands it functions. ``run`` waits for an answer,
``submit`` does not: writes that come close together share one transaction, off the event loop. Long
reads go beside it (``read``).

Nothing depends on the file. A broken one is moved aside and a new one made; where none can be had (a
read-only folder, a full disk, a file of a newer version) the same tables live in memory, with one
warning. Several processes may use one file at once: SQLite's own locks (WAL) keep them apart.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from kiroproxy.batches import (
    Job,
    Losses,
    Row,
    Rows,
    Work,
    is_broken,
    primary,
    transaction,
    write_what_fits,
)
from kiroproxy.errors import StorageError
from kiroproxy.private import make_folders
from kiroproxy.schema import MIGRATIONS

_log = logging.getLogger("kiroproxy.database")
_T = TypeVar("_T")

FILE_NAME: Final = "state.db"

BUSY_S: Final = 5.0  # how long we wait for another process's transaction
BATCH_S: Final = 0.05  # submitted writes wait this long for company
MAX_BATCH: Final = 1000
MAX_QUEUED: Final = 20_000  # beyond it submitted writes are dropped: the disk does not keep up
_OPEN_WAIT_S: Final = 10.0
_POLL_S: Final = 0.05
_RECORDS: Final = "usage, account states, responses with store: true"
_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal")


class _Broken(Exception):
    """The file is no sound database."""


class Database:
    """``open``, then ``run`` and ``submit`` from one event loop, then ``close`` once."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._hurry = threading.Event()  # somebody waits for what is in the line
        self._ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._is_closed = False
        self._losses = Losses()
        self._is_suspect = False
        self._dropped = 0
        self.is_durable = False
        """Whether the tables are in the file; False: in memory, gone at the end."""
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)

    @classmethod
    def open(cls, path: Path, monotonic: Callable[[], float] = time.monotonic) -> Database:
        """The database in the file ``path`` (made 0600 with its folder when missing). Blocks; never
        fails: see ``is_durable``."""
        database = cls(path, monotonic)
        database._thread.start()
        database._ready.result()
        return database

    @property
    def is_failing(self) -> bool:
        """Whether something could not be written in the last minute, for a full disk mostly."""
        return self._losses.is_going_on(self._monotonic())

    async def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What ``work`` returns, run in a transaction of its own after all that was submitted before.

        Raises StorageError when SQLite does; whatever else ``work`` raises comes out as it is. Either
        way the transaction is undone.
        """
        if self._is_closed:
            raise StorageError("The state file is closed.")
        done: concurrent.futures.Future[_T] = concurrent.futures.Future()
        self._jobs.put(Job(work, done))
        self._hurry.set()
        return await asyncio.wrap_future(done)

    async def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """As ``run``, for work that only reads and may take its time: on a connection of its own,
        beside the writer, who goes on. A write in ``work`` fails with StorageError."""
        if not self.is_durable:
            return await self.run(work)
        try:
            await self.run(_nothing)  # all that was submitted before is in the file now
        except StorageError:
            await self.run(_nothing)  # if it was damage, there is another file by now
        try:
            return await asyncio.to_thread(self._read, work)
        except _Broken:
            self._is_suspect = True  # the writer, with pages of its own, may never notice
            return await self.run(work)

    def add(self, into: Rows, row: tuple[Any, ...]) -> None:
        """Store a row soon; as ``submit``."""
        self.submit(Row(into, row))

    def submit(self, work: Work, *, is_urgent: bool = False) -> None:
        """Run ``work`` soon, in one transaction with its neighbours; from any thread, without waiting.

        ``is_urgent``: at once, for what a killed process should not have forgotten. A failure
        undoes this work alone and is logged.
        """
        if self._is_closed:
            return
        if self._jobs.qsize() >= MAX_QUEUED:
            self._dropped += 1
            if self._dropped == 1:
                _log.warning("the state file does not keep up; some records are lost")
            return
        self._jobs.put(Job(work, is_urgent=is_urgent))
        if is_urgent:
            self._hurry.set()

    async def close(self) -> None:
        """Write what was submitted, then close the file. What comes later is ignored."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
            self._hurry.set()
        await asyncio.to_thread(self._thread.join)

    def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S)) as connection:
                return work(connection)
        except sqlite3.Error as error:
            if is_broken(error) or primary(error) == sqlite3.SQLITE_CANTOPEN:
                raise _Broken from None
            raise StorageError(f"The state file cannot be read ({error}).") from None

    # -- in the worker thread

    def _work(self) -> None:
        connection = self._connect()
        self._ready.set_result(None)
        is_open = True
        while is_open:
            batch, last, is_open = self._take()
            if self._is_suspect:
                connection = self._reopened(connection)
            try:
                if batch:
                    self._write(connection, batch)
            except _Broken:
                connection = self._reopened(connection)
            try:
                if last is not None:
                    _answer(connection, last)
            except _Broken:
                connection = self._reopened(connection)
        connection.close()

    def _reopened(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        _log.error("%s is damaged or gone; the last records are lost", self._path)
        connection.close()
        self._is_suspect = False
        return self._connect()

    def _take(self) -> tuple[list[Job], Job | None, bool]:
        """Submitted work, then perhaps one job that somebody waits for; False at the end."""
        batch: list[Job] = []
        job = self._jobs.get()
        if job is not None and job.done is None and not job.is_urgent:
            # Asleep for the whole time: a thread that wakes for each job takes the interpreter from
            # the event loop each time.
            self._hurry.wait(BATCH_S)
            self._hurry.clear()  # before the rest is taken: who comes later sets it again
        while job is not None and job.done is None:
            batch.append(job)
            if job.is_urgent or len(batch) >= MAX_BATCH:
                return batch, None, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, None, True
        return batch, job, job is not None

    def _write(self, connection: sqlite3.Connection, batch: list[Job]) -> None:
        try:
            lost, failure = write_what_fits(connection, batch)
        except sqlite3.Error:
            raise _Broken from None
        now_s = self._monotonic()
        if lost:
            if words := self._losses.add(lost, now_s):
                _log.warning(
                    "the state file cannot be written (%s); %s (%s)", failure, words, _RECORDS
                )
        elif words := self._losses.end(now_s):
            _log.info("the state file can be written again; %s", words)

    def _connect(self) -> sqlite3.Connection:
        """The file's connection, or one in memory; says in the log why it is not the file's."""
        try:
            make_folders(self._path.parent)
            with _opening_lock(self._path):
                connection = _open_file(self._path)
            self.is_durable = True
            return connection
        except (OSError, sqlite3.Error, StorageError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            _log.warning(
                "%s cannot be used (%s); account states and usage are kept in memory only",
                self._path,
                why,
            )
        self.is_durable = False
        connection = sqlite3.connect(":memory:", isolation_level=None)
        _migrate(connection)
        return connection


def read_existing(path: Path, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
    """What ``work`` reads from the file, beside a server that may be using it; None when there is no
    such file. It is neither made nor changed. Blocks; raises StorageError."""
    if not path.exists():
        return None
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=BUSY_S)) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > len(MIGRATIONS):
                raise StorageError(f"{path}: was made by a newer version of this program.")
            if version < len(MIGRATIONS):  # an older one's: the server brings it up to date
                return _read_copy(connection, work)
            return work(connection)
    except sqlite3.Error as error:
        raise StorageError(f"{path}: cannot be read ({error}).") from None


def _read_copy(source: sqlite3.Connection, work: Callable[[sqlite3.Connection], _T]) -> _T:
    """As ``work`` would find it after the migrations, which happen in memory."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        source.backup(copy)
        _migrate(copy)
        return work(copy)


def _nothing(connection: sqlite3.Connection) -> None:
    """Work that only stands in the line."""


@contextlib.contextmanager
def _opening_lock(path: Path) -> Iterator[None]:
    """One process at a time opens, migrates or moves aside. A process that hangs is not waited for."""
    flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path.with_name(f"{path.name}.lock"), flags, 0o600)
    try:
        give_up_at_s = time.monotonic() + _OPEN_WAIT_S
        while time.monotonic() < give_up_at_s:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _open_file(path: Path) -> sqlite3.Connection:
    """Raises OSError, sqlite3.Error or StorageError when the file cannot be used as it is."""
    try:
        return _open_sound(path)
    except _Broken as error:
        aside = path.with_name(f"{path.name}.broken-{time.time_ns() // 1_000_000}")
        for suffix in _SIDE_FILES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}{suffix}", f"{aside}{suffix}")
        _log.error("%s is damaged (%s); it was moved to %s", path, error, aside.name)
    try:
        return _open_sound(path)
    except _Broken as error:
        raise StorageError(str(error)) from None


def _open_sound(path: Path) -> sqlite3.Connection:
    _make_private(path)
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")  # where it cannot be had any other one serves
        connection.execute("PRAGMA synchronous=NORMAL")
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise _Broken(str(verdict).splitlines()[0])
        _migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        if is_broken(error):
            raise _Broken(str(error)) from None
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _make_private(path: Path) -> None:
    """0600, made if missing; SQLite gives its side files the same mode.

    A file that is there is not opened: closing it again would free the locks that another connection
    of this process holds on it (POSIX locks belong to the process, not to the handle).
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the present version. Raises StorageError for a newer one than ours."""
    with transaction(connection):
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StorageError("it was made by a newer version of this program")
    for number in range(version, len(MIGRATIONS)):
        with transaction(connection):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={number + 1}")


def _answer(connection: sqlite3.Connection, job: Job) -> None:
    """Run a job that somebody waits for. Raises _Broken after having told them."""
    done = job.done
    if done is None or not done.set_running_or_notify_cancel():
        return
    try:
        with transaction(connection):
            result = job.work(connection)
    except sqlite3.Error as error:
        done.set_exception(StorageError(f"The state file cannot be used ({error})."))
        if is_broken(error):
            raise _Broken from None
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(result)
