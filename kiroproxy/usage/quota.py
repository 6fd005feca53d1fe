"""What the service says is left of each account's credits: asked rarely, kept, marked when old.

Asked at start, about every ten minutes after that, and soon after an account was found exhausted. No
request ever waits for it. The last figures are stored, so that there is something to show right after
a restart.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import orjson

from kiroproxy.accounts import AccountView, State
from kiroproxy.clock import Clock
from kiroproxy.database import Database
from kiroproxy.errors import KiroProxyError, StorageError
from kiroproxy.ids import fraction
from kiroproxy.kiro.identity import Identity
from kiroproxy.kiro.usage import UsageLimits

_log = logging.getLogger("kiroproxy.usage")

INTERVAL_S: Final = 600.0
SOONEST_S: Final = 60.0  # between two questions about one account, whatever happens
SHARED_S: Final = 120.0  # what another process was told so recently is not asked again
STALE_S: Final = 25 * 60.0  # two rounds have failed
_TICK_S: Final = 60.0
_JITTER: Final = 0.2  # of the interval, so that many accounts do not ask in step
_OVERAGE_ALLOWED: Final = "ENABLED"


class Pool(Protocol):
    """The part of AccountManager that is needed here."""

    def accounts(self) -> list[AccountView]: ...

    async def identity(self, account_id: str) -> Identity: ...

    def set_remaining(
        self, account_id: str, remaining: float | None, reset_epoch_s: float | None
    ) -> None: ...

    def listen(self, listener: Callable[[AccountView], None]) -> None: ...


class UsageService(Protocol):
    """The part of KiroCalls that is needed here."""

    async def usage_limits(self, identity: Identity) -> UsageLimits: ...


@dataclass(frozen=True, slots=True)
class Quota:
    """An account's figures as JSON (``figures_of``) and when they were fetched, wall time."""

    fetched_epoch_s: float
    figures: dict[str, Any]

    def is_stale(self, wall_s: float) -> bool:
        """Too old to be relied on, or from a time that has not come yet."""
        return not 0 <= wall_s - self.fetched_epoch_s <= STALE_S


def figures_of(limits: UsageLimits) -> dict[str, Any]:
    """As it is shown and stored."""
    return {
        "plan": limits.plan,
        "used": limits.used,
        "limit": limits.limit,
        "remaining": limits.remaining,
        "trial": asdict(limits.trial) if limits.trial else None,
        "bonuses": [asdict(bonus) for bonus in limits.bonuses],
        "overage": asdict(limits.overage) if limits.overage else None,
        "reset_epoch_s": limits.next_reset_epoch_s,
    }


def spendable(figures: dict[str, Any]) -> float | None:
    """Credits that can still be spent: with overage switched on by the user, up to its cap."""
    remaining, overage = figures["remaining"], figures["overage"]
    if remaining is None or overage is None or overage["status"] != _OVERAGE_ALLOWED:
        return None if remaining is None else float(remaining)
    beyond = overage["cap"] - overage["used"] if overage["cap"] > 0 else math.inf
    return float(max(0.0, remaining) + max(0.0, beyond))


class QuotaWatch:
    """``start`` and ``stop`` once each, on the loop that uses it."""

    def __init__(
        self,
        pool: Pool,
        service: UsageService,
        database: Database,
        clock: Clock,
        rand: Callable[[], float] = fraction,
    ) -> None:
        self._pool = pool
        self._service = service
        self._database = database
        self._clock = clock
        self._rand = rand
        self._known: dict[str, Quota] = {}
        self._asked_at_s: dict[str, float] = {}
        self._due_at_s: dict[str, float] = {}
        self._changed_at_s: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what was stored, then ask in the background."""
        try:
            self._known = await self._database.run(saved_quotas)
        except StorageError as error:
            _log.info("stored quotas are not known: %s", error.message)
        self._pool.listen(self._account_changed)
        self._task = asyncio.create_task(self._run(), name="quotas")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def quota(self, account_id: str) -> Quota | None:
        """The last figures, however old; None when none ever came."""
        return self._known.get(account_id)

    def _account_changed(self, view: AccountView) -> None:
        """Exhausted, or back to work: the figures tell when, and how much there is."""
        if view.status.state in (State.EXHAUSTED, State.READY):
            due_s = self._due_at_s.get(view.id, 0.0)
            asked_s = self._asked_at_s.get(view.id, -math.inf)
            self._due_at_s[view.id] = min(due_s, asked_s + SOONEST_S)
            self._changed_at_s[view.id] = self._clock.monotonic()

    async def _run(self) -> None:
        while True:
            try:
                await self.ask_due()
            except Exception:
                _log.exception("quotas could not be asked for")
            await self._clock.sleep(_TICK_S)

    async def ask_due(self) -> None:
        """Ask for every account whose time has come, one after the other."""
        if not self._due(self._pool.accounts()):
            return
        stored = await self._stored()
        for view in self._due(self._pool.accounts()):
            if self._is_due(view):  # still: this takes a while
                await self._ask(view, stored.get(view.id))

    def _due(self, views: Sequence[AccountView]) -> list[AccountView]:
        return [view for view in views if self._is_due(view)]

    def _is_due(self, view: AccountView) -> bool:
        return self._due_at_s.get(view.id, -math.inf) <= self._clock.monotonic()

    async def _stored(self) -> dict[str, Quota]:
        try:
            return await self._database.run(saved_quotas)
        except StorageError:
            return {}

    async def _ask(self, view: AccountView, stored: Quota | None) -> None:
        now_s = self._clock.monotonic()
        self._asked_at_s[view.id] = now_s
        self._due_at_s[view.id] = now_s + INTERVAL_S * (1 + _JITTER * self._rand())
        if stored is not None and self._is_news(view.id, stored):
            self._show(view.id, stored)
            return
        try:
            identity = await self._pool.identity(view.id)
            limits = await self._service.usage_limits(identity)
        except KiroProxyError as error:
            _log.info(
                "account %s: its quota is not known",
                view.id,
                extra={"fields": {"account": view.id, "detail": error.message}},
            )
            return
        self._take(view.id, limits)

    def _is_news(self, account_id: str, stored: Quota) -> bool:
        """Whether another process on this state folder has asked lately; then its figures serve."""
        known = self._known.get(account_id)
        if known is not None and stored.fetched_epoch_s <= known.fetched_epoch_s:
            return False
        age_s = self._clock.wall() - stored.fetched_epoch_s
        changed_s = self._changed_at_s.get(account_id, -math.inf)
        return 0 <= age_s <= SHARED_S and self._clock.monotonic() - age_s >= changed_s

    def _show(self, account_id: str, quota: Quota) -> None:
        self._known[account_id] = quota
        figures = quota.figures
        self._pool.set_remaining(account_id, spendable(figures), figures["reset_epoch_s"])

    def _take(self, account_id: str, limits: UsageLimits) -> None:
        quota = Quota(self._clock.wall(), figures_of(limits))
        self._show(account_id, quota)
        row = (account_id, quota.fetched_epoch_s, orjson.dumps(quota.figures).decode())
        self._database.submit(
            lambda connection: connection.execute("REPLACE INTO quotas VALUES (?, ?, ?)", row)
        )


def saved_quotas(connection: sqlite3.Connection) -> dict[str, Quota]:
    """The last figures of each account, by its id."""
    rows = connection.execute("SELECT account, fetched_epoch_s, figures FROM quotas")
    return {account: Quota(at, orjson.loads(figures)) for account, at, figures in rows}
