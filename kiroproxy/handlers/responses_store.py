"""Responses that are kept for a while: for ``previous_response_id`` and ``GET /v1/responses/{id}``.

Each row holds the whole input, what came before included, so that any response of a conversation may go
without breaking the later ones. Bounded in time and in size; the oldest go first. Written without
waiting, since an answer does not depend on it.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import orjson

from kiroproxy.api.checks import load_exactly
from kiroproxy.api.density import Hold, hold_nothing
from kiroproxy.api.retrying import encodable
from kiroproxy.clock import Clock
from kiroproxy.database import Database

_log = logging.getLogger("kiroproxy.http")
_T = TypeVar("_T")

#: A single response may take this part of the room, so that one does not drive out all others.
_LARGEST_PART: Final = 4

#: Ids that ``responses_output`` and ``responses_past`` make hold the response's.
_OWN_ID: Final = re.compile(r"[a-z]+_([0-9a-f]{24})")

#: Between looks for what another worker has just answered: its writes wait for company.
_PAUSES_S: Final = (0.05, 0.1, 0.2)

_INSERT: Final = "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?)"
_OLD: Final = "DELETE FROM responses WHERE created_epoch_s < ?"
# Rows from the newest on until the room is full; the rest goes.
_TOO_MUCH: Final = """DELETE FROM responses WHERE id IN (
    SELECT id FROM (
        SELECT id, SUM(bytes) OVER (ORDER BY created_epoch_s DESC, id DESC) AS filled FROM responses
    ) WHERE filled > ?
)"""


class ResponseStore:
    """``keep_s`` and ``max_bytes`` are the bounds; 0 seconds keep nothing."""

    def __init__(self, database: Database, clock: Clock, keep_s: float, max_bytes: int) -> None:
        self._database = database
        self._clock = clock
        self._keep_s = keep_s
        self._max_bytes = max_bytes

    @property
    def keeps(self) -> bool:
        """Whether a response of now would be kept, as far as one can know: not while the state file
        cannot be written. Other records try it all the time."""
        return self._keep_s > 0 and not self._database.is_failing

    def put(self, response_id: str, body: bytes, items: list[Any]) -> None:
        """Keep a final response object and the input it answers. What is too large is not kept."""
        now_s = self._clock.wall()

        def work(connection: sqlite3.Connection) -> None:
            given = _encoded(items)
            size = len(body) + len(given)
            if not given or size > self._max_bytes // _LARGEST_PART:
                _log.info("response %s is too large to be kept (%d bytes)", response_id, size)
                return
            connection.execute(_OLD, (now_s - self._keep_s,))
            connection.execute(_INSERT, (response_id, now_s, body, given, size))
            connection.execute(_TOO_MUCH, (self._max_bytes,))

        self._database.submit(work)

    async def body(self, response_id: str) -> bytes | None:
        """The response object. Raises StorageError, as the others do."""
        row = await self._row(response_id)
        return None if row is None else row[0]

    async def conversation(
        self, response_id: str, hold: Hold = hold_nothing, *, exact: bool = False
    ) -> list[Any] | None:
        """Input and output items, as the next request's input begins with them; ``hold`` takes room for
        their bytes. ``exact``: numbers of more than 64 bits are kept as they were written."""
        row = await self._row(response_id)
        if row is None:
            return None
        hold(sum(map(len, row)))
        return _items(row, load_exactly if exact else orjson.loads)

    async def input_items(self, response_id: str) -> list[Any] | None:
        """The input, with what came before."""
        row = await self._row(response_id)
        return None if row is None else list(load_exactly(row[1]))

    async def items(self, wanted: Iterable[str], *, exact: bool = False) -> dict[str, Any]:
        """The items of these ids in any kept response. Looks no further when one is not found."""
        oldest_s = self._clock.wall() - self._keep_s
        loads = load_exactly if exact else orjson.loads
        ids = list(dict.fromkeys(wanted))
        asked = frozenset(ids)

        def work(connection: sqlite3.Connection) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for item_id in ids:
                if item_id in found:
                    continue
                for row in _candidates(connection, item_id, oldest_s):
                    for item in _items(row, loads):
                        if item.get("id") in asked:
                            found.setdefault(item["id"], item)
                    if item_id in found:
                        break
                else:
                    break
            return found

        return await self._look(ids, work, lambda found: all(item_id in found for item_id in ids))

    async def delete(self, response_id: str) -> bool:
        """Whether there was one."""

        def work(connection: sqlite3.Connection) -> bool:
            query = "DELETE FROM responses WHERE id = ?"
            return connection.execute(query, (response_id,)).rowcount > 0

        return await self._look([response_id], work, bool)

    async def _row(self, response_id: str) -> tuple[bytes, bytes] | None:
        oldest_s = self._clock.wall() - self._keep_s
        query = "SELECT body, items FROM responses WHERE id = ? AND created_epoch_s >= ?"

        def work(connection: sqlite3.Connection) -> tuple[bytes, bytes] | None:
            row: tuple[bytes, bytes] | None = connection.execute(
                query, (response_id, oldest_s)
            ).fetchone()
            return row

        return await self._look([response_id], work, bool)

    async def _look(
        self,
        ids: list[str],
        work: Callable[[sqlite3.Connection], _T],
        is_all: Callable[[_T], bool],
    ) -> _T:
        """What ``work`` finds of ``ids``. If that is not all, and they are of our own making, it looks
        again: a client may have them from another worker, who is just storing them."""
        found = await self._database.run(work)
        if self._database.is_durable and all(map(_OWN_ID.match, ids)):
            for pause_s in _PAUSES_S:
                if is_all(found):
                    break
                await self._clock.sleep(pause_s)
                found = await self._database.run(work)
        return found


def _candidates(
    connection: sqlite3.Connection, item_id: str, oldest_s: float
) -> Iterator[tuple[bytes, bytes]]:
    """Rows that may hold the item: first the one whose id is part of its own, then, as that one may have
    been deleted and clients bring ids of their own, all that hold its id somewhere."""
    own = _OWN_ID.match(item_id)
    if own is not None:
        query = "SELECT body, items FROM responses WHERE id = ? AND created_epoch_s >= ?"
        yield from connection.execute(query, (f"resp_{own[1]}", oldest_s))
    needle = orjson.dumps(encodable(item_id))
    query = (
        "SELECT body, items FROM responses WHERE created_epoch_s >= ? ORDER BY created_epoch_s DESC"
    )
    for row in connection.execute(query, (oldest_s,)):
        if needle in row[1] or needle in row[0]:
            yield row


def _items(row: tuple[bytes, bytes], loads: Callable[[bytes], Any]) -> list[Any]:
    return [*loads(row[1]), *loads(row[0])["output"]]


def _encoded(items: list[Any]) -> bytes:
    """JSON, or nothing where a client's items are nested too deeply to be written again."""
    try:
        return orjson.dumps(items)
    except orjson.JSONEncodeError:
        return b""
