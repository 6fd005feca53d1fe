"""Headers that tell a client when to come back."""

from __future__ import annotations

import pytest

from kiroproxy.api.retrying import retry_headers, told_message
from kiroproxy.errors import Kind, NoAccountError, UpstreamError


@pytest.mark.parametrize(
    ("retry_after_s", "own", "rule", "headers"),
    [
        (None, None, None, {"retry-after": "8"}),
        (2.2, None, None, {"retry-after": "3"}),
        (60.0, None, None, {"retry-after": "60"}),
        (61.0, None, None, {"retry-after": "61", "x-should-retry": "false"}),
        (61.0, True, None, {"retry-after": "61", "x-should-retry": "true"}),
        (None, None, False, {"x-should-retry": "false"}),
        (None, True, False, {"x-should-retry": "true", "retry-after": "8"}),
    ],
)
def test_rate_limit(
    retry_after_s: float | None, own: bool | None, rule: bool | None, headers: dict[str, str]
) -> None:
    error = NoAccountError(
        "Wait.", kind=Kind.RATE_LIMITED, retry_after_s=retry_after_s, should_retry=own
    )
    made = {name.decode(): value.decode() for name, value in retry_headers(error, rule, 60)}
    assert made == headers


def test_other_errors_get_no_time_of_their_own() -> None:
    assert retry_headers(UpstreamError("x"), None, 60) == []


def test_request_id_is_told_once_and_text_can_be_encoded() -> None:
    assert told_message(UpstreamError("Broke.", upstream_request_id="r1")).endswith("id r1)")
    assert told_message(UpstreamError("Broke: r1", upstream_request_id="r1")) == "Broke: r1"
    assert told_message(UpstreamError("no \ud83d")) == "no ?"
