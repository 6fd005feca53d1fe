"""A Kiro IDE's sign-in on disk is all the configuration there is; what is renewed goes back to it."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

import orjson
import pytest

from kiroproxy.simulator import Simulator
from tests.e2e.support import house


def _write(folder: Path, name: str, value: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(orjson.dumps(value))
    return path


def _sign_in(home: Path, label: str) -> Path:
    """The IDE's own files as the IDE writes them, with a field we know nothing about."""
    entry = Simulator().demo_credentials(label)[0]
    folder = home / ".aws" / "sso" / "cache"
    token = {
        "accessToken": "aoaExpiredLongAgo",
        "refreshToken": entry["refreshToken"],
        "expiresAt": "2026-01-01T00:00:00.000Z",
        "authMethod": entry["authMethod"],
        "provider": entry["provider"],
        "somethingOfTheIde": {"kept": True},
    }
    if label != "social":
        digest = hashlib.sha1(b'{"startUrl":"https://view.awsapps.com/start"}').hexdigest()
        token |= {"clientIdHash": digest, "region": "us-east-1"}
        registration = {"clientId": entry["clientId"], "clientSecret": entry["clientSecret"]}
        _write(folder, f"{digest}.json", {**registration, "expiresAt": "2027-01-01T00:00:00Z"})
    return _write(folder, "kiro-auth-token.json", token)


@pytest.mark.parametrize("label", ["social", "idc", "builder"])
async def test_ide_sign_in_serves_and_is_renewed_in_place(label: str, tmp_path: Path) -> None:
    path = _sign_in(tmp_path, label)
    before = orjson.loads(path.read_bytes())
    async with house(tmp_path, KIRO_AUTH_TOKEN="") as home:
        answer = await home.ask("[[sim:say It just works.]]", stream=True)
        assert answer.text == "It just works."
    after = orjson.loads(path.read_bytes())
    assert after["refreshToken"] != before["refreshToken"]
    assert after["accessToken"] != before["accessToken"]
    assert after["expiresAt"] > "2026-01-02"
    assert after["somethingOfTheIde"] == {"kept": True}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_api_key_serves(tmp_path: Path) -> None:
    key = Simulator().account("api_key").api_key
    async with house(tmp_path, KIRO_AUTH_TOKEN="", KIRO_API_KEY=key) as home:
        assert (await home.ask("[[sim:say By key.]]")).text == "By key."
        for entry in home.kiro.received("chat"):
            assert entry.headers["tokentype"] == "API_KEY"
            assert "profileArn" not in entry.json
