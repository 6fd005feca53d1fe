"""Our errors as OpenAI's error bodies, with the headers that its clients obey.

The SDKs retry 408, 409, 429 and 5xx twice, unless ``x-should-retry: false``; ``retry-after`` counts up to
a minute. Codex fails at once on 400 and on a 429 that has no ``retry-after`` or says that the quota is
gone, and repeats every 5xx thirty times, so what waiting cannot mend is never a 5xx. The codes are those
that clients look for: ``context_length_exceeded``, ``insufficient_quota``, ``rate_limit_exceeded``,
``model_not_found``, ``invalid_api_key``, ``server_is_overloaded``.

litellm looks at words instead: it takes any ``invalid_request_error`` for a wrong field, also with 401, and
knows a prompt that is too long by OpenAI's own words, which must do
without an apostrophe: it searches Python's spelling of the body, where one may stand escaped.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import orjson

from kiroproxy.api.retrying import RawHeader, retry_headers, told_message
from kiroproxy.errors import Kind, KiroProxyError

#: The SDKs do not wait longer, and try at once instead.
MAX_CLIENT_WAIT_S: Final = 60

_TOO_LONG: Final = (
    "Input tokens exceed the configured limit, the maximum context length of the model."
)

_INDEX: Final = re.compile(r"\.(\d+)(?=\.|$)")


class Row(NamedTuple):
    """``should_retry`` None: the client's own rule for the status is right."""

    status: int
    type: str
    code: str | None
    should_retry: bool | None = None


TABLE: Final[dict[Kind, Row]] = {
    Kind.INVALID_REQUEST: Row(400, "invalid_request_error", None),
    Kind.PROMPT_TOO_LONG: Row(400, "invalid_request_error", "context_length_exceeded"),
    Kind.UNAUTHENTICATED: Row(401, "authentication_error", "invalid_api_key", False),
    Kind.UPSTREAM_UNAUTHENTICATED: Row(401, "authentication_error", "invalid_api_key", False),
    Kind.PERMISSION: Row(403, "permission_error", "permission_denied", False),
    Kind.NOT_FOUND: Row(404, "invalid_request_error", "unknown_url", False),
    Kind.MODEL_NOT_FOUND: Row(404, "invalid_request_error", "model_not_found", False),
    Kind.METHOD_NOT_ALLOWED: Row(405, "invalid_request_error", "method_not_supported", False),
    Kind.REQUEST_TIMEOUT: Row(408, "timeout_error", "request_timeout"),
    Kind.TOO_LARGE: Row(413, "invalid_request_error", "request_too_large", False),
    Kind.UPGRADE_REQUIRED: Row(426, "invalid_request_error", "upgrade_required", False),
    Kind.RATE_LIMITED: Row(429, "rate_limit_error", "rate_limit_exceeded"),
    Kind.QUOTA: Row(429, "insufficient_quota", "insufficient_quota", False),
    Kind.HEADERS_TOO_LARGE: Row(431, "invalid_request_error", "headers_too_large", False),
    Kind.INTERNAL: Row(500, "server_error", "internal_error"),
    Kind.UPSTREAM_FAILED: Row(502, "server_error", "upstream_error"),
    Kind.OVERLOADED: Row(503, "server_error", "server_is_overloaded"),
    Kind.UNAVAILABLE: Row(503, "server_error", "server_shutting_down"),
    Kind.UPSTREAM_TIMEOUT: Row(504, "server_error", "upstream_timeout"),
}


def error_response(error: KiroProxyError) -> tuple[int, list[RawHeader], bytes]:
    """Status, headers and body of the HTTP answer."""
    row = TABLE[error.kind]
    headers = [(b"content-type", b"application/json")]
    headers += retry_headers(error, row.should_retry, MAX_CLIENT_WAIT_S)
    return row.status, headers, error_body(error)


def error_body(error: KiroProxyError) -> bytes:
    """The JSON body, of an HTTP answer or of a stream's last line."""
    return orjson.dumps({"error": error_fields(error)})


def error_fields(error: KiroProxyError) -> dict[str, Any]:
    """``message``, ``type``, ``param`` and ``code``."""
    row = TABLE[error.kind]
    param = error.param
    if param is None and error.kind is Kind.MODEL_NOT_FOUND:
        param = "model"
    message = told_message(error)
    if param is not None:
        spelled = _INDEX.sub(r"[\1]", param)
        if message.startswith(f"{param}:"):  # one path, one spelling
            message = spelled + message[len(param) :]
        param = spelled
    if error.kind is Kind.PROMPT_TOO_LONG:
        message = f"{message} {_TOO_LONG}"
    return {
        "message": message,
        "type": row.type,
        "param": param,
        "code": error.code or row.code,
    }
