"""Our errors as the Messages API's error bodies, with the headers that its clients obey.

What Claude Code does with an answer decides the table (seen with real clients): it retries 408, 429 and
5xx ten times over three minutes before the user sees a word, unless ``x-should-retry: false``; it shows
402 and 403 at once; it answers any 400 with up to six requests; 404 means "no such model" to it. So:
400 for requests that are really wrong and nothing else, and ``x-should-retry: false`` wherever waiting
does not help. Used-up credits are 402: shown at once, in the service's own terms, and no SDK retries it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kiroproxy.api.anthropic.wire import dumps
from kiroproxy.api.retrying import RawHeader, encodable, retry_headers, told_message
from kiroproxy.errors import Kind, KiroProxyError

#: Nobody waits longer than this in front of a silent client: it is told not to retry, so that the
#: message is shown.
MAX_CLIENT_WAIT_S: Final = 120


class Row(NamedTuple):
    """``should_retry`` None: the client's own rule for the status is right."""

    status: int
    type: str
    should_retry: bool | None = None


TABLE: Final[dict[Kind, Row]] = {
    Kind.INVALID_REQUEST: Row(400, "invalid_request_error"),
    Kind.PROMPT_TOO_LONG: Row(400, "invalid_request_error"),
    Kind.UNAUTHENTICATED: Row(401, "authentication_error", False),
    Kind.UPSTREAM_UNAUTHENTICATED: Row(401, "authentication_error", False),
    Kind.QUOTA: Row(402, "billing_error", False),
    Kind.PERMISSION: Row(403, "permission_error", False),
    Kind.NOT_FOUND: Row(404, "not_found_error", False),
    Kind.MODEL_NOT_FOUND: Row(404, "not_found_error", False),
    Kind.METHOD_NOT_ALLOWED: Row(405, "invalid_request_error", False),
    Kind.REQUEST_TIMEOUT: Row(408, "timeout_error"),
    Kind.TOO_LARGE: Row(413, "request_too_large", False),
    Kind.UPGRADE_REQUIRED: Row(426, "invalid_request_error", False),
    Kind.RATE_LIMITED: Row(429, "rate_limit_error"),
    Kind.HEADERS_TOO_LARGE: Row(431, "invalid_request_error", False),
    Kind.INTERNAL: Row(500, "api_error"),
    Kind.UPSTREAM_FAILED: Row(502, "api_error"),
    Kind.UNAVAILABLE: Row(503, "api_error"),
    Kind.UPSTREAM_TIMEOUT: Row(504, "timeout_error"),
    Kind.OVERLOADED: Row(529, "overloaded_error"),
}


def error_response(error: KiroProxyError, request_id: str) -> tuple[int, list[RawHeader], bytes]:
    """Status, headers and body of the HTTP answer."""
    row = TABLE[error.kind]
    headers = [(b"content-type", b"application/json")]
    if request_id:
        headers.append((b"request-id", request_id.encode("ascii", "replace")))
    headers += retry_headers(error, row.should_retry, MAX_CLIENT_WAIT_S)
    return row.status, headers, error_body(error, request_id)


def error_body(error: KiroProxyError, request_id: str = "") -> bytes:
    """The JSON body, of an HTTP answer or of an ``error`` event."""
    body = {
        "type": "error",
        "error": {"type": TABLE[error.kind].type, "message": told_message(error)},
    }
    if request_id:
        body["request_id"] = encodable(request_id)
    return dumps(body)
