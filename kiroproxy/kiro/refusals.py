"""What each refusal of the service means: one table, read by ``replies``.

The first row that fits counts, so the order is part of the meaning: the size of the prompt and a busy
model come before everything else, as in the official Q CLI.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from kiroproxy.errors import Kind

TOO_LONG: Final = "prompt is too long"  # Anthropic's wording, which clients look for to compact


class Action(enum.Enum):
    """What the caller of the service does next, while nothing has reached the client."""

    STOP = "stop"
    REFRESH = "refresh"  # force a token refresh, same account, once
    RETRY = "retry"  # same account after a pause
    NEXT_ACCOUNT = "next_account"
    NEXT_CANDIDATE = "next_candidate"  # another host or binding
    STRIP_REASONING = "strip_reasoning"  # resend without reasoningContent, once
    STRIP_FIELDS = "strip_fields"  # resend without additionalModelRequestFields, once
    ALTERNATE_ARN = "alternate_arn"  # resend with the other choice of profile ARN, once


class Health(enum.Enum):
    """What the refusal says about the account, once the account is given up for this request.

    Only refusals that are about the account are anything but NONE: a bad request, a busy model or a
    broken line never counts against it.
    """

    NONE = "none"
    COOL = "cool"  # a short pause
    EXHAUST = "exhaust"  # no credits until the quota's reset
    DAILY = "daily"  # nothing more today
    REVOKE = "revoke"  # the sign-in is refused, also after a refresh
    SUSPEND = "suspend"  # locked by the service; only its support can undo that
    BRAKE = "brake"  # anti-abuse limit: a long pause, each try prolongs it


@dataclass(frozen=True, slots=True)
class Remedy:
    """``fallback``: what to do when ``action`` was already used up for this request."""

    action: Action
    health: Health = Health.NONE
    fallback: Action = Action.STOP


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of refusal. ``statuses`` empty: any. ``marks`` empty: the status alone decides; else one
    of them must occur. ``advice``: the sentence users read before the service's own words."""

    label: str
    kind: Kind
    remedy: Remedy
    advice: str
    statuses: frozenset[int] = frozenset()
    marks: tuple[str, ...] = ()
    html: bool = False
    should_retry: bool | None = None


_STOP: Final = Remedy(Action.STOP)
_RETRY: Final = Remedy(Action.RETRY)
_RETRY_ELSEWHERE: Final = Remedy(Action.RETRY, fallback=Action.NEXT_ACCOUNT)
_NEXT_ACCOUNT: Final = Remedy(Action.NEXT_ACCOUNT)
_NEXT_CANDIDATE: Final = Remedy(Action.NEXT_CANDIDATE)
_REFRESH: Final = Remedy(Action.REFRESH, Health.REVOKE, Action.NEXT_ACCOUNT)
_KMS: Final = (
    "The customer key that encrypts this Kiro profile cannot be used; ask its administrator."
)
_SUPPORT: Final = "https://support.aws.amazon.com/#/contacts/kiro"

ROWS: Final = (
    # -- before everything else, in the official client's order ------------------------------------
    Row(
        "too_long",
        Kind.PROMPT_TOO_LONG,
        _STOP,
        f"{TOO_LONG} for this model.",
        marks=(
            "input is too long",
            "content_length_exceeds_threshold",
            "input content length exceeds threshold",
            "contentlengthexceeded",
            "conversation_limit_exceeded",
        ),
    ),
    Row(
        "model_busy",
        Kind.OVERLOADED,
        _RETRY_ELSEWHERE,
        "The model is busy at Kiro; try again in a moment or choose another model.",
        frozenset({402, 429, 500, 502, 503, 504, 529}),
        (
            "insufficient_model_capacity",
            "insufficient_throughput",
            "service_request_rate_exceeded",
            "high traffic",
            "unexpectedly high load",
            "model_temporarily_unavailable",
            "modeltemporarilyunavailable",
            "modelunavailable",
        ),
    ),
    # -- the account ---------------------------------------------------------------------------------
    Row(
        "suspended",
        Kind.PERMISSION,
        Remedy(Action.NEXT_ACCOUNT, Health.SUSPEND),
        f"Kiro has suspended this account; only its support can restore it: {_SUPPORT}.",
        marks=("temporarily_suspended", "temporarily is suspended", "locked your account"),
        should_retry=False,
    ),
    Row(
        "locked",
        Kind.PERMISSION,
        Remedy(Action.NEXT_ACCOUNT, Health.SUSPEND),
        f"Kiro has locked this account; only its support can restore it: {_SUPPORT}.",
        frozenset({423}),
        should_retry=False,
    ),
    Row(
        "brake",
        Kind.RATE_LIMITED,
        Remedy(Action.NEXT_ACCOUNT, Health.BRAKE),
        "Kiro is limiting this account for a while because of its activity; trying again prolongs that.",
        frozenset({403, 429}),
        ("suspicious activity",),
        should_retry=False,
    ),
    Row(
        "daily",
        Kind.RATE_LIMITED,
        Remedy(Action.NEXT_ACCOUNT, Health.DAILY),
        "This Kiro account has made all the requests it may make today.",
        frozenset({402, 429}),
        ("daily_request_count",),
        should_retry=False,
    ),
    Row(
        "quota",
        Kind.QUOTA,
        Remedy(Action.NEXT_ACCOUNT, Health.EXHAUST),
        "The credits of this Kiro account are used up; wait for the next period or change the plan.",
        marks=(
            "monthly_request_count",
            "overage_request_limit_exceeded",
            "maximum request reached for this month",
        ),
        should_retry=False,
    ),
    Row(
        "payment",
        Kind.QUOTA,
        Remedy(Action.NEXT_ACCOUNT, Health.EXHAUST),
        "Kiro asks for payment: this account has reached a limit of its plan.",
        frozenset({402}),
        should_retry=False,
    ),
    # -- the request -----------------------------------------------------------------------------------
    Row(
        "profile_required",
        Kind.UPSTREAM_UNAUTHENTICATED,
        Remedy(Action.ALTERNATE_ARN, fallback=Action.NEXT_ACCOUNT),
        "Kiro wants a profile for this sign-in and none is known; sign in to Kiro again.",
        frozenset({400, 403}),
        ("profilearn is required",),
        should_retry=False,
    ),
    Row(
        "model_unknown",
        Kind.MODEL_NOT_FOUND,
        _NEXT_ACCOUNT,
        "This Kiro account does not offer the model; choose another one (GET /v1/models lists them), or "
        "map the name to one of them with the setting MODEL_ALIASES.",
        frozenset({400, 403, 404}),
        ("invalid_model_id", "invalid model."),
        should_retry=False,
    ),
    Row(
        "thinking_signature",
        Kind.INVALID_REQUEST,
        Remedy(Action.STRIP_REASONING),
        "Kiro refused the signature of an earlier thinking block.",
        frozenset({400}),
        ("thinking_signature_invalid", "invalid `signature` in `thinking` block"),
    ),
    Row(
        "model_fields",
        Kind.INVALID_REQUEST,
        Remedy(Action.STRIP_FIELDS),
        "Kiro refused a thinking or effort setting for this model.",
        frozenset({400}),
        ("is not defined in the schema", "additionalmodelrequestfields"),
    ),
    Row(
        "kms",
        Kind.INVALID_REQUEST,
        _STOP,
        _KMS,
        frozenset({400, 403, 409}),
        ("kms_key", "invalid_kms_grant"),
        should_retry=False,
    ),
    # -- something between us and the service ----------------------------------------------------------
    Row(
        "middlebox",
        Kind.UPSTREAM_FAILED,
        _NEXT_CANDIDATE,
        "A web page came back instead of Kiro's answer: a proxy or firewall on the way refused.",
        frozenset({200, 400, 401, 403, 404, 405, 407, 451}),
        html=True,
        should_retry=False,
    ),
    # -- the sign-in -----------------------------------------------------------------------------------
    Row(
        "token",
        Kind.UPSTREAM_UNAUTHENTICATED,
        _REFRESH,
        "Kiro refused the sign-in of this account; sign in to Kiro again.",
        frozenset({401, 403}),
        ("bearer token", "invalid token", "token is invalid", "token has expired", "expiredtoken"),
        should_retry=False,
    ),
    Row(
        "unauthenticated",
        Kind.UPSTREAM_UNAUTHENTICATED,
        _REFRESH,
        "Kiro refused the sign-in of this account; sign in to Kiro again.",
        frozenset({401}),
        should_retry=False,
    ),
    Row(
        "not_authorized",
        Kind.PERMISSION,
        Remedy(Action.ALTERNATE_ARN, fallback=Action.NEXT_ACCOUNT),
        "This Kiro account may not make the call: wrong profile, or no subscription.",
        frozenset({403}),
        ("not authorized to make this call",),
        should_retry=False,
    ),
    Row(
        "feature",
        Kind.PERMISSION,
        _NEXT_ACCOUNT,
        "Kiro does not offer this to the account's kind of sign-in.",
        frozenset({403}),
        (
            "feature_not_supported",
            "not authorized to access this feature",
            "not supported for this operation",
            "unauthorized_customization_resource_access",
            "unauthorized_workspace_context_feature_access",
        ),
        should_retry=False,
    ),
    Row(  # also with an empty body; a dead token may hide behind it, so one refresh is tried
        "forbidden",
        Kind.PERMISSION,
        Remedy(Action.REFRESH, fallback=Action.NEXT_ACCOUNT),
        "Kiro refused this account the call.",
        frozenset({403}),
        should_retry=False,
    ),
    # -- by status alone -------------------------------------------------------------------------------
    Row(
        "rate",
        Kind.RATE_LIMITED,
        # Not tried again here: each try was measured to prolong the penalty, and clients come back.
        Remedy(Action.NEXT_ACCOUNT, Health.COOL),
        "Kiro is limiting how fast this account may send requests; wait a little.",
        frozenset({429}),
    ),
    Row(
        "bad_request",
        Kind.INVALID_REQUEST,
        _STOP,
        "Kiro refused the request as it stands (a very long conversation can be the cause too).",
        frozenset({400, 422}),
    ),
    Row(
        "conflict",
        Kind.INVALID_REQUEST,
        _STOP,
        "Kiro refused the request because of a conflict in the account's settings.",
        frozenset({409}),
        should_retry=False,
    ),
    Row(
        "wrong_host",
        Kind.UPSTREAM_FAILED,
        _NEXT_CANDIDATE,
        "This Kiro host does not know the call.",
        frozenset({404, 405, 415}),
    ),
    Row("timed_out", Kind.UPSTREAM_TIMEOUT, _RETRY, "Kiro took too long.", frozenset({408, 504})),
    Row(
        "too_large",
        Kind.TOO_LARGE,
        _STOP,
        "The request is larger than Kiro accepts; shorten the conversation or use smaller files.",
        frozenset({413}),
    ),
    Row(
        "unavailable",
        Kind.OVERLOADED,
        _RETRY,
        "Kiro is overloaded or down at the moment; try again shortly.",
        frozenset({503, 529}),
    ),
    Row(
        "server_failed",
        Kind.UPSTREAM_FAILED,
        _RETRY,
        "Kiro failed to answer.",
        frozenset(range(500, 600)),
    ),
    Row("unexpected", Kind.UPSTREAM_FAILED, _STOP, "Kiro gave an answer nobody expects here."),
)


def choose_row(status: int, haystack: str, *, html: bool = False) -> Row:
    """The first row that fits; the last one always does. ``haystack`` is lower case."""
    return next(row for row in ROWS if _fits(row, status, haystack, html))


def _fits(row: Row, status: int, haystack: str, html: bool) -> bool:
    if row.statuses and status not in row.statuses:
        return False
    if row.html and not html:
        return False
    return not row.marks or any(mark in haystack for mark in row.marks)
