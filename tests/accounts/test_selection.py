"""Who serves, and what is said when nobody can."""

from __future__ import annotations

import pytest

from kiroproxy.accounts.selection import NOTHING_CONFIGURED, AccountView, choose, explain_none
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
    assert choose(views, (), None) == "b"
    assert choose(views, {"b"}, None) == "c"
    assert choose(views, {"b", "c"}, None) is None


@pytest.mark.parametrize("state", set(State) - {State.READY, State.REFRESHING}, ids=str)
def test_unable_accounts_are_never_chosen(state: State) -> None:
    assert choose([view("a", in_state(state))], (), "a") is None


def test_conversation_stays_and_waits_for_its_own_renewal_only() -> None:
    renewing = view("a", in_state(State.REFRESHING), has_token=False)
    views = [renewing, view("b")]
    assert choose(views, (), None) == "b"  # no request waits for a stranger's renewal
    assert choose(views, (), "a") == "a"
    assert choose([renewing], (), None) == "a"
    assert choose([view("a"), view("b")], (), "b") == "b"
    assert choose([view("a"), view("b")], {"b"}, "b") == "a"
    assert choose([view("a"), view("b", in_state(State.COOLING))], (), "b") == "a"


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


def exhausted() -> Status:
    return advance(Status(), Event.QUOTA_SPENT, NOW, reason="Spent.", kind=Kind.QUOTA)


ERRORS = [
    ([cooling(5), exhausted()], Kind.RATE_LIMITED, True),
    ([cooling(5, Kind.UPSTREAM_FAILED)], Kind.UPSTREAM_FAILED, True),
    ([exhausted(), in_state(State.REVOKED)], Kind.QUOTA, False),
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
