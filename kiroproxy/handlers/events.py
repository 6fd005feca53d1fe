"""``GET /api/events``: what happens, as server-sent events.

``request``: a finished request, as in ``/api/requests``. ``account``: one whose state or quota has
changed, as in ``/api/usage``. ``active``: ``{"streams": n}``, at the start and when the number changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any, Final

import orjson

from kiroproxy.errors import StorageError
from kiroproxy.handlers.admin import Accounts
from kiroproxy.handlers.local import LocalGate
from kiroproxy.http import Exchange, Request, SSEWriter
from kiroproxy.http.messages import RawHeader
from kiroproxy.usage import Feed, Ledger, RequestRecord, Team

PING_INTERVAL_S: Final = 15.0
_LOOK_S: Final = 0.5  # how late a change of an account or of the number of streams may be told
MAX_WATCHERS: Final = 64
"""At once; behind it the one that has watched longest makes room. Each looks twice a second and keeps a
connection, and programs of this machine need no key for it. A page comes back by itself."""
_OWN: Final = 10_000  # finished requests remembered, far more than the ledger is behind
_RETRY: Final = b"retry: 2000\n\n"

_HEADERS: Final[tuple[RawHeader, ...]] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)


def encode(name: str, data: dict[str, Any]) -> bytes:
    """One event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), orjson.dumps(data))


class EventsHandler:
    """``close`` ends all streams, so that nobody's open page holds up the end of the program."""

    def __init__(
        self, gate: LocalGate, accounts: Accounts, team: Team, ledger: Ledger, feed: Feed
    ) -> None:
        self._gate = gate
        self._accounts = accounts
        self._team = team
        self._ledger = ledger
        self._feed = feed
        self._watchers: dict[Watcher, None] = {}  # longest watching first (a dict keeps its order)
        self._is_closed = False

    def close(self) -> None:
        self._is_closed = True
        for watcher in self._watchers:
            watcher.end()

    async def __call__(self, request: Request, exchange: Exchange) -> None:
        self._gate.check(request)
        sse = SSEWriter(
            exchange,
            _HEADERS,
            ping=lambda: b": ping\n\n",
            ping_interval_s=PING_INTERVAL_S,
            on_start=lambda: _RETRY,
        )
        watcher = Watcher(exchange, sse)
        self._let_in(watcher)
        stop = self._feed.listen(watcher.tell_request)
        try:
            sse.begin()
            if request.method != "HEAD":
                await self._look(watcher)
            sse.end()
        finally:
            stop()
            self._watchers.pop(watcher, None)
            sse.close()

    def _let_in(self, watcher: Watcher) -> None:
        if self._is_closed:
            watcher.end()
        if len(self._watchers) >= MAX_WATCHERS:
            longest = next(iter(self._watchers))
            del self._watchers[longest]
            longest.end()
        self._watchers[watcher] = None

    async def _look(self, watcher: Watcher) -> None:
        """Tell what has changed, until the stream or the program ends.

        Looking is simpler than being told, costs nothing while nobody watches, and sees changes that
        time brings by itself.
        """
        others = Others(self._ledger, watcher) if self._team.has_others else None
        if others is not None:
            await others.look()  # from here on; nobody has been told anything yet
        while not watcher.is_over:
            watcher.tell_active(self._team.streams())
            watcher.tell_accounts(self._accounts.all())
            if others is not None:
                await others.look()
            await watcher.pause(_LOOK_S)


class Watcher:
    """Somebody who watches. Events are not kept for one that does not read: the stream ends, and whoever
    comes back starts from fresh figures."""

    def __init__(self, exchange: Exchange, sse: SSEWriter) -> None:
        self._exchange = exchange
        self._sse = sse
        self._active: int | None = None
        self._accounts: dict[str, dict[str, Any]] | None = None
        self.told: deque[str] = deque(maxlen=_OWN)
        self._over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def end(self) -> None:
        """Nothing more is told; the stream ends."""
        self._over.set()

    async def pause(self, seconds: float) -> None:
        """So long, or until the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    def tell_request(self, record: RequestRecord) -> None:
        self.told.append(record.id)
        self._tell("request", record.as_json())

    def tell_row(self, row: dict[str, Any]) -> None:
        """A request of another worker, as the ledger has it."""
        self._tell("request", row)

    def tell_active(self, streams: int) -> None:
        if streams != self._active:
            self._active = streams
            self._tell("active", {"streams": streams})

    def tell_accounts(self, accounts: list[dict[str, Any]]) -> None:
        """Those that differ from the last look; the first look is what ``/api/usage`` shows anyway."""
        before = self._accounts
        self._accounts = {account["id"]: account for account in accounts}
        if before is None:
            return
        for account in accounts:
            if _essence(account) != _essence(before.get(account["id"], {})):
                self._tell("account", account)

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        if self._exchange.write_paused or self._exchange.finished:
            self.end()
        if not self.is_over:
            self._sse.write(encode(name, data))


class Others:
    """The requests of other workers, as they come into the ledger that all of them write."""

    def __init__(self, ledger: Ledger, watcher: Watcher) -> None:
        self._ledger = ledger
        self._watcher = watcher
        self._seq: int | None = None

    async def look(self) -> None:
        """Tell what is new; what this worker served was told when it ended. Without a ledger, nothing."""
        try:
            if self._seq is None:
                self._seq = await self._ledger.last()
                return
            self._seq, rows = await self._ledger.since(self._seq)
        except StorageError:
            return
        for row in rows:
            if row["id"] not in self._watcher.told:
                self._watcher.tell_row(row)


def _essence(account: dict[str, Any]) -> dict[str, Any]:
    """Without what changes with the clock or with each request alone."""
    return {k: v for k, v in account.items() if k not in ("active", "until_epoch_s")}
