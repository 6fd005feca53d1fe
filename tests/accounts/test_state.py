"""Every pair of state and event, the deadlines, and the clocks they stand on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.accounts.state import (
    ABLE,
    BRAKE_S,
    COOL_MOST_S,
    GRAVITY,
    REFUSED_LIMIT,
    TRANSITIONS,
    Event,
    Now,
    State,
    Status,
    advance,
    backoff_s,
    next_day_epoch_s,
    next_month_epoch_s,
    remaining_s,
    settle,
    with_reset,
)
from kiroproxy.errors import Kind

WALL_S = datetime(2026, 9, 21, 12, tzinfo=UTC).timestamp()
NOW = Now(1000.0, WALL_S)
# What heals least easily comes last; only the named events lead back down.
HEALING = {
    Event.RENEWED,
    Event.QUOTA_BACK,
    Event.DEADLINE_PASSED,
    Event.SIGNED_IN,
    Event.SWITCHED_ON,
}


def test_every_pair_is_defined() -> None:
    assert set(TRANSITIONS) == set(State)
    assert all(set(row) == set(Event) for row in TRANSITIONS.values())


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_bad_news_never_makes_an_account_better(state: State, event: Event) -> None:
    after = TRANSITIONS[state][event]
    if event not in HEALING:
        assert GRAVITY.index(after) >= GRAVITY.index(state)
    else:
        assert after is state or after is State.READY


@pytest.mark.parametrize("state", [State.SUSPENDED, State.DISABLED, State.REVOKED])
def test_time_alone_does_not_heal_what_needs_a_person(state: State) -> None:
    assert TRANSITIONS[state][Event.DEADLINE_PASSED] is state
    assert TRANSITIONS[state][Event.SUCCEEDED] is state


ROWS = [
    (Event.THROTTLED, State.COOLING, 2.0, None),
    (Event.BRAKED, State.COOLING, BRAKE_S, None),
    (Event.QUOTA_SPENT, State.EXHAUSTED, None, datetime(2026, 10, 1, tzinfo=UTC)),
    (Event.DAY_SPENT, State.EXHAUSTED, None, datetime(2026, 9, 22, tzinfo=UTC)),
    (Event.TOKEN_REFUSED, State.COOLING, 60.0, None),
    (Event.TOKEN_GIVEN_UP, State.REVOKED, None, None),
    (Event.RENEWAL_FAILED, State.COOLING, 1.0, None),
    (Event.RENEWAL_DENIED, State.REVOKED, None, None),
    (Event.SUSPENSION, State.SUSPENDED, None, None),
    (Event.SWITCHED_OFF, State.DISABLED, None, None),
]


@pytest.mark.parametrize(("event", "state", "pause_s", "until"), ROWS, ids=str)
def test_state_reason_and_deadline(
    event: Event, state: State, pause_s: float | None, until: datetime | None
) -> None:
    status = advance(Status(), event, NOW, reason="why", kind=Kind.QUOTA)
    assert (status.state, status.reason, status.kind) == (state, "why", Kind.QUOTA)
    assert status.until_at_s == (None if pause_s is None else 1000.0 + pause_s)
    assert status.until_epoch_s == (None if until is None else until.timestamp())


def test_retry_after_is_honoured_and_never_shortens_a_brake() -> None:
    assert advance(Status(), Event.THROTTLED, NOW, retry_after_s=7.0).until_at_s == 1007.0
    braked = advance(Status(), Event.BRAKED, NOW, retry_after_s=7.0)
    assert braked.until_at_s == 1000.0 + BRAKE_S
    later = advance(braked, Event.THROTTLED, NOW, reason="x", retry_after_s=1.0)
    assert later.until_at_s == braked.until_at_s
    worse = advance(
        advance(Status(), Event.THROTTLED, NOW, reason="x"), Event.BRAKED, NOW, reason="y"
    )
    assert (worse.until_at_s, worse.reason) == (braked.until_at_s, "y")


def test_throttles_in_a_row_double_up_to_the_limit_and_a_success_resets() -> None:
    status, pauses = Status(), []
    at_s = 0.0
    for _ in range(7):
        status = advance(status, Event.THROTTLED, Now(at_s, WALL_S))
        assert status.until_at_s is not None
        pauses.append(status.until_at_s - at_s)
        at_s = status.until_at_s
        status = settle(status, Now(at_s, WALL_S))
        assert status.state is State.READY
    assert pauses == [2.0, 4.0, 8.0, 16.0, COOL_MOST_S, COOL_MOST_S, COOL_MOST_S]
    status = advance(status, Event.SUCCEEDED, NOW)
    assert advance(status, Event.THROTTLED, NOW).until_at_s == 1002.0


def test_requests_that_fail_together_count_once() -> None:
    status = Status()
    for _ in range(50):
        status = advance(status, Event.TOKEN_REFUSED, NOW)
    assert (status.state, status.streak) == (State.COOLING, 1)


def test_token_refused_again_and_again_is_revoked() -> None:
    status = Status()
    for number in range(REFUSED_LIMIT):
        assert status.state is State.READY, number
        status = advance(status, Event.TOKEN_REFUSED, NOW)
        status = settle(status, Now(1e9, WALL_S))
    assert status.state is State.REVOKED


def test_short_pauses_stand_on_the_monotonic_clock_only() -> None:
    status = advance(Status(), Event.THROTTLED, NOW)
    for wall_s in (WALL_S - 1e6, WALL_S + 1e6):
        assert settle(status, Now(1001.9, wall_s)).state is State.COOLING
        assert settle(status, Now(1002.0, wall_s)).state is State.READY


def test_quota_stands_on_the_calendar_and_takes_the_true_reset() -> None:
    status = advance(Status(), Event.QUOTA_SPENT, NOW)
    status = with_reset(status, WALL_S + 60)
    assert remaining_s(status, NOW) == 60
    assert settle(status, Now(1e9, WALL_S + 59)).state is State.EXHAUSTED
    assert settle(status, Now(0.0, WALL_S + 60)).state is State.READY
    ready = Status()
    assert with_reset(ready, WALL_S) is ready


def test_daily_limit_found_by_a_wrong_clock_ends_when_the_clock_is_set_right() -> None:
    ahead = Now(1000.0, WALL_S + 30 * 86400)
    status = advance(Status(), Event.DAY_SPENT, ahead, kind=Kind.RATE_LIMITED)
    assert settle(status, ahead).state is State.EXHAUSTED
    assert settle(status, Now(1001.0, WALL_S)).state is State.READY


@given(st.lists(st.sampled_from(list(Event)), max_size=30), st.floats(0, 0.999))
@settings(max_examples=150)
def test_any_history_ends_in_a_state_with_the_deadline_it_needs(
    events: list[Event], chance: float
) -> None:
    status, at_s = Status(), 0.0
    for event in events:
        at_s += 1.0
        status = settle(status, Now(at_s, WALL_S + at_s))
        status = advance(status, event, Now(at_s, WALL_S + at_s, chance))
        has_deadline = status.until_at_s is not None or status.until_epoch_s is not None
        assert has_deadline == (status.state in (State.COOLING, State.EXHAUSTED))
        assert status.state in ABLE or status.streak >= 0


@given(st.integers(1, 10_000), st.floats(0, 0.999))
@settings(max_examples=100)
def test_backoff_is_bounded_and_never_nothing(streak: int, chance: float) -> None:
    assert 1.0 <= backoff_s(streak, 2.0, 30.0, chance) <= 30.0


def test_calendar() -> None:
    december = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
    new_year = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert next_month_epoch_s(december) == next_day_epoch_s(december) == new_year
    assert next_day_epoch_s(new_year) == new_year + 86400
