"""Every known refusal of the service, in every spelling it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.errors import Kind, UpstreamRefusedError
from kiroproxy.kiro.redaction import MAX_WORDS_CHARS, clean_words
from kiroproxy.kiro.refusals import ROWS
from kiroproxy.kiro.replies import (
    Action,
    Health,
    Remedy,
    classify_frame,
    classify_reply,
    is_length_stop,
    prompt_too_long,
)

A, H = Action, Health
RATE_TEXT = "Too many requests, please wait before trying again."
HIGH_LOAD = "Encountered unexpectedly high load when processing the request, please try again."
BRAKE_TEXT = (
    "Due to suspicious activity, we are imposing temporary limits on how frequently your account "
    "(d-90670000aa.1234-ab) can send a request to Kiro while we investigate."
)
SUSPENDED_TEXT = (
    "Your User ID (d-90670000aa.1234-ab) temporarily is suspended. We've locked your account as a "
    "security precaution."
)

# status, name, message, reason → kind, action, health, fallback
REPLIES: dict[str, tuple[int, str, str, str | None, Kind, Remedy]] = {
    "too long by text": (
        400, "ValidationException", "Input is too long.", None,
        Kind.PROMPT_TOO_LONG, Remedy(A.STOP),
    ),
    "too long by reason": (
        400, "ValidationException", "no", "CONTENT_LENGTH_EXCEEDS_THRESHOLD",
        Kind.PROMPT_TOO_LONG, Remedy(A.STOP),
    ),
    "too long in other words": (
        400, "", "Input content length exceeds threshold", None,
        Kind.PROMPT_TOO_LONG, Remedy(A.STOP),
    ),
    "conversation limit": (
        402, "ServiceQuotaExceededException", "You have reached the limit.",
        "CONVERSATION_LIMIT_EXCEEDED", Kind.PROMPT_TOO_LONG, Remedy(A.STOP),
    ),
    "improper": (
        400, "ValidationException", "Improperly formed request.", None,
        Kind.INVALID_REQUEST, Remedy(A.STOP),
    ),
    "body invalid": (
        400, "ValidationException", "Improperly formed request.", "REQUEST_BODY_INVALID",
        Kind.INVALID_REQUEST, Remedy(A.STOP),
    ),
    "tool format": (
        400, "ValidationException", "Invalid tool use format.", None,
        Kind.INVALID_REQUEST, Remedy(A.STOP),
    ),
    "model": (
        400, "ValidationException",
        "Invalid model. Please select a different model to continue.", "INVALID_MODEL_ID",
        Kind.MODEL_NOT_FOUND, Remedy(A.NEXT_ACCOUNT),
    ),
    "arn required": (
        400, "ValidationException", "profileArn is required for this request.", None,
        Kind.UPSTREAM_UNAUTHENTICATED, Remedy(A.ALTERNATE_ARN, fallback=A.NEXT_ACCOUNT),
    ),
    "thinking signature": (
        400, "ValidationException",
        "Invalid `signature` in `thinking` block. The block is bound to a different conversation.",
        "THINKING_SIGNATURE_INVALID", Kind.INVALID_REQUEST, Remedy(A.STRIP_REASONING),
    ),
    "field not in schema": (
        400, "ValidationException", "property 'reasoning' is not defined in the schema", None,
        Kind.INVALID_REQUEST, Remedy(A.STRIP_FIELDS),
    ),
    "fields not supported": (
        400, "ValidationException",
        "additionalModelRequestFields is not supported for this model", None,
        Kind.INVALID_REQUEST, Remedy(A.STRIP_FIELDS),
    ),
    "monthly as 400": (
        400, "ThrottlingException", "Maximum Request reached for this month.",
        "MONTHLY_REQUEST_COUNT", Kind.QUOTA, Remedy(A.NEXT_ACCOUNT, H.EXHAUST),
    ),
    "management token": (
        400, "AccessDeniedException", "Invalid token", None,
        Kind.UPSTREAM_UNAUTHENTICATED, Remedy(A.REFRESH, H.REVOKE, A.NEXT_ACCOUNT),
    ),
    "401": (
        401, "UnauthorizedException", "Missing authentication token.", None,
        Kind.UPSTREAM_UNAUTHENTICATED, Remedy(A.REFRESH, H.REVOKE, A.NEXT_ACCOUNT),
    ),
    "402 monthly": (
        402, "ServiceQuotaExceededException", "You have reached the limit.",
        "MONTHLY_REQUEST_COUNT", Kind.QUOTA, Remedy(A.NEXT_ACCOUNT, H.EXHAUST),
    ),
    "402 overage": (
        402, "ServiceQuotaExceededException", "You have reached the limit.",
        "OVERAGE_REQUEST_LIMIT_EXCEEDED", Kind.QUOTA, Remedy(A.NEXT_ACCOUNT, H.EXHAUST),
    ),
    "402 bare": (402, "", "", None, Kind.QUOTA, Remedy(A.NEXT_ACCOUNT, H.EXHAUST)),
    "bearer invalid": (
        403, "AccessDeniedException",
        "The bearer token included in the request is invalid.", None,
        Kind.UPSTREAM_UNAUTHENTICATED, Remedy(A.REFRESH, H.REVOKE, A.NEXT_ACCOUNT),
    ),
    "not authorized": (
        403, "AccessDeniedException", "User is not authorized to make this call.", None,
        Kind.PERMISSION, Remedy(A.ALTERNATE_ARN, fallback=A.NEXT_ACCOUNT),
    ),
    "suspended": (
        403, "AccessDeniedException", SUSPENDED_TEXT, "TEMPORARILY_SUSPENDED",
        Kind.PERMISSION, Remedy(A.NEXT_ACCOUNT, H.SUSPEND),
    ),
    "suspended by text": (
        403, "AccessDeniedException", SUSPENDED_TEXT, None,
        Kind.PERMISSION, Remedy(A.NEXT_ACCOUNT, H.SUSPEND),
    ),
    "locked": (423, "", "Locked", None, Kind.PERMISSION, Remedy(A.NEXT_ACCOUNT, H.SUSPEND)),
    "feature": (
        403, "AccessDeniedException", "no", "FEATURE_NOT_SUPPORTED",
        Kind.PERMISSION, Remedy(A.NEXT_ACCOUNT),
    ),
    "feature by text": (
        403, "AccessDeniedException", "User is not authorized to access this feature", None,
        Kind.PERMISSION, Remedy(A.NEXT_ACCOUNT),
    ),
    "403 bare": (403, "", "", None, Kind.PERMISSION, Remedy(A.REFRESH, fallback=A.NEXT_ACCOUNT)),
    "404": (
        404, "UnknownOperationException", "", None,
        Kind.UPSTREAM_FAILED, Remedy(A.NEXT_CANDIDATE),
    ),
    "404 as 400": (
        400, "UnknownOperationException", "Unknown operation.", None,
        Kind.UPSTREAM_FAILED, Remedy(A.NEXT_CANDIDATE),
    ),
    "408": (408, "", "", None, Kind.UPSTREAM_TIMEOUT, Remedy(A.RETRY)),
    "409": (
        409, "ConflictException", "The key is disabled.", "CUSTOMER_KMS_KEY_DISABLED",
        Kind.INVALID_REQUEST, Remedy(A.STOP),
    ),
    "409 bare": (409, "", "", None, Kind.INVALID_REQUEST, Remedy(A.STOP)),
    "kms grant": (
        400, "ValidationException", "no", "INVALID_KMS_GRANT",
        Kind.INVALID_REQUEST, Remedy(A.STOP),
    ),
    "413": (413, "", "length limit exceeded", None, Kind.TOO_LARGE, Remedy(A.STOP)),
    "rate": (
        429, "ThrottlingException", RATE_TEXT, "USER_REQUEST_RATE_EXCEEDED",
        Kind.RATE_LIMITED, Remedy(A.NEXT_ACCOUNT, H.COOL),
    ),
    "rate as 400": (
        400, "ThrottlingException", RATE_TEXT, "USER_REQUEST_RATE_EXCEEDED",
        Kind.RATE_LIMITED, Remedy(A.NEXT_ACCOUNT, H.COOL),
    ),
    "rate by its model's name": (
        400, "ThrottlingError", RATE_TEXT, None,
        Kind.RATE_LIMITED, Remedy(A.NEXT_ACCOUNT, H.COOL),
    ),
    "credit rate": (
        429, "ThrottlingException", "slow down", "CREDIT_CONSUMPTION_RATE_EXCEEDED",
        Kind.RATE_LIMITED, Remedy(A.NEXT_ACCOUNT, H.COOL),
    ),
    "capacity": (
        429, "ThrottlingException", "no", "INSUFFICIENT_MODEL_CAPACITY",
        Kind.OVERLOADED, Remedy(A.RETRY, fallback=A.NEXT_ACCOUNT),
    ),
    "high traffic": (
        429, "ThrottlingException", "I am experiencing high traffic, please try again.", None,
        Kind.OVERLOADED, Remedy(A.RETRY, fallback=A.NEXT_ACCOUNT),
    ),
    "brake": (
        429, "ThrottlingException", BRAKE_TEXT, None,
        Kind.RATE_LIMITED, Remedy(A.NEXT_ACCOUNT, H.BRAKE),
    ),
    "daily": (
        429, "ThrottlingException", "no", "DAILY_REQUEST_COUNT",
        Kind.RATE_LIMITED, Remedy(A.NEXT_ACCOUNT, H.DAILY),
    ),
    "daily as 402": (
        402, "ServiceQuotaExceededException", "no", "DAILY_REQUEST_COUNT",
        Kind.RATE_LIMITED, Remedy(A.NEXT_ACCOUNT, H.DAILY),
    ),
    "high load": (
        500, "InternalServerException", HIGH_LOAD, None,
        Kind.OVERLOADED, Remedy(A.RETRY, fallback=A.NEXT_ACCOUNT),
    ),
    "model unavailable": (
        500, "InternalServerException", "no", "MODEL_TEMPORARILY_UNAVAILABLE",
        Kind.OVERLOADED, Remedy(A.RETRY, fallback=A.NEXT_ACCOUNT),
    ),
    "500": (500, "InternalServerException", "oops", None, Kind.UPSTREAM_FAILED, Remedy(A.RETRY)),
    "502": (502, "", "", None, Kind.UPSTREAM_FAILED, Remedy(A.RETRY)),
    "503": (503, "ServiceUnavailableException", "", None, Kind.OVERLOADED, Remedy(A.RETRY)),
    "504": (504, "", "", None, Kind.UPSTREAM_TIMEOUT, Remedy(A.RETRY)),
    "a status of nobody": (418, "", "teapot", None, Kind.UPSTREAM_FAILED, Remedy(A.STOP)),
    "200 that is no stream": (200, "", "hello", None, Kind.UPSTREAM_FAILED, Remedy(A.STOP)),
}  # fmt: skip


def reply(
    status: int, document: object, headers: Mapping[str, str] | None = None
) -> UpstreamRefusedError:
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    return classify_reply(status, (headers or {}).get, body)


def spellings(
    name: str, message: str, reason: str | None
) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """The same refusal as the two bindings and their relatives put it."""
    text: dict[str, Any] = {"message": message, "reason": reason}
    full = f"com.amazon.aws.codewhisperer#{name}"
    return [
        (text, {"x-amzn-errortype": f"{name}:http://internal.amazon.com/"}),
        ({"__type": full, **text}, {}),
        ({"code": name, **text}, {}),
        ({"__type": full, "Message": message, "reason": reason}, {}),
        ({"__type": full, "errorMessage": message, "reason": reason}, {}),
    ]


@pytest.mark.parametrize("case", REPLIES)
def test_reply_is_sorted_in_every_spelling(case: str) -> None:
    status, name, message, reason, kind, remedy = REPLIES[case]
    for document, headers in spellings(name, message, reason):
        error = reply(status, document, headers)
        assert (error.kind, error.remedy) == (kind, remedy)
        assert (error.status, error.name, error.reason) == (status, name, reason or "")


def test_reply_json10_names_stand_in_for_a_status() -> None:
    for status in (400, 500):
        error = reply(status, {"__type": "x#ServiceUnavailableException", "message": "no"})
        assert error.kind is Kind.OVERLOADED


def test_reply_in_openai_shape() -> None:
    body = {"error": {"code": "INVALID_MODEL_ID", "message": "Invalid model.", "type": "x"}}
    error = reply(400, body)
    assert error.kind is Kind.MODEL_NOT_FOUND
    assert "Invalid model." in error.message


@pytest.mark.parametrize("status", [200, 403, 404, 407])
def test_reply_html_is_a_middlebox(status: int) -> None:
    error = reply(status, b"\n<html><body>Blocked by policy for bob@example.com</body></html>")
    assert error.kind is Kind.UPSTREAM_FAILED
    assert "firewall" in error.message
    assert "html" not in error.message and "bob" not in error.message


def test_reply_html_of_a_gateway_is_retried() -> None:
    assert reply(502, b"<html>Bad gateway</html>").remedy == Remedy(A.RETRY)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[1]", b"null", b'{"message": 7}', b"{"])
def test_reply_with_an_odd_body_falls_back_to_the_status(body: bytes) -> None:
    error = reply(403, body)
    assert error.kind is Kind.PERMISSION
    assert "HTTP 403" in error.message


def test_reply_message_holds_advice_words_and_request_id() -> None:
    error = reply(429, {"message": RATE_TEXT}, {"x-amzn-requestid": "abc-1"})
    assert error.message == (
        "Kiro is limiting how fast this account may send requests; wait a little. "
        f'Kiro said: "{RATE_TEXT}" (Kiro request id abc-1)'
    )
    assert error.upstream_request_id == "abc-1"


def test_reply_suspension_names_nobody_but_the_support() -> None:
    for text in (SUSPENDED_TEXT, BRAKE_TEXT):
        error = reply(403, {"message": text, "reason": None})
        assert "d-9067" not in error.message and "1234" not in error.message
    assert "https://support.aws.amazon.com" in reply(403, {"message": SUSPENDED_TEXT}).message


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("7", None, 7.0),
        (" 0 ", None, 0.0),
        ("0000000000060", None, 60.0),
        ("999999999999", None, 86_400.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 86_400.0),
        # The two obsolete forms (RFC 9110 5.6.7), also against one another.
        ("Wednesday, 21-Oct-26 07:28:30 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed Oct 21 07:28:30 2026", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Sun Nov  1 07:28:30 2026", "Sunday, 01-Nov-26 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "Wed Oct 21 07:28:00 2026", 30.0),
        ("Wed Oct 21 07:28:30 2026", "Wed Oct 21 07:28:00 2026", 30.0),
        ("Wed, 21 Oct 2026 09:28:30 +0200", "Wed, 21 Oct 2026 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", None, None),
        ("Wed Oct 41 07:28:30 2026", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("1.5", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("soon", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("-3", None, None),
        ("²", None, None),
    ],
)
def test_reply_retry_after(header: str, date: str | None, seconds: float | None) -> None:
    headers = {"retry-after": header} | ({"date": date} if date else {})
    assert reply(429, {"message": RATE_TEXT}, headers).retry_after_s == seconds


FRAMES: dict[str, tuple[str, dict[str, Any], str, Kind]] = {
    "throttled": ("ThrottlingException", {"message": RATE_TEXT}, "", Kind.RATE_LIMITED),
    "small first letter": ("throttlingException", {"message": RATE_TEXT}, "", Kind.RATE_LIMITED),
    "no header, type in payload": (
        "", {"__type": "x#ServiceUnavailableException"}, "", Kind.OVERLOADED,
    ),
    "modelled": ("error", {"message": "oops"}, "", Kind.UPSTREAM_FAILED),
    "internal": ("InternalServerException", {"message": HIGH_LOAD}, "", Kind.OVERLOADED),
    "validation": ("ValidationException", {"message": "Improperly"}, "", Kind.INVALID_REQUEST),
    "too long": ("ValidationException", {"message": "Input is too long."}, "", Kind.PROMPT_TOO_LONG),
    "error frame": ("InternalFailure", {}, "The service broke", Kind.UPSTREAM_FAILED),
    "error frame with a number": ("503", {}, "busy", Kind.OVERLOADED),
    "bedrock's": ("ModelStreamErrorException", {"message": "x"}, "", Kind.UPSTREAM_FAILED),
    "invalid state": (
        "invalidStateEvent", {"reason": "STALE_CONVERSATION", "message": "x"}, "",
        Kind.UPSTREAM_FAILED,
    ),
    "model away": (
        "modelTemporarilyUnavailableEvent", {"message": "x"}, "", Kind.OVERLOADED,
    ),
    "model unavailable": ("modelUnavailableEvent", {"message": "x"}, "", Kind.OVERLOADED),
    "token": ("AccessDeniedException", {"message": "bearer token"}, "", Kind.UPSTREAM_UNAUTHENTICATED),
    "quota": (
        "ServiceQuotaExceededException", {"reason": "MONTHLY_REQUEST_COUNT"}, "", Kind.QUOTA,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FRAMES)
def test_frame_is_sorted_like_the_reply(case: str) -> None:
    name, payload, message, kind = FRAMES[case]
    error = classify_frame(name, orjson.dumps(payload), message)
    assert error.kind is kind
    assert error.status == 0
    assert not is_length_stop(error)
    for words in (payload.get("message"), message):
        if words:
            assert words in error.message


@pytest.mark.parametrize(
    "name", ["ContentLengthExceededException", "contentLengthExceededException"]
)
def test_frame_length_stop_is_told_from_a_reply_about_length(name: str) -> None:
    assert is_length_stop(classify_frame(name, b"{}"))
    assert is_length_stop(classify_frame("", orjson.dumps({"__type": f"x#{name}"})))
    assert not is_length_stop(reply(400, {"__type": name}))
    assert not is_length_stop(ValueError("ContentLengthExceededException"))


def test_too_long_message_starts_with_the_words_clients_look_for() -> None:
    error = reply(400, {"message": "Input is too long."}, {"x-amzn-requestid": "r1"})
    assert error.message.startswith("prompt is too long")
    told = prompt_too_long(210_000, 200_000, error.message)
    assert told.startswith("prompt is too long: 210000 tokens > 200000 maximum")
    assert told.endswith("(Kiro request id r1)")
    assert prompt_too_long(1, 2, told) == told
    assert prompt_too_long(210_000, 200_000, "") == (
        "prompt is too long: 210000 tokens > 200000 maximum"
    )


@pytest.mark.parametrize(("tokens", "maximum"), [(5, 200_000), (5, 0), (200_000, 200_000)])
def test_too_long_message_makes_no_false_claim(tokens: int, maximum: int) -> None:
    message = prompt_too_long(tokens, maximum, "")
    assert message == "prompt is too long for this model."


def test_no_other_advice_makes_a_client_compact() -> None:
    for row in ROWS:
        assert ("is too long" in row.advice) == (row.kind is Kind.PROMPT_TOO_LONG), row.label


def test_rows_are_all_reached() -> None:
    """A row that an earlier one hides would be a rule nobody follows."""
    errors = [
        reply(status, {"__type": name, "message": message, "reason": reason})
        for status, name, message, reason, _, _ in REPLIES.values()
    ]
    errors.append(reply(403, b"<html>"))
    seen = {next(row.label for row in ROWS if e.message.startswith(row.advice)) for e in errors}
    same_words = {"unauthenticated"}  # as "token"
    assert {row.label for row in ROWS} - seen == same_words


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail bob.b+x@example.co.uk now", "mail (mail address) now"),
        ("arn:aws:codewhisperer:us-east-1:123456789012:profile/ABC, no", "(profile), no"),
        ("userId: d-1234567890.abc-def; x", "userId; x"),
        ("see d-90670000aa.b1 there", "see (user) there"),
        ("key ksk_abcdefghijklmnop", "key (token)"),
        ("Bearer abcdefghijklmnopqrstuvwx", "Bearer (token)"),
        ("The bearer token included in the request is invalid.",) * 2,
        ("a\r\nb\x00\tc", "a b c"),
    ],
)
def test_clean_words(text: str, clean: str) -> None:
    assert clean_words(text) == clean


def test_clean_words_are_bounded() -> None:
    assert len(clean_words("word " * 1_000)) == MAX_WORDS_CHARS
    assert clean_words("word " * 1_000).endswith("…")


@settings(max_examples=100)
@given(
    st.integers(0, 999),
    st.one_of(st.binary(), st.text().map(lambda text: orjson.dumps({"message": text}))),
    st.text(max_size=30),
)
def test_classification_takes_anything(status: int, body: bytes, name: str) -> None:
    for error in (reply(status, body, {"x-amzn-errortype": name}), classify_frame(name, body)):
        assert isinstance(error.remedy, Remedy)
        assert error.message.isprintable()
        assert len(error.message) < MAX_WORDS_CHARS + 300
