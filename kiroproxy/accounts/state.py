"""An account's health: one table of states and events, and the deadlines that go with them. Pure.

Two rules stand above the table. Only what the service says about the account changes its state: bad
requests, a busy model and broken lines do not get here. And a state says how it ends: by its deadline
(COOLING, EXHAUSTED), by a renewal (REFRESHING), or by somebody doing something (REVOKED: a new sign-in;
SUSPENDED: the service's support; DISABLED: the user's configuration).

Whether a token is fresh is a fact of its own, not a state: an account with a usable token stays READY
while the next one is fetched. REFRESHING means that there is nothing to use until the renewal is done.

Late news is normal, as requests overlap: an answer to a request from before may report a throttle for
an account that is revoked by now. So every pair is defined, and the graver state wins:
DISABLED > SUSPENDED > REVOKED > EXHAUSTED > COOLING > REFRESHING > READY.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from kiroproxy.errors import Kind


class State(enum.Enum):
    """``value`` is what people and metrics see."""

    __hash__ = object.__hash__  # the same, without a call: tables are read with every request

    READY = "ready"
    REFRESHING = "refreshing"
    COOLING = "cooling"
    EXHAUSTED = "exhausted"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    DISABLED = "disabled"


class Event(enum.Enum):
    """What can happen to an account."""

    RENEWAL_NEEDED = "renewal_needed"  # no usable token; a renewal has started
    RENEWED = "renewed"
    RENEWAL_FAILED = "renewal_failed"  # says nothing about the sign-in: network, overload
    RENEWAL_DENIED = "renewal_denied"  # the sign-in is dead
    SUCCEEDED = "succeeded"
    THROTTLED = "throttled"
    BRAKED = "braked"  # anti-abuse limit
    QUOTA_SPENT = "quota_spent"
    DAY_SPENT = "day_spent"
    QUOTA_BACK = "quota_back"  # credits are there again before their reset was due
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - also the renewed one
    TOKEN_GIVEN_UP = "token_given_up"  # noqa: S105 - refused too often in a row
    SUSPENSION = "suspension"
    DEADLINE_PASSED = "deadline_passed"
    SIGNED_IN = "signed_in"  # the source holds another sign-in now
    SWITCHED_OFF = "switched_off"
    SWITCHED_ON = "switched_on"


def _row(stay: State, **moves: State) -> dict[Event, State]:
    """All events; those not named leave the state as it is."""
    named = {Event[name]: state for name, state in moves.items()}
    return {event: named.get(event, stay) for event in Event}


GRAVITY: Final = (
    State.READY,
    State.REFRESHING,
    State.COOLING,
    State.EXHAUSTED,
    State.REVOKED,
    State.SUSPENDED,
    State.DISABLED,
)
"""From the best to the worst, that is, by what heals soonest: late news never makes an account better."""

ABLE: Final = frozenset({State.READY, State.REFRESHING})
"""States in which an account may serve a request."""

_S = State
TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    _S.READY: _row(
        _S.READY,
        RENEWAL_NEEDED=_S.REFRESHING,
        RENEWAL_FAILED=_S.COOLING,
        RENEWAL_DENIED=_S.REVOKED,
        THROTTLED=_S.COOLING,
        BRAKED=_S.COOLING,
        QUOTA_SPENT=_S.EXHAUSTED,
        DAY_SPENT=_S.EXHAUSTED,
        TOKEN_REFUSED=_S.COOLING,
        TOKEN_GIVEN_UP=_S.REVOKED,
        SUSPENSION=_S.SUSPENDED,
        SWITCHED_OFF=_S.DISABLED,
    ),
    _S.REFRESHING: _row(
        _S.REFRESHING,
        RENEWED=_S.READY,
        RENEWAL_FAILED=_S.COOLING,
        RENEWAL_DENIED=_S.REVOKED,
        THROTTLED=_S.COOLING,
        BRAKED=_S.COOLING,
        QUOTA_SPENT=_S.EXHAUSTED,
        DAY_SPENT=_S.EXHAUSTED,
        TOKEN_GIVEN_UP=_S.REVOKED,
        SUSPENSION=_S.SUSPENDED,
        SIGNED_IN=_S.READY,
        SWITCHED_OFF=_S.DISABLED,
    ),
    _S.COOLING: _row(
        _S.COOLING,
        RENEWAL_DENIED=_S.REVOKED,
        QUOTA_SPENT=_S.EXHAUSTED,
        DAY_SPENT=_S.EXHAUSTED,
        TOKEN_GIVEN_UP=_S.REVOKED,
        SUSPENSION=_S.SUSPENDED,
        DEADLINE_PASSED=_S.READY,
        SIGNED_IN=_S.READY,
        SWITCHED_OFF=_S.DISABLED,
    ),
    _S.EXHAUSTED: _row(
        _S.EXHAUSTED,
        RENEWAL_DENIED=_S.REVOKED,
        TOKEN_GIVEN_UP=_S.REVOKED,
        SUSPENSION=_S.SUSPENDED,
        DEADLINE_PASSED=_S.READY,
        QUOTA_BACK=_S.READY,
        SWITCHED_OFF=_S.DISABLED,
    ),
    _S.REVOKED: _row(
        _S.REVOKED,
        RENEWED=_S.READY,
        SUSPENSION=_S.SUSPENDED,
        SIGNED_IN=_S.READY,
        SWITCHED_OFF=_S.DISABLED,
    ),
    _S.SUSPENDED: _row(_S.SUSPENDED, SIGNED_IN=_S.READY, SWITCHED_OFF=_S.DISABLED),
    _S.DISABLED: _row(_S.DISABLED, SWITCHED_ON=_S.READY),
}


@dataclass(frozen=True, slots=True)
class Status:
    """A state with its reason and deadline.

    ``reason``: a sentence for users. ``kind``: what a request is told that finds no other account.
    ``until_at_s`` (monotonic) bounds short pauses, so that a clock jump neither stretches nor ends
    them; ``until_epoch_s`` (wall) bounds what ends at a calendar time. ``streak``: throttles or
    refusals in a row, reset by a success.
    """

    state: State = State.READY
    reason: str = ""
    kind: Kind = Kind.UPSTREAM_UNAUTHENTICATED
    until_at_s: float | None = None
    until_epoch_s: float | None = None
    streak: int = 0

    @property
    def has_deadline(self) -> bool:
        """Whether time alone can change it."""
        return self.until_at_s is not None or self.until_epoch_s is not None


@dataclass(frozen=True, slots=True)
class Now:
    """Both clocks, and the die for jitter (0 ≤ ``chance`` < 1)."""

    monotonic_s: float
    wall_s: float
    chance: float = 0.0


# The service's rate limit is a penalty window; measured, most of it is over after a minute, and
# Retry-After is mostly absent.
COOL_FIRST_S: Final = 2.0
COOL_MOST_S: Final = 30.0
BRAKE_S: Final = 30 * 60.0
REFUSED_FIRST_S: Final = 60.0
REFUSED_MOST_S: Final = 60 * 60.0
REFUSED_LIMIT: Final = 3
_DAY_S: Final = 86_400.0
RENEWAL_FIRST_S: Final = 1.0
RENEWAL_MOST_S: Final = 60.0

_STREAK_EVENTS: Final = frozenset(
    {Event.THROTTLED, Event.TOKEN_REFUSED, Event.TOKEN_GIVEN_UP, Event.RENEWAL_FAILED, Event.BRAKED}
)
_STREAK_ENDS: Final = frozenset({Event.SUCCEEDED, Event.SIGNED_IN, Event.SWITCHED_ON})


def advance(
    status: Status,
    event: Event,
    now: Now,
    *,
    reason: str = "",
    kind: Kind = Kind.UPSTREAM_UNAUTHENTICATED,
    retry_after_s: float | None = None,
) -> Status:
    """The status after ``event``."""
    is_able = status.state in ABLE
    if event is Event.TOKEN_REFUSED and is_able and status.streak + 1 >= REFUSED_LIMIT:
        event = Event.TOKEN_GIVEN_UP
    # Requests under way together fail together: that is one failure in a row, not many.
    streak = status.streak + 1 if event in _STREAK_EVENTS and is_able else status.streak
    streak = 0 if event in _STREAK_ENDS else streak
    state = TRANSITIONS[status.state][event]
    if state is State.READY or state is State.REFRESHING:
        return Status(state, streak=streak)
    until_at_s, until_epoch_s = _deadline(event, streak, now, retry_after_s)
    fresh = Status(state, reason, kind, until_at_s, until_epoch_s, streak)
    if state is not status.state:
        return fresh
    return fresh if _is_later(fresh, status) else replace(status, streak=streak)


def _is_later(fresh: Status, status: Status) -> bool:
    """A second event in the same state may move the deadline away, never nearer."""
    if fresh.until_at_s is not None and status.until_at_s is not None:
        return fresh.until_at_s > status.until_at_s
    if fresh.until_epoch_s is not None and status.until_epoch_s is not None:
        return fresh.until_epoch_s > status.until_epoch_s
    return False


def _deadline(
    event: Event, streak: int, now: Now, retry_after_s: float | None
) -> tuple[float | None, float | None]:
    """(monotonic, wall): at most one of them is set."""
    if event is Event.QUOTA_SPENT:
        return None, next_month_epoch_s(now.wall_s)
    if event is Event.DAY_SPENT:
        return None, next_day_epoch_s(now.wall_s)
    pause_s = _pause_s(event, streak, now.chance, retry_after_s)
    return (None if pause_s is None else now.monotonic_s + pause_s), None


def _pause_s(event: Event, streak: int, chance: float, retry_after_s: float | None) -> float | None:
    match event:
        case Event.BRAKED:
            return max(BRAKE_S, retry_after_s or 0.0)
        case Event.THROTTLED if retry_after_s is not None:
            return retry_after_s
        case Event.THROTTLED:
            return backoff_s(streak, COOL_FIRST_S, COOL_MOST_S, chance)
        case Event.TOKEN_REFUSED:
            return backoff_s(streak, REFUSED_FIRST_S, REFUSED_MOST_S, chance)
        case Event.RENEWAL_FAILED:
            return backoff_s(streak, RENEWAL_FIRST_S, RENEWAL_MOST_S, chance)
        case _:
            return None


def backoff_s(streak: int, first_s: float, most_s: float, chance: float) -> float:
    """Doubles with each failure in a row (``streak`` from 1); jitter takes off up to a half."""
    whole_s = min(most_s, first_s * 2.0 ** min(max(streak - 1, 0), 30))
    return whole_s * (1.0 - chance / 2)


def settle(status: Status, now: Now) -> Status:
    """The status with a deadline that has passed applied."""
    is_over = (status.until_at_s is not None and now.monotonic_s >= status.until_at_s) or (
        status.until_epoch_s is not None and now.wall_s >= status.until_epoch_s
    )
    if is_over or _is_mistaken(status, now):
        return advance(status, Event.DEADLINE_PASSED, now)
    return status


def _is_mistaken(status: Status, now: Now) -> bool:
    """A day's limit that ends later than tomorrow: the clock was ahead when it was found. (For the
    quota's reset the usage figures know better.)"""
    if (
        status.state is not State.EXHAUSTED
        or is_quota_spent(status)
        or status.until_epoch_s is None
    ):
        return False
    return status.until_epoch_s - now.wall_s > _DAY_S


def is_quota_spent(status: Status) -> bool:
    """Exhausted by the plan's quota, and not by a daily limit (which is a rate)."""
    return status.state is State.EXHAUSTED and status.kind is not Kind.RATE_LIMITED


def with_reset(status: Status, reset_epoch_s: float) -> Status:
    """The quota's own reset time in place of our guess; nothing for any other state."""
    if not is_quota_spent(status) or not math.isfinite(reset_epoch_s):
        return status
    return replace(status, until_epoch_s=reset_epoch_s)


def remaining_s(status: Status, now: Now) -> float | None:
    """Seconds to the deadline; None without one."""
    if status.until_at_s is not None:
        return max(0.0, status.until_at_s - now.monotonic_s)
    if status.until_epoch_s is not None:
        return max(0.0, status.until_epoch_s - now.wall_s)
    return None


def next_day_epoch_s(wall_s: float) -> float:
    """The next 00:00 UTC: when daily limits are believed to start anew."""
    return (math.floor(wall_s / _DAY_S) + 1) * _DAY_S


def next_month_epoch_s(wall_s: float) -> float:
    """The next 1st, 00:00 UTC: the usual reset of the quota."""
    today = datetime.fromtimestamp(wall_s, UTC)
    year, month = (today.year + 1, 1) if today.month == 12 else (today.year, today.month + 1)
    return datetime(year, month, 1, tzinfo=UTC).timestamp()
