"""Asking for quotas: when, how often, what is kept, what selection is told."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from kiroproxy.accounts import AccountView, State
from kiroproxy.accounts.state import Status
from kiroproxy.database import Database
from kiroproxy.errors import CredentialError, KiroProxyError, UpstreamError
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.kiro.usage import Overage, Pot, UsageLimits
from kiroproxy.secret import Secret
from kiroproxy.usage.quota import (
    INTERVAL_S,
    SOONEST_S,
    STALE_S,
    Quota,
    QuotaWatch,
    figures_of,
    spendable,
)
from tests.usage.test_ledger import NOON, FixedClock

LIMITS = UsageLimits(
    plan="KIRO PRO",
    used=400.0,
    limit=1000.0,
    next_reset_epoch_s=NOON + 86_400,
    trial=Pot("ACTIVE", 1.0, 2.0, NOON, "trial"),
)


@dataclass
class FakePool:
    """Accounts by name; everybody's identity is one."""

    states: dict[str, State]
    told: list[tuple[str, float | None, float | None]] = field(default_factory=list)
    listeners: list[Callable[[AccountView], None]] = field(default_factory=list)

    def view(self, name: str) -> AccountView:
        status = Status(self.states[name])
        return AccountView(name, name, CredentialKind.SOCIAL, "a test", status, has_token=True)

    def accounts(self) -> list[AccountView]:
        return [self.view(name) for name in self.states]

    async def identity(self, account_id: str) -> Identity:
        if self.states[account_id] is State.REVOKED:
            raise CredentialError(f"{account_id}: is revoked")
        return Identity(CredentialKind.SOCIAL, Secret("x" * 20), account_id=account_id)

    def set_remaining(
        self, account_id: str, remaining: float | None, reset_epoch_s: float | None
    ) -> None:
        self.told.append((account_id, remaining, reset_epoch_s))

    def listen(self, listener: Callable[[AccountView], None]) -> None:
        self.listeners.append(listener)

    def change(self, name: str, state: State) -> None:
        self.states[name] = state
        for listener in self.listeners:
            listener(self.view(name))


@dataclass
class FakeService:
    asked: list[str] = field(default_factory=list)
    reply: UsageLimits | KiroProxyError = LIMITS

    async def usage_limits(self, identity: Identity) -> UsageLimits:
        self.asked.append(identity.account_id)
        if isinstance(self.reply, KiroProxyError):
            raise self.reply
        return self.reply


class PatientClock(FixedClock):
    """Background work waits for good: the tests ask by hand."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


@dataclass
class Desk:
    watch: QuotaWatch
    pool: FakePool
    service: FakeService
    clock: PatientClock
    database: Database

    async def after(self, seconds: float) -> list[str]:
        """Who is asked about when that much time has passed."""
        self.clock.monotonic_s += seconds
        self.clock.wall_s += seconds
        self.service.asked.clear()
        await self.watch.ask_due()
        await self.database.run(lambda connection: None)  # what was submitted is in the file now
        return list(self.service.asked)


@asynccontextmanager
async def desk(path: Path, **states: State) -> AsyncIterator[Desk]:
    database = Database.open(path / "state.db")
    pool, service, clock = FakePool(states or {"a": State.READY}), FakeService(), PatientClock()
    watch = QuotaWatch(pool, service, database, clock, rand=lambda: 0.5)
    await watch.start()
    try:
        yield Desk(watch, pool, service, clock, database)
    finally:
        await watch.stop()
        await database.close()


async def test_every_account_is_asked_about_at_start_and_then_rarely(tmp_path: Path) -> None:
    async with desk(tmp_path, a=State.READY, b=State.COOLING) as at:
        assert await at.after(0) == ["a", "b"]
        assert await at.after(60) == []
        assert await at.after(INTERVAL_S - 60) == []  # half the jitter is still to come
        assert await at.after(INTERVAL_S * 0.1) == ["a", "b"]


async def test_selection_is_told_what_is_left(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.after(0)
        assert at.pool.told == [("a", 600.0, NOON + 86_400)]


async def test_an_exhausted_account_is_asked_about_soon_but_not_at_once_again(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as at:
        await at.after(0)
        at.pool.change("a", State.EXHAUSTED)
        assert await at.after(SOONEST_S - 1) == []
        assert await at.after(1) == ["a"]
        at.pool.change("a", State.EXHAUSTED)
        at.pool.change("a", State.READY)
        assert await at.after(1) == []


async def test_a_revoked_account_is_not_asked_about(tmp_path: Path) -> None:
    async with desk(tmp_path, a=State.REVOKED, b=State.READY) as at:
        assert await at.after(0) == ["b"]
        assert at.watch.quota("a") is None


async def test_a_failure_leaves_the_figures_and_they_grow_stale(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.after(0)
        at.service.reply = UpstreamError("The service is away.")
        assert await at.after(INTERVAL_S * 1.1) == ["a"]
        quota = at.watch.quota("a")
        assert quota is not None
        assert quota.figures["remaining"] == 600.0
        assert not quota.is_stale(at.clock.wall())
        await at.after(STALE_S)
        assert quota.is_stale(at.clock.wall())


async def test_figures_outlive_the_process(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.after(0)
        before = at.watch.quota("a")
    async with desk(tmp_path) as at:
        assert at.watch.quota("a") == before == Quota(NOON, figures_of(LIMITS))


async def test_two_processes_on_one_folder_ask_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as one, desk(tmp_path) as other:
        await other.after(0)
        assert await one.after(INTERVAL_S * 1.1) == ["a"]
        assert await other.after(INTERVAL_S * 1.1) == []
        assert other.watch.quota("a") == one.watch.quota("a")
        assert other.pool.told[-1] == one.pool.told[-1]
        assert await other.after(INTERVAL_S * 1.1) == ["a"]


async def test_what_another_process_was_told_before_a_change_does_not_serve(tmp_path: Path) -> None:
    async with desk(tmp_path) as one, desk(tmp_path) as other:
        await other.after(0)
        assert await one.after(INTERVAL_S * 1.1) == ["a"]
        await other.after(INTERVAL_S * 1.1 + 1)
        other.pool.change("a", State.EXHAUSTED)
        assert await other.after(SOONEST_S) == ["a"]


@pytest.mark.parametrize(
    ("age_s", "stale"), [(0, False), (STALE_S, False), (STALE_S + 1, True), (-60, True)]
)
def test_stale_is_old_or_from_the_future(age_s: float, stale: bool) -> None:
    assert Quota(NOON, {}).is_stale(NOON + age_s) is stale


def test_figures_name_nobody() -> None:
    text = repr(figures_of(LIMITS))
    assert "secret" not in text
    assert "example.com" not in text


OVERAGE = Overage("ENABLED", 10.0, 100.0, 0.04, 0.4, "USD")


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, 600.0),
        ({"used": 1005.0}, -5.0),
        ({"used": None}, None),
        ({"overage": replace(OVERAGE, status="DISABLED")}, 600.0),
        ({"overage": OVERAGE}, 690.0),
        ({"used": 1010.0, "overage": OVERAGE}, 90.0),
        ({"overage": replace(OVERAGE, cap=0.0)}, math.inf),
    ],
)
def test_overage_counts_only_where_the_user_allowed_it(
    changes: dict[str, object], left: float | None
) -> None:
    assert spendable(figures_of(replace(LIMITS, **changes))) == left  # type: ignore[arg-type]
