"""Sums over a chosen span, and reading the state file without changing it."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

import pytest

from kiroproxy.database import Database, read_existing
from kiroproxy.errors import StorageError
from kiroproxy.schema import MIGRATIONS
from kiroproxy.usage import Ledger
from kiroproxy.usage.report import first_day_epoch_s, spent
from tests.usage.test_ledger import DAY, NOON, RECORD, FixedClock


async def filled(path: Path) -> Database:
    database = Database.open(path)
    ledger = Ledger(database, FixedClock(), 30)
    for number, days_ago in enumerate((0, 0, 1, 5)):
        ledger.add(
            RECORD._replace(
                id=f"req_{number}",
                time_epoch_s=NOON - days_ago * DAY,
                model=f"m{days_ago}",
                input_tokens=10,
                credits=0.5,
            )
        )
    await database.run(lambda connection: None)
    return database


async def test_spans_begin_at_midnight_and_end_today(tmp_path: Path) -> None:
    database = await filled(tmp_path / "state.db")
    found = {}
    for days in (1, 2, 30):
        since = first_day_epoch_s(days, NOON)
        assert since % DAY == 0
        found[days] = read_existing(tmp_path / "state.db", partial(spent, since_epoch_s=since))
    await database.close()
    totals = {days: report["total"]["requests"] for days, report in found.items() if report}
    assert totals == {1: 2, 2: 3, 30: 4}
    whole = found[30]
    assert whole is not None
    assert [day["requests"] for day in whole["day"]] == [1, 1, 2]  # oldest first
    assert whole["day"][-1]["name"] == "2025-11-21"
    assert [model["name"] for model in whole["model"]] == ["m0", "m1", "m5"]
    assert (whole["total"]["input_tokens"], whole["total"]["credits"]) == (40, 2.0)


async def test_file_of_an_older_version_is_read_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    old = sqlite3.connect(path)
    for statement in MIGRATIONS[0]:
        old.execute(statement)
    old.execute("PRAGMA user_version=1")
    old.commit()
    old.close()
    before = path.read_bytes()
    report = read_existing(path, partial(spent, since_epoch_s=0.0))
    assert report is not None and report["total"]["requests"] == 0
    assert path.read_bytes() == before


def test_no_file_is_none_and_a_broken_one_an_error(tmp_path: Path) -> None:
    assert read_existing(tmp_path / "state.db", partial(spent, since_epoch_s=0.0)) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "state.db").write_bytes(b"no database at all " * 100)
    with pytest.raises(StorageError, match="cannot be read"):
        read_existing(tmp_path / "state.db", partial(spent, since_epoch_s=0.0))


def test_nobody_writes_through_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    made = sqlite3.connect(path)
    made.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
    made.execute("CREATE TABLE t (x)")
    made.close()
    with pytest.raises(StorageError, match="readonly"):
        read_existing(path, lambda connection: connection.execute("INSERT INTO t VALUES (1)"))
