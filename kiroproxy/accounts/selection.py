"""Which account serves a request, and what to say when none can. Pure.

Sequential: the accounts' own order, the first that is able. A conversation stays on its account while
that one is able, since the service caches per account.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from kiroproxy.accounts.state import ABLE, Now, State, Status, remaining_s
from kiroproxy.errors import Kind, NoAccountError
from kiroproxy.kiro.identity import CredentialKind


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as others may see it: no secrets. ``has_token``: a request need not wait for one."""

    id: str
    label: str
    kind: CredentialKind
    source: str
    status: Status
    has_token: bool


def choose(
    views: Sequence[AccountView], exclude: Collection[str], preferred: str | None
) -> str | None:
    """The id of the account to use, or None.

    ``preferred``: where the conversation was last; it is kept even if its token is being renewed. A
    new conversation waits for a token only when every able account lacks one.
    """
    able = [view for view in views if view.id not in exclude and view.status.state in ABLE]
    for view in able:
        if view.id == preferred:
            return view.id
    for view in able:
        if view.has_token:
            return view.id
    return able[0].id if able else None


NOTHING_CONFIGURED: Final = (
    "No Kiro account is configured. Sign in with the Kiro IDE on this machine, or set "
    "KIRO_AUTH_TOKEN, AWS_REFRESHTOKEN or KIRO_API_KEY, and start again."
)

# The first state here that some account is in decides what the caller is told: what heals soonest
# comes first. READY is possible too: able, but already tried by this request.
_ORDER: Final = (
    State.READY,
    State.REFRESHING,
    State.COOLING,
    State.EXHAUSTED,
    State.REVOKED,
    State.SUSPENDED,
    State.DISABLED,
)

_ADVICE: Final[dict[State, str]] = {
    State.READY: "Every account that could serve this request was tried already.",
    State.REFRESHING: "Every account that could serve this request was tried already.",
    State.COOLING: "All accounts are pausing; try again in {wait}.",
    State.EXHAUSTED: "The credits of all accounts are used up; they come back in {wait}.",
    State.REVOKED: "No account has a valid sign-in; sign in to Kiro again.",
    State.SUSPENDED: "All accounts are suspended by Kiro.",
    State.DISABLED: "All accounts are disabled in the configuration.",
}
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
    state = next(s for s in _ORDER if any(view.status.state is s for view in views))
    there = [view for view in views if view.status.state is state]
    first = min(there, key=lambda view: _wait_s(view, now))
    wait_s = remaining_s(first.status, now)
    message = _ADVICE[state].format(wait=_in_words(wait_s or 0.0))
    if first.status.reason:
        message = f"{message} {first.label}: {first.status.reason}"
    return NoAccountError(
        message,
        # A pause tells by itself what it is for: a rate, a refused token, a broken line.
        kind=_KINDS.get(state, first.status.kind),
        retry_after_s=wait_s,
        should_retry=state in (State.READY, State.REFRESHING, State.COOLING),
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
