"""Errors as OpenAI clients get them."""

from __future__ import annotations

import httpx2
import openai
import orjson
import pytest

from kiroproxy.api.openai import error_body, error_response
from kiroproxy.api.openai.errors import TABLE
from kiroproxy.errors import Kind, KiroProxyError, RequestError, UpstreamError

ROWS: list[tuple[Kind, int, str, str | None, str | None]] = [
    (Kind.INVALID_REQUEST, 400, "invalid_request_error", None, None),
    (Kind.PROMPT_TOO_LONG, 400, "invalid_request_error", "context_length_exceeded", None),
    (Kind.UNAUTHENTICATED, 401, "authentication_error", "invalid_api_key", "false"),
    (Kind.UPSTREAM_UNAUTHENTICATED, 401, "authentication_error", "invalid_api_key", "false"),
    (Kind.PERMISSION, 403, "permission_error", "permission_denied", "false"),
    (Kind.MODEL_NOT_FOUND, 404, "invalid_request_error", "model_not_found", "false"),
    (Kind.TOO_LARGE, 413, "invalid_request_error", "request_too_large", "false"),
    (Kind.RATE_LIMITED, 429, "rate_limit_error", "rate_limit_exceeded", None),
    (Kind.QUOTA, 429, "insufficient_quota", "insufficient_quota", "false"),
    (Kind.INTERNAL, 500, "server_error", "internal_error", None),
    (Kind.UPSTREAM_FAILED, 502, "server_error", "upstream_error", None),
    (Kind.OVERLOADED, 503, "server_error", "server_is_overloaded", None),
    (Kind.UPSTREAM_TIMEOUT, 504, "server_error", "upstream_timeout", None),
]


def answer(error: KiroProxyError) -> tuple[int, dict[str, str], dict[str, object]]:
    status, headers, body = error_response(error)
    document = orjson.loads(body)
    assert set(document) == {"error"}
    assert set(document["error"]) == {"message", "type", "param", "code"}
    return status, {n.decode(): v.decode() for n, v in headers}, document["error"]


def test_table_has_every_kind() -> None:
    assert set(TABLE) == set(Kind)


@pytest.mark.parametrize(("kind", "status", "type_", "code", "should_retry"), ROWS)
def test_row(
    kind: Kind, status: int, type_: str, code: str | None, should_retry: str | None
) -> None:
    got, headers, error = answer(UpstreamError("Words.", kind=kind))
    param = "model" if kind is Kind.MODEL_NOT_FOUND else None
    told = {"type": type_, "param": param, "code": code}
    assert (got, error) == (status, {"message": error["message"], **told})
    assert str(error["message"]).startswith("Words.")
    assert headers.get("x-should-retry") == should_retry
    assert ("retry-after" in headers) == (kind is Kind.RATE_LIMITED)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Kind.INVALID_REQUEST, "Words."),
        # litellm knows this error by OpenAI's words alone
        (
            Kind.PROMPT_TOO_LONG,
            "Words. Input tokens exceed the configured limit, the maximum context length of the model.",
        ),
    ],
)
def test_message(kind: Kind, message: str) -> None:
    assert answer(UpstreamError("Words.", kind=kind))[2]["message"] == message


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("n", "n"),
        ("messages.0.content.12.image_url.url", "messages[0].content[12].image_url.url"),
        ("tools.1", "tools[1]"),
        ("response_format.json_schema.schema", "response_format.json_schema.schema"),
    ],
)
def test_param_is_spelt_as_openai_does(path: str, param: str) -> None:
    error = orjson.loads(error_body(RequestError(f"{path}: wrong", param=path)))["error"]
    assert error["param"] == param
    assert error["message"] == f"{param}: wrong"


def test_code_of_its_own() -> None:
    error = RequestError("Gone.", param="previous_response_id", code="previous_response_not_found")
    assert answer(error)[2]["code"] == "previous_response_not_found"


CLASSES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
}


@pytest.mark.parametrize("kind", list(Kind))
def test_sdk_understands_every_error(kind: Kind) -> None:
    """Through the official client, whose transport plays our answer; it asks once where it is told so."""
    status, headers, body = error_response(UpstreamError("Words.", kind=kind, should_retry=False))
    asked = []

    def play(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(status, headers=headers, content=body)

    with (
        openai.OpenAI(
            api_key="k",
            base_url="http://127.0.0.1:1/v1",
            http_client=httpx2.Client(transport=httpx2.MockTransport(play)),
        ) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(model="x", messages=[{"role": "user", "content": "a"}])
    assert caught.value.status_code == status
    assert caught.value.code == TABLE[kind].code
    assert "Words." in str(caught.value)
    expected = openai.InternalServerError if status >= 500 else CLASSES.get(status)
    assert expected is None or type(caught.value) is expected
    assert len(asked) == 1
