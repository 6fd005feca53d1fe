"""The state file: what is written stays, and nothing that happens to the file stops the program."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kiroproxy.batches import FAILING_S, LOSSES_EVERY_S, MAX_VARIABLES, Losses, Rows
from kiroproxy.database import Database
from kiroproxy.errors import StorageError
from kiroproxy.schema import MIGRATIONS


def note(name: str) -> str:
    return (
        "INSERT OR REPLACE INTO account_states VALUES "
        f"('{name}', 'ready', '', 'internal', NULL, 0, 0, 0.0, '', 1)"
    )


def names(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT account FROM account_states ORDER BY 1")]


async def add(database: Database, name: str) -> None:
    await database.run(lambda connection: connection.execute(note(name)))


async def test_rows_survive_a_restart_and_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "state.db"
    database = Database.open(path)
    assert database.is_durable
    await add(database, "one")
    database.submit(lambda connection: connection.execute(note("two")))
    assert await database.run(names) == ["one", "two"]  # after all that was submitted before
    database.submit(lambda connection: connection.execute(note("three")))
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert set(modes.values()) == {0o600} and {"state.db", "state.db-wal"} <= set(modes)
    await database.close()
    again = Database.open(path)
    assert await again.run(names) == ["one", "three", "two"]
    await again.close()


async def test_long_read_does_not_hold_the_writer_up(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "state.db")
    database.submit(lambda connection: connection.execute(note("one")))
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> list[str]:
        found = names(connection)
        begun.set()
        assert go_on.wait(30)
        return found

    reading = asyncio.create_task(database.read(slow))
    await asyncio.to_thread(begun.wait, 30)
    await add(database, "two")  # returns while the read still runs
    go_on.set()
    assert await reading == ["one"]  # it saw what was submitted before it
    assert await database.read(names) == ["one", "two"]
    with pytest.raises(StorageError):
        await database.read(lambda connection: connection.execute(note("three")))
    await database.close()


async def test_read_works_in_memory_too(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    database = Database.open(tmp_path / "state.db")
    assert not database.is_durable
    await add(database, "one")
    assert await database.read(names) == ["one"]
    await database.close()


async def test_open_file_of_everybody_is_made_private(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch(0o666)
    path.chmod(0o666)
    await Database.open(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_failing_work_undoes_itself_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database.open(tmp_path / "state.db")

    def half(connection: sqlite3.Connection) -> None:
        connection.execute(note("half"))
        raise KeyError("a mistake")

    database.submit(lambda connection: connection.execute(note("before")))
    database.submit(half)
    database.submit(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"))
    database.submit(lambda connection: connection.execute(note("after")))
    assert await database.run(names) == ["after", "before"]
    assert caplog.text.count("a record could not be written") == 2
    with pytest.raises(KeyError):
        await database.run(half)
    with pytest.raises(StorageError, match="no such table"):
        await database.run(lambda connection: connection.execute("SELECT * FROM nowhere"))
    assert await database.run(names) == ["after", "before"]
    await database.close()


async def test_rows_among_other_work_keep_their_order(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "state.db")
    notes = Rows("notes", ("name", "value"))
    await database.run(
        lambda c: c.execute("CREATE TABLE notes (seq INTEGER PRIMARY KEY, name, value)")
    )
    for number in range(MAX_VARIABLES):  # more than one statement's worth
        database.add(notes, (f"a{number}", number))
    database.submit(lambda c: c.execute("INSERT INTO notes (name, value) VALUES ('between', NULL)"))
    database.add(notes, ("b", 1))
    stored = await database.run(
        lambda c: c.execute("SELECT name FROM notes ORDER BY seq").fetchall()
    )
    assert [name for (name,) in stored] == [f"a{n}" for n in range(MAX_VARIABLES)] + [
        "between",
        "b",
    ]
    await database.close()


async def test_a_row_that_cannot_be_stored_takes_no_other_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database.open(tmp_path / "state.db")
    notes = Rows("notes", ("name",))
    await database.run(lambda c: c.execute("CREATE TABLE notes (name UNIQUE)"))
    for name in ("one", "two", "one", "three"):
        database.add(notes, (name,))
    stored = await database.run(
        lambda c: c.execute("SELECT name FROM notes ORDER BY name").fetchall()
    )
    assert [name for (name,) in stored] == ["one", "three", "two"]
    assert caplog.text.count("a record could not be written") == 1
    await database.close()


async def test_cancelled_waiter_leaves_the_thread_working(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "state.db")
    waiters = [asyncio.create_task(add(database, str(n))) for n in range(20)]
    await asyncio.sleep(0)
    for waiter in waiters[::2]:
        waiter.cancel()
    await asyncio.gather(*waiters, return_exceptions=True)
    assert {str(n) for n in range(1, 20, 2)} <= set(await database.run(names))
    await database.close()


async def test_after_close_nothing_is_taken(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "state.db")
    await database.close()
    await database.close()
    database.submit(names)
    with pytest.raises(StorageError, match="closed"):
        await database.run(names)


@pytest.mark.parametrize("damage", ["text", "middle", "cut"])
async def test_damaged_file_is_moved_aside(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.db"
    database = Database.open(path)
    for number in range(200):
        database.submit(lambda connection, n=number: connection.execute(note(f"{n:0100}")))
    await database.close()
    data = path.read_bytes()
    assert len(data) > 3 * 4096
    path.write_bytes(
        {
            "text": b"this is no database at all " * 400,
            "middle": data[:4096] + os.urandom(len(data) - 4096),
            "cut": data[: len(data) // 2],
        }[damage]
    )
    fresh = Database.open(path)
    assert fresh.is_durable and await fresh.run(names) == []
    assert "was moved to state.db.broken-" in caplog.text
    assert len(list(tmp_path.glob("state.db.broken-*"))) == 1
    await fresh.close()


async def test_damage_while_running_is_survived(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    first = Database.open(path)
    await add(first, "one")
    await first.run(lambda c: None)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.execute("PRAGMA writable_schema=ON")
    other.execute("UPDATE sqlite_master SET rootpage = 99 WHERE name = 'account_states'")
    other.execute("PRAGMA schema_version=99")  # makes the first one look again
    other.close()
    with pytest.raises(StorageError):
        await first.run(names)
    await add(first, "two")
    assert await first.run(names) == ["two"]
    await first.close()


def wreck(path: Path) -> None:
    """Damage that the next statement notices."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.execute("PRAGMA writable_schema=ON")
        other.execute("UPDATE sqlite_master SET rootpage = 99 WHERE name = 'account_states'")
        other.execute("PRAGMA schema_version=99")


async def test_damage_found_by_a_write_leaves_nobody_waiting(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "state.db")
    await add(database, "one")
    wreck(tmp_path / "state.db")
    database.submit(lambda connection: connection.execute(note("two")))
    assert await asyncio.wait_for(database.run(names), 20) == []
    await database.close()


@pytest.mark.parametrize("gone", [False, True])
async def test_damage_found_by_a_read_is_mended(gone: bool, tmp_path: Path) -> None:
    path = tmp_path / "state" / "state.db"
    database = Database.open(path)
    await add(database, "one")
    for file in list(path.parent.glob("state.db*")):
        if gone:
            file.unlink()
        else:
            os.truncate(file, 0)
            file.write_bytes(b"rubbish " * 2000)
    assert await database.read(names) in ([], ["one"])
    await add(database, "two")
    assert "two" in await database.read(names)
    await database.close()
    again = Database.open(path)
    assert "two" in await again.run(names)
    await again.close()


async def test_unusable_place_means_memory_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    database = Database.open(tmp_path / "file" / "state.db")
    assert not database.is_durable
    await add(database, "one")
    assert await database.run(names) == ["one"]
    await database.close()
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1 and "in memory only" in warnings[0].getMessage()


async def test_newer_file_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state.db"
    await Database.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    connection.close()
    before = path.read_bytes()
    database = Database.open(path)
    assert not database.is_durable and "newer version" in caplog.text
    await database.close()
    assert path.read_bytes() == before


def test_losses_are_told_at_first_then_now_and_then_and_at_the_end() -> None:
    losses = Losses()
    assert losses.add(2, 0.0) == "2 records are lost"
    assert losses.add(3, LOSSES_EVERY_S - 1) == ""
    assert losses.add(1, LOSSES_EVERY_S) == "6 records are lost"
    assert losses.add(1, LOSSES_EVERY_S + 1) == ""
    over_s = LOSSES_EVERY_S + 1 + FAILING_S
    assert losses.end(over_s - 1) == ""
    assert losses.end(over_s) == "7 records were lost"
    assert losses.end(over_s) == ""
    assert losses.add(1, over_s + 1) == "1 record is lost"
    assert losses.end(over_s + 1 + FAILING_S) == "1 record was lost"


async def test_full_disk_is_said_once_and_got_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kiroproxy.database")
    now_s = 1000.0
    database = Database.open(tmp_path / "state.db", lambda: now_s)
    await database.run(lambda connection: connection.execute("PRAGMA max_page_count=4"))

    def much(connection: sqlite3.Connection) -> None:
        connection.execute(note("x" * 100_000))

    assert not database.is_failing
    for _ in range(3):
        database.submit(much)
        await database.run(names)
        assert database.is_failing
    assert caplog.text.count("cannot be written") == 1
    assert "1 record is lost (usage, account states, responses with store: true)" in caplog.text
    await database.run(lambda connection: connection.execute("PRAGMA max_page_count=100000"))
    database.submit(lambda connection: connection.execute(note("small")))
    assert await database.run(names) == ["small"]
    assert database.is_failing  # there is always room for a small one
    assert "can be written again" not in caplog.text
    now_s += FAILING_S
    assert not database.is_failing  # also if nobody writes
    database.submit(lambda connection: connection.execute(note("later")))
    assert sorted(await database.run(names)) == ["later", "small"]
    assert "can be written again; 3 records were lost" in caplog.text
    await database.close()


async def test_small_record_is_not_lost_with_a_large_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database.open(tmp_path / "state.db")
    pages = await database.run(
        lambda connection: connection.execute("PRAGMA page_count").fetchone()[0]
    )
    limit = f"PRAGMA max_page_count={pages + 2}"
    await database.run(lambda connection: connection.execute(limit))
    for text in ("one", "x" * 100_000, "two"):
        database.submit(lambda connection, text=text: connection.execute(note(text)))
    assert await database.run(names) == ["one", "two"]
    assert "1 record is lost" in caplog.text
    await database.close()


async def test_two_on_one_file(tmp_path: Path) -> None:
    one, two = (Database.open(tmp_path / "state.db") for _ in range(2))
    await asyncio.gather(
        *(add(one, f"a{n}") for n in range(50)), *(add(two, f"b{n}") for n in range(50))
    )
    assert len(await one.run(names)) == 100
    await one.close()
    assert len(await two.run(names)) == 100
    await two.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from kiroproxy.database import Database

async def main():
    database = Database.open(Path(sys.argv[1]))
    n = 0
    while True:
        n += 1
        row = (f"{sys.argv[2]}-{n:06}", "x" * 500)
        sql = "INSERT INTO account_states VALUES (?, 'ready', ?, '', NULL, 0, 0, 0.0, '', 1)"
        if n % 10:
            database.submit(lambda c: c.execute(sql, row))
        await database.run(lambda c: c.execute(sql.replace("INSERT", "INSERT OR REPLACE"), row))
        print(row[0], flush=True)

asyncio.run(main())
"""


def test_kill_in_the_middle_of_writes_loses_nothing_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    confirmed: set[str] = set()
    for number in range(5):
        command = [sys.executable, "-c", WRITER, str(path), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seen = [process.stdout.readline().strip() for _ in range(20 + 17 * number)]
            process.kill()
            seen += [line.strip() for line in process.stdout if line.endswith("\n")]
        assert process.returncode == -9
        confirmed |= set(seen)
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert confirmed <= set(names(connection))
        connection.close()
    assert not list(tmp_path.glob("*.broken*"))
