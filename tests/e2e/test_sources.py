"""Every source of sign-ins serves a request, alone and with the others."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kiroproxy.simulator import Settings
from tests.e2e.support import house

Json = dict[str, Any]
ENTRIES: dict[str, Json] = {account.label: account.entry for account in Settings().accounts}


def write(path: Path, value: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return str(path)


def token_file(name: str) -> Callable[[Path, Json], dict[str, str]]:
    return lambda folder, entry: {name: write(folder / f"{name}.json", entry)}


def in_base64(folder: Path, entry: Json) -> dict[str, str]:
    return {"KIRO_OAUTH_CREDS_BASE64": base64.b64encode(json.dumps(entry).encode()).decode()}


def in_folder(folder: Path, entry: Json) -> dict[str, str]:
    """The registration lies beside it, as in the IDE's folder."""
    name = "b" * 40
    registration = {k: entry[k] for k in ("clientId", "clientSecret") if k in entry}
    rest = {k: v for k, v in entry.items() if k not in registration}
    write(folder / f"creds/{name}.json", registration)
    write(folder / "creds/token.json", {**rest, **({"clientIdHash": name} if registration else {})})
    return {"KIRO_OAUTH_CREDS_DIR_PATH": str(folder / "creds")}


def in_pool(folder: Path, entry: Json) -> dict[str, str]:
    write(folder / "pool/one.json", entry)
    pool = {"claude-kiro-oauth": [{"KIRO_OAUTH_CREDS_FILE_PATH": "./pool/one.json"}]}
    return {"PROVIDER_POOLS_FILE_PATH": write(folder / "pool/provider_pools.json", pool)}


def in_cli_store(folder: Path, entry: Json) -> dict[str, str]:
    token = {"refresh_token": entry["refreshToken"], "provider": entry["provider"]}
    rows = {"kirocli:social:token": token}
    if "clientId" in entry:
        client = {"client_id": entry["clientId"], "client_secret": entry["clientSecret"]}
        token["region"] = entry["region"]
        rows = {"kirocli:odic:token": token, "kirocli:odic:device-registration": client}
    connection = sqlite3.connect(folder / "data.sqlite3")
    connection.execute("CREATE TABLE auth_kv (key TEXT PRIMARY KEY, value TEXT)")
    for key, value in rows.items():
        connection.execute("INSERT INTO auth_kv VALUES (?, ?)", (key, json.dumps(value)))
    connection.commit()
    connection.close()
    return {"KIRO_CLI_DB_FILE": str(folder / "data.sqlite3")}


def of_login(folder: Path, entry: Json) -> dict[str, str]:
    write(folder / "state/sign-ins/0123abcd.json", entry)
    return {}


def of_ide(folder: Path, entry: Json) -> dict[str, str]:
    write(folder / ".aws/sso/cache/kiro-auth-token.json", entry)
    return {}


SOURCES = {
    "auth token file": token_file("KIRO_AUTH_TOKEN_FILE"),
    "creds file": token_file("KIRO_OAUTH_CREDS_FILE_PATH"),
    "base64": in_base64,
    "folder": in_folder,
    "pool": in_pool,
    "cli store": in_cli_store,
    "login": of_login,
    "ide": of_ide,
}


@pytest.mark.parametrize("label", ["social", "idc", "builder"])
@pytest.mark.parametrize("source", SOURCES)
async def test_source_serves(source: str, label: str, tmp_path: Path) -> None:
    env: Json = {"KIRO_AUTH_TOKEN": "", **SOURCES[source](tmp_path, ENTRIES[label])}
    async with house(tmp_path, **env) as home:
        answer = await home.ask("[[sim:say hello]]")
        assert (answer.status, answer.text) == (200, "hello")
        assert [entry.account for entry in home.kiro.received("chat")] == [label]


async def test_sources_mixed_with_broken_ones(tmp_path: Path) -> None:
    env: Json = {
        "KIRO_AUTH_TOKEN": '[{"auth": "Social"}]',
        "KIRO_OAUTH_CREDS_BASE64": "%",
        "PROVIDER_POOLS_FILE_PATH": "/nowhere",
        **SOURCES["creds file"](tmp_path, ENTRIES["social"]),
        **SOURCES["cli store"](tmp_path, ENTRIES["builder"]),
        **SOURCES["login"](tmp_path, ENTRIES["idc"]),
    }
    async with house(tmp_path, **env) as home:
        served = []
        for _ in range(3):
            assert (await home.ask("[[sim:say hello]]")).text == "hello"
            served.append(home.kiro.received("chat")[-1].account)
            home.kiro.faults.always("quota", account=served[-1])
        assert sorted(map(str, served)) == ["builder", "idc", "social"]
