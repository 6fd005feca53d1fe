"""Room on accounts: each lease counts once, whoever waits is served in order, nothing leaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kiroproxy.accounts import (
    UNTRIED,
    AccountManager,
    AccountSettings,
    AccountView,
    Credential,
    Lease,
    PaceLimits,
    State,
    Strategy,
    TokenStore,
    Tried,
)
from kiroproxy.accounts.pace import SPACING_S
from kiroproxy.errors import CredentialError, Kind, NoAccountError, UpstreamRefusedError
from kiroproxy.kiro.models import ModelInfo
from kiroproxy.kiro.replies import Action, Health, Remedy
from tests.accounts.fakes import MARK, START_EPOCH_S, FakeService, ManualClock, credential, settle

WAIT_S = 20.0
MakePool = Callable[..., "PoolWorld"]


class PoolWorld:
    """A manager whose accounts serve ``concurrency`` requests each."""

    def __init__(
        self,
        tmp_path: Path,
        *credentials: Credential,
        strategy: Strategy = Strategy.SEQUENTIAL,
        concurrency: int = 1,
        per_minute: int = 0,
    ) -> None:
        self.clock = ManualClock()
        self.service = FakeService()
        pace = PaceLimits(concurrency, per_minute, burst=1)
        self.manager = AccountManager(
            credentials,
            TokenStore(tmp_path, self.clock),
            self.service,
            self.clock,
            AccountSettings(strategy=strategy, pace=pace, busy_wait_s=WAIT_S),
            lambda: 0.0,
        )

    def view(self, index: int = 0) -> AccountView:
        return self.manager.accounts()[index]

    def active(self) -> list[int]:
        return [view.active for view in self.manager.accounts()]

    def ask(self, session: str = "", exclude: Tried = UNTRIED) -> asyncio.Task[Lease]:
        return asyncio.create_task(self.manager.lease(session, exclude))


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[MakePool]:
    made: list[PoolWorld] = []

    def make(*credentials: Credential, **more: object) -> PoolWorld:
        made.append(PoolWorld(tmp_path, *credentials, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for item in made:
        await item.manager.stop()


def two() -> tuple[Credential, Credential]:
    return credential(1), credential(2)


def throttled(pause_s: float = 3.0) -> UpstreamRefusedError:
    remedy = Remedy(Action.NEXT_ACCOUNT, Health.COOL)
    return UpstreamRefusedError("Words.", status=429, remedy=remedy, retry_after_s=pause_s)


async def test_who_waits_for_room_gets_an_account_whose_pause_is_over(pool: MakePool) -> None:
    """While all others stay full, and nobody else looks."""
    p = pool(credential(1), credential(2), credential(3))
    held = [await p.manager.lease("") for _ in range(3)]
    for lease, pause_s in zip(held[:2], (3.0, 7.0), strict=True):
        p.manager.release(lease, throttled(pause_s))
    first, second = p.ask(), p.ask(exclude=UNTRIED.leave(held[0].account_id))
    await p.clock.advance(2.9)
    assert not first.done() and not second.done()
    await p.clock.advance(0.2)
    assert first.done() and first.result().account_id == held[0].account_id
    await p.clock.advance(4)
    assert second.done() and second.result().account_id == held[1].account_id


async def test_who_waits_goes_back_to_the_account_that_paused_for_it(pool: MakePool) -> None:
    """When its pause is over and all others are still full."""
    p = pool(credential(1), credential(2))
    held = [await p.manager.lease("") for _ in range(2)]
    p.manager.release(held[0], throttled(3.0))
    asked = p.ask(exclude=UNTRIED.leave(held[0].account_id))
    await p.clock.advance(2.9)
    assert not asked.done()
    await p.clock.advance(0.2)
    assert asked.done() and asked.result().account_id == held[0].account_id


async def test_who_waits_goes_back_once(pool: MakePool) -> None:
    """A request that was refused again there waits for others: it could go on so without end."""
    p = pool(credential(1), credential(2))
    held = [await p.manager.lease("") for _ in range(2)]
    left = UNTRIED.leave(held[0].account_id)
    p.manager.release(held[0], throttled(3.0))
    asked = p.ask(exclude=left)
    await p.clock.advance(3.1)
    again = asked.result()
    assert (again.account_id, again.exclude) == (held[0].account_id, left)
    p.manager.release(again, throttled(3.0))
    asked = p.ask(exclude=again.exclude.leave(again.account_id))
    await p.clock.advance(3.1)
    assert not asked.done()
    p.manager.release(held[1], None)
    await p.clock.advance(0.1)
    assert asked.done() and asked.result().account_id == held[1].account_id


async def test_who_waits_does_not_go_to_an_account_without_the_model(pool: MakePool) -> None:
    """It lacks the model as much when its pause is over."""
    p = pool(credential(1), credential(2))
    p.service.models = [ModelInfo("claude-haiku-4.5", "Haiku")]
    lacking = await p.manager.lease("")
    p.service.models = [ModelInfo("claude-opus-4.5", "Opus")]
    full = await p.manager.lease("")
    p.manager.release(lacking, throttled(3.0))
    wanted = "claude-opus-4.5"
    asked = asyncio.create_task(p.manager.lease("", wanted=wanted))
    await p.clock.advance(3.1)
    assert not asked.done()
    p.manager.release(full, None)
    await p.clock.advance(0.1)
    assert asked.done() and asked.result().account_id == full.account_id


async def test_full_account_is_left_alone_and_the_conversation_keeps_its_home(
    pool: MakePool,
) -> None:
    p = pool(*two())
    first = await p.manager.lease("talk")
    second = await p.manager.lease("talk")
    assert (first.label, second.label, p.active()) == ("account 1", "account 2", [1, 1])
    p.manager.release(second, None)
    p.manager.release(first, None)
    assert (await p.manager.lease("talk")).label == "account 1"


async def test_who_waits_is_served_in_order(pool: MakePool) -> None:
    p = pool(credential(1))
    held = await p.manager.lease("")
    waiting = [p.ask(str(n)) for n in range(4)]
    await settle()
    assert not any(task.done() for task in waiting)
    for number in range(4):
        p.manager.release(held, None)
        await settle()
        assert [task.done() for task in waiting] == [n <= number for n in range(4)]
        held = await waiting[number]
    assert p.active() == [1]


async def test_room_that_the_first_cannot_use_goes_to_the_next(pool: MakePool) -> None:
    p = pool(*two())
    one, other = await p.manager.lease(""), await p.manager.lease("")
    picky = p.ask(exclude=UNTRIED.leave(other.account_id))
    easy = p.ask()
    await settle()
    p.manager.release(other, None)
    await settle()
    assert (picky.done(), easy.done()) == (False, True)
    p.manager.release(one, None)
    assert (await picky).label == "account 1"


async def test_newcomer_does_not_overtake(pool: MakePool) -> None:
    p = pool(credential(1))
    held = await p.manager.lease("")
    first = p.ask()
    await settle()
    p.manager.release(held, None)
    second = p.ask()  # comes in the very moment in which the room is free
    await settle()
    assert (first.done(), second.done()) == (True, False)
    p.manager.release(await first, None)
    assert (await second).label == "account 1"


async def test_waiting_is_bounded(pool: MakePool) -> None:
    p = pool(credential(1))
    held = await p.manager.lease("")
    waiting = p.ask()
    await settle()
    await p.clock.advance(WAIT_S + 0.1)
    with pytest.raises(NoAccountError, match="busy") as caught:
        await waiting
    assert (caught.value.kind, caught.value.retry_after_s) == (Kind.OVERLOADED, 5.0)
    p.manager.release(held, None)
    assert p.active() == [0]
    assert (await p.manager.lease("")).label == "account 1"


async def test_waiting_ends_when_nobody_is_able_any_more(pool: MakePool) -> None:
    p = pool(credential(1))
    held = await p.manager.lease("")
    waiting = p.ask()
    await settle()
    p.manager.release(held, throttled())
    with pytest.raises(NoAccountError, match="pausing"):
        await waiting


async def test_cancelled_waiter_leaves_no_trace(pool: MakePool) -> None:
    p = pool(credential(1))
    held = await p.manager.lease("")
    tasks = [p.ask() for _ in range(3)]
    await settle()
    tasks[0].cancel()
    await settle()
    p.manager.release(held, None)
    await asyncio.sleep(0)
    tasks[1].cancel()  # woken, and gone before it could look
    await settle()
    assert (await tasks[2]).label == "account 1"
    assert p.active() == [1]


async def test_pace_is_kept(pool: MakePool) -> None:
    p = pool(credential(1), concurrency=0, per_minute=6)
    await p.manager.lease("")
    waiting = p.ask()
    await settle()
    await p.clock.advance(9)
    assert not waiting.done()
    await p.clock.advance(1.1)
    assert waiting.done()


async def test_requests_are_spaced_after_a_throttle(pool: MakePool) -> None:
    p = pool(credential(1), concurrency=0)
    p.manager.release(await p.manager.lease(""), throttled())
    await p.clock.advance(3)
    await p.manager.lease("")
    second = p.ask()
    await settle()
    assert not second.done()
    await p.clock.advance(SPACING_S)
    assert second.done()


# -- counting


async def test_lease_counts_once(pool: MakePool) -> None:
    p = pool(credential(1), concurrency=0)
    leases = [await p.manager.lease("") for _ in range(3)]
    for lease in leases:
        p.manager.release(lease, None)
        p.manager.release(lease, throttled())  # too late to say anything
    assert p.active() == [0] and p.view().status.state is State.READY


async def test_renewed_lease_takes_the_place_of_the_old_one(pool: MakePool) -> None:
    p = pool(credential(1))
    lease = await p.manager.lease("")
    renewed = await p.manager.refresh(lease)
    assert renewed.was_renewed and p.active() == [1]
    p.manager.release(lease, None)
    p.manager.release(renewed, None)
    assert p.active() == [0]


async def test_refresh_that_leads_to_another_account(pool: MakePool) -> None:
    p = pool(*two())
    p.service.errors = [CredentialError("gone")]
    lease = await p.manager.lease("")
    other = await p.manager.refresh(lease)
    assert (other.label, p.active()) == ("account 2", [0, 1])
    assert other.exclude == UNTRIED.leave(lease.account_id)
    p.manager.release(other, None)
    p.manager.release(lease, None)
    assert p.active() == [0, 0]


async def test_refresh_without_any_other_account(pool: MakePool) -> None:
    p = pool(credential(1))
    p.service.errors = [CredentialError("gone")]
    lease = await p.manager.lease("")
    with pytest.raises(NoAccountError):
        await p.manager.refresh(lease)
    p.manager.release(lease, None)
    assert p.active() == [0]


async def test_cancelled_while_the_token_is_renewed(pool: MakePool) -> None:
    p = pool(credential(1, expires_in_s=-5))
    p.service.gate = asyncio.Event()
    waiting = p.ask()
    await settle()
    assert p.active() == [1]
    waiting.cancel()
    await settle()
    assert p.active() == [0]
    p.service.gate.set()


async def test_cancelled_in_a_forced_renewal(pool: MakePool) -> None:
    p = pool(credential(1))
    lease = await p.manager.lease("")
    p.service.gate = asyncio.Event()
    forced = asyncio.create_task(p.manager.refresh(lease))
    await settle()
    forced.cancel()
    await settle()
    assert p.active() == [1]  # the caller still holds it
    p.manager.release(lease, None)
    assert p.active() == [0]
    p.service.gate.set()


async def test_failed_renewal_frees_its_place(pool: MakePool) -> None:
    p = pool(credential(1, expires_in_s=-5), credential(2, expires_in_s=-5))
    p.service.errors = [CredentialError("gone")]
    lease = await p.manager.lease("")
    assert (lease.label, p.active()) == ("account 2", [0, 1])


# -- strategies at work


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        (Strategy.SEQUENTIAL, "111111"),
        (Strategy.ROUND_ROBIN, "123123"),
        (Strategy.LEAST_LOADED, "123123"),
        (Strategy.OPTIMAL, "222222"),
    ],
)
async def test_strategies(pool: MakePool, strategy: Strategy, order: str) -> None:
    p = pool(*(credential(n) for n in (1, 2, 3)), strategy=strategy, concurrency=0)
    for number, remaining in ((1, 5.0), (2, 50.0), (3, None)):
        p.manager.set_remaining(credential(number).id, remaining, None)
    leases = [await p.manager.lease(str(n)) for n in range(6)]
    assert "".join(lease.label[-1] for lease in leases) == order


# -- credits


def spent() -> UpstreamRefusedError:
    remedy = Remedy(Action.NEXT_ACCOUNT, Health.EXHAUST)
    return UpstreamRefusedError("Spent.", status=402, kind=Kind.QUOTA, remedy=remedy)


async def test_known_reset_replaces_the_guess_and_ends_the_state(pool: MakePool) -> None:
    p = pool(credential(1, expires_in_s=1e9), concurrency=0)
    p.manager.release(await p.manager.lease(""), spent())
    assert p.view().remaining == 0
    p.manager.set_remaining(p.view().id, 0.0, START_EPOCH_S + 100)
    with pytest.raises(NoAccountError) as caught:
        await p.manager.lease("")
    assert (caught.value.kind, caught.value.retry_after_s) == (Kind.QUOTA, 100)
    await p.clock.advance(100)
    assert (await p.manager.lease("")).label == "account 1"


async def test_credits_that_are_back_early_are_believed_after_a_while(pool: MakePool) -> None:
    p = pool(credential(1), concurrency=0)
    p.manager.release(await p.manager.lease(""), spent())
    p.manager.set_remaining(p.view().id, 800.0, None)  # the figures lag behind the refusal
    assert p.view().status.state is State.EXHAUSTED
    await p.clock.advance(301)
    p.manager.set_remaining(p.view().id, 0.5, None)
    assert p.view().status.state is State.EXHAUSTED
    p.manager.set_remaining(p.view().id, 800.0, None)
    assert (p.view().status.state, p.view().remaining) == (State.READY, 800.0)


async def test_daily_limit_is_not_lifted_by_credits(pool: MakePool) -> None:
    p = pool(credential(1), concurrency=0)
    remedy = Remedy(Action.NEXT_ACCOUNT, Health.DAILY)
    error = UpstreamRefusedError("Day.", status=429, kind=Kind.RATE_LIMITED, remedy=remedy)
    p.manager.release(await p.manager.lease(""), error)
    before = p.view().status
    await p.clock.advance(301)
    p.manager.set_remaining(p.view().id, 800.0, START_EPOCH_S + 1e6)
    assert p.view().status == before


async def test_unknown_account_is_ignored(pool: MakePool) -> None:
    p = pool(credential(1))
    before = p.manager.accounts()
    p.manager.set_remaining("nobody", 1.0, None)
    assert p.manager.accounts() == before


async def test_listeners_hear_changes(pool: MakePool) -> None:
    p = pool(credential(1), concurrency=0)
    heard: list[State] = []
    p.manager.listen(lambda view: heard.append(view.status.state))
    p.manager.release(await p.manager.lease(""), throttled())
    await p.clock.advance(3)
    p.view()
    assert heard == [State.COOLING, State.READY]


async def test_identity_for_calls_that_are_no_requests(pool: MakePool) -> None:
    p = pool(credential(1), credential(2, disabled=True))
    identity = await p.manager.identity(p.view(0).id)
    assert identity.token.reveal() == f"aoa{MARK}old1" and p.active() == [0, 0]
    with pytest.raises(CredentialError, match="disabled"):
        await p.manager.identity(p.view(1).id)
