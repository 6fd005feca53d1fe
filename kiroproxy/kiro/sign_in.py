"""Device sign-in as data: what is sent, what the answers mean. Pure; waiting is not done here.

The OIDC service of a region signs in Builder IDs and organisations (IAM Identity Center): register a
client under our own name, ask for a code, then ask for the tokens until somebody has confirmed the code.
The social service (Google, GitHub) has device codes too, but registers no clients and knows one public
client only, that of another program; we do not pose as that, so there is no social sign-in here.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from kiroproxy.errors import CredentialError, KiroProxyError, UpstreamError
from kiroproxy.kiro.hosts import BUILDER_START_URL, DEFAULT_REGION, Call, Overrides, checked_region
from kiroproxy.kiro.objects import maybe_object
from kiroproxy.kiro.redaction import clean_words
from kiroproxy.kiro.refresh import USER_AGENT
from kiroproxy.kiro.renewal import RefreshedTokens, parse_refresh_reply
from kiroproxy.secret import Secret

CLIENT_NAME: Final = "kiroproxy"
SCOPES: Final = (
    "codewhisperer:completions",
    "codewhisperer:analysis",
    "codewhisperer:conversations",
    "codewhisperer:transformations",
    "codewhisperer:taskassist",
)
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"

_DEFAULT_LIFE_S: Final = 600.0
_MAX_LIFE_S: Final = 3600.0
_DEFAULT_INTERVAL_S: Final = 5.0
_MIN_INTERVAL_S: Final = 1.0
_MAX_INTERVAL_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Portal:
    """Where an organisation, or Builder ID, signs in; ``region`` is the OIDC service's."""

    start_url: str = BUILDER_START_URL
    region: str = DEFAULT_REGION

    @property
    def is_builder_id(self) -> bool:
        return self.start_url == BUILDER_START_URL


@dataclass(frozen=True, slots=True)
class Registration:
    """A client of the OIDC service. ``expires_at_epoch_s`` 0: not told."""

    client_id: str
    client_secret: Secret
    expires_at_epoch_s: float


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """``user_code`` is confirmed on the page ``url``, which may hold it already."""

    code: Secret
    user_code: str
    url: str
    expires_in_s: float
    interval_s: float


class Wait(enum.Enum):
    """Nobody has confirmed yet."""

    PENDING = enum.auto()
    SLOWER = enum.auto()  # ask less often from now on


# --- the calls ----------------------------------------------------------------------------------


def check_start_url(text: str) -> str:
    """A portal's URL without fragment and trailing slash. Raises ValueError with the rule."""
    try:
        parts = urlsplit(text.strip())
        is_plain = parts.username is None and not parts.query and parts.port in (None, 443)
    except ValueError:
        parts, is_plain = urlsplit(""), False
    if parts.scheme != "https" or not parts.hostname or not is_plain or not text.isascii():
        raise ValueError("must be a URL such as https://your-team.awsapps.com/start")
    return f"https://{parts.hostname}{parts.path.rstrip('/')}"


def register_call(portal: Portal, overrides: Overrides) -> Call:
    """Registers a client. Raises CredentialError on a malformed region."""
    body = {
        "clientName": CLIENT_NAME,
        "clientType": "public",
        "scopes": SCOPES,
        "grantTypes": [DEVICE_GRANT, "refresh_token"],
        "issuerUrl": portal.start_url,
    }
    return _post(_oidc(portal, overrides) + "/client/register", body)


def device_call(portal: Portal, registration: Registration, overrides: Overrides) -> Call:
    """Asks for a device code."""
    body = {**_client(registration), "startUrl": portal.start_url}
    return _post(_oidc(portal, overrides) + "/device_authorization", body)


def token_call(
    portal: Portal, registration: Registration, code: Secret, overrides: Overrides
) -> Call:
    """Asks whether the code was confirmed."""
    body = {**_client(registration), "grantType": DEVICE_GRANT, "deviceCode": code.reveal()}
    return _post(_oidc(portal, overrides) + "/token", body)


def _oidc(portal: Portal, overrides: Overrides) -> str:
    return overrides.oidc or f"https://oidc.{checked_region(portal.region)}.amazonaws.com"


def _client(registration: Registration) -> dict[str, str]:
    secret = registration.client_secret.reveal()
    return {"clientId": registration.client_id, "clientSecret": secret}


def _post(url: str, body: Mapping[str, Any]) -> Call:
    headers = [
        (b"content-type", b"application/json"),
        (b"accept", b"application/json"),
        (b"user-agent", USER_AGENT),
    ]
    return Call("POST", url, headers, orjson.dumps(body))


# --- the answers --------------------------------------------------------------------------------


def parse_registration(body: bytes) -> Registration:
    """The client of a 200. Raises UpstreamError when there is none in it."""
    reply = maybe_object(body)
    id_, secret = _word(reply, "clientId"), _word(reply, "clientSecret")
    if not id_ or not secret:
        raise UpstreamError("The sign-in service registered no client.")
    expires = _number(reply, "clientSecretExpiresAt")
    return Registration(id_, Secret(secret), max(0.0, expires or 0.0))


def parse_device(body: bytes) -> DeviceCode:
    """The code of a 200. Raises UpstreamError when it is not usable."""
    reply = maybe_object(body)
    code, user_code = _word(reply, "deviceCode"), _word(reply, "userCode")
    url = _word(reply, "verificationUriComplete") or _word(reply, "verificationUri")
    if not code or not user_code or not url.startswith(("https://", "http://127.0.0.1:")):
        raise UpstreamError("The sign-in service gave no usable device code.")
    return DeviceCode(
        Secret(code),
        user_code,
        url,
        _within(_number(reply, "expiresIn"), _DEFAULT_LIFE_S, 1.0, _MAX_LIFE_S),
        _within(_number(reply, "interval"), _DEFAULT_INTERVAL_S, _MIN_INTERVAL_S, _MAX_INTERVAL_S),
    )


_EXPIRED: Final = "The code has expired before it was confirmed; run kiroproxy login again."
_DENIED: Final = (
    "The sign-in was declined on the page; run kiroproxy login again if that was wrong."
)
_FORGOTTEN: Final = "The sign-in service no longer knows the code; run kiroproxy login again."

# What a poll can say besides tokens, by its name in lower case with letters only: OAuth's code and the
# service's exception come out the same.
_ANSWERS: Final[dict[str, Wait | str]] = {
    "authorizationpending": Wait.PENDING,
    "slowdown": Wait.SLOWER,
    "expiredtoken": _EXPIRED,
    "accessdenied": _DENIED,
    "invalidgrant": _FORGOTTEN,
}


def parse_poll(
    status: int, headers: Callable[[str], str | None], body: bytes
) -> RefreshedTokens | Wait:
    """Tokens once somebody has confirmed. Raises CredentialError (over) or UpstreamError (ask again)."""
    reply = maybe_object(body)
    for name in (headers("x-amzn-errortype"), reply.get("error")):
        answer = _ANSWERS.get(_letters(name))
        if isinstance(answer, Wait):
            return answer
        if answer is not None:
            raise CredentialError(answer)
    if status != 200:
        raise refusal(status, headers, body)
    return _whole(parse_refresh_reply(body))


def _whole(tokens: RefreshedTokens) -> RefreshedTokens:
    if tokens.refresh is None:
        raise CredentialError(
            "The sign-in service gave no refresh token; run kiroproxy login again."
        )
    return tokens


def _letters(name: object) -> str:
    """``ExpiredTokenException:http://…`` and ``expired_token`` → ``expiredtoken``."""
    if not isinstance(name, str):
        return ""
    word = name.partition(":")[0].rpartition("#")[2].lower()
    return "".join(c for c in word if c.isalpha()).removesuffix("exception")


def refusal(status: int, headers: Callable[[str], str | None], body: bytes) -> KiroProxyError:
    """CredentialError when asking again is useless (wrong portal or region), else UpstreamError."""
    reply = maybe_object(body)
    name = _letters(headers("x-amzn-errortype") or reply.get("error"))
    if status == 429 or status == 408 or status >= 500 or name in ("slowdown", "toomanyrequests"):
        return UpstreamError(f"The sign-in service is busy (HTTP {status}); try again later.")
    if not 400 <= status < 500 or body.lstrip()[:1] == b"<":
        return UpstreamError(f"The sign-in service gave an unexpected answer (HTTP {status}).")
    said = reply.get("error_description") or reply.get("message") or name
    words = clean_words(said)[:200] if isinstance(said, str) else ""
    return CredentialError(
        f"The sign-in service refused (HTTP {status}{': ' if words else ''}{words}); "
        "check the start URL and its region."
    )


def _word(reply: Mapping[str, Any], name: str) -> str:
    """A text that may be shown on a terminal and put into a request; '' for everything else."""
    value = reply.get(name)
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        return ""
    return "" if " " in value else value


def _number(reply: Mapping[str, Any], name: str) -> float | None:
    value = reply.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _within(value: float | None, default: float, low: float, high: float) -> float:
    return default if value is None or value <= 0 else min(max(value, low), high)
