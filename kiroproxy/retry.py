"""What to do after a failed try: pure decisions for the only retry loop (``relay.py``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kiroproxy.accounts import UNTRIED, Tried
from kiroproxy.errors import (
    ConnectError,
    ConnectionLostError,
    EventStreamError,
    IncompleteAnswerError,
    KiroProxyError,
    StaleConnectionError,
    UpstreamRefusedError,
)
from kiroproxy.kiro.replies import Action, Remedy


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of the only retry loop. Small on purpose: each try of a POST may be billed, and clients
    retry by themselves. Every step has its own bound (an account is left twice at most and renewed
    once, a field is left out once); ``max_tries`` ends the loop should all of them fail to."""

    max_tries: int = 100
    max_retries: int = 3
    max_billed_retries: int = 1  # as the official client does for an empty answer
    base_delay_s: float = 0.4
    max_delay_s: float = 8.0


@dataclass(slots=True)
class Tries:
    """What one request has already tried; ``next_step`` reads it, ``Relay`` writes it."""

    excluded: Tried = UNTRIED
    refreshed: set[str] = field(default_factory=set)
    reasoning: bool = True
    extra_fields: bool = True
    retries: int = 0
    number: int = 0


# Failures that are not the service's own word, while nothing has reached the client. Timeouts are in
# neither: the client has waited long enough, and a slow answer is billed again when it is asked again.
_UNSENT = (ConnectError, StaleConnectionError)  # the service has not seen the request
_UNANSWERED = (ConnectionLostError, EventStreamError, IncompleteAnswerError)  # it may bill both


def next_step(error: KiroProxyError, account_id: str, tries: Tries, policy: RetryPolicy) -> Action:
    """What to do after ``error``. Pure; STOP means: raise it."""
    if tries.number >= policy.max_tries:
        return Action.STOP
    if isinstance(error, UpstreamRefusedError) and isinstance(error.remedy, Remedy):
        wanted = error.remedy.action
        if _is_spent(wanted, account_id, tries, policy):
            wanted = error.remedy.fallback
            if _is_spent(wanted, account_id, tries, policy):
                return Action.STOP
        return wanted
    if isinstance(error, _UNSENT) and tries.retries < policy.max_retries:
        return Action.RETRY
    if isinstance(error, _UNANSWERED) and tries.retries < policy.max_billed_retries:
        return Action.RETRY
    return Action.STOP


def _is_spent(action: Action, account_id: str, tries: Tries, policy: RetryPolicy) -> bool:
    match action:
        case Action.RETRY:
            return tries.retries >= policy.max_retries
        case Action.REFRESH:
            return account_id in tries.refreshed
        case Action.STRIP_REASONING:
            return not tries.reasoning
        case Action.STRIP_FIELDS:
            return not tries.extra_fields
        case Action.ALTERNATE_ARN | Action.NEXT_CANDIDATE:
            return True  # done inside KiroCalls.generate; out here both are used up
        case _:
            return False


def retry_delay_s(
    error: KiroProxyError, retries: int, policy: RetryPolicy, rand: Callable[[], float]
) -> float:
    """Seconds before try ``retries`` + 1: the service's own word, else exponential with full jitter."""
    if error.retry_after_s is not None:
        return error.retry_after_s
    return rand() * min(policy.max_delay_s, policy.base_delay_s * 2.0**retries)
