"""Errors as clients get them."""

from __future__ import annotations

import anthropic
import httpx2
import orjson
import pytest

from kiroproxy.api.anthropic import error_body, error_response
from kiroproxy.api.anthropic.errors import TABLE
from kiroproxy.errors import (
    InternalError,
    Kind,
    KiroProxyError,
    NoAccountError,
    RequestError,
    UpstreamError,
)
from kiroproxy.kiro.replies import classify_reply


def answer(error: KiroProxyError) -> tuple[int, dict[str, str], dict[str, object]]:
    status, headers, body = error_response(error, "req_1")
    named = {name.decode(): value.decode() for name, value in headers}
    assert named["content-type"] == "application/json"
    assert named["request-id"] == "req_1"
    document = orjson.loads(body)
    assert document["type"] == "error" and document["request_id"] == "req_1"
    assert set(document["error"]) == {"type", "message"}
    return status, named, document["error"]


def test_table_has_every_kind() -> None:
    assert set(TABLE) == set(Kind)


def test_400_is_for_bad_requests_alone() -> None:
    """Clients answer each 400 with up to six requests, and 404 with "no such model"."""
    assert {kind for kind, row in TABLE.items() if row.status == 400} == {
        Kind.INVALID_REQUEST,
        Kind.PROMPT_TOO_LONG,
    }
    assert {kind for kind, row in TABLE.items() if row.status == 404} == {
        Kind.NOT_FOUND,
        Kind.MODEL_NOT_FOUND,
    }


@pytest.mark.parametrize(
    ("kind", "status", "type_", "should_retry", "retry_after"),
    [
        (Kind.INVALID_REQUEST, 400, "invalid_request_error", None, None),
        (Kind.PROMPT_TOO_LONG, 400, "invalid_request_error", None, None),
        (Kind.UNAUTHENTICATED, 401, "authentication_error", "false", None),
        (Kind.UPSTREAM_UNAUTHENTICATED, 401, "authentication_error", "false", None),
        (Kind.QUOTA, 402, "billing_error", "false", None),
        (Kind.PERMISSION, 403, "permission_error", "false", None),
        (Kind.MODEL_NOT_FOUND, 404, "not_found_error", "false", None),
        (Kind.TOO_LARGE, 413, "request_too_large", "false", None),
        (Kind.RATE_LIMITED, 429, "rate_limit_error", None, "8"),
        (Kind.INTERNAL, 500, "api_error", None, None),
        (Kind.UPSTREAM_FAILED, 502, "api_error", None, None),
        (Kind.UPSTREAM_TIMEOUT, 504, "timeout_error", None, None),
        (Kind.OVERLOADED, 529, "overloaded_error", None, None),
    ],
)
def test_row(
    kind: Kind, status: int, type_: str, should_retry: str | None, retry_after: str | None
) -> None:
    got, headers, error = answer(UpstreamError("Words.", kind=kind))
    assert (got, error) == (status, {"type": type_, "message": "Words."})
    assert headers.get("x-should-retry") == should_retry
    assert headers.get("retry-after") == retry_after


@pytest.mark.parametrize(
    ("retry_after_s", "should_retry", "headers"),
    [
        (2.2, None, {"retry-after": "3"}),
        (0.0, None, {"retry-after": "0"}),
        (120.0, None, {"retry-after": "120"}),
        (3_600.0, None, {"retry-after": "3600", "x-should-retry": "false"}),
        (3_600.0, True, {"retry-after": "3600", "x-should-retry": "true"}),
        (None, False, {"x-should-retry": "false"}),
        (None, None, {"retry-after": "8"}),
    ],
)
def test_waiting(
    retry_after_s: float | None, should_retry: bool | None, headers: dict[str, str]
) -> None:
    error = NoAccountError(
        "Wait.", kind=Kind.RATE_LIMITED, retry_after_s=retry_after_s, should_retry=should_retry
    )
    _, named, _ = answer(error)
    assert {k: v for k, v in named.items() if k in ("retry-after", "x-should-retry")} == headers


def test_upstream_request_id_is_told_once() -> None:
    body = error_body(UpstreamError("It broke.", upstream_request_id="r1"))
    assert orjson.loads(body)["error"]["message"] == "It broke. (Kiro request id r1)"
    reply = classify_reply(500, {"x-amzn-requestid": "r2"}.get, b'{"message":"no"}')
    assert orjson.loads(error_body(reply))["error"]["message"].count("r2") == 1


def test_half_a_surrogate_pair_is_survived() -> None:
    assert orjson.loads(error_body(RequestError("no \ud83d")))["error"]["message"] == "no ?"


def test_stream_error_has_no_request_id_of_nobody() -> None:
    assert b"request_id" not in error_body(InternalError("x"))


@pytest.mark.parametrize("kind", list(Kind))
def test_sdk_understands_every_error(kind: Kind) -> None:
    """Through the official client, whose transport plays our answer."""
    status, headers, body = error_response(UpstreamError("Words.", kind=kind), "req_1")

    def play(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers=headers, content=body)

    with (
        anthropic.Anthropic(
            api_key="k",
            base_url="http://127.0.0.1:1",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(play)),
        ) as client,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        client.messages.create(model="x", max_tokens=1, messages=[{"role": "user", "content": "a"}])
    assert caught.value.status_code == status
    assert caught.value.request_id == "req_1"
    assert "Words." in str(caught.value)
