"""What goes around a call: headers of every operation, the fixed bodies of the control plane. Pure data.

The one door to everything about endpoints: hosts and refresh calls are re-exported here.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import orjson

from kiroproxy.errors import CredentialError
from kiroproxy.kiro.hosts import (
    BUILDER_SHARED_ARN,
    DEFAULT_REGION,
    SOCIAL_SHARED_ARN,
    Binding,
    Call,
    Candidate,
    Headers,
    Overrides,
    ProfileArn,
    api_region,
    arn_choices,
    chat_candidates,
    check_base_url,
    control_candidates,
    parse_arn,
    profile_candidates,
    profile_regions,
    valid_region,
)
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.kiro.refresh import (
    EXTERNAL_IDP_HOSTS,
    SOCIAL_AUTH_URL,
    USER_AGENT,
    RefreshInputs,
    refresh_request,
)
from kiroproxy.secret import Secret

__all__ = [
    "BUILDER_SHARED_ARN",
    "DEFAULT_REGION",
    "EXTERNAL_IDP_HOSTS",
    "SOCIAL_AUTH_URL",
    "SOCIAL_SHARED_ARN",
    "USER_AGENT",
    "Binding",
    "Call",
    "Candidate",
    "Headers",
    "Overrides",
    "ProfileArn",
    "RefreshInputs",
    "api_region",
    "arn_choices",
    "auth_headers",
    "chat_candidates",
    "chat_headers",
    "check_base_url",
    "control_candidates",
    "mcp_call",
    "models_call",
    "parse_arn",
    "profile_candidates",
    "profile_regions",
    "profiles_call",
    "refresh_request",
    "usage_call",
    "valid_region",
]

_HEADER_TEXT: Final = re.compile(r"[\x21-\x7e]+")

_CONTENT_TYPE: Final = {
    Binding.REST: b"application/json",
    Binding.JSON10: b"application/x-amz-json-1.0",
}
_CHAT_TARGET: Final = b"AmazonCodeWhispererStreamingService.GenerateAssistantResponse"
_TOKEN_TYPE: Final = {
    CredentialKind.API_KEY: (b"tokentype", b"API_KEY"),
    CredentialKind.EXTERNAL_IDP: (b"TokenType", b"EXTERNAL_IDP"),
}


def auth_headers(identity: Identity) -> Headers:
    """Authorization, and the token type where the kind needs one. Raises CredentialError."""
    headers: Headers = [(b"authorization", b"Bearer " + _header_secret(identity.token))]
    token_type = _TOKEN_TYPE.get(identity.kind)
    if token_type is not None:
        headers.append(token_type)
    return headers


def _header_secret(secret: Secret) -> bytes:
    value = secret.reveal()
    if _HEADER_TEXT.fullmatch(value) is None:
        raise CredentialError("The access token is empty or holds characters no token has.")
    return value.encode("ascii")


def _common_headers(identity: Identity, invocation_id: str, attempt: int, most: int) -> Headers:
    return [*_caller_headers(identity), *_try_headers(invocation_id, attempt, most)]


def _caller_headers(identity: Identity) -> Headers:
    return [
        *auth_headers(identity),
        (b"user-agent", USER_AGENT),
        (b"x-amz-user-agent", USER_AGENT),
        (b"x-amzn-codewhisperer-optout", b"true"),
    ]


def _try_headers(invocation_id: str, attempt: int, most: int) -> Headers:
    return [
        (b"amz-sdk-invocation-id", invocation_id.encode("ascii")),
        (b"amz-sdk-request", b"attempt=%d; max=%d" % (attempt, most)),
    ]


def chat_headers(
    identity: Identity,
    candidate: Candidate,
    *,
    invocation_id: str,
    attempt: int,
    max_attempts: int,
) -> Headers:
    """All headers of generateAssistantResponse but Host and Content-Length.

    ``invocation_id``: a UUID, kept over the attempts of one logical call.
    """
    return [
        *_lasting_chat_headers(identity, candidate),
        *_try_headers(invocation_id, attempt, max_attempts),
    ]


@functools.lru_cache(maxsize=256)
def _lasting_chat_headers(
    identity: Identity, candidate: Candidate
) -> tuple[tuple[bytes, bytes], ...]:
    """What is the same in all requests of an account, until its token is renewed."""
    headers: Headers = [
        (b"content-type", _CONTENT_TYPE[candidate.binding]),
        (b"accept", b"application/vnd.amazon.eventstream"),
        (b"x-amzn-kiro-agent-mode", b"vibe"),
    ]
    if candidate.binding is Binding.JSON10:
        headers.append((b"x-amz-target", _CHAT_TARGET))
    return (*headers, *_caller_headers(identity))


# --- the other calls ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Operation:
    """One control-plane operation in both bindings."""

    method: str
    path: str
    target: bytes


_USAGE: Final = _Operation("GET", "/getUsageLimits", b"AmazonCodeWhispererService.GetUsageLimits")
_MODELS: Final = _Operation(
    "GET", "/ListAvailableModels", b"AmazonCodeWhispererService.ListAvailableModels"
)
_PROFILES: Final = _Operation(
    "POST", "/ListAvailableProfiles", b"AmazonCodeWhispererService.ListAvailableProfiles"
)
_Params = dict[str, str | int | bool]


def usage_call(
    identity: Identity, candidate: Candidate, profile_arn: str | None, invocation_id: str
) -> Call:
    """GetUsageLimits."""
    params: _Params = {
        "origin": "AI_EDITOR",
        "resourceType": "AGENTIC_REQUEST",
        "isEmailRequired": True,
    }
    return _control_call(_USAGE, identity, candidate, params, profile_arn, invocation_id)


def models_call(
    identity: Identity,
    candidate: Candidate,
    profile_arn: str | None,
    invocation_id: str,
    next_token: str | None = None,
) -> Call:
    """One page of ListAvailableModels."""
    params: _Params = {"origin": "AI_EDITOR", "maxResults": 50}
    if next_token is not None:
        params["nextToken"] = next_token
    return _control_call(_MODELS, identity, candidate, params, profile_arn, invocation_id)


def profiles_call(
    identity: Identity, candidate: Candidate, invocation_id: str, next_token: str | None = None
) -> Call:
    """One page of ListAvailableProfiles."""
    params: _Params = {"maxResults": 10}
    if next_token is not None:
        params["nextToken"] = next_token
    return _control_call(_PROFILES, identity, candidate, params, None, invocation_id)


def _control_call(
    operation: _Operation,
    identity: Identity,
    candidate: Candidate,
    params: _Params,
    profile_arn: str | None,
    invocation_id: str,
) -> Call:
    headers: Headers = [(b"accept", b"application/json")]
    if profile_arn is not None:
        params = {**params, "profileArn": profile_arn}
    headers += _common_headers(identity, invocation_id, 1, 1)
    if candidate.binding is Binding.REST and operation.method == "GET":
        words = {key: _query_word(value) for key, value in params.items()}
        url = f"{candidate.host_url}{operation.path}?{urlencode(words, quote_via=quote)}"
        return Call("GET", url, headers)
    headers.append((b"content-type", _CONTENT_TYPE[candidate.binding]))
    if candidate.binding is Binding.REST:
        return Call("POST", candidate.host_url + operation.path, headers, orjson.dumps(params))
    headers.append((b"x-amz-target", operation.target))
    return Call("POST", candidate.host_url + "/", headers, orjson.dumps(params))


def _query_word(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def mcp_call(
    identity: Identity,
    candidate: Candidate,
    profile_arn: str | None,
    invocation_id: str,
    payload: bytes,
) -> Call:
    """A JSON-RPC call to the service's own tools. The ARN goes in a header here: a query parameter does
    not work, and the payload stays as it was made."""
    headers: Headers = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
    if profile_arn is not None:
        headers.append((b"x-amzn-kiro-profile-arn", parse_arn(profile_arn).arn.encode("ascii")))
    headers += _common_headers(identity, invocation_id, 1, 1)
    return Call("POST", candidate.host_url + "/mcp", headers, payload)
