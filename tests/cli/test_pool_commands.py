"""``accounts``, ``usage`` and ``models``: what a server has left behind, and what the service says."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import urllib.request
from pathlib import Path

import pytest

from kiroproxy.simulator import Account, Simulator
from kiroproxy.simulator.settings import demo_accounts
from tests.test_cli import run, serving
from tests.test_cli_login import simulator


def entries(*labels: str) -> str:
    return json.dumps(Simulator().demo_credentials(*labels))


def spent_accounts() -> list[Account]:
    accounts = demo_accounts()
    accounts[0].credits_used = accounts[0].credits_limit
    return accounts


def ask(url: str, key: str, times: int = 1) -> None:
    for _ in range(times):
        request = urllib.request.Request(
            f"{url}/v1/messages",
            b'{"model":"claude-sonnet-4-5","max_tokens":99,"messages":[{"role":"user",'
            b'"content":"[[sim:say Yes.]]"}]}',
            {"x-api-key": key, "user-agent": "tester/1"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert b"Yes." in answer.read()


def test_states_and_quotas_beside_a_running_server_and_after_it(tmp_path: Path) -> None:
    switched_off = {**Simulator().demo_credentials("builder")[0], "disabled": True}
    given = [*Simulator().demo_credentials("social", "idc"), switched_off]
    with simulator(accounts=spent_accounts()) as env:
        env["KIRO_AUTH_TOKEN"] = json.dumps(given)
        fresh = run(tmp_path, "accounts", **env)
        assert fresh.returncode == 0 and "quotas are not known yet" in fresh.stderr
        assert not (tmp_path / ".local/state/kiroproxy/state.db").exists()  # only a server makes it
        with serving(tmp_path, "server", "0", **env) as (url, key, _):
            ask(url, key)
            beside = run(tmp_path, "accounts", "--json", **env)
        after = run(tmp_path, "accounts", "--json", **env)
        table = run(tmp_path, "accounts", **env)
    for done in (beside, after):
        assert (done.returncode, done.stderr) == (0, "")
        first, second, third = json.loads(done.stdout)["accounts"]
        assert (first["state"], second["state"], third["state"]) == (
            "exhausted",
            "ready",
            "disabled",
        )
        assert first["until_epoch_s"] > time.time() and first["reason"]
        assert second["last_used_epoch_s"] > time.time() - 60
        assert first["used"] == first["limit"] == 2000
        assert second["limit"] == 2000 and second["stale"] is False
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["ID", "NAME", "KIND", "STATE", "UNTIL", "USED", "LIMIT", "RESET"]
    assert "exhausted  in " in lines[1] and "2,000  2,000" in lines[1]
    assert lines[4].startswith(f"{first['id']}: ")  # why


def test_usage_sums_and_the_live_quota(tmp_path: Path) -> None:
    with simulator() as env:
        env["KIRO_AUTH_TOKEN"] = entries("social")
        empty = run(tmp_path, "usage", **env)
        assert (empty.returncode, empty.stdout) == (0, "")
        assert empty.stderr == "no requests in this time\n"
        with serving(tmp_path, "server", "0", **env) as (url, key, _):
            ask(url, key, times=3)
        old = sqlite3.connect(tmp_path / ".local/state/kiroproxy/state.db")
        with old:  # one of them was yesterday
            old.execute("UPDATE requests SET time_epoch_s = time_epoch_s - 86400 WHERE seq = 1")
        old.close()
        two_days = json.loads(run(tmp_path, "usage", "--days", "2", "--json", **env).stdout)
        today = json.loads(run(tmp_path, "usage", "--days", "1", "--json", **env).stdout)
        shown = run(tmp_path, "usage", "--live", **env)
        live = json.loads(run(tmp_path, "usage", "--live", "--json", **env).stdout)
    assert two_days["total"]["requests"] == 3 and today["total"]["requests"] == 2
    assert [day["requests"] for day in two_days["day"]] == [1, 2]
    assert two_days["model"][0]["name"] == "claude-sonnet-4-5"
    assert two_days["client"][0]["requests"] == two_days["account"][0]["requests"] == 3
    assert two_days["total"]["input_tokens"] > 0 and two_days["total"]["credits"] > 0
    assert "quotas" not in two_days
    assert shown.returncode == 0
    for words in ("DAY", "MODEL", "ACCOUNT", "CLIENT", "total", "KIRO PRO+", "tester/1"):
        assert words in shown.stdout
    (quota,) = live["quotas"]
    assert quota["limit"] == 2000 and quota["error"] is None
    assert "social@example.com" not in json.dumps(live)


def test_live_quota_that_cannot_be_had_is_exit_code_1(tmp_path: Path) -> None:
    dead = {"auth": "Social", "refreshToken": "r" * 150}
    with simulator() as env:
        env["KIRO_AUTH_TOKEN"] = json.dumps([dead, *json.loads(entries("social"))])
        done = run(tmp_path, "usage", "--live", **env)
    assert done.returncode == 1
    assert "KIRO_AUTH_TOKEN[0]" in done.stderr and "KIRO PRO+" in done.stdout


@pytest.mark.parametrize("days", ["0", "-1", "x", "3651", "1.5"])
def test_wrong_days(days: str, tmp_path: Path) -> None:
    done = run(tmp_path, "usage", f"--days={days}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "kiroproxy: --days: must be a whole number from 1 to 3650\n"


def test_state_file_of_a_newer_version_is_told_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / ".local/state/kiroproxy"
    folder.mkdir(parents=True)
    made = sqlite3.connect(folder / "state.db")
    made.execute("PRAGMA user_version=999")
    made.close()
    done = run(tmp_path, "accounts", KIRO_AUTH_TOKEN=entries("social"))
    assert done.returncode == 0 and "newer version" in done.stderr and "ready" in done.stdout
    used = run(tmp_path, "usage")
    assert used.returncode == 1 and used.stderr.count("\n") == 1
    (folder / "state.db").write_bytes(b"no database at all " * 400)
    broken = run(tmp_path, "accounts", KIRO_AUTH_TOKEN=entries("social"))
    assert broken.returncode == 0 and "cannot be read" in broken.stderr
    assert sorted(os.listdir(folder)) == ["credentials", "state.db"]  # the server's to mend


def test_models_are_the_account_s_own_and_say_so(tmp_path: Path) -> None:
    accounts = demo_accounts()
    accounts[0].models = frozenset({"claude-haiku-4.5"})
    with simulator(accounts=accounts) as env:
        env["KIRO_AUTH_TOKEN"] = entries("social", "api_key")
        done = run(tmp_path, "models", **env)
        assert done.returncode == 0 and "for KIRO_AUTH_TOKEN[0]" in done.stderr
        header, *rows = done.stdout.splitlines()
        assert header.split() == ["MODEL", "WINDOW", "OUTPUT", "RATE", "IMAGES", "CACHE"]
        assert [row.split()[:2] for row in rows] == [["claude-haiku-4.5", "200,000"]]
        other = json.loads(run(tmp_path, "models", "KIRO_AUTH_TOKEN[1]", "--json", **env).stdout)
    assert other["source"] == "account" and len(other["models"]) > 5
    assert other["models"][0]["max_input_tokens"] > 0


def test_models_fall_back_to_the_built_in_table_and_say_so(tmp_path: Path) -> None:
    env = dict.fromkeys(("KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL"), "http://127.0.0.1:9")
    done = run(tmp_path, "models", KIRO_AUTH_TOKEN=entries("api_key"), **env)
    assert done.returncode == 0 and "built-in table" in done.stderr
    assert "127.0.0.1:9" in done.stderr and "claude-sonnet-4.5" in done.stdout
    listed = json.loads(run(tmp_path, "models", "--json").stdout)
    assert listed["source"] == "built-in table" and listed["account"] is None
