"""The refresh call of each kind of sign-in, as data. Who locks, sends and stores is not decided here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

import orjson

from kiroproxy import __version__
from kiroproxy.errors import CredentialError
from kiroproxy.kiro.hosts import DEFAULT_REGION, Call, Headers, Overrides, checked_region
from kiroproxy.kiro.identity import CredentialKind
from kiroproxy.secret import Secret

USER_AGENT: Final = f"kiroproxy/{__version__}".encode()

SOCIAL_AUTH_URL: Final = "https://prod.us-east-1.auth.desktop.kiro.dev"

# A refresh token goes only to hosts known to issue such sign-ins.
EXTERNAL_IDP_HOSTS: Final = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
    }
)


@dataclass(frozen=True, slots=True)
class RefreshInputs:
    """What a refresh needs; which fields count depends on the kind."""

    refresh_token: Secret
    client_id: str = ""
    client_secret: Secret | None = None
    sso_region: str = DEFAULT_REGION
    token_endpoint: str = ""
    scopes: str = ""


def refresh_request(kind: CredentialKind, inputs: RefreshInputs, overrides: Overrides) -> Call:
    """The refresh call of this kind. Raises CredentialError when it cannot be refreshed."""
    make = _REFRESHERS.get(kind)
    if make is None:
        raise CredentialError("An API key has nothing to refresh.")
    if not inputs.refresh_token.reveal():
        raise CredentialError("The sign-in has no refresh token; sign in again.")
    return make(inputs, overrides)


def _json_post(url: str, body: dict[str, str]) -> Call:
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"accept", b"application/json"),
        (b"user-agent", USER_AGENT),
    ]
    return Call("POST", url, headers, orjson.dumps(body))


def _refresh_social(inputs: RefreshInputs, overrides: Overrides) -> Call:
    base = overrides.social_auth or SOCIAL_AUTH_URL
    return _json_post(base + "/refreshToken", {"refreshToken": inputs.refresh_token.reveal()})


def _refresh_idc(inputs: RefreshInputs, overrides: Overrides) -> Call:
    """camelCase JSON; form encoding or a scope field is refused."""
    if not inputs.client_id or inputs.client_secret is None:
        raise CredentialError("The sign-in lacks its client registration (clientId, clientSecret).")
    base = overrides.oidc or f"https://oidc.{checked_region(inputs.sso_region)}.amazonaws.com"
    body = {
        "clientId": inputs.client_id,
        "clientSecret": inputs.client_secret.reveal(),
        "grantType": "refresh_token",
        "refreshToken": inputs.refresh_token.reveal(),
    }
    return _json_post(base + "/token", body)


def is_known_token_endpoint(url: str) -> bool:
    """Whether a refresh token may be sent there: https, a host of the list, nothing odd around it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port in (None, 443) else None
    except ValueError:
        return False
    return host in EXTERNAL_IDP_HOSTS and parts.scheme == "https" and parts.username is None


def _refresh_external(inputs: RefreshInputs, _overrides: Overrides) -> Call:
    """OAuth's own form encoding; no secret."""
    if not is_known_token_endpoint(inputs.token_endpoint):
        raise CredentialError(
            "The token endpoint is not an https URL of a known identity provider."
        )
    form = {
        "grant_type": "refresh_token",
        "client_id": inputs.client_id,
        "refresh_token": inputs.refresh_token.reveal(),
    }
    if inputs.scopes:
        form["scope"] = inputs.scopes
    headers: Headers = [
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"accept", b"application/json"),
        (b"user-agent", USER_AGENT),
    ]
    return Call("POST", inputs.token_endpoint, headers, urlencode(form).encode("ascii"))


_REFRESHERS: Final[dict[CredentialKind, Callable[[RefreshInputs, Overrides], Call]]] = {
    CredentialKind.SOCIAL: _refresh_social,
    CredentialKind.IDC: _refresh_idc,
    CredentialKind.EXTERNAL_IDP: _refresh_external,
}
