"""Kept responses: what comes back, and what has to go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kiroproxy.batches import FAILING_S
from kiroproxy.clock import SystemClock
from kiroproxy.database import FILE_NAME, Database
from kiroproxy.handlers.responses_store import ResponseStore

HOUR_S = 3600.0


class SetClock(SystemClock):
    """Time stands still until it is moved."""

    now_s = 1_700_000_000.0

    def wall(self) -> float:
        return self.now_s


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database.open(tmp_path / FILE_NAME)
    yield opened
    await opened.close()


def body(text: str, size: int = 0) -> bytes:
    output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
    return orjson.dumps({"id": text, "output": output, "padding": "x" * size})


async def test_conversation_is_input_then_output(database: Database) -> None:
    store = ResponseStore(database, SetClock(), HOUR_S, 10_000)
    items: list[Any] = [{"role": "user", "content": "hi"}]
    store.put("resp_1", body("one"), items)
    assert await store.body("resp_1") == body("one")
    assert await store.conversation("resp_1") == items + orjson.loads(body("one"))["output"]
    assert await store.conversation("resp_2") is None


async def test_what_another_worker_is_just_storing_is_found(
    database: Database, tmp_path: Path
) -> None:
    """Its answer has left already, and the client's next request comes to this one."""
    other = Database.open(tmp_path / FILE_NAME)
    try:
        there = ResponseStore(other, SetClock(), HOUR_S, 10_000)
        here = ResponseStore(database, SetClock(), HOUR_S, 10_000)
        ids = [f"resp_{number:024x}" for number in range(4)]
        there.put(ids[0], body("one"), [])
        assert await here.conversation(ids[0])
        there.put(ids[1], body("two"), [])
        assert await here.body(ids[1])
        there.put(ids[2], body("three"), [])
        assert await here.delete(ids[2])
        item = {"id": f"msg_{3:024x}00", "type": "message"}
        there.put(ids[3], body("four"), [item])
        assert item["id"] in await here.items([item["id"]])
        assert await here.body(f"resp_{9:024x}") is None
    finally:
        await other.close()


async def test_delete(database: Database) -> None:
    store = ResponseStore(database, SetClock(), HOUR_S, 10_000)
    store.put("resp_1", body("one"), [])
    assert await store.delete("resp_1")
    assert not await store.delete("resp_1")
    assert await store.body("resp_1") is None


async def test_old_ones_are_gone_at_once_and_removed_with_the_next(database: Database) -> None:
    clock = SetClock()
    store = ResponseStore(database, clock, HOUR_S, 10_000)
    store.put("resp_1", body("one"), [])
    clock.now_s += HOUR_S
    assert await store.body("resp_1") is not None
    clock.now_s += 1
    assert await store.body("resp_1") is None
    store.put("resp_2", body("two"), [])
    assert await _ids(database) == ["resp_2"]


async def test_the_oldest_make_room(database: Database) -> None:
    clock = SetClock()
    store = ResponseStore(database, clock, HOUR_S, 4_000)
    for number in range(8):
        clock.now_s += 1
        store.put(f"resp_{number}", body("x", 800), [])
    kept = await _ids(database)
    assert kept == ["resp_4", "resp_5", "resp_6", "resp_7"]


async def test_one_that_would_drive_out_the_others_is_not_kept(database: Database) -> None:
    store = ResponseStore(database, SetClock(), HOUR_S, 4_000)
    store.put("resp_1", body("small"), [])
    store.put("resp_2", body("large", 1_000), [])
    assert await _ids(database) == ["resp_1"]


async def test_nothing_is_promised_while_the_disk_is_full(tmp_path: Path) -> None:
    now_s = 1000.0
    database = Database.open(tmp_path / "state.db", lambda: now_s)
    store = ResponseStore(database, SetClock(), HOUR_S, 1_000_000)
    await database.run(lambda connection: connection.execute("PRAGMA max_page_count=4"))
    assert store.keeps
    store.put("resp_1", body("one", 100_000), [])
    assert await store.body("resp_1") is None
    assert not store.keeps
    await database.run(lambda connection: connection.execute("PRAGMA max_page_count=100000"))
    store.put("resp_2", body("two"), [])
    assert await store.body("resp_2") == body("two")
    assert not store.keeps  # a small one finds room also on a full disk
    now_s += FAILING_S
    assert store.keeps
    await database.close()


async def test_items_that_cannot_be_written_again_are_not_kept(database: Database) -> None:
    store = ResponseStore(database, SetClock(), HOUR_S, 100_000)
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    store.put("resp_1", body("one"), deep)
    assert await _ids(database) == []


async def _ids(database: Database) -> list[str]:
    rows: list[tuple[str]] = await database.run(
        lambda connection: connection.execute("SELECT id FROM responses ORDER BY id").fetchall()
    )
    return [row[0] for row in rows]


async def test_room_is_taken_for_a_conversation_before_it_is_read(database: Database) -> None:
    store = ResponseStore(database, SetClock(), HOUR_S, 10_000)
    store.put("resp_1", body("one"), [{"id": "a"}])
    held: list[int] = []
    assert await store.conversation("resp_1", held.append)
    assert held == [len(body("one")) + len(b'[{"id":"a"}]')]


async def test_only_the_items_that_are_asked_for_are_kept_in_memory(database: Database) -> None:
    store = ResponseStore(database, SetClock(), HOUR_S, 10_000)
    store.put("resp_1", body("one"), [{"id": "a"}, {"id": "b"}, {"id": "c"}])
    assert await store.items(["c", "a", "c"]) == {"a": {"id": "a"}, "c": {"id": "c"}}
