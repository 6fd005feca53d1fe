"""Replies of the sign-in services to a refresh: the new tokens, or why there are none. Pure.

Two classes of failure, told apart by the error's type: CredentialError means that this sign-in is dead
and somebody has to sign in again; UpstreamError means that the answer says nothing about the sign-in
(network, overload, a middlebox's page), so the same refresh may succeed later.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kiroproxy.errors import CredentialError, Kind, KiroProxyError, UpstreamError
from kiroproxy.kiro.hosts import parse_arn
from kiroproxy.kiro.objects import first_text, maybe_object
from kiroproxy.secret import Secret

DEFAULT_LIFETIME_S: Final = 3600.0  # what a reply without expiresIn means
_MAX_LIFETIME_S: Final = 90 * 24 * 3600.0
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class RefreshedTokens:
    """``refresh`` None: the old one stays valid. ``profile_arn``: social replies bring it."""

    access: Secret
    refresh: Secret | None
    expires_in_s: float
    profile_arn: str | None = None


def parse_refresh_reply(body: bytes) -> RefreshedTokens:
    """The tokens of a 200. Raises UpstreamError when there are none in it."""
    reply = maybe_object(body)
    access = first_text(reply, "accessToken", "access_token")
    if not _VISIBLE.fullmatch(access):
        raise UpstreamError("The sign-in service answered without a usable access token.")
    refresh = first_text(reply, "refreshToken", "refresh_token")
    return RefreshedTokens(
        Secret(access),
        Secret(refresh) if _VISIBLE.fullmatch(refresh) else None,
        _lifetime_s(reply),
        _maybe_arn(first_text(reply, "profileArn", "profile_arn")),
    )


def _lifetime_s(reply: Mapping[str, Any]) -> float:
    value = reply.get("expiresIn", reply.get("expires_in"))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return DEFAULT_LIFETIME_S
    return min(float(value), _MAX_LIFETIME_S) if value > 0 else DEFAULT_LIFETIME_S


def _maybe_arn(text: str) -> str | None:
    try:
        return parse_arn(text).arn if text else None
    except CredentialError:
        return None


# --- refusals -----------------------------------------------------------------------------------

_SIGN_IN_AGAIN: Final = (
    "The sign-in is no longer valid (renewed elsewhere, revoked, or the password changed); "
    "sign in to Kiro again."
)
_REGISTRATION: Final = "The client registration of the sign-in has expired; sign in to Kiro again."
_OURS: Final = (
    "The sign-in service did not accept the refresh; the sign-in's region or client registration "
    "may be wrong. Sign in to Kiro again."
)

# Marks are looked for in the error's name and text, lower case. First match counts.
_PERMANENT: Final[tuple[tuple[str, str], ...]] = (
    ("expiredclient", _REGISTRATION),
    ("invalidclient", _REGISTRATION),
    ("invalid_client", _REGISTRATION),
    ("client is expired", _REGISTRATION),
    ("invalid_grant", _SIGN_IN_AGAIN),
    ("invalidgrant", _SIGN_IN_AGAIN),
    ("invalid refresh token", _SIGN_IN_AGAIN),
    ("invalid grant", _SIGN_IN_AGAIN),
    ("refresh_token_reused", _SIGN_IN_AGAIN),
    ("expiredtoken", _SIGN_IN_AGAIN),
    ("invalidtoken", _SIGN_IN_AGAIN),
    ("accessdenied", _SIGN_IN_AGAIN),
    ("access_denied", _SIGN_IN_AGAIN),
    ("bad credentials", _SIGN_IN_AGAIN),
    ("unauthorizedclient", _OURS),
    ("unauthorized_client", _OURS),
    ("invalidrequest", _OURS),
    ("invalid_request", _OURS),
)
_TRANSIENT_MARKS: Final = ("slowdown", "slow_down", "toomanyrequests", "throttling")


def classify_refresh_refusal(
    status: int, headers: Callable[[str], str | None], body: bytes
) -> KiroProxyError:
    """CredentialError or UpstreamError, by the table above. Never raises, never shows the body.

    Only the service itself can end a sign-in: 400, 401 and 403 do, unless a page of HTML came with
    them, for then something on the way has spoken.
    """
    text = body[:4096].decode("utf-8", "replace")
    name = headers("x-amzn-errortype") or ""
    haystack = f"{name} {text}".lower()
    is_page = text.lstrip()[:1] == "<"
    if status == 429 or any(mark in haystack for mark in _TRANSIENT_MARKS):
        return UpstreamError("The sign-in service is limiting requests.", kind=Kind.OVERLOADED)
    if status == 408 or status >= 500 or is_page:
        return UpstreamError(f"The sign-in service failed to answer (HTTP {status}).")
    if status in (400, 401, 403):
        for mark, sentence in _PERMANENT:
            if mark in haystack:
                return CredentialError(sentence)
        return CredentialError(f"{_SIGN_IN_AGAIN} (HTTP {status})")
    return UpstreamError(f"The sign-in service gave an unexpected answer (HTTP {status}).")
