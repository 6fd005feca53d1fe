"""Credential files that somebody made to do harm: each is one problem, none of them stops the start."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from kiroproxy.accounts.credentials import LoadResult, load_credentials
from kiroproxy.accounts.entries import Tokens
from kiroproxy.accounts.files import write_json
from kiroproxy.accounts.store import TokenStore
from kiroproxy.clock import SystemClock
from kiroproxy.secret import Secret

MARK = "SECRETMARK"
GOOD = "ksk_good"


def load(tmp_path: Path, **env: str) -> LoadResult:
    given = {"KIRO_API_KEY": GOOD, **env}
    return load_credentials(given, tmp_path / "home", tmp_path / "state")


def _zeros(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


def _text(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


FILES: dict[str, Callable[[Path], None]] = {
    "fifo": os.mkfifo,
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "sparse gigabyte": _zeros,
    "folder": Path.mkdir,
    "link to itself": lambda path: path.symlink_to(path.name),
    "deep arrays": _text("[" * 1_000_000),
    "deep objects": _text('{"a":' * 500_000 + "1" + "}" * 500_000),
    "deep and whole": _text("[" * 900 + "]" * 900),
    "long number": _text('{"refreshToken": "x", "expiresIn": ' + "9" * 100_000 + "}"),
    "lone surrogate": _text('{"auth": "Social", "refreshToken": "' + MARK + '\\ud800"}'),
    "line breaks in a token": _text('{"auth": "Social", "refreshToken": "' + MARK + '\\r\\nx: y"}'),
    "many entries": _text(json.dumps([{"refreshToken": f"{MARK}{n}"} for n in range(1001)])),
    "empty": _text(""),
    "NaN": _text("NaN"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "setting", ["KIRO_AUTH_TOKEN", "KIRO_AUTH_TOKEN_FILE", "KIRO_OAUTH_CREDS_FILE_PATH"]
)
def test_crafted_file_is_one_problem(tmp_path: Path, name: str, setting: str) -> None:
    path = tmp_path / "tokens.json"
    FILES[name](path)
    result = load(tmp_path, **{setting: str(path)})
    assert len(result.credentials) == 1
    (problem,) = result.problems
    assert setting in problem
    assert MARK not in problem
    assert len(problem) < 300
    assert problem.isprintable()


@pytest.mark.parametrize("name", FILES)
def test_crafted_file_in_a_folder_does_not_stop_the_others(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    FILES[name](folder / "bad.json")
    (folder / "good.json").write_text('{"auth": "Social", "refreshToken": "good"}')
    result = load(tmp_path, KIRO_OAUTH_CREDS_DIR_PATH=str(folder))
    assert "good" in [c.tokens.refresh.reveal() for c in result.credentials]
    assert MARK not in "".join(result.problems)


@pytest.mark.parametrize("name", FILES)
def test_crafted_file_where_programs_keep_theirs(tmp_path: Path, name: str) -> None:
    path = tmp_path / "home/.aws/sso/cache/kiro-auth-token.json"
    path.parent.mkdir(parents=True)
    FILES[name](path)
    result = load_credentials({}, tmp_path / "home", tmp_path / "state")
    assert result.credentials == []
    assert MARK not in "".join(result.problems)


@pytest.mark.parametrize("name", FILES)
def test_crafted_registration_and_pool_file(tmp_path: Path, name: str) -> None:
    entry = {"auth": "IdC", "refreshToken": MARK, "clientIdHash": "a" * 40}
    (tmp_path / "tokens.json").write_text(json.dumps(entry))
    FILES[name](tmp_path / f"{'a' * 40}.json")
    FILES[name](tmp_path / "pool.json")
    result = load(
        tmp_path,
        KIRO_OAUTH_CREDS_FILE_PATH=str(tmp_path / "tokens.json"),
        PROVIDER_POOLS_FILE_PATH=str(tmp_path / "pool.json"),
    )
    assert len(result.credentials) == 1
    assert len(result.problems) >= 1
    assert MARK not in "".join(result.problems)


async def test_file_that_becomes_a_pipe_does_not_hold_up_a_renewal(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    write_json(path, {"auth": "Social", "refreshToken": "one"})
    result = load_credentials(
        {"KIRO_AUTH_TOKEN_FILE": str(path)}, tmp_path / "home", tmp_path / "state"
    )
    (credential,) = result.credentials
    path.unlink()
    os.mkfifo(path)
    store = TokenStore(tmp_path / "state", SystemClock())
    assert (await store.reread(credential)).tokens == credential.tokens
    await store.save(credential, Tokens(Secret("new"), Secret("two"), 1790858096.0))
    assert stat.S_ISFIFO(path.stat().st_mode)


STORES: dict[str, str] = {
    "endless view": """
        CREATE VIEW auth_kv(key, value) AS
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT 'kirocli:social:token', i FROM n WHERE i < 0""",
    "value of a gigabyte": """
        CREATE VIEW auth_kv(key, value) AS
        SELECT 'kirocli:social:token', hex(zeroblob(500000000))""",
}


@pytest.mark.parametrize("name", STORES)
def test_crafted_store_is_one_problem(tmp_path: Path, name: str) -> None:
    path = tmp_path / "data.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute(STORES[name])
    connection.close()
    result = load(tmp_path, KIRO_CLI_DB_FILE=str(path))
    assert len(result.credentials) == 1
    (problem,) = result.problems
    assert problem.startswith("KIRO_CLI_DB_FILE: is not a readable store")


@pytest.mark.parametrize("name", ["fifo", "endless device", "sparse gigabyte", "folder"])
def test_store_that_is_no_database(tmp_path: Path, name: str) -> None:
    FILES[name](tmp_path / "data.sqlite3")
    result = load(tmp_path, KIRO_CLI_DB_FILE=str(tmp_path / "data.sqlite3"))
    assert len(result.credentials) == 1
    assert len(result.problems) == 1
