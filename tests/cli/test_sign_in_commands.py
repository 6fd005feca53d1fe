"""``read``, ``refresh`` and ``authToken``: real processes, real files, the simulator as the service."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kiroproxy.simulator import Simulator
from tests.test_cli import run
from tests.test_cli_login import simulator


def entries(*labels: str) -> str:
    return json.dumps(Simulator().demo_credentials(*labels))


def secrets_of(text: str) -> list[str]:
    """The long secrets in KIRO_AUTH_TOKEN's JSON."""
    names = ("refreshToken", "clientSecret", "kiroApiKey")
    return [entry[name] for entry in json.loads(text) for name in names if name in entry]


def test_read_tells_every_fact_and_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "social.json"
    expires = int(time.time()) + 1800
    path.write_text(
        json.dumps(
            {
                **Simulator().demo_credentials("social")[0],
                "accessToken": "access-token-of-a-file",
                "expiresAt": expires,
                "profileArn": "arn:aws:codewhisperer:eu-central-1:123456789012:profile/ABCDEFGHJKLM",
                "description": "my\x1b[31mfile",
            }
        )
    )
    given = entries("idc", "api_key")
    env = {"KIRO_OAUTH_CREDS_FILE_PATH": str(path), "KIRO_AUTH_TOKEN": given}
    done = run(tmp_path, "read", **env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    for words in (
        f"file            {path}",
        "go back into the file",
        "kind            idc (IAM Identity Center)",
        "eu-central-1",
        "profile         arn:aws:codewhisperer:eu-central-1:123456789012:profile/ABCDEFGHJKLM",
        "(in 29 min)",
        "access token    set, 22 characters",
        "none: a key is not renewed",
        "expires         never",
    ):
        assert words in done.stdout
    hidden = [*secrets_of(given), "access-token-of-a-file"]
    told = run(tmp_path, "read", "--json", **env)
    for secret in hidden:
        assert secret not in done.stdout and secret not in told.stdout
    by_kind = {one["kind"]: one for one in json.loads(told.stdout)["sign_ins"]}
    assert by_kind["social"]["file"] == str(path) and by_kind["social"]["file_writable"] is True
    assert by_kind["social"]["expires_epoch_s"] == expires
    assert 0 < by_kind["social"]["expires_in_s"] <= 1800
    assert by_kind["social"]["service_region"] == "eu-central-1"
    assert by_kind["social"]["secrets"]["access_token"] == {"characters": 22}
    assert by_kind["api_key"]["renewed_tokens_file"] is None
    shown = run(tmp_path, "read", "--show", **env).stdout
    assert all(secret in shown for secret in hidden)


def test_read_says_where_tokens_of_a_copied_file_go(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(entries("social"))
    env = {"KIRO_OAUTH_CREDS_FILE_PATH": str(path), "KIROPROXY_IMPORT": "copy"}
    (one,) = json.loads(run(tmp_path, "read", "--json", **env).stdout)["sign_ins"]
    record = tmp_path / f".local/state/kiroproxy/credentials/{one['id']}.json"
    assert one["renewed_tokens_file"] == str(record)
    assert f"go to {record} (copied)" in run(tmp_path, "read", **env).stdout


def test_read_of_one_by_id_or_name(tmp_path: Path) -> None:
    env = {"KIRO_AUTH_TOKEN": entries("social", "idc")}
    first, second = json.loads(run(tmp_path, "read", "--json", **env).stdout)["sign_ins"]
    for word in (second["id"], "KIRO_AUTH_TOKEN[1]"):
        (one,) = json.loads(run(tmp_path, "read", word, "--json", **env).stdout)["sign_ins"]
        assert one["id"] == second["id"] != first["id"]
    wrong = run(tmp_path, "read", "nobody", **env)
    assert wrong.returncode == 2 and first["id"] in wrong.stderr


@pytest.mark.parametrize("command", ["read", "refresh", "authToken", "accounts"])
def test_no_sign_in_is_exit_code_1(command: str, tmp_path: Path) -> None:
    done = run(tmp_path, command, KIRO_AUTH_TOKEN='[{"auth":"Social"}]')
    assert (done.returncode, done.stdout) == (1, "")
    assert "not used: KIRO_AUTH_TOKEN[0]: refreshToken: is missing" in done.stderr
    assert "kiroproxy login" in done.stderr


def test_refresh_writes_the_file_back_and_tells_the_expiry(tmp_path: Path) -> None:
    path = tmp_path / "social.json"
    before = {**Simulator().demo_credentials("social")[0], "kept": ["as", "it", "was"]}
    path.write_text(json.dumps(before))
    with simulator() as env:
        env["KIRO_OAUTH_CREDS_FILE_PATH"] = str(path)
        done = run(tmp_path, "refresh", **env)
        after = json.loads(path.read_text())
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"renewed, expires \d{4}-\d\d-\d\d .* \(in 59 min\)", done.stdout)
        assert after["kept"] == before["kept"]
        assert after["refreshToken"] != before["refreshToken"]
        assert path.stat().st_mode & 0o777 == 0o600
        assert after["accessToken"] not in done.stdout
        (again,) = json.loads(run(tmp_path, "refresh", "--json", **env).stdout)
        assert again["renewed"] is True and again["error"] is None
        assert again["expires_epoch_s"] > time.time() + 3000
        assert json.loads(path.read_text())["accessToken"] != after["accessToken"]


def test_refresh_waits_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "social.json"
    path.write_text(json.dumps(Simulator().demo_credentials("social")[0]))
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with simulator() as env:
        process = subprocess.Popen(
            [sys.executable, "-m", "kiroproxy", "refresh"],
            env={
                "PATH": os.defpath,
                "HOME": str(tmp_path),
                "PYTHONPATH": os.getcwd(),
                "KIRO_OAUTH_CREDS_FILE_PATH": str(path),
                **env,
            },
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for as long as it is held
            process.communicate(timeout=2)
        os.close(lock)
        said, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and "renewed" in said


def test_refresh_of_a_dead_sign_in_fails_and_the_others_are_renewed(tmp_path: Path) -> None:
    dead = {"auth": "Social", "refreshToken": "r" * 150, "description": "dead one"}
    given = [dead, *json.loads(entries("social", "api_key"))]
    with simulator() as env:
        done = run(tmp_path, "refresh", KIRO_AUTH_TOKEN=json.dumps(given), **env)
    assert done.returncode == 1
    assert done.stderr.startswith("kiroproxy: dead one (") and done.stderr.count("\n") == 1
    assert "KIRO_AUTH_TOKEN[1]" in done.stdout and "nothing to renew" in done.stdout
    assert "r" * 20 not in done.stdout + done.stderr


def test_auth_token_is_alone_and_renewed_only_when_due(tmp_path: Path) -> None:
    with simulator() as env:
        env["KIRO_AUTH_TOKEN"] = entries("social")
        first, second = (run(tmp_path, "authToken", **env) for _ in range(2))
        assert (first.returncode, first.stderr) == (0, "")
        assert re.fullmatch(r"aoa\S+\n", first.stdout) and second.stdout == first.stdout
    with simulator(token_ttl_s=120) as env:  # too little life left to be handed out
        env["KIRO_AUTH_TOKEN"] = entries("idc")
        first, second = (run(tmp_path, "authToken", **env) for _ in range(2))
        assert first.stdout != second.stdout and second.returncode == 0


def test_auth_token_of_the_first_that_works(tmp_path: Path) -> None:
    dead = {"auth": "Social", "refreshToken": "r" * 150}
    with simulator() as env:
        env["KIRO_AUTH_TOKEN"] = json.dumps([dead, *json.loads(entries("social"))])
        done = run(tmp_path, "authToken", **env)
        assert done.returncode == 0 and done.stdout.startswith("aoa")
        assert "the next sign-in is tried" in done.stderr
        alone = run(tmp_path, "authToken", "KIRO_AUTH_TOKEN[0]", **env)
        assert (alone.returncode, alone.stdout) == (1, "")
        assert alone.stderr.count("\n") == 1
