"""Who serves, and what is said when nobody can."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from kiroproxy.accounts.selection import (
    NOTHING_CONFIGURED,
    AccountView,
    Strategy,
    busy_s,
    choose,
    explain_busy,
    explain_none,
    has_room,
)
from kiroproxy.accounts.state import Event, Now, State, Status, advance
from kiroproxy.errors import Kind
from kiroproxy.kiro.identity import CredentialKind

NOW = Now(1000.0, 1_790_000_000.0)


def view(name: str, status: Status | None = None, *, has_token: bool = True) -> AccountView:
    return AccountView(
        name, f"label {name}", CredentialKind.SOCIAL, "env", status or Status(), has_token
    )


def in_state(state: State) -> Status:
    return Status(state)


def test_first_able_account_in_order() -> None:
    views = [view("a", in_state(State.COOLING)), view("b"), view("c")]
    assert choose(views, ()) == "b"
    assert choose(views, {"b"}) == "c"
    assert choose(views, {"b", "c"}) is None


@pytest.mark.parametrize(
    "state", [s for s in State if s not in (State.READY, State.REFRESHING)], ids=str
)
def test_unable_accounts_are_never_chosen(state: State) -> None:
    unable = view("a", in_state(state))
    assert choose([unable], ()) is None
    assert not has_room(unable)


def test_conversation_stays_and_waits_for_its_own_renewal_only() -> None:
    renewing = view("a", in_state(State.REFRESHING), has_token=False)
    views = [renewing, view("b")]
    assert choose(views, ()) == "b"  # no request waits for a stranger's renewal
    assert has_room(renewing)
    assert choose([renewing], ()) == "a"
    assert not has_room(view("b"), {"b"})


def test_nothing_configured() -> None:
    error = explain_none([], NOW)
    assert error.message == NOTHING_CONFIGURED
    assert error.kind is Kind.UPSTREAM_UNAUTHENTICATED


def cooling(seconds: float, kind: Kind = Kind.RATE_LIMITED) -> Status:
    return advance(
        Status(), Event.THROTTLED, NOW, reason="Too fast.", kind=kind, retry_after_s=seconds
    )


def test_nearest_deadline_is_told() -> None:
    error = explain_none([view("a", cooling(40)), view("b", cooling(9.5))], NOW)
    assert (error.kind, error.retry_after_s, error.should_retry) == (Kind.RATE_LIMITED, 9.5, True)
    assert "in 10 s" in error.message and "label b: Too fast." in error.message


def test_long_pause_is_not_worth_a_retry() -> None:
    error = explain_none([view("a", cooling(1800))], NOW)
    assert (error.retry_after_s, error.should_retry) == (1800, False)


def exhausted() -> Status:
    return advance(Status(), Event.QUOTA_SPENT, NOW, reason="Spent.", kind=Kind.QUOTA)


def day_spent() -> Status:
    return advance(Status(), Event.DAY_SPENT, NOW, reason="Enough.", kind=Kind.RATE_LIMITED)


ERRORS = [
    ([cooling(5), exhausted()], Kind.RATE_LIMITED, True),
    ([cooling(5, Kind.UPSTREAM_FAILED)], Kind.UPSTREAM_FAILED, True),
    ([cooling(5, Kind.UPSTREAM_UNAUTHENTICATED)], Kind.UPSTREAM_UNAUTHENTICATED, False),
    ([exhausted(), in_state(State.REVOKED)], Kind.QUOTA, False),
    ([day_spent()], Kind.RATE_LIMITED, False),
    (
        [in_state(State.REVOKED), in_state(State.SUSPENDED)],
        Kind.UPSTREAM_UNAUTHENTICATED,
        False,
    ),
    ([in_state(State.SUSPENDED), in_state(State.DISABLED)], Kind.PERMISSION, False),
    ([in_state(State.DISABLED)], Kind.UPSTREAM_UNAUTHENTICATED, False),
    ([Status()], Kind.OVERLOADED, True),
]


@pytest.mark.parametrize(("statuses", "kind", "should_retry"), ERRORS)
def test_truest_error(statuses: list[Status], kind: Kind, should_retry: bool) -> None:
    error = explain_none([view(str(i), s) for i, s in enumerate(statuses)], NOW)
    assert (error.kind, error.should_retry) == (kind, should_retry)
    assert error.message.endswith(".")


def test_quota_tells_its_reset() -> None:
    error = explain_none([view("a", exhausted())], NOW)
    assert error.retry_after_s is not None and error.retry_after_s > 86400
    assert "days" in error.message


# -- strategies

SPENT, FEW, MANY, UNKNOWN = 0.0, 5.0, 500.0, None

# (remaining, active, last_used) of accounts a, b, c → who is chosen by each strategy
FLEETS: dict[str, tuple[list[tuple[float | None, int, int]], str]] = {
    #                                                            seq opt rob lea
    "all alike": ([(UNKNOWN, 0, 0), (UNKNOWN, 0, 0), (UNKNOWN, 0, 0)], "aaaa"),
    "b has most": ([(FEW, 0, 0), (MANY, 0, 0), (FEW, 0, 0)], "abaa"),
    "known before unknown": ([(UNKNOWN, 0, 0), (FEW, 0, 0), (UNKNOWN, 0, 0)], "abaa"),
    "unknown before spent": ([(SPENT, 0, 0), (SPENT, 0, 0), (UNKNOWN, 9, 9)], "cccc"),
    "all spent": ([(SPENT, 1, 3), (SPENT, 2, 1), (SPENT, 0, 2)], "abbc"),
    "a was used": ([(MANY, 1, 1), (MANY, 0, 0), (MANY, 0, 0)], "abbb"),
    "c longest ago": ([(FEW, 2, 3), (FEW, 1, 2), (FEW, 1, 1)], "accc"),
    "b idle but fresh": ([(FEW, 2, 1), (FEW, 0, 3), (MANY, 1, 2)], "acab"),
}


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize("index", range(4), ids=[s.value for s in Strategy])
def test_strategy(fleet: str, index: int) -> None:
    rows, chosen = FLEETS[fleet]
    views = [
        replace(view(name), remaining=remaining, active=active, last_used=last_used)
        for name, (remaining, active, last_used) in zip("abc", rows, strict=True)
    ]
    assert choose(views, (), list(Strategy)[index]) == chosen[index]


@pytest.mark.parametrize("strategy", Strategy)
def test_every_strategy_keeps_to_the_rules(strategy: Strategy) -> None:
    able = replace(view("a"), last_used=9, active=9, remaining=1.0)
    cooling_one = view("b", in_state(State.COOLING))
    renewing = view("c", has_token=False)
    full = replace(view("d"), wait_s=math.inf)
    views = [cooling_one, renewing, full, able]
    assert choose(views, (), strategy) == "a"
    assert [has_room(one) for one in views] == [False, True, False, True]
    assert choose(views, {"a"}, strategy) == "c"
    assert choose(views, {"a", "c"}, strategy) is None


def test_busy_or_unable() -> None:
    views = [replace(view("a"), wait_s=math.inf), replace(view("b"), wait_s=2.5)]
    assert busy_s(views, ()) == 2.5
    assert busy_s(views, {"b"}) == math.inf
    assert busy_s(views, {"a", "b"}) is None
    assert busy_s([view("a", in_state(State.COOLING))], ()) is None


@pytest.mark.parametrize(("wait_s", "told_s"), [(math.inf, 5.0), (0.2, 1.0), (30.0, 30.0)])
def test_busy_tells_when_to_come_back(wait_s: float, told_s: float) -> None:
    error = explain_busy(wait_s)
    assert (error.kind, error.retry_after_s, error.should_retry) == (Kind.OVERLOADED, told_s, True)
