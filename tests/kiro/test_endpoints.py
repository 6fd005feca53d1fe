"""Headers and control-plane calls per kind of sign-in and binding."""

from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from kiroproxy.errors import CredentialError
from kiroproxy.kiro.endpoints import (
    Binding,
    Candidate,
    chat_headers,
    mcp_call,
    models_call,
    profiles_call,
    usage_call,
)
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.secret import Secret

ARN = "arn:aws:codewhisperer:us-east-1:111122223333:profile/ABCDEFGHIJKL"
REST = Candidate("https://q.us-east-1.amazonaws.com", Binding.REST)
JSON10 = Candidate("https://management.us-east-1.kiro.dev", Binding.JSON10, requires_arn=True)


def identity(kind: CredentialKind = CredentialKind.SOCIAL, token: str = "aoaToken") -> Identity:
    return Identity(kind, Secret(token), ARN)


def headers_of(kind: CredentialKind, candidate: Candidate = REST) -> dict[bytes, bytes]:
    pairs = chat_headers(identity(kind), candidate, invocation_id="0c2d", attempt=2, max_attempts=3)
    names = [name.lower() for name, _ in pairs]
    assert len(names) == len(set(names))
    return {name.lower(): value for name, value in pairs}


def test_chat_headers_rest() -> None:
    headers = headers_of(CredentialKind.SOCIAL)
    assert headers[b"authorization"] == b"Bearer aoaToken"
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"x-amzn-codewhisperer-optout"] == b"true"
    assert headers[b"x-amzn-kiro-agent-mode"] == b"vibe"
    assert headers[b"amz-sdk-invocation-id"] == b"0c2d"
    assert headers[b"amz-sdk-request"] == b"attempt=2; max=3"
    assert headers[b"user-agent"].startswith(b"kiroproxy/")
    assert b"x-amz-target" not in headers
    assert b"tokentype" not in headers


def test_chat_headers_json10_names_the_operation() -> None:
    headers = headers_of(CredentialKind.IDC, JSON10)
    assert headers[b"content-type"] == b"application/x-amz-json-1.0"
    assert headers[b"x-amz-target"].endswith(b".GenerateAssistantResponse")


@pytest.mark.parametrize(
    ("kind", "token_type"),
    [
        (CredentialKind.SOCIAL, None),
        (CredentialKind.IDC, None),
        (CredentialKind.API_KEY, b"API_KEY"),
        (CredentialKind.EXTERNAL_IDP, b"EXTERNAL_IDP"),
    ],
)
def test_chat_headers_token_type(kind: CredentialKind, token_type: bytes | None) -> None:
    assert headers_of(kind).get(b"tokentype") == token_type


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx: y", "tök"])
def test_chat_headers_impossible_token_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(CredentialError) as caught:
        chat_headers(identity(token=token), REST, invocation_id="i", attempt=1, max_attempts=1)
    assert not token or token not in str(caught.value)


def test_chat_url_per_binding() -> None:
    assert REST.chat_url == "https://q.us-east-1.amazonaws.com/generateAssistantResponse"
    assert JSON10.chat_url == "https://management.us-east-1.kiro.dev/"


def test_usage_call_rest_carries_everything_in_the_query() -> None:
    call = usage_call(identity(), REST, ARN, "i")
    parts = urlsplit(call.url)
    assert (call.method, parts.path, call.body) == ("GET", "/getUsageLimits", b"")
    assert parse_qs(parts.query) == {
        "origin": ["AI_EDITOR"],
        "resourceType": ["AGENTIC_REQUEST"],
        "isEmailRequired": ["true"],
        "profileArn": [ARN],
    }


def test_usage_call_json10_carries_everything_in_the_body() -> None:
    call = usage_call(identity(), JSON10, None, "i")
    assert (call.method, call.url) == ("POST", "https://management.us-east-1.kiro.dev/")
    assert orjson.loads(call.body) == {
        "origin": "AI_EDITOR",
        "resourceType": "AGENTIC_REQUEST",
        "isEmailRequired": True,
    }
    assert dict(call.headers)[b"x-amz-target"] == b"AmazonCodeWhispererService.GetUsageLimits"


def test_models_call_pages() -> None:
    call = models_call(identity(), REST, None, "i", next_token="a/b=")
    query = parse_qs(urlsplit(call.url).query)
    assert query == {"origin": ["AI_EDITOR"], "maxResults": ["50"], "nextToken": ["a/b="]}


def test_profiles_call_is_a_post_in_both_bindings() -> None:
    rest, json10 = (profiles_call(identity(), c, "i", "t") for c in (REST, JSON10))
    assert rest.url.endswith("/ListAvailableProfiles")
    assert orjson.loads(rest.body) == orjson.loads(json10.body)
    assert orjson.loads(rest.body) == {"maxResults": 10, "nextToken": "t"}


def test_mcp_call_carries_the_arn_as_header() -> None:
    call = mcp_call(identity(), REST, ARN, "i", b"{}")
    assert call.url.endswith("/mcp")
    assert dict(call.headers)[b"x-amzn-kiro-profile-arn"] == ARN.encode()
    without = mcp_call(identity(CredentialKind.API_KEY), REST, None, "i", b"{}")
    assert b"x-amzn-kiro-profile-arn" not in dict(without.headers)


def test_call_repr_shows_no_secret() -> None:
    assert "aoaToken" not in repr(usage_call(identity(), REST, ARN, "i"))
