"""Every source, every field rule, and that no message shows a value."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.accounts.credentials import LoadResult, load_credentials
from kiroproxy.accounts.entries import (
    BUILDER_CLIENT_HASH,
    Entry,
    Place,
    parse_entry,
)
from kiroproxy.accounts.fields import format_expiry, parse_expiry
from kiroproxy.errors import ConfigError, CredentialError
from kiroproxy.kiro.hosts import BUILDER_SHARED_ARN, BUILDER_START_URL
from kiroproxy.kiro.identity import CredentialKind
from tests.accounts.fakes import ARN, MARK

LONG = f"aor{MARK}" + "x" * 120
SECRET = f"{MARK}secret"


def load(tmp_path: Path, **env: str) -> LoadResult:
    return load_credentials(env, tmp_path / "home", tmp_path / "state")


def write_ide(tmp_path: Path, token: dict[str, Any], registration: dict[str, Any] | None = None):
    folder = tmp_path / "home/.aws/sso/cache"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "kiro-auth-token.json"
    path.write_text(json.dumps(token))
    if registration is not None:
        (folder / f"{token['clientIdHash']}.json").write_text(json.dumps(registration))
    return path


SOCIAL_FILE = {
    "accessToken": f"aoa{MARK}",
    "refreshToken": LONG,
    "expiresAt": "2026-10-01T12:34:56.000Z",
    "profileArn": ARN,
    "authMethod": "social",
    "provider": "Google",
}
IDC_FILE = {
    "accessToken": f"aoa{MARK}",
    "refreshToken": LONG,
    "expiresAt": "2026-10-01T12:34:56.000Z",
    "authMethod": "IdC",
    "provider": "Enterprise",
    "clientIdHash": "a" * 40,
    "region": "eu-west-1",
}
REGISTRATION = {"clientId": "client", "clientSecret": SECRET, "expiresAt": "2027-01-01T00:00:00Z"}


def test_auth_token_array_keeps_order_and_fields(tmp_path: Path) -> None:
    entries = [
        {"auth": "Social", "refreshToken": "one", "description": "first", "profileArn": ARN},
        {
            "auth": "IdC",
            "refreshToken": "two",
            "clientId": "id",
            "clientSecret": SECRET,
            "region": "eu-central-1",
            "disabled": True,
        },
    ]
    result = load(tmp_path, KIRO_AUTH_TOKEN=json.dumps(entries))
    assert result.problems == []
    first, second = result.credentials
    assert (first.kind, first.label, first.tokens.profile_arn) == (
        CredentialKind.SOCIAL,
        "first",
        ARN,
    )
    assert first.tokens.refresh.reveal() == "one"
    assert (second.kind, second.sso_region, second.disabled) == (
        CredentialKind.IDC,
        "eu-central-1",
        True,
    )
    assert second.client_secret is not None and second.client_secret.reveal() == SECRET
    assert second.label == "KIRO_AUTH_TOKEN[1]"
    assert second.builder_id is None


def test_auth_token_object_and_path(tmp_path: Path) -> None:
    entry = {"auth": "Social", "refreshToken": "one"}
    assert len(load(tmp_path, KIRO_AUTH_TOKEN=json.dumps(entry)).credentials) == 1
    path = tmp_path / "home" / "tokens.json"
    path.parent.mkdir()
    path.write_text(json.dumps([entry]))
    for text in (str(path), "~/tokens.json"):
        (found,) = load(tmp_path, KIRO_AUTH_TOKEN=text).credentials
        assert found.place.path == path
        assert found.place.index == 0


def test_refresh_tokens_and_keys_are_lists(tmp_path: Path) -> None:
    result = load(tmp_path, AWS_REFRESHTOKEN="a1, b2 ,", KIRO_API_KEY="ksk_one,ksk_two")
    assert [c.kind for c in result.credentials] == [
        CredentialKind.SOCIAL,
        CredentialKind.SOCIAL,
        CredentialKind.API_KEY,
        CredentialKind.API_KEY,
    ]
    key = result.credentials[2]
    assert key.tokens.access is not None and key.tokens.access.reveal() == "ksk_one"
    assert key.tokens.expires_at_epoch_s == math.inf


def test_ide_social(tmp_path: Path) -> None:
    write_ide(tmp_path, SOCIAL_FILE)
    result = load(tmp_path)
    (found,) = result.credentials
    assert (found.kind, found.tokens.profile_arn) == (CredentialKind.SOCIAL, ARN)
    assert found.tokens.expires_at_epoch_s == 1790858096.0
    assert result.problems == [] and "IDE" in result.notes[0]


def test_ide_builder_id_takes_its_registration(tmp_path: Path) -> None:
    token = IDC_FILE | {"provider": "BuilderId", "clientIdHash": BUILDER_CLIENT_HASH}
    write_ide(tmp_path, token, REGISTRATION)
    (found,) = load(tmp_path).credentials
    assert (found.kind, found.client_id, found.sso_region, found.builder_id) == (
        CredentialKind.IDC,
        "client",
        "eu-west-1",
        True,
    )


@pytest.mark.parametrize("folder", [".config", "Library/Application Support", "elsewhere"], ids=str)
def test_ide_enterprise_profile_comes_from_the_settings(tmp_path: Path, folder: str) -> None:
    write_ide(tmp_path, IDC_FILE, REGISTRATION)
    path = tmp_path / "home" / folder / "Kiro/User/globalStorage/kiro.kiroagent/profile.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"arn": ARN, "name": "team"}))
    (found,) = load(tmp_path, XDG_CONFIG_HOME=str(tmp_path / "home/elsewhere")).credentials
    assert found.tokens.profile_arn == ARN and found.builder_id is False


def test_ide_is_left_alone_when_something_is_configured(tmp_path: Path) -> None:
    write_ide(tmp_path, SOCIAL_FILE)
    (found,) = load(tmp_path, KIRO_API_KEY="ksk_one").credentials
    assert found.kind is CredentialKind.API_KEY
    assert load(tmp_path, KIRO_API_KEY="broken").credentials == []


def test_nothing_anywhere(tmp_path: Path) -> None:
    result = load(tmp_path)
    assert result.credentials == [] and result.problems == []


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no refresh token": ({"auth": "Social"}, "refreshToken: is missing"),
    "empty refresh token": ({"auth": "Social", "refreshToken": ""}, "refreshToken: is missing"),
    "shortened": ({"refreshToken": MARK + "..."}, "refreshToken: is a shortened token"),
    "not text": ({"refreshToken": [MARK]}, "refreshToken: must be a text"),
    "line break": ({"refreshToken": MARK + "\nX-Evil: 1"}, "refreshToken: must be printable"),
    "too long": ({"refreshToken": MARK * 4000}, "refreshToken: must not be longer"),
    "unknown auth": ({"auth": MARK, "refreshToken": "x"}, "auth: must be"),
    "idc without client": ({"auth": "IdC", "refreshToken": MARK}, "clientId: is missing"),
    "idc without secret": (
        {"auth": "IdC", "refreshToken": MARK, "clientId": MARK},
        "clientSecret: is missing",
    ),
    "region as host": ({"refreshToken": MARK, "region": f"{MARK}.evil/"}, "region: must be"),
    "api region": ({"refreshToken": MARK, "apiRegion": MARK}, "apiRegion: must be"),
    "arn": ({"refreshToken": MARK, "profileArn": f"arn:{MARK}"}, "profileArn: must be"),
    "hash leaves folder": (
        {"auth": "IdC", "refreshToken": MARK, "clientIdHash": f"../../{MARK}"},
        "clientIdHash: must be",
    ),
    "hash without file": (
        {"auth": "IdC", "refreshToken": MARK, "clientIdHash": "b" * 40},
        "clientIdHash: its registration file is missing",
    ),
    "disabled": ({"refreshToken": MARK, "disabled": MARK}, "disabled: must be true or false"),
    "api key": ({"auth": "api_key", "apiKey": MARK}, "apiKey: must start with ksk_"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_entry_is_named_and_the_others_live(tmp_path: Path, name: str) -> None:
    entry, message = BROKEN[name]
    text = json.dumps([{"refreshToken": "good1"}, entry, {"refreshToken": "good2"}])
    result = load(tmp_path, KIRO_AUTH_TOKEN=text)
    assert [c.tokens.refresh.reveal() for c in result.credentials] == ["good1", "good2"]
    (problem,) = result.problems
    assert problem.startswith("KIRO_AUTH_TOKEN[1]: ") and message in problem
    assert MARK not in problem


BROKEN_WHOLE = {
    "not JSON": ("{" + MARK, "is not valid JSON (line 1"),
    "empty array": ("[]", "at least one entry"),
    "array of texts": (f'["{MARK}"]', "KIRO_AUTH_TOKEN[0]: must be a JSON object"),
    "a token instead of a path": (f"aor{MARK}", "neither JSON nor the path of a readable file"),
    "a very long token": (f"aor{MARK}" + "x" * 5000, "neither JSON nor the path"),
    "deep": ("[" * 100_000, "JSON"),
}


@pytest.mark.parametrize("name", BROKEN_WHOLE)
def test_broken_variable_is_one_problem_without_its_value(tmp_path: Path, name: str) -> None:
    text, message = BROKEN_WHOLE[name]
    result = load(tmp_path, KIRO_AUTH_TOKEN=text, KIRO_API_KEY="ksk_one")
    assert len(result.credentials) == 1
    (problem,) = result.problems
    assert message in problem and MARK not in problem


BROKEN_FILES = {
    "not JSON": (b'{"refreshToken": SECRETMARK', "is not JSON"),
    "not UTF-8": (b'{"a":"\xff"}', "is not UTF-8"),
    "a text": (b'"SECRETMARK"', "must be a JSON object"),
    "nul in path": (None, "neither JSON nor the path"),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_broken_file_is_one_problem(tmp_path: Path, name: str) -> None:
    data, message = BROKEN_FILES[name]
    path = tmp_path / "tokens.json"
    if data is not None:
        path.write_bytes(data)
    (problem,) = load(tmp_path, KIRO_AUTH_TOKEN=str(path)).problems
    assert message in problem and MARK not in problem


def test_ide_shortened_token_is_refused(tmp_path: Path) -> None:
    for token in ("aor" + "x" * 90, LONG + "...zz"):
        write_ide(tmp_path, SOCIAL_FILE | {"refreshToken": token})
        result = load(tmp_path)
        assert result.credentials == []
        assert "refreshToken: is " in result.problems[0] and "shortened" in result.problems[0]


def test_path_to_the_ide_file_is_held_to_the_same_rule(tmp_path: Path) -> None:
    path = write_ide(tmp_path, SOCIAL_FILE | {"refreshToken": "short"})
    assert "shortened" in load(tmp_path, KIRO_AUTH_TOKEN=str(path)).problems[0]


def test_same_sign_in_twice_is_used_once(tmp_path: Path) -> None:
    result = load(tmp_path, KIRO_AUTH_TOKEN='{"refreshToken":"same"}', AWS_REFRESHTOKEN="same,b")
    assert len(result.credentials) == 2
    assert result.problems == [
        "AWS_REFRESHTOKEN[0]: is the same sign-in as KIRO_AUTH_TOKEN; used once"
    ]


def test_ids_are_stable_short_and_differ(tmp_path: Path) -> None:
    first = load(tmp_path, AWS_REFRESHTOKEN="a1,b2").credentials
    again = load(tmp_path, AWS_REFRESHTOKEN="b2,a1").credentials
    assert {c.id for c in first} == {c.id for c in again}
    assert first[0].id == again[1].id != first[1].id
    assert all(len(c.id) == 8 and int(c.id, 16) >= 0 for c in first)


def test_ide_rotation_while_we_were_away_keeps_the_id(tmp_path: Path) -> None:
    write_ide(tmp_path, SOCIAL_FILE)
    (first,) = load(tmp_path).credentials
    write_ide(tmp_path, SOCIAL_FILE | {"refreshToken": LONG + "rotated"})
    (again,) = load(tmp_path).credentials
    assert again.id == first.id


def test_planted_id_cannot_become_a_path(tmp_path: Path) -> None:
    (first,) = load(tmp_path, AWS_REFRESHTOKEN="a1").credentials
    book = tmp_path / "state/credentials/ids.json"
    lines = json.loads(book.read_text())
    book.write_text(json.dumps(dict.fromkeys(lines, "../../../x")))
    assert load(tmp_path, AWS_REFRESHTOKEN="a1").credentials[0].id == first.id


def test_kiro_region_overrides_and_is_checked(tmp_path: Path) -> None:
    (found,) = load(tmp_path, AWS_REFRESHTOKEN="a", KIRO_REGION="eu-central-1").credentials
    assert found.region_override == "eu-central-1"
    with pytest.raises(ConfigError, match="KIRO_REGION: must be a region"):
        load(tmp_path, AWS_REFRESHTOKEN="a", KIRO_REGION="evil.example/")


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    write_ide(tmp_path, IDC_FILE, REGISTRATION)
    result = load(tmp_path)
    entry = Entry(Place("x"), {"refreshToken": MARK}, {"clientSecret": MARK})
    for text in (repr(result), str(result), repr(entry), f"{result.credentials[0]}"):
        assert MARK not in text


def test_state_files_are_private(tmp_path: Path) -> None:
    load(tmp_path, AWS_REFRESHTOKEN="a")
    folder = tmp_path / "state/credentials"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}


EXPIRIES: dict[str, tuple[object, float]] = {
    "RFC 3339": ("2026-10-01T12:34:56.000Z", 1790858096.0),
    "offset": ("2026-10-01T14:34:56+02:00", 1790858096.0),
    "nanoseconds": ("2026-10-01T12:34:56.123456789Z", 1790858096.123456),
    "no zone is UTC": ("2026-10-01T12:34:56", 1790858096.0),
    "epoch s": (1790858096, 1790858096.0),
    "epoch ms": (1790858096000, 1790858096.0),
    "epoch as text": ("1790858096", 1790858096.0),
    "ms as text": ("1790858096000", 1790858096.0),
    "none": (None, 0.0),
    "rubbish": ("soon", 0.0),
    "NaN text": ("NaN", 0.0),
    "NaN": (math.nan, 0.0),
    "infinite": (math.inf, 0.0),
    "negative": (-5, 0.0),
    "true": (True, 0.0),
    "a list": ([1], 0.0),
}


@pytest.mark.parametrize("name", EXPIRIES)
def test_expiry(name: str) -> None:
    value, expected = EXPIRIES[name]
    assert parse_expiry(value) == expected


@given(st.integers(min_value=0, max_value=90_000_000_000))
@settings(max_examples=100)
def test_expiry_survives_formatting(epoch_s: int) -> None:
    assert parse_expiry(format_expiry(float(epoch_s))) == epoch_s


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = st.sampled_from(
    "auth refreshToken refresh_token clientId clientSecret clientIdHash region profileArn "
    "expiresAt disabled accessToken scopes provider startUrl".split()
)


@given(st.dictionaries(_FIELDS, _JSON | st.just(LONG), max_size=6))
@settings(max_examples=150)
def test_any_entry_parses_or_is_refused_by_our_error(fields: dict[str, Any]) -> None:
    try:
        found = parse_entry(Entry(Place("x"), fields))
    except CredentialError as error:
        assert ": " in error.message
    else:
        assert found.tokens.refresh or found.kind is CredentialKind.API_KEY


BUILDER: dict[str, tuple[dict[str, Any], bool | None]] = {
    "provider": ({"provider": "BuilderId"}, True),
    "auth word": ({"auth": "builder-id"}, True),
    "start url": ({"startUrl": BUILDER_START_URL + "/"}, True),
    "hash": ({"clientIdHash": BUILDER_CLIENT_HASH}, True),
    "shared arn": ({"profileArn": BUILDER_SHARED_ARN}, True),
    "enterprise": ({"provider": "Enterprise"}, False),
    "own arn": ({"profileArn": ARN}, False),
    "own start url": ({"startUrl": "https://d-1234.awsapps.com/start"}, False),
    "nothing tells": ({}, None),
}


@pytest.mark.parametrize("name", BUILDER)
def test_builder_id_is_told_from_an_organisation(name: str) -> None:
    extra, expected = BUILDER[name]
    fields = {"auth": "IdC", "refreshToken": "x", "clientId": "c", "clientSecret": "s"} | extra
    found = parse_entry(Entry(Place("x"), fields))
    assert found.builder_id is expected
    if expected:
        assert found.tokens.profile_arn is None


def test_kind_is_told_by_what_only_it_has() -> None:
    base = {"refreshToken": "x", "clientSecret": "s"}
    assert parse_entry(Entry(Place("x"), base | {"clientId": "c"})).kind is CredentialKind.IDC
    assert parse_entry(Entry(Place("x"), base)).kind is CredentialKind.SOCIAL
    external = base | {"clientId": "c", "tokenEndpoint": "https://login.microsoftonline.com/t"}
    assert parse_entry(Entry(Place("x"), external)).kind is CredentialKind.EXTERNAL_IDP
    assert parse_entry(Entry(Place("x"), {"apiKey": "ksk_1"})).kind is CredentialKind.API_KEY


def test_snake_case_entry() -> None:
    fields = {
        "refresh_token": "x",
        "access_token": "y",
        "expires_at": "2026-10-01T12:34:56Z",
        "client_id": "c",
        "client_secret": "s",
        "scopes": ["a", "b"],
    }
    found = parse_entry(Entry(Place("x"), fields))
    assert (found.kind, found.client_id, found.scopes) == (CredentialKind.IDC, "c", "a b")
    assert found.tokens.expires_at_epoch_s == 1790858096.0
