"""The service's refusals, sorted: what happened, what to do about it, what to tell the user.

HTTP replies and exception frames inside a stream go through one table. The same refusal comes in several
spellings, so a row looks at three things together:

* the status. AWS JSON 1.0 answers everything with 400 or 500 and a frame has no status at all; then the
  exception's name stands in (``ThrottlingException`` → 429). Names end in ``Exception`` on the wire and
  in ``Error`` in the official client's model, so only the stem counts;
* marks: substrings looked for in name, reason and body at once, in lower case. Reason codes move
  between fields (``reason``, ``code``, ``__type``, OpenAI's ``error.code``), hence no field is trusted;
* whether the body is a page of HTML, which the service never sends: something on the way did.

What each means stands in ``refusals.ROWS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from kiroproxy.errors import UpstreamRefusedError
from kiroproxy.kiro.objects import first_text, maybe_object
from kiroproxy.kiro.redaction import clean_words
from kiroproxy.kiro.refusals import TOO_LONG, Action, Health, Remedy, Row, choose_row

__all__ = [
    "Action",
    "Health",
    "Remedy",
    "classify_frame",
    "classify_reply",
    "is_length_stop",
    "prompt_too_long",
]

GetHeader = Callable[[str], str | None]

MAX_BODY_CHARS: Final = 64 * 1024  # of an error body that we look at; real ones are under 1 KiB
MAX_RETRY_AFTER_S: Final = 86_400.0  # our choice: longer than a day is not a pause


# Stem of the exception's (or event's) name → the HTTP status the REST binding gives it.
STATUS_BY_STEM: Final = {
    "validation": 400,
    "serialization": 400,
    "contentlengthexceeded": 400,
    "expiredtoken": 401,
    "unauthorized": 401,
    "unrecognizedclient": 401,
    "servicequotaexceeded": 402,
    "accessdenied": 403,
    "resourcenotfound": 404,
    "unknownoperation": 404,
    "requesttimeout": 408,
    "conflict": 409,
    "throttling": 429,
    "toomanyrequests": 429,
    "error": 500,  # the one exception the official decoder models inside a stream
    "internalserver": 500,
    "invalidstate": 500,
    "serviceunavailable": 503,
    "modeltemporarilyunavailable": 503,
    "modelunavailable": 503,
}
_VAGUE: Final = frozenset({0, 200, 400, 500})  # the statuses that say less than the name does
_SUFFIXES: Final = ("exception", "error", "event")


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What a refusal brought along. ``words``: the service's own sentence, uncleaned."""

    status: int
    name: str
    reason: str
    words: str
    haystack: str
    html: bool


def classify_reply(status: int, headers: GetHeader, body: bytes) -> UpstreamRefusedError:
    """The error for an HTTP reply that is not a stream. ``headers`` looks a header up by name.

    Never raises. ``retry_after_s`` comes from ``Retry-After`` (seconds, or a date taken against the
    reply's own ``Date``, so that a wrong clock here does no harm).
    """
    found = _evidence(status, headers("x-amzn-errortype") or "", body)
    request_id = headers("x-amzn-requestid") or headers("x-amz-request-id")
    return _refused(found, status, _retry_after_s(headers), _plain_id(request_id))


def classify_frame(name: str, payload: bytes, message: str = "") -> UpstreamRefusedError:
    """The error for an exception or error frame, or for an event that reports a failure.

    ``name``: ``:exception-type``, ``:error-code`` or the event type; ``message``: ``:error-message``.
    Never raises. A name nobody knows counts as a failure of the service (500).
    """
    code = int(name) if name.isascii() and name.isdigit() and len(name) == 3 else 0
    return _refused(_evidence(code, name, bytes(payload), message), 0, None, None)


def is_length_stop(error: BaseException) -> bool:
    """Whether a frame's error only says that the answer reached its greatest length."""
    return (
        isinstance(error, UpstreamRefusedError)
        and error.status == 0
        and _stem(error.name) == "contentlengthexceeded"
    )


def prompt_too_long(tokens: int, maximum: int, upstream_message: str) -> str:
    """The message clients read numbers from: ``prompt is too long: N tokens > M maximum``.

    Numbers that do not show an excess (our estimate is lower than the window) are left out: they would
    contradict the sentence. ``upstream_message`` follows, without the opening words it may have.
    """
    rest = upstream_message.removeprefix(f"{TOO_LONG} for this model.").strip()
    if rest.startswith(f"{TOO_LONG}: "):
        return upstream_message  # has its numbers already
    head = f"{TOO_LONG} for this model."
    if tokens > maximum > 0:
        head = f"{TOO_LONG}: {tokens} tokens > {maximum} maximum"
        return f"{head}. {rest}" if rest else head
    return f"{head} {rest}".rstrip()


def _refused(
    found: _Evidence, status: int, retry_after_s: float | None, request_id: str | None
) -> UpstreamRefusedError:
    row = choose_row(found.status, found.haystack, html=found.html)
    return UpstreamRefusedError(
        _message(row, found, request_id),
        status=status,
        name=found.name,
        reason=found.reason,
        remedy=row.remedy,
        kind=row.kind,
        retry_after_s=retry_after_s,
        should_retry=row.should_retry,
        upstream_request_id=request_id,
    )


def _message(row: Row, found: _Evidence, request_id: str | None) -> str:
    parts = [row.advice]
    words = clean_words(found.words)
    if words:
        parts.append(f'Kiro said: "{words}"')
    elif found.status and not found.html:
        parts.append(f"(HTTP {found.status}, no explanation.)")
    if request_id:
        parts.append(f"(Kiro request id {request_id})")
    return " ".join(parts)


def _evidence(status: int, header_name: str, body: bytes, message: str = "") -> _Evidence:
    text = body[:MAX_BODY_CHARS].decode("utf-8", "replace")
    document = maybe_object(body)
    nested = document.get("error")
    inner: dict[str, Any] = nested if isinstance(nested, dict) else {}
    raw_name = header_name or first_text(document, "code", "__type") or first_text(inner, "type")
    name = _bare_name(raw_name)
    reason = first_text(document, "reason") or first_text(inner, "code", "reason")
    words = (
        first_text(document, "message", "Message", "errorMessage")
        or first_text(inner, "message")
        or message
    )
    html = text.lstrip()[:1] == "<"
    return _Evidence(
        status=_effective_status(status, name),
        name=name,
        reason=reason,
        words=words,
        haystack=f"{name} {reason} {message} {text}".lower(),
        html=html,
    )


def _effective_status(status: int, name: str) -> int:
    """The status the REST binding would have given."""
    if status not in _VAGUE:
        return status
    implied = STATUS_BY_STEM.get(_stem(name))
    if implied is not None:
        return implied
    return status or 500


def _bare_name(name: str) -> str:
    """``com.amazon.x#ThrottlingException:http://…`` → ``ThrottlingException``."""
    return name.rpartition("#")[2].partition(":")[0].strip()


def _stem(name: str) -> str:
    """``ThrottlingException``, ``throttlingError`` → ``throttling``."""
    stem = name.lower()
    for suffix in _SUFFIXES:
        if stem.endswith(suffix) and stem != suffix:
            return stem.removesuffix(suffix)
    return stem


def _plain_id(value: str | None) -> str | None:
    """A request id as it may stand in a message and a header, or None."""
    if value and len(value) <= 128 and value.isascii() and value.isprintable():
        return value
    return None


def _retry_after_s(headers: GetHeader) -> float | None:
    value = (headers("retry-after") or "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value.lstrip("0")[:9] or 0), MAX_RETRY_AFTER_S)
    then = _posix_s(value)
    now = _posix_s(headers("date") or "")
    if then is None or now is None:
        return None
    return min(max(then - now, 0.0), MAX_RETRY_AFTER_S)


def _posix_s(http_date: str) -> float | None:
    """A date in any of HTTP's three forms."""
    from email.utils import parsedate_to_datetime  # half a megabyte that hardly anybody needs

    try:
        date = parsedate_to_datetime(http_date)
        if date.tzinfo is None:  # asctime's form names no zone; all are in GMT
            date = date.replace(tzinfo=UTC)
        return date.timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
