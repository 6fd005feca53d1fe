"""Refresh calls: form, place, and what is refused before a token leaves."""

from dataclasses import replace
from urllib.parse import parse_qs

import orjson
import pytest

from kiroproxy.errors import CredentialError
from kiroproxy.kiro.hosts import Overrides
from kiroproxy.kiro.identity import CredentialKind
from kiroproxy.kiro.refresh import RefreshInputs, refresh_request
from kiroproxy.secret import Secret

NONE = Overrides()
INPUTS = RefreshInputs(
    Secret("aorRefresh"),
    client_id="cid",
    client_secret=Secret("csecret"),
    sso_region="eu-west-1",
    token_endpoint="https://login.microsoftonline.com/tenant/oauth2/v2.0/token",
    scopes="api://x offline_access",
)


def test_refresh_social() -> None:
    call = refresh_request(CredentialKind.SOCIAL, INPUTS, NONE)
    assert call.url == "https://prod.us-east-1.auth.desktop.kiro.dev/refreshToken"
    assert orjson.loads(call.body) == {"refreshToken": "aorRefresh"}
    assert b"authorization" not in dict(call.headers)


def test_refresh_idc_goes_to_the_region_of_the_sign_in() -> None:
    call = refresh_request(CredentialKind.IDC, INPUTS, NONE)
    assert call.url == "https://oidc.eu-west-1.amazonaws.com/token"
    assert orjson.loads(call.body) == {
        "clientId": "cid",
        "clientSecret": "csecret",
        "grantType": "refresh_token",
        "refreshToken": "aorRefresh",
    }


def test_refresh_external_idp_is_a_form() -> None:
    call = refresh_request(CredentialKind.EXTERNAL_IDP, INPUTS, NONE)
    assert call.url == INPUTS.token_endpoint
    assert dict(call.headers)[b"content-type"] == b"application/x-www-form-urlencoded"
    assert parse_qs(call.body.decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["cid"],
        "refresh_token": ["aorRefresh"],
        "scope": ["api://x offline_access"],
    }


def test_refresh_overrides_replace_the_base_only() -> None:
    overrides = Overrides(social_auth="http://127.0.0.1:1", oidc="http://127.0.0.1:2")
    assert (
        refresh_request(CredentialKind.SOCIAL, INPUTS, overrides).url
        == "http://127.0.0.1:1/refreshToken"
    )
    assert refresh_request(CredentialKind.IDC, INPUTS, overrides).url == "http://127.0.0.1:2/token"


@pytest.mark.parametrize(
    ("kind", "inputs"),
    [
        (CredentialKind.API_KEY, INPUTS),
        (CredentialKind.SOCIAL, replace(INPUTS, refresh_token=Secret(""))),
        (CredentialKind.IDC, replace(INPUTS, client_id="")),
        (CredentialKind.IDC, replace(INPUTS, client_secret=None)),
        (CredentialKind.IDC, replace(INPUTS, sso_region="evil.example/x")),
        (CredentialKind.EXTERNAL_IDP, replace(INPUTS, token_endpoint="")),
        (CredentialKind.EXTERNAL_IDP, replace(INPUTS, token_endpoint="https://evil.example/t")),
        (
            CredentialKind.EXTERNAL_IDP,
            replace(INPUTS, token_endpoint="http://login.microsoftonline.com/t"),
        ),
        (
            CredentialKind.EXTERNAL_IDP,
            replace(INPUTS, token_endpoint="https://login.microsoftonline.com@evil.example/t"),
        ),
        (CredentialKind.EXTERNAL_IDP, replace(INPUTS, token_endpoint="https://[::1/t")),
    ],
)
def test_refresh_refuses(kind: CredentialKind, inputs: RefreshInputs) -> None:
    with pytest.raises(CredentialError):
        refresh_request(kind, inputs, NONE)


@pytest.mark.parametrize("kind", [k for k in CredentialKind if k is not CredentialKind.API_KEY])
def test_refresh_repr_shows_no_secret(kind: CredentialKind) -> None:
    shown = repr(refresh_request(kind, INPUTS, NONE)) + repr(INPUTS)
    assert "aorRefresh" not in shown
    assert "csecret" not in shown
