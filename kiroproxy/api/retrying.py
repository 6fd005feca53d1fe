"""When a client may ask again: the headers of an error answer that all dialects have in common."""

from __future__ import annotations

import math
from typing import Final

from kiroproxy.errors import Kind, KiroProxyError

RawHeader = tuple[bytes, bytes]

#: Sent with a rate limit when the service names no time, which is the rule; without a number some
#: clients give up at once. The penalty window of the service has half run out by then.
DEFAULT_RETRY_AFTER_S: Final = 8


def retry_headers(
    error: KiroProxyError, rule: bool | None, max_client_wait_s: float
) -> list[RawHeader]:
    """``x-should-retry`` and ``retry-after`` as far as they are due.

    ``rule``: what the dialect's table says for the error's kind; None leaves it to the client.
    ``max_client_wait_s``: above it the client is told not to retry, so that the message is shown.
    """
    headers: list[RawHeader] = []
    should_retry = error.should_retry
    if should_retry is None:
        should_retry = rule
        if error.retry_after_s is not None and error.retry_after_s > max_client_wait_s:
            should_retry = False
    if should_retry is not None:
        headers.append((b"x-should-retry", b"true" if should_retry else b"false"))
    retry_after_s = error.retry_after_s
    if retry_after_s is None and error.kind is Kind.RATE_LIMITED and should_retry is not False:
        retry_after_s = DEFAULT_RETRY_AFTER_S
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(0, math.ceil(retry_after_s))))
    return headers


def told_message(error: KiroProxyError) -> str:
    """The message with the service's request id, which its support asks for. Half a surrogate pair, as
    a client's own words can hold one, is no JSON and becomes a question mark."""
    message = error.message
    upstream_id = error.upstream_request_id
    if upstream_id and upstream_id not in message:
        message = f"{message} (Kiro request id {upstream_id})"
    return encodable(message)


def encodable(text: str) -> str:
    """``text`` without half surrogate pairs."""
    return text.encode("utf-8", "replace").decode()
