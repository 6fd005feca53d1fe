"""Which account serves a request, and what to say when none can. Pure.

A conversation stays on its account while that one is able, since the service caches per account; the
strategy decides for new ones. When the account of a conversation is full, another serves this one
request.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from kiroproxy.accounts.state import ABLE, GRAVITY, Now, State, Status, is_quota_spent, remaining_s
from kiroproxy.errors import Kind, NoAccountError
from kiroproxy.kiro.identity import CredentialKind


class Strategy(enum.Enum):
    """``value`` is what users write."""

    SEQUENTIAL = "sequential"  # in the accounts' own order: the next when one is exhausted
    OPTIMAL = "optimal"  # the most credits left
    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"  # the fewest requests under way


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as others may see it: no secrets. ``has_token``: a request need not wait for one.

    ``remaining``: credits, None when not known. ``active``: requests under way. ``last_used``: grows
    with each request of any account, 0 before the first. ``wait_s``: until its pace lets a request
    start; infinite when only the end of another one helps. ``expires_at_epoch_s``: the token's end,
    None without a token or when it has none.
    """

    id: str
    label: str
    kind: CredentialKind
    source: str
    status: Status
    has_token: bool
    remaining: float | None = None
    active: int = 0
    last_used: int = 0
    wait_s: float = 0.0
    expires_at_epoch_s: float | None = None

    @property
    def is_able(self) -> bool:
        return self.status.state in ABLE


class Tried(NamedTuple):
    """Accounts that one request has left, and those among them that it went back to and left again."""

    left: frozenset[str] = frozenset()
    twice: frozenset[str] = frozenset()

    def leave(self, account_id: str) -> Tried:
        twice = self.twice | (self.left & {account_id})
        return Tried(self.left | {account_id}, twice)


UNTRIED: Final = Tried()


class Candidate(Protocol):
    """What the choice looks at, as AccountView says it. Every request asks every account: an account is one
    itself, since to make its view first takes three times as long as the choice."""

    @property
    def id(self) -> str: ...

    @property
    def is_able(self) -> bool: ...

    @property
    def wait_s(self) -> float: ...

    @property
    def has_token(self) -> bool: ...

    @property
    def remaining(self) -> float | None: ...

    @property
    def active(self) -> int: ...

    @property
    def last_used(self) -> int: ...


# The smallest wins; equals stay in the accounts' own order.
_KEYS: Final[dict[Strategy, Callable[[Candidate], tuple[float, ...]]]] = {
    Strategy.SEQUENTIAL: lambda view: (),
    # What is not known yet comes after what is known.
    Strategy.OPTIMAL: lambda view: (
        math.inf if view.remaining is None else -view.remaining,
        view.last_used,
    ),
    Strategy.ROUND_ROBIN: lambda view: (view.last_used,),
    Strategy.LEAST_LOADED: lambda view: (view.active, view.last_used),
}


def has_room(view: Candidate, exclude: Collection[str] = ()) -> bool:
    """Whether a request may start there. Enough for a conversation to stay where it was last, even if
    its token is being renewed."""
    return view.id not in exclude and view.is_able and view.wait_s <= 0


def choose(
    views: Iterable[Candidate],
    exclude: Collection[str],
    strategy: Strategy = Strategy.SEQUENTIAL,
) -> str | None:
    """The id of the account for a new conversation, or None when none is able or all that are have to wait.

    It waits for a token only when every able account lacks one. An account that is known
    to have no credits left comes last: it may still serve what the plan allows beyond them.
    """
    free = [view for view in views if has_room(view, exclude)]
    key = _KEYS[strategy]
    ready = [view for view in free if view.has_token] or free
    best = min(ready, key=lambda view: (_is_spent(view), *key(view)), default=None)
    return None if best is None else best.id


def _is_spent(view: Candidate) -> bool:
    return view.remaining is not None and view.remaining <= 0


def busy_s(views: Iterable[Candidate], exclude: Collection[str]) -> float | None:
    """Seconds until an able account's pace lets a request start, perhaps infinite; None when no
    account is able."""
    waits = [view.wait_s for view in views if view.id not in exclude and view.is_able]
    return min(waits, default=None)


def back_s(views: Sequence[AccountView], exclude: Collection[str], now: Now) -> float:
    """Seconds until time alone makes another account able; infinite when there is none."""
    pauses = [
        remaining_s(view.status, now)
        for view in views
        if view.id not in exclude and not view.is_able
    ]
    return min((pause_s for pause_s in pauses if pause_s is not None), default=math.inf)


NOTHING_CONFIGURED: Final = (
    "No Kiro account is configured. Sign in with kiroproxy login or with the Kiro IDE on this "
    "machine, or set KIRO_AUTH_TOKEN or KIRO_API_KEY, and start again."
)

# Clients follow a ``retry-after`` up to a minute; told to retry after more than that, they retry at once.
_WORTH_WAITING_S: Final = 60.0

_ADVICE: Final[dict[State, str]] = {
    State.READY: "Every account that could serve this request was tried already.",
    State.REFRESHING: "Every account that could serve this request was tried already.",
    State.COOLING: "All accounts are pausing; try again in {wait}.",
    State.EXHAUSTED: "The credits of all accounts are used up; they come back in {wait}.",
    State.REVOKED: "No account has a valid sign-in; sign in to Kiro again.",
    State.SUSPENDED: "All accounts are suspended by Kiro.",
    State.DISABLED: "All accounts are disabled in the configuration.",
}
_DAILY_ADVICE: Final = "All accounts have made the requests of a day; they may go on in {wait}."
_KINDS: Final[dict[State, Kind]] = {
    State.READY: Kind.OVERLOADED,
    State.REFRESHING: Kind.OVERLOADED,
    State.EXHAUSTED: Kind.QUOTA,
    State.REVOKED: Kind.UPSTREAM_UNAUTHENTICATED,
    State.SUSPENDED: Kind.PERMISSION,
    State.DISABLED: Kind.UPSTREAM_UNAUTHENTICATED,
}


def explain_none(views: Sequence[AccountView], now: Now) -> NoAccountError:
    """The truest error when nobody can serve: the state that heals soonest, with its deadline."""
    if not views:
        return NoAccountError(NOTHING_CONFIGURED, should_retry=False)
    # READY is possible too: able, but already tried by this request.
    state = next(s for s in GRAVITY if any(view.status.state is s for view in views))
    there = [view for view in views if view.status.state is state]
    first = min(there, key=lambda view: _wait_s(view, now))
    wait_s = remaining_s(first.status, now)
    is_daily = state is State.EXHAUSTED and not is_quota_spent(first.status)
    advice = _DAILY_ADVICE if is_daily else _ADVICE[state]
    message = advice.format(wait=_in_words(wait_s or 0.0))
    if first.status.reason:
        message = f"{message} {first.label}: {first.status.reason}"
    # A pause tells by itself what it is for: a rate, a refused token, a broken line.
    kind = first.status.kind if is_daily else _KINDS.get(state, first.status.kind)
    return NoAccountError(
        message,
        kind=kind,
        retry_after_s=wait_s,
        should_retry=state in (*ABLE, State.COOLING)
        and (wait_s or 0.0) <= _WORTH_WAITING_S
        and kind is not Kind.UPSTREAM_UNAUTHENTICATED,
    )


BUSY_RETRY_S: Final = 5.0


def explain_busy(wait_s: float) -> NoAccountError:
    """When the accounts that are able were busy for as long as a request waits."""
    retry_after_s = BUSY_RETRY_S if math.isinf(wait_s) else max(1.0, wait_s)
    return NoAccountError(
        f"All accounts are busy with other requests; try again in {_in_words(retry_after_s)}.",
        kind=Kind.OVERLOADED,
        retry_after_s=retry_after_s,
        should_retry=True,
    )


def _wait_s(view: AccountView, now: Now) -> float:
    return remaining_s(view.status, now) or 0.0


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    hours = round(seconds / 3600)
    return f"{hours} h" if hours < 48 else f"{round(seconds / 86400)} days"
