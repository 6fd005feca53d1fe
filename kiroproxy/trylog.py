"""What the log says about the tries of a request: a line for each that failed, more at debug.

Nothing here is called for an event; without debug a try costs one question.
"""

from __future__ import annotations

import logging
from typing import Final

from kiroproxy.accounts import Lease
from kiroproxy.errors import (
    ConnectError,
    ConnectionLostError,
    EventStreamError,
    IncompleteAnswerError,
    KiroProxyError,
    StaleConnectionError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from kiroproxy.kiro.replies import Action, Remedy
from kiroproxy.retry import Tries

_log = logging.getLogger("kiroproxy.relay")

_REASONS: Final[dict[type[KiroProxyError], str]] = {
    ConnectError: "nothing was sent",
    StaleConnectionError: "nothing was sent",
    UpstreamTimeoutError: "a slow answer would be billed again",
    ConnectionLostError: "the answer did not come whole, and may be billed",
    EventStreamError: "the answer did not come whole, and may be billed",
    IncompleteAnswerError: "the answer did not come whole, and may be billed",
}


def is_told() -> bool:
    """Whether the lines below are wanted that cost more than a failed try is worth."""
    return _log.isEnabledFor(logging.DEBUG)


def tell_begin(
    lease: Lease, tries: Tries, wanted: str, upstream_model: str, waited_s: float
) -> None:
    """An account was found. ``waited_s``: from the request until now."""
    fields = {
        "account": lease.account_id,
        "label": lease.label,
        "try": tries.number,
        "model": wanted,
        "upstream_model": upstream_model,
        "excluded": len(tries.excluded.left),
        "waited_ms": _ms(waited_s),
    }
    _log.debug("try begins", extra={"fields": fields})


def tell_end(
    lease: Lease, tries: Tries, begun_at_s: float, first_event_at_s: float | None, now_s: float
) -> None:
    """It is over, well or not; the times count from its beginning."""
    first_ms = "" if first_event_at_s is None else _ms(first_event_at_s - begun_at_s)
    fields = {
        "account": lease.account_id,
        "try": tries.number,
        "first_event_ms": first_ms,
        "ms": _ms(now_s - begun_at_s),
    }
    _log.debug("try ended", extra={"fields": fields})


def tell_failure(error: KiroProxyError, lease: Lease, tries: Tries, step: Action) -> None:
    """For everybody, and what ``step`` was."""
    fields = {
        "account": lease.account_id,
        "try": tries.number,
        "error": type(error).__name__,
        "detail": error.message,
        "upstream_request_id": error.upstream_request_id or "",
        "step": step.name.lower(),
    }
    _log.info("try failed", extra={"fields": fields})


def tell_decision(error: KiroProxyError, tries: Tries, step: Action, *, committed: bool) -> None:
    """Why it was that step."""
    fields: dict[str, object] = {
        "try": tries.number,
        "step": step.name.lower(),
        "why": reason(error, step, committed=committed),
        "retries": tries.retries,
    }
    if error.retry_after_s is not None:
        fields["retry_after_s"] = error.retry_after_s
    if isinstance(error, UpstreamRefusedError):
        fields |= {"status": error.status, "name": error.name, "reason": error.reason}
    if isinstance(error, UpstreamTimeoutError):
        fields["phase"] = error.phase
    _log.debug("what to do", extra={"fields": fields})


def reason(error: KiroProxyError, step: Action, *, committed: bool) -> str:
    """Why ``retry.next_step`` has said ``step``, in words."""
    if committed:
        return "part of the answer is out"
    if isinstance(error, UpstreamRefusedError) and isinstance(error.remedy, Remedy):
        wanted = error.remedy.action
        if step is wanted:
            return "what this refusal asks for"
        return f"{wanted.name.lower()} is used up"
    for kind, words in _REASONS.items():
        if isinstance(error, kind):
            return words
    return "no other try would help"


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
