"""Files, folders, pools, stores: each source alone, broken, mixed; shared and copied."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.accounts.credentials import LoadResult, load_credentials
from kiroproxy.accounts.entries import Credential, Tokens
from kiroproxy.accounts.store import TokenStore
from kiroproxy.clock import SystemClock
from kiroproxy.errors import CredentialError
from kiroproxy.kiro.hosts import BUILDER_START_URL
from kiroproxy.kiro.identity import CredentialKind
from kiroproxy.secret import Secret
from tests.accounts.fakes import ARN, MARK

LONG = f"aor{MARK}" + "x" * 120
HASH = "a" * 40
NEW = Tokens(Secret("aoaNEW"), Secret("aorNEW" + "y" * 120), 1790858096.0)
IDC, SOCIAL = CredentialKind.IDC, CredentialKind.SOCIAL
MICROSOFT = "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"


def load(tmp_path: Path, *, copy: Any = False, own: Any = True, **env: str) -> LoadResult:
    return load_credentials(env, tmp_path / "home", tmp_path / "state", copy=copy, own=own)


def write(path: Path, value: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return str(path)


def social(token: str, **more: Any) -> dict[str, Any]:
    return {"authMethod": "social", "refreshToken": token, **more}


def tokens(result: LoadResult) -> list[str]:
    return [c.tokens.refresh.reveal() for c in result.credentials]


# -- secrets in files (Docker secrets)


SECRET_FILES = {
    "AWS_REFRESHTOKEN": "one,two",
    "KIRO_API_KEY": "ksk_one\r\nksk_two\n",
    "KIRO_OAUTH_CREDS_BASE64": base64.b64encode(b'[{"refreshToken": "one"}, {"refreshToken": "two"}]')
    .decode(),
}  # fmt: skip


@pytest.mark.parametrize("name", SECRET_FILES)
def test_secret_in_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "home" / "secret"
    path.parent.mkdir()
    path.write_text(SECRET_FILES[name])
    for text in (str(path), "~/secret"):
        result = load(tmp_path, **{f"{name}_FILE": text})
        assert result.problems == []
        assert [str(c.place) for c in result.credentials] == [f"{name}_FILE[0]", f"{name}_FILE[1]"]
        assert not any(c.place.takes_back for c in result.credentials)
    given = load(tmp_path, **{name: SECRET_FILES[name], f"{name}_FILE": "/nowhere"})
    assert (len(given.credentials), given.problems) == (2, [])


def test_idc_secrets_in_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    (tmp_path / "secret").write_text(MARK)
    files = {
        "IDC_REFRESH_TOKEN_FILE": str(tmp_path / "token"),
        "IDC_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
    }
    result = load(tmp_path, IDC_CLIENT_ID="client", **files)
    (credential,) = result.credentials
    assert credential.client_secret == Secret(MARK)
    assert load(tmp_path, **files).problems == ["IDC_REFRESH_TOKEN: needs IDC_CLIENT_ID"]


@pytest.mark.parametrize("name", [*SECRET_FILES, "IDC_REFRESH_TOKEN", "IDC_CLIENT_SECRET"])
def test_secret_file_that_is_no_good(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "latin").write_bytes(b"\xff")
    idc = {"IDC_CLIENT_ID": "c", "IDC_REFRESH_TOKEN": "r", "IDC_CLIENT_SECRET": "s"}
    others = {key: text for key, text in idc.items() if key != name} if name in idc else {}
    for path, words in (
        (f"/nowhere/{MARK}", "does not name a readable file (No such file or directory)"),
        (MARK * 200, "does not name a readable file (File name too long)"),
        (str(tmp_path / "empty"), "the file it names is empty"),
        (str(tmp_path / "latin"), "the file it names is not UTF-8"),
        (str(tmp_path), "does not name a readable file (Is a directory)"),
    ):
        result = load(tmp_path, **{f"{name}_FILE": path}, **others)
        assert result.credentials == []
        assert result.problems == [f"{name}_FILE: {words}"]


# -- named files and base64


EMPTY = [
    "KIRO_AUTH_TOKEN_FILE",
    "KIRO_OAUTH_CREDS_FILE_PATH",
    "PROVIDER_POOLS_FILE_PATH",
    "KIRO_CLI_DB_FILE",
]


@pytest.mark.parametrize("name", EMPTY)
def test_empty_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    (problem,) = load(tmp_path, **{name: str(path)}).problems
    assert problem.startswith(f"{name}: ")
    assert problem.endswith(" is empty")


@pytest.mark.parametrize("name", ["KIRO_AUTH_TOKEN_FILE", "KIRO_OAUTH_CREDS_FILE_PATH"])
def test_named_file(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "home/creds.json", [social("one"), social("two")])
    for text in (path, "~/creds.json"):
        result = load(tmp_path, **{name: text})
        assert (tokens(result), result.problems) == (["one", "two"], [])
        assert [str(c.place) for c in result.credentials] == [f"{name}[0]", f"{name}[1]"]


@pytest.mark.parametrize("name", ["KIRO_AUTH_TOKEN_FILE", "KIRO_OAUTH_CREDS_FILE_PATH"])
def test_named_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    result = load(tmp_path, **{name: f"/nowhere/{MARK}"})
    assert result.credentials == []
    assert result.problems == [f"{name}: does not name a readable file (No such file or directory)"]


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("cut", ["=", ""])
def test_base64(tmp_path: Path, encode: Any, cut: str) -> None:
    text = (
        encode(json.dumps(social("one", description="ÿ>?ü")).encode()).decode().rstrip(cut or " ")
    )
    result = load(tmp_path, KIRO_OAUTH_CREDS_BASE64=f"{text[:9]}\n{text[9:]}")
    assert (tokens(result), result.credentials[0].label) == (["one"], "ÿ>?ü")
    assert result.credentials[0].place.path is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"%{MARK}", "is not base64 of a UTF-8 text"),
        (base64.b64encode(b"\xff\xfe").decode(), "is not base64 of a UTF-8 text"),
        (base64.b64encode(f"{MARK}".encode()).decode(), "is not valid JSON (line 1, column 1)"),
    ],
)
def test_broken_base64(tmp_path: Path, text: str, words: str) -> None:
    result = load(tmp_path, KIRO_OAUTH_CREDS_BASE64=text)
    assert result.problems == [f"KIRO_OAUTH_CREDS_BASE64: {words}"]


# -- a folder


def test_folder_is_scanned(tmp_path: Path) -> None:
    folder = tmp_path / "creds"
    write(folder / "b.json", {"refresh_token": "two"})
    write(folder / "a.json", social("one"))
    write(folder / "kiro/deep.json", [social("three")])
    idc = {"authMethod": "IdC", "refreshToken": "four", "clientIdHash": HASH}
    write(folder / "zz.json", idc)
    write(folder / f"{HASH}.json", {"clientId": "client", "clientSecret": f"eyJ{MARK}"})
    # What is none of our business:
    write(folder / f"{'b' * 40}.json", {"refreshToken": "AWS CLI", "accessToken": "x"})
    write(folder / "settings.json", {"theme": "dark"})
    write(folder / ".hidden.json", social("hidden"))
    write(folder / "kiro/deeper/c.json", social("too deep"))
    (folder / "notes.txt").write_text("x")
    result = load(tmp_path, KIRO_OAUTH_CREDS_DIR_PATH=str(folder))
    assert (tokens(result), result.problems) == (["one", "two", "three", "four"], [])
    assert result.credentials[3].client_id == "client"
    assert result.credentials[2].label == "KIRO_OAUTH_CREDS_DIR_PATH/kiro/deep.json[0]"


def test_broken_files_of_a_folder_are_named_and_do_not_stop_the_others(tmp_path: Path) -> None:
    folder = tmp_path / "creds"
    write(folder / "good.json", social("one"))
    (folder / "half.json").write_text('{"refreshToken": "' + MARK)
    write(folder / "no-token.json", {"authMethod": "social", "accessToken": MARK})
    write(folder / "lost.json", {"authMethod": "IdC", "refreshToken": MARK, "clientIdHash": HASH})
    result = load(tmp_path, KIRO_OAUTH_CREDS_DIR_PATH=str(folder))
    assert tokens(result) == ["one"]
    starts = [problem.rpartition(": ")[0] for problem in sorted(result.problems)]
    name = "KIRO_OAUTH_CREDS_DIR_PATH"
    assert starts[1:] == [f"{name}/lost.json: clientIdHash", f"{name}/no-token.json: refreshToken"]
    assert result.problems[0].startswith(f"{name}/half.json: is not JSON (line 1")
    assert MARK not in "".join(result.problems)


def test_folder_without_sign_ins(tmp_path: Path) -> None:
    for text, words in ((tmp_path, "holds no sign-in"), (tmp_path / "no", "No such file")):
        (problem,) = load(tmp_path, KIRO_OAUTH_CREDS_DIR_PATH=str(text)).problems
        assert words in problem


# -- a pool file


def test_pool_file(tmp_path: Path) -> None:
    base = tmp_path / "aiclient"
    write(base / "configs/kiro/one.json", social("one"))
    write(base / "configs/two.json", social("two"))
    encoded = base64.b64encode(json.dumps(social("three")).encode()).decode()
    pool = [
        {
            "customName": "first",
            "KIRO_OAUTH_CREDS_FILE_PATH": "./configs/kiro/one.json",
            "uuid": "u",
        },
        {"KIRO_OAUTH_CREDS_FILE_PATH": "two.json", "isDisabled": True, "errorCount": 3},
        {"KIRO_OAUTH_CREDS_BASE64": encoded},
    ]
    path = write(
        base / "configs/provider_pools.json",
        {"gemini-cli-oauth": [{"GEMINI_OAUTH_CREDS_FILE_PATH": "x"}], "claude-kiro-oauth": pool},
    )
    before = Path(path).read_bytes()
    result = load(tmp_path, PROVIDER_POOLS_FILE_PATH=path)
    assert (tokens(result), result.problems) == (["one", "two", "three"], [])
    assert [c.disabled for c in result.credentials] == [False, True, False]
    assert result.credentials[0].label == "first"
    assert result.credentials[0].place.path == base / "configs/kiro/one.json"
    assert Path(path).read_bytes() == before


def test_broken_entries_of_a_pool(tmp_path: Path) -> None:
    write(tmp_path / "good.json", social("one"))
    pool = [
        7,
        {"customName": "x"},
        {"KIRO_OAUTH_CREDS_FILE_PATH": "gone.json"},
        {"KIRO_OAUTH_CREDS_FILE_PATH": 7},
        {"KIRO_OAUTH_CREDS_FILE_PATH": "good.json"},
        {"KIRO_OAUTH_CREDS_FILE_PATH": MARK * 100},
    ]
    path = write(tmp_path / "pool.json", {"claude-kiro-oauth": pool})
    result = load(tmp_path, PROVIDER_POOLS_FILE_PATH=path)
    assert tokens(result) == ["one"]
    name = "PROVIDER_POOLS_FILE_PATH:claude-kiro-oauth"
    key = "KIRO_OAUTH_CREDS_FILE_PATH"
    assert result.problems == [
        f"{name}[0]: must be a JSON object",
        f"{name}[1]: {key}: is missing",
        f"{name}[2].{key}: does not name a readable file (No such file or directory)",
        f"{name}[3]: {key}: must be a text",
        f"{name}[5].{key}: does not name a readable file (File name too long)",
    ]


@pytest.mark.parametrize("value", [[], {}, {"claude-kiro-oauth": []}, {"claude-kiro-oauth": {}}])
def test_pool_without_kiro(tmp_path: Path, value: Any) -> None:
    path = write(tmp_path / "pool.json", value)
    (problem,) = load(tmp_path, PROVIDER_POOLS_FILE_PATH=path).problems
    assert problem.endswith("has no list claude-kiro-oauth")


# -- the CLIs' stores

TOKEN = {
    "access_token": f"aoa{MARK}",
    "refresh_token": LONG,
    "expires_at": "2026-10-01T12:34:56Z",
    "region": "eu-west-1",
    "start_url": "https://team.awsapps.com/start",
    "oauth_flow": "DeviceCode",
}
REGISTRATION = {
    "client_id": "client",
    "client_secret": f"eyJ{MARK}",
    "region": "eu-west-1",
    "oauth_flow": "DeviceCode",
}
ODIC, ODIC_REG = "kirocli:odic:token", "kirocli:odic:device-registration"


def make_store(path: Path, rows: dict[str, Any], *, wal: bool = False, arn: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE auth_kv (key TEXT PRIMARY KEY, value TEXT)")
    if arn:
        connection.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB)")
        profile = json.dumps({"arn": arn, "profile_name": "team"}).encode()
        connection.execute("INSERT INTO state VALUES ('api.codewhisperer.profile', ?)", (profile,))
    for key, value in rows.items():
        connection.execute("INSERT INTO auth_kv VALUES (?, ?)", (key, json.dumps(value)))
    connection.commit()
    connection.close()
    return path


def put(path: Path, key: str, value: Any) -> None:
    connection = sqlite3.connect(path)
    connection.execute("REPLACE INTO auth_kv VALUES (?, ?)", (key, json.dumps(value)))
    connection.commit()
    connection.close()


def kiro_cli(tmp_path: Path) -> Path:
    return tmp_path / "home/.local/share/kiro-cli/data.sqlite3"


def test_organisation_in_a_cli_store(tmp_path: Path) -> None:
    make_store(kiro_cli(tmp_path), {ODIC: TOKEN, ODIC_REG: REGISTRATION}, arn=ARN)
    result = load(tmp_path)
    (found,) = result.credentials
    assert (found.kind, found.client_id, found.sso_region) == (IDC, "client", "eu-west-1")
    assert (found.builder_id, found.tokens.profile_arn) == (False, ARN)
    assert found.tokens.expires_at_epoch_s == 1790858096.0
    assert "Kiro CLI" in result.notes[0]


def test_builder_id_in_a_cli_store_has_no_profile_of_its_own(tmp_path: Path) -> None:
    token = {**TOKEN, "start_url": BUILDER_START_URL}
    make_store(kiro_cli(tmp_path), {ODIC: token, ODIC_REG: REGISTRATION}, arn=ARN)
    (found,) = load(tmp_path).credentials
    assert (found.builder_id, found.tokens.profile_arn) == (True, None)


def test_all_rows_of_a_store_in_the_cli_s_order(tmp_path: Path) -> None:
    external = {
        "access_token": "eyJ",
        "refresh_token": "ext",
        "token_endpoint": MICROSOFT,
        "client_id": "c",
        "scopes": ["a", "offline_access"],
    }
    rows = {
        "kirocli:social:token": {"refresh_token": "soc", "profile_arn": ARN, "provider": "google"},
        "codewhisperer:odic:token": {**TOKEN, "refresh_token": "shadowed"},
        ODIC: {**TOKEN, "refresh_token": "idc"},
        ODIC_REG: REGISTRATION,
        "kirocli:external-idp:token": external,
    }
    path = make_store(tmp_path / "data.sqlite3", rows, wal=True)
    result = load(tmp_path, KIRO_CLI_DB_FILE=str(path))
    assert (tokens(result), result.problems) == (["ext", "idc", "soc"], [])
    assert result.credentials[0].token_endpoint == MICROSOFT
    assert result.credentials[0].scopes == "a offline_access"
    assert result.credentials[2].tokens.profile_arn == ARN
    assert len({c.id for c in result.credentials}) == 3


def test_amazon_q_s_store(tmp_path: Path) -> None:
    rows = {
        "codewhisperer:odic:token": TOKEN,
        "codewhisperer:odic:device-registration": REGISTRATION,
    }
    folder = tmp_path / "home/Library/Application Support/amazon-q"
    make_store(folder / "data.sqlite3", rows)
    assert tokens(load(tmp_path)) == [LONG]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({}, "nobody is signed in"),
        ({ODIC: TOKEN}, "its client registration is missing"),
        ({ODIC: TOKEN, ODIC_REG: {**REGISTRATION, "region": "us-east-1"}}, "another region"),
        ({ODIC: TOKEN, ODIC_REG: {**REGISTRATION, "oauth_flow": "Pkce"}}, "another oauthFlow"),
        ({ODIC: [MARK], ODIC_REG: REGISTRATION}, "is not a JSON object"),
        (
            {ODIC: {**TOKEN, "refresh_token": ""}, ODIC_REG: REGISTRATION},
            "refreshToken: is missing",
        ),
    ],
)
def test_broken_store(tmp_path: Path, rows: dict[str, Any], words: str) -> None:
    path = make_store(tmp_path / "data.sqlite3", rows)
    result = load(tmp_path, KIRO_CLI_DB_FILE=str(path))
    (problem,) = result.problems
    assert problem.startswith("KIRO_CLI_DB_FILE") and words in problem
    assert result.credentials == [] and MARK not in problem


def test_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "x").write_text(MARK * 100)
    for text in ("x", "gone"):
        (problem,) = load(tmp_path, KIRO_CLI_DB_FILE=str(tmp_path / text)).problems
        assert "KIRO_CLI_DB_FILE: " in problem and MARK not in problem


def store_at(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "state", SystemClock())


async def renew(store: TokenStore, found: Credential) -> Credential:
    async with store.locked(found):
        return await store.save(await store.reread(found), NEW)


async def test_store_is_never_written_and_followed_when_the_cli_renews(tmp_path: Path) -> None:
    path = make_store(kiro_cli(tmp_path), {ODIC: TOKEN, ODIC_REG: REGISTRATION})
    before, names = path.read_bytes(), sorted(p.name for p in path.parent.iterdir())
    store = store_at(tmp_path)
    (found,) = load(tmp_path).credentials
    renewed = await renew(store, found)
    assert (path.read_bytes(), sorted(p.name for p in path.parent.iterdir())) == (before, names)
    (again,) = load(tmp_path).credentials
    assert (again.id, again.tokens.refresh) == (found.id, NEW.refresh)
    assert (await store.reread(renewed)).tokens.refresh == NEW.refresh

    put(path, ODIC, {**TOKEN, "refresh_token": "by-the-CLI"})
    put(path, ODIC_REG, {**REGISTRATION, "client_id": "newer"})
    followed = await store.reread(renewed)
    assert (followed.tokens.refresh.reveal(), followed.client_id) == ("by-the-CLI", "newer")
    (restarted,) = load(tmp_path).credentials
    assert (restarted.id, restarted.tokens.refresh.reveal()) == (found.id, "by-the-CLI")


def test_store_in_wal_mode_is_read_without_a_trace_and_while_the_cli_writes(
    tmp_path: Path,
) -> None:
    path = make_store(kiro_cli(tmp_path), {ODIC: TOKEN, ODIC_REG: REGISTRATION}, wal=True)
    assert tokens(load(tmp_path)) == [LONG]
    assert [p.name for p in path.parent.iterdir()] == ["data.sqlite3"]
    cli = sqlite3.connect(path)
    try:
        newer = json.dumps({**TOKEN, "refresh_token": "in-the-log"})
        cli.execute("UPDATE auth_kv SET value = ? WHERE key = ?", (newer, ODIC))
        cli.commit()
        cli.execute("BEGIN IMMEDIATE")
        assert tokens(load(tmp_path)) == ["in-the-log"]
    finally:
        cli.close()


async def test_cli_that_signed_out_is_told(tmp_path: Path) -> None:
    path = make_store(kiro_cli(tmp_path), {ODIC: TOKEN, ODIC_REG: REGISTRATION})
    (found,) = load(tmp_path).credentials
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM auth_kv")
    connection.commit()
    connection.close()
    with pytest.raises(CredentialError, match="signed out"):
        await store_at(tmp_path).reread(found)


# -- which sources count


def test_fallbacks_stop_at_the_first_program_that_is_signed_in(tmp_path: Path) -> None:
    make_store(kiro_cli(tmp_path), {ODIC: TOKEN, ODIC_REG: REGISTRATION})
    ide = tmp_path / "home/.aws/sso/cache/kiro-auth-token.json"
    write(ide, social("short"))
    result = load(tmp_path)
    assert tokens(result) == [LONG] and "shortened" in result.problems[0]
    write(ide, social("aorIDE" + "z" * 120))
    assert tokens(load(tmp_path)) == ["aorIDE" + "z" * 120]
    assert tokens(load(tmp_path, AWS_REFRESHTOKEN="named")) == ["named"]


def test_all_together_in_the_order_of_the_table(tmp_path: Path) -> None:
    cli = make_store(kiro_cli(tmp_path), {ODIC: TOKEN, ODIC_REG: REGISTRATION})
    write(tmp_path / "state/sign-ins/0123abcd.json", social("own", description="mine"))
    write(tmp_path / "dir/x.json", social("folder"))
    write(tmp_path / "pooled.json", social("pool"))
    pool = {"claude-kiro-oauth": [{"KIRO_OAUTH_CREDS_FILE_PATH": "pooled.json"}]}
    result = load(
        tmp_path,
        KIRO_CLI_DB_FILE=str(cli),
        PROVIDER_POOLS_FILE_PATH=write(tmp_path / "pool.json", pool),
        KIRO_OAUTH_CREDS_DIR_PATH=str(tmp_path / "dir"),
        KIRO_OAUTH_CREDS_BASE64=base64.b64encode(json.dumps(social("b64")).encode()).decode(),
        KIRO_OAUTH_CREDS_FILE_PATH=write(tmp_path / "f.json", social("file")),
        AWS_REFRESHTOKEN="list",
        KIRO_AUTH_TOKEN_FILE=write(tmp_path / "secret", social("secret")),
        KIRO_AUTH_TOKEN=json.dumps(social("inline")),
    )
    expected = ["inline", "secret", "list", "file", "b64", "folder", "pool", LONG, "own"]
    assert (tokens(result), result.problems) == (expected, [])
    assert (result.credentials[-1].id, result.credentials[-1].label) == ("0123abcd", "mine")


def test_same_sign_in_from_two_sources_is_used_once(tmp_path: Path) -> None:
    path = write(tmp_path / "f.json", social("same"))
    result = load(tmp_path, KIRO_AUTH_TOKEN_FILE=path, KIRO_OAUTH_CREDS_FILE_PATH=path)
    assert tokens(result) == ["same"] and "used once" in result.problems[0]


def test_own_sign_ins_may_be_left_out(tmp_path: Path) -> None:
    write(tmp_path / "state/sign-ins/0123abcd.json", social("own"))
    write(tmp_path / "state/sign-ins/../sign-ins/other.json", social("not ours"))
    assert tokens(load(tmp_path)) == ["own"]
    assert tokens(load(tmp_path, own=False)) == []


def test_odd_dates_of_own_sign_ins_do_not_matter(tmp_path: Path) -> None:
    for number, created in enumerate((7, "2026", None)):
        path = tmp_path / f"state/sign-ins/0000000{number}.json"
        write(path, social(f"own{number}", createdAt=created))
    assert sorted(tokens(load(tmp_path))) == ["own0", "own1", "own2"]


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"authMethod": "social"})])
def test_broken_own_sign_in_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state/sign-ins/0123abcd.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (problem,) = load(tmp_path).problems
    assert problem.startswith("sign-in 0123abcd: ")


# -- shared or copied


async def test_copied_file_is_left_alone(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "f.json", social("old")))
    before = path.read_bytes()
    store = store_at(tmp_path)
    env: dict[str, Any] = {"KIRO_OAUTH_CREDS_FILE_PATH": str(path)}
    (found,) = load(tmp_path, copy=True, **env).credentials
    renewed = await renew(store, found)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("f.json")] == ["f.json"]
    (again,) = load(tmp_path, copy=True, **env).credentials
    assert (again.id, again.tokens.refresh) == (found.id, NEW.refresh)
    write(path, social("by-another"))
    assert (await store.reread(renewed)).tokens.refresh == NEW.refresh  # not looked at
    assert tokens(load(tmp_path, copy=True, **env)) == ["by-another"]  # until a restart


async def test_shared_file_is_kept_up_to_date(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "f.json", social("old", other=1)))
    (found,) = load(tmp_path, KIRO_OAUTH_CREDS_FILE_PATH=str(path)).credentials
    await renew(store_at(tmp_path), found)
    saved = json.loads(path.read_text())
    assert (saved["refreshToken"], saved["other"]) == (NEW.refresh.reveal(), 1)


async def test_own_sign_in_is_never_a_copy(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "state/sign-ins/0123abcd.json", social("old")))
    (found,) = load(tmp_path, copy=True).credentials
    await renew(store_at(tmp_path), found)
    assert json.loads(path.read_text())["refreshToken"] == NEW.refresh.reveal()


async def test_new_sign_in_brings_its_new_registration(tmp_path: Path) -> None:
    idc = {"authMethod": "IdC", "refreshToken": "old", "clientId": "a", "clientSecret": "s"}
    path = Path(write(tmp_path / "f.json", idc))
    (found,) = load(tmp_path, KIRO_OAUTH_CREDS_FILE_PATH=str(path)).credentials
    write(path, {**idc, "refreshToken": "new", "clientId": "b", "clientSecret": "t"})
    again = await store_at(tmp_path).reread(found)
    assert (again.client_id, again.tokens.refresh.reveal()) == ("b", "new")
    assert again.client_secret == Secret("t")
    assert replace(again, client_id="a").id == found.id


# -- whatever stands there


@pytest.mark.parametrize("name", ["a\ud800b", "a\x1b]0;title\x07b", "a\r\nb"])
def test_names_are_fit_for_a_terminal(tmp_path: Path, name: str) -> None:
    entry = social("one", description=name)
    (found,) = load(tmp_path, KIRO_AUTH_TOKEN=json.dumps(entry)).credentials
    assert found.label.isprintable() and found.label.startswith("a")
    write(tmp_path / "state/sign-ins/0123abcd.json", entry)
    (found,) = load(tmp_path).credentials
    assert str(found.place).isprintable()


def test_file_names_are_fit_for_a_terminal(tmp_path: Path) -> None:
    write(tmp_path / "creds" / os.fsdecode(b"a\xff\x1b.json"), social("one"))
    (found,) = load(tmp_path, KIRO_OAUTH_CREDS_DIR_PATH=str(tmp_path / "creds")).credentials
    assert found.label == "KIRO_OAUTH_CREDS_DIR_PATH/a.json"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from(
    "authMethod refreshToken clientIdHash apiKey disabled region scopes description "
    "refresh_token client_id client_secret expires_at oauth_flow profile_arn "
    "KIRO_OAUTH_CREDS_FILE_PATH KIRO_OAUTH_CREDS_BASE64 customName isDisabled".split()
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5)
)


@given(JSON)
@settings(max_examples=40)
def test_no_json_stops_the_good_entries_beside_it(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tmp_path = Path(folder)
        good = social(f"{MARK}good")
        write(tmp_path / "creds/good.json", good)
        write(tmp_path / "creds/odd.json", value)
        write(tmp_path / "good.json", good)
        pool = {"claude-kiro-oauth": [value, {"KIRO_OAUTH_CREDS_FILE_PATH": "good.json"}]}
        store = make_store(tmp_path / "data.sqlite3", {ODIC: value, ODIC_REG: REGISTRATION})
        put(store, "kirocli:social:token", {"refresh_token": f"{MARK}good"})
        for name, text in (
            ("KIRO_OAUTH_CREDS_DIR_PATH", str(tmp_path / "creds")),
            ("PROVIDER_POOLS_FILE_PATH", write(tmp_path / "pool.json", pool)),
            ("KIRO_CLI_DB_FILE", str(store)),
            ("KIRO_AUTH_TOKEN", json.dumps([value, good])),
        ):
            result = load(tmp_path, **{name: text})
            assert f"{MARK}good" in tokens(result), name
            assert MARK not in "".join(result.problems)


# -- external identity providers


def external(**changes: Any) -> dict[str, Any]:
    entry = {
        "auth": "external_idp",
        "refreshToken": "r",
        "clientId": "c",
        "tokenEndpoint": MICROSOFT,
    }
    return {k: v for k, v in {**entry, **changes}.items() if v is not None}


def test_external_idp(tmp_path: Path) -> None:
    (found,) = load(tmp_path, KIRO_AUTH_TOKEN=json.dumps(external(profileArn=ARN))).credentials
    assert found.kind is CredentialKind.EXTERNAL_IDP
    assert (found.token_endpoint, found.client_id) == (MICROSOFT, "c")
    assert found.tokens.profile_arn == ARN


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tokenEndpoint": None}, "tokenEndpoint: is missing"),
        ({"clientId": None}, "clientId: is missing"),
        ({"tokenEndpoint": f"https://{MARK}.example/token"}, "tokenEndpoint: must be an https URL"),
        ({"tokenEndpoint": MICROSOFT.replace("https", "http")}, "tokenEndpoint: must be an https"),
        ({"clientId": f"{MARK}\ud800"}, "clientId: must be printable ASCII"),
        ({"scopes": [f"{MARK}\n"]}, "scopes: must be printable ASCII"),
        ({"tokenEndpoint": "https://u@login.microsoftonline.com/t"}, "tokenEndpoint: must be"),
    ],
)
def test_broken_external_idp(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    (problem,) = load(tmp_path, KIRO_AUTH_TOKEN=json.dumps([external(**changes)])).problems
    assert problem.startswith(f"KIRO_AUTH_TOKEN[0]: {field}") and MARK not in problem


def test_idc_tokens_of_earlier_kiro2api(tmp_path: Path) -> None:
    named = {"IDC_REFRESH_TOKEN": "aorA,aorB", "IDC_CLIENT_ID": "id", "IDC_CLIENT_SECRET": "secret"}
    found = load(tmp_path, **named)
    assert tokens(found) == ["aorA", "aorB"]
    assert [c.client_id for c in found.credentials] == ["id", "id"]
    lacking = load(tmp_path, IDC_REFRESH_TOKEN="aorA")
    assert lacking.problems == ["IDC_REFRESH_TOKEN: needs IDC_CLIENT_ID and IDC_CLIENT_SECRET"]
