"""Responses that are kept for a while: for ``previous_response_id`` and ``GET /v1/responses/{id}``.

Each row holds the whole input, what came before included, so that any response of a conversation may go
without breaking the later ones. Bounded in time and in size; the oldest go first. Written without
waiting, since an answer does not depend on it.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Any, Final

import orjson

from kiroproxy.clock import Clock
from kiroproxy.database import Database

_log = logging.getLogger("kiroproxy.http")

#: A single response may take this part of the room, so that one does not drive out all others.
_LARGEST_PART: Final = 4

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
        """Whether anything is kept at all."""
        return self._keep_s > 0

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

    async def conversation(self, response_id: str) -> list[Any] | None:
        """Input and output items, as the next request's input begins with them."""
        row = await self._row(response_id)
        if row is None:
            return None
        output = orjson.loads(row[0])["output"]
        return [*orjson.loads(row[1]), *output]

    async def delete(self, response_id: str) -> bool:
        """Whether there was one."""
        return await self._database.run(
            lambda connection: (
                connection.execute("DELETE FROM responses WHERE id = ?", (response_id,)).rowcount
                > 0
            )
        )

    async def _row(self, response_id: str) -> tuple[bytes, bytes] | None:
        oldest_s = self._clock.wall() - self._keep_s
        query = "SELECT body, items FROM responses WHERE id = ? AND created_epoch_s >= ?"
        return await self._database.run(
            lambda connection: connection.execute(query, (response_id, oldest_s)).fetchone()
        )


def _encoded(items: list[Any]) -> bytes:
    """JSON, or nothing where a client's items are nested too deeply to be written again."""
    try:
        return orjson.dumps(items)
    except orjson.JSONEncodeError:
        return b""
