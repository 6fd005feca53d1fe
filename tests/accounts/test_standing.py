"""One account's status as it changes: who is told, what time alone changes, whose word counts."""

from __future__ import annotations

import math

from kiroproxy.accounts.persistence import Saved
from kiroproxy.accounts.standing import Standing
from kiroproxy.accounts.state import Event, State, Status
from kiroproxy.errors import Kind
from tests.accounts.fakes import START_EPOCH_S, ManualClock


def standing(clock: ManualClock, told: list[State]) -> Standing:
    def changed(before: Status) -> None:
        told.append(before.state)

    return Standing("acc1", clock, lambda: 0.0, changed)


async def test_a_change_is_told_once_with_the_status_before() -> None:
    clock, told = ManualClock(), list[State]()
    account = standing(clock, told)
    assert account.moved_at_s == -math.inf
    await clock.advance(5)
    account.happen(Event.SUSPENSION, "locked")
    account.happen(Event.SUSPENSION, "locked")
    assert told == [State.READY]
    assert account.status.reason == "locked"
    assert account.moved_at_s == 5


async def test_a_pause_that_is_over_counts_only_when_somebody_looks() -> None:
    clock, told = ManualClock(), list[State]()
    account = standing(clock, told)
    account.happen(Event.THROTTLED, retry_after_s=10.0)
    await clock.advance(9)
    assert account.settled().state is State.COOLING
    await clock.advance(1)
    assert account.status.state is State.COOLING
    assert account.settled().state is State.READY
    assert told == [State.READY, State.COOLING]


def test_only_what_is_worse_is_adopted() -> None:
    clock, told = ManualClock(), list[State]()
    account = standing(clock, told)

    def saved(state: State) -> Saved:
        kind = Kind.UPSTREAM_UNAUTHENTICATED
        return Saved("acc1", state, "said", kind, None, False, 0, START_EPOCH_S, "sign-in")

    account.adopt(saved(State.SUSPENDED), "sign-in", "restored")
    account.adopt(saved(State.REVOKED), "sign-in", "restored")
    assert account.status.state is State.SUSPENDED
    assert told == [State.READY]


def test_a_sign_in_that_is_another_by_now_is_not_held_responsible() -> None:
    account = standing(ManualClock(), [])
    row = Saved(
        "acc1", State.REVOKED, "said", Kind.PERMISSION, None, False, 0, START_EPOCH_S, "the old one"
    )
    account.adopt(row, "the new one", "restored")
    assert account.status.state is State.READY
