"""Bodies of the service and of the sign-in service that are no streams: refusals, models, usage, search,
tokens, device codes. Whatever comes, the outcome is one of our errors; no message quotes a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuzz.source import Source, as_json, edited
from kiroproxy.api.anthropic.errors import error_body as anthropic_body
from kiroproxy.api.openai.errors import error_body as openai_body
from kiroproxy.errors import KiroProxyError
from kiroproxy.kiro.models import claude_aliases, parse_models, parse_next_token, resolve
from kiroproxy.kiro.redaction import MAX_WORDS_CHARS, clean_words
from kiroproxy.kiro.renewal import classify_refresh_refusal, parse_refresh_reply
from kiroproxy.kiro.replies import classify_frame, classify_reply
from kiroproxy.kiro.sign_in import parse_device, parse_poll, parse_registration
from kiroproxy.kiro.usage import parse_usage
from kiroproxy.kiro.websearch import parse_search_reply

_TOKEN = "aoaAAAAAsecretsecretsecretsecretsecret"
_STATUSES = (200, 400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 529, 307, 999)
_SAMPLES: tuple[Any, ...] = (
    {"__type": "com.amazon#ThrottlingException", "message": f"slow {_TOKEN}", "reason": "X"},
    {"message": "Your User ID (d-90670000ab.1) temporarily is suspended", "Reason": None},
    {"message": "Input is too long.", "reason": "CONTENT_LENGTH_EXCEEDS_THRESHOLD", "code": 1},
    {"models": [{"modelId": "claude-sonnet-4.5", "modelName": "S", "rateMultiplier": 1.3,
                 "tokenLimits": {"maxInputTokens": 200000, "maxOutputTokens": 64000},
                 "supportedInputTypes": ["TEXT", "IMAGE"], "promptCaching": {},
                 "additionalModelRequestFieldsSchema": "{}"}], "nextToken": "n"},
    {"usageBreakdownList": [{"resourceType": "CREDIT", "currentUsageWithPrecision": 1.5,
                             "usageLimitWithPrecision": 50, "nextDateReset": 1.7e9,
                             "freeTrialInfo": {"freeTrialStatus": "ACTIVE", "usageLimit": 1},
                             "bonuses": [{"status": "ACTIVE", "currentUsage": 1}]}],
     "subscriptionInfo": {"subscriptionTitle": "T"}, "userInfo": {"email": "a@b.c"},
     "overageConfiguration": {"overageStatus": "ENABLED"}, "nextDateReset": "2026-01-01"},
    {"id": "1", "jsonrpc": "2.0", "result": {"isError": False, "content": [
        {"type": "text", "text": "{\"results\":[{\"title\":\"t\",\"url\":\"u\",\"publishedDate\":1}]}"}]}},
    {"accessToken": "aoaX", "refreshToken": "aorY", "expiresIn": 3600, "profileArn": "arn:aws:x"},
    {"deviceCode": "d", "userCode": "AAAA-BBBB", "verificationUriComplete": "https://a/?u",
     "expiresIn": 600, "interval": 5},
    {"clientId": "c", "clientSecret": "s", "clientSecretExpiresAt": 1},
    {"error": "authorization_pending", "error_description": "wait"},
)  # fmt: skip
_PARSERS: tuple[Callable[[bytes], object], ...] = (
    parse_models, parse_next_token, parse_usage, parse_search_reply, parse_refresh_reply,
    parse_device, parse_registration,
)  # fmt: skip


def target(data: bytes) -> None:
    source = Source(data)
    status = source.choice(_STATUSES)
    names = {"x-amzn-errortype": source.block().decode("latin-1"),
             "retry-after": source.block().decode("latin-1")}  # fmt: skip
    kind = source.byte()
    raw = kind & 0x80
    body = source.rest() if raw else as_json(edited(_SAMPLES[kind % len(_SAMPLES)], source))
    for parse in _PARSERS:
        _guarded(parse, body)
    _guarded(lambda text: parse_poll(status, names.get, text), body)
    _check(classify_reply(status, names.get, body))
    _check(classify_frame(names["x-amzn-errortype"], body))
    _check(classify_refresh_refusal(status, names.get, body))
    words = clean_words(body.decode("utf-8", "replace"))
    assert len(words) <= MAX_WORDS_CHARS
    assert words.isprintable() or not words
    _resolve(body)


def _guarded(parse: Callable[[bytes], object], body: bytes) -> None:
    try:
        parse(body)
    except KiroProxyError as error:
        _check(error)


def _check(error: KiroProxyError) -> None:
    """An error that a client can be told of."""
    assert _TOKEN not in error.message
    for write in (anthropic_body, openai_body):
        assert write(error)
    if error.retry_after_s is not None:
        assert 0 <= error.retry_after_s < 10**9


def _resolve(body: bytes) -> None:
    try:
        models = parse_models(body)
    except KiroProxyError:
        return
    claude_aliases(models)
    resolve("claude-sonnet-4-5-20250929", models)


def seeds() -> list[bytes]:
    found = [bytes([place, 0, 0, place]) for place in range(len(_SAMPLES))]
    found += [bytes([8, 20]) + b"ThrottlingException:" + b"\x0230" + bytes([n]) for n in range(3)]
    found += [
        b"\x01\x00\x1dWed, 21 Oct 2099 07:28:00 GMT\x80",
        b"\x0a\x00\x00\x80<html><body>502</body></html>",
        b"\x04\x00\x00\x80" + as_json(_SAMPLES[0]),
        b"\x00\x00\x00\x80" + b"[" * 300,
    ]
    return found
