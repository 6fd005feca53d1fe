"""Device sign-in: what is sent where, and what every answer means."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.errors import CredentialError, KiroProxyError, UpstreamError
from kiroproxy.kiro.hosts import Call, Overrides
from kiroproxy.kiro.renewal import RefreshedTokens
from kiroproxy.kiro.sign_in import (
    Portal,
    Registration,
    Wait,
    check_start_url,
    device_call,
    parse_device,
    parse_poll,
    parse_registration,
    refusal,
    register_call,
    token_call,
)
from kiroproxy.secret import Secret

NONE = Overrides()
TEAM = Portal("https://team.awsapps.com/start", "eu-west-1")
CLIENT = Registration("client", Secret("eyJsecret"), 0.0)
CODE = Secret("device-code")


def sent(call: Call) -> dict[str, Any]:
    assert call.method == "POST" and dict(call.headers)[b"content-type"] == b"application/json"
    assert dict(call.headers)[b"user-agent"].startswith(b"kiroproxy/")
    body = orjson.loads(call.body)
    assert isinstance(body, dict)
    return body


def no_headers(_name: str) -> None:
    return None


def test_registration_names_us_and_the_portal() -> None:
    call = register_call(TEAM, NONE)
    assert call.url == "https://oidc.eu-west-1.amazonaws.com/client/register"
    body = sent(call)
    assert (body["clientName"], body["clientType"]) == ("kiroproxy", "public")
    assert body["issuerUrl"] == TEAM.start_url
    assert body["grantTypes"] == ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]
    assert "codewhisperer:conversations" in body["scopes"]


def test_builder_id_is_the_default_portal() -> None:
    body = sent(register_call(Portal(), NONE))
    assert body["issuerUrl"] == "https://view.awsapps.com/start"
    assert register_call(Portal(), NONE).url.startswith("https://oidc.us-east-1.amazonaws.com/")
    assert Portal().is_builder_id and not TEAM.is_builder_id


def test_device_and_token_calls() -> None:
    client = {"clientId": "client", "clientSecret": "eyJsecret"}
    device = device_call(TEAM, CLIENT, NONE)
    assert device.url == "https://oidc.eu-west-1.amazonaws.com/device_authorization"
    assert sent(device) == {**client, "startUrl": TEAM.start_url}
    token = token_call(TEAM, CLIENT, CODE, NONE)
    assert token.url == "https://oidc.eu-west-1.amazonaws.com/token"
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    assert sent(token) == {**client, "grantType": grant, "deviceCode": "device-code"}
    assert "eyJsecret" not in repr(token) and "device-code" not in repr(token)


def test_override_replaces_the_host() -> None:
    overrides = Overrides(oidc="http://127.0.0.1:2")
    assert register_call(TEAM, overrides).url == "http://127.0.0.1:2/client/register"


def test_region_cannot_choose_a_host() -> None:
    with pytest.raises(CredentialError, match="region"):
        register_call(Portal(TEAM.start_url, "evil.example/"), NONE)


@pytest.mark.parametrize(
    "text",
    [
        "https://team.awsapps.com/start",
        "https://team.awsapps.com/start/",
        " https://Team.awsapps.com/start/#/?tab=accounts",
        "https://team.awsapps.com:443/start",
    ],
)
def test_start_url_as_people_paste_it(text: str) -> None:
    assert check_start_url(text) == "https://team.awsapps.com/start"


@pytest.mark.parametrize(
    "text",
    ["", "team", "http://team.awsapps.com/start", "https://", "https://u@h/start", "https://h:x/"],
)
def test_wrong_start_url(text: str) -> None:
    with pytest.raises(ValueError, match="must be a URL such as"):
        check_start_url(text)


def test_registration_reply() -> None:
    body = b'{"clientId":"c","clientSecret":"s","clientSecretExpiresAt":1790858096}'
    assert parse_registration(body) == Registration("c", Secret("s"), 1790858096.0)
    assert parse_registration(b'{"clientId":"c","clientSecret":"s"}').expires_at_epoch_s == 0
    for broken in (b"", b"[]", b'{"clientId":"c"}', b'{"clientId":"c d","clientSecret":"s"}'):
        with pytest.raises(UpstreamError):
            parse_registration(broken)


DEVICE = {
    "deviceCode": "d",
    "userCode": "ABCD-EFGH",
    "verificationUri": "https://device.example/",
    "expiresIn": 300,
    "interval": 2,
}


def test_device_reply() -> None:
    code = parse_device(json.dumps(DEVICE).encode())
    assert (code.code, code.user_code) == (Secret("d"), "ABCD-EFGH")
    assert (code.url, code.expires_in_s, code.interval_s) == ("https://device.example/", 300, 2)
    complete = {"verificationUriComplete": "https://device.example/?c=ABCD-EFGH"}
    code = parse_device(json.dumps({**DEVICE, **complete}).encode())
    assert code.url == "https://device.example/?c=ABCD-EFGH"


@pytest.mark.parametrize(
    ("changes", "expires_s", "interval_s"),
    [
        ({"expiresIn": None, "interval": None}, 600, 5),
        ({"expiresIn": 1e9, "interval": 0.01}, 3600, 1),
        ({"expiresIn": -1, "interval": 1e9}, 600, 60),
        ({"expiresIn": True, "interval": "2"}, 600, 5),
    ],
)
def test_odd_times_of_a_device_reply(
    changes: dict[str, Any], expires_s: float, interval_s: float
) -> None:
    code = parse_device(json.dumps({**DEVICE, **changes}).encode())
    assert (code.expires_in_s, code.interval_s) == (expires_s, interval_s)


@pytest.mark.parametrize(
    "changes",
    [
        {"deviceCode": ""},
        {"userCode": "\x1b[2J"},
        {"verificationUri": "http://device.example/"},
        {"verificationUri": "javascript:alert(1)"},
        {"verificationUri": "https://device.example/\x1b]0;x\x07"},
    ],
)
def test_device_reply_that_must_not_be_shown(changes: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError):
        parse_device(json.dumps({**DEVICE, **changes}).encode())


TOKENS = {"accessToken": "aoa", "refreshToken": "aor", "expiresIn": 1800}
GONE = CredentialError
ANSWERS: list[tuple[str, int, dict[str, str], object, object]] = [
    ("pending", 400, {}, {"error": "authorization_pending"}, Wait.PENDING),
    ("header", 400, {"x-amzn-errortype": "AuthorizationPendingException"}, {}, Wait.PENDING),
    ("header with url", 400, {"x-amzn-errortype": "SlowDownException:http://x"}, {}, Wait.SLOWER),
    ("slower", 400, {}, {"error": "slow_down"}, Wait.SLOWER),
    ("expired", 400, {}, {"error": "expired_token"}, GONE),
    ("declined", 400, {}, {"error": "access_denied"}, GONE),
    ("used up", 400, {}, {"error": "invalid_grant"}, GONE),
    ("client", 401, {}, {"error": "invalid_client"}, GONE),
    ("no refresh", 200, {}, {"accessToken": "aoa"}, GONE),
    ("busy", 503, {}, {}, UpstreamError),
    ("throttled", 429, {}, {"error": "x"}, UpstreamError),
    ("empty", 200, {}, {}, UpstreamError),
    ("odd", 302, {}, {}, UpstreamError),
]


@pytest.mark.parametrize(("status", "headers", "body", "expected"), [r[1:] for r in ANSWERS])
def test_answers_of_a_poll(
    status: int, headers: dict[str, str], body: object, expected: object
) -> None:
    data = json.dumps(body).encode()
    if isinstance(expected, Wait):
        assert parse_poll(status, headers.get, data) is expected
    else:
        assert isinstance(expected, type)
        with pytest.raises(expected):
            parse_poll(status, headers.get, data)


def test_tokens_of_a_poll() -> None:
    found = parse_poll(200, no_headers, json.dumps(TOKENS).encode())
    assert isinstance(found, RefreshedTokens)
    assert (found.access, found.refresh) == (Secret("aoa"), Secret("aor"))
    assert found.expires_in_s == 1800


def test_refusal_says_what_the_service_said() -> None:
    body = b'{"error":"invalid_request","error_description":"Invalid\\u001b start url"}'
    error = refusal(400, no_headers, body)
    assert isinstance(error, CredentialError)
    assert "Invalid start url" in error.message and "start URL" in error.message
    assert isinstance(refusal(403, no_headers, b"<html>proxy</html>"), UpstreamError)


def test_refusal_that_repeats_what_was_sent_shows_no_token() -> None:
    token = "aorAAAAAG" + "x1" * 40
    for key in ("error_description", "message"):
        body = json.dumps({"error": "invalid_request", key: f"cannot use {token} here"}).encode()
        error = refusal(400, no_headers, body)
        assert token not in error.message and "cannot use (token) here" in error.message


@given(st.integers(100, 599), st.binary(max_size=60))
def test_no_answer_breaks_the_parsers(status: int, body: bytes) -> None:
    for parse in (parse_registration, parse_device):
        with pytest.raises(UpstreamError):
            parse(body)
    with pytest.raises(KiroProxyError):
        parse_poll(status, no_headers, body)
    assert isinstance(refusal(status, no_headers, body), KiroProxyError)
