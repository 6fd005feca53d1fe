"""Health and sickness, shown to the doctor as a real process with a home of its own."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from kiroproxy.cli.doctor.table import CHECKS
from tests.cli.doctor.support import (
    KEY,
    Dated,
    buffering,
    doctor,
    environment,
    http_server,
    service,
    serving,
    taken_port,
)


async def test_demo_is_healthy(tmp_path: Path) -> None:
    found = await doctor(tmp_path, "--demo")
    assert (found.code, found.failed()) == (0, [])
    said = {line["check"] for line in found.checks}
    assert said == {check.name for check in CHECKS} - {"streaming"}
    assert "streamed: a server started for this" in found.one("generation", "ok")
    assert list(tmp_path.iterdir()) == []


def test_for_people_it_is_one_line_a_finding_without_colour_in_pipes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kiroproxy", "doctor", "--demo"],
        env=environment(tmp_path, {}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "ok    python         kiroproxy" in done.stdout
    assert "0 failed" in done.stdout.splitlines()[-1]


async def test_a_sign_in_that_works_and_no_credits_without_leave(tmp_path: Path) -> None:
    async with service() as (simulator, around):
        found = await doctor(tmp_path, **around)
        assert simulator.received("chat") == []
    assert (found.code, found.failed()) == (0, [])
    assert found.levels("generation") == ["skip"]
    assert "streamed: this server in front of the built-in simulator" in found.one(
        "streaming", "ok"
    )
    assert "KIRO_AUTH_TOKEN=*** (environment)" in [line["text"] for line in found.of("settings")]
    assert "credits left" in found.one("quota", "ok")


async def test_with_leave_a_renewal_and_an_answer(tmp_path: Path) -> None:
    async with service() as (simulator, around):
        found = await doctor(tmp_path, "--yes", **around)
        assert len(simulator.received("chat")) == 1
    assert (found.code, found.failed()) == (0, [])
    assert "renewed, good for" in found.one("renewal", "ok")
    assert "streamed" in found.one("generation", "ok")
    assert found.of("streaming") == []


async def test_sign_in_that_is_dead(tmp_path: Path) -> None:
    async with service() as (simulator, around):
        simulator.faults.always("bad_credentials", route="refresh")
        found = await doctor(tmp_path, **around)
    assert found.code == 1
    assert found.levels("renewal") == ["fail"]
    (line,) = found.of("renewal")
    assert "kiroproxy login" in line["remedy"]


async def test_service_that_is_broken_behind_the_door(tmp_path: Path) -> None:
    async with service() as (simulator, around):
        simulator.faults.always("internal", route="models")
        simulator.faults.always("internal", route="usage")
        found = await doctor(tmp_path, **around)
    assert found.failed() == ["models"]
    assert found.levels("quota") == ["warn"]


async def test_credits_that_are_used_up(tmp_path: Path) -> None:
    async with service() as (simulator, around):
        simulator.account("social").credits_used = 2000.0
        found = await doctor(tmp_path, **around)
    assert "0 of 2,000 credits left" in found.one("quota", "warn")


async def test_answer_that_breaks_off(tmp_path: Path) -> None:
    async with service() as (simulator, around):
        simulator.faults.always("internal")
        found = await doctor(tmp_path, "--yes", REQUEST_MAX_RETRIES="0", **around)
    assert found.failed() == ["generation"]


async def test_no_network(tmp_path: Path) -> None:
    found = await doctor(tmp_path, KIRO_API_KEY="ksk_x", KIRO_API_URL="https://kiro.invalid")
    assert "kiro.invalid has no address" in found.one("dns", "fail")
    assert found.failed() == ["dns"]
    assert [found.levels(name) for name in ("service", "quota", "models")] == [["skip"]] * 3


async def test_nobody_listens(tmp_path: Path) -> None:
    found = await doctor(tmp_path, KIRO_API_KEY="ksk_x", KIRO_API_URL="http://127.0.0.1:1")
    assert found.failed() == ["service"]
    assert found.levels("quota") == ["skip"]


async def test_service_that_is_silent(tmp_path: Path) -> None:
    with taken_port() as port:
        url = f"http://127.0.0.1:{port}"
        found = await doctor(tmp_path, KIRO_API_KEY="ksk_x", KIRO_API_URL=url)
    assert found.failed() == ["service"]
    assert "127.0.0.1" in found.one("service", "fail")


async def test_no_sign_in(tmp_path: Path) -> None:
    found = await doctor(tmp_path, KIRO_API_URL="http://127.0.0.1:1")
    assert "sign-in" in found.failed()
    assert "kiroproxy login" in found.of("sign-in")[-1]["remedy"]


async def test_certificate_that_nobody_knows(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with http_server(Dated, tls) as port:
        url = f"https://127.0.0.1:{port}"
        found = await doctor(tmp_path, KIRO_API_KEY="ksk_x", KIRO_API_URL=url)
    assert "certificate" in found.one("service", "fail")
    assert "SSL_CERT_FILE" in found.of("service")[0]["remedy"]


async def test_clock_that_is_wrong(tmp_path: Path) -> None:
    with http_server(Dated) as port:
        url = f"http://127.0.0.1:{port}"
        found = await doctor(tmp_path, KIRO_API_KEY="ksk_x", KIRO_API_URL=url)
    assert "ahead of the service's" in found.one("clock", "fail")


async def test_proxy_that_cannot_be_used(tmp_path: Path) -> None:
    found = await doctor(tmp_path, KIRO_API_KEY="ksk_x", HTTPS_PROXY="socks5://user:hidden@h:1")
    assert "socks5:// proxies are not supported" in found.one("proxy", "fail")
    assert "hidden" not in found.output


async def test_port_of_another_program(tmp_path: Path) -> None:
    with taken_port() as port:
        found = await doctor(tmp_path, KIRO_API_URL="http://127.0.0.1:1", PORT=str(port))
    text = found.one("port", "fail")
    assert f"port {port} is taken" in text
    if sys.platform == "linux":
        assert f"(process {os.getpid()})" in text


async def test_running_server_is_used_and_streams(tmp_path: Path) -> None:
    async with serving(tmp_path) as port, service() as (simulator, around):
        found = await doctor(tmp_path, "--yes", **{**around, "PORT": str(port)})
        assert simulator.received("chat") == []  # the running server has one of its own
    assert "our own server answers" in found.one("port", "ok")
    assert f"streamed: http://127.0.0.1:{port}" in found.one("generation", "ok")


async def test_reverse_proxy_that_buffers(tmp_path: Path) -> None:
    async with serving(tmp_path) as port, service() as (_, around):
        with http_server(buffering(f"http://127.0.0.1:{port}")) as front:
            url = f"http://127.0.0.1:{front}"
            found = await doctor(tmp_path, "--yes", "--url", url, "--key", KEY, **around)
    assert found.failed() == ["generation"]
    assert "not streamed" in found.one("generation", "fail")
    assert "proxy_buffering off" in found.of("generation")[0]["remedy"]


async def test_wrong_key_for_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as port, service() as (_, around):
        url = f"http://127.0.0.1:{port}"
        found = await doctor(tmp_path, "--yes", "--url", url, "--key", "not-the-key", **around)
    assert "wrong key" in found.one("generation", "fail")
    assert "not-the-key" not in found.output


async def test_settings_and_their_homes(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MODEL_ALIASES=fast=claude-haiku-4.5\n")
    found = await doctor(tmp_path, LOG_LEVEL="debug", KIRO_API_URL="http://127.0.0.1:1")
    said = [line["text"] for line in found.of("settings")]
    assert "MODEL_ALIASES=fast=claude-haiku-4.5 (.env)" in said
    assert "LOG_LEVEL=debug (environment)" in said
    assert "KIRO_CLIENT_TOKEN=*** (environment)" in said


async def test_wrong_setting_is_a_finding(tmp_path: Path) -> None:
    found = await doctor(tmp_path, PORT="many")
    assert found.failed() == ["settings"]
    assert "PORT: must be a whole number" in found.one("settings", "fail")
    assert found.levels("python") == ["ok"]


async def test_state_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    (folder / "state.db").write_bytes(b"no database at all, but long enough to be looked at" * 99)
    found = await doctor(tmp_path, "--state-dir", str(folder), KIRO_API_URL="http://127.0.0.1:1")
    assert "others may read" in found.one("state folder", "warn")
    assert "not a database" in found.one("state.db", "warn")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


CLAUDE = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:2", "ANTHROPIC_AUTH_TOKEN": KEY}
CLAUDE_TROUBLE = {
    "another address": (
        {**CLAUDE, "ANTHROPIC_BASE_URL": "https://e.example"},
        {},
        "warn",
        "and not",
    ),
    "wrong key": ({**CLAUDE, "ANTHROPIC_AUTH_TOKEN": "x"}, {}, "fail", "a key that the server"),
    "no key": ({"ANTHROPIC_BASE_URL": "http://127.0.0.1:2"}, {}, "fail", "sends no key"),
    "api key": (CLAUDE, {"ANTHROPIC_API_KEY": "sk-ant"}, "fail", "ANTHROPIC_API_KEY is set too"),
    "proxy": (CLAUDE, {"HTTP_PROXY": "http://p:3128"}, "warn", "NO_PROXY does not name 127.0.0.1"),
    "bedrock": (CLAUDE, {"CLAUDE_CODE_USE_BEDROCK": "1"}, "warn", "another service is asked"),
}


@pytest.mark.parametrize("case", CLAUDE_TROUBLE)
async def test_claude_code_in_trouble(case: str, tmp_path: Path) -> None:
    env, more, level, words = CLAUDE_TROUBLE[case]
    write(tmp_path / ".claude/settings.json", json.dumps({"env": env}))
    write(tmp_path / ".claude.json", '{"hasCompletedOnboarding": true}')
    more = {"KIRO_API_URL": "http://127.0.0.1:1", "PORT": "2", **more}
    found = await doctor(tmp_path, **more)
    assert words in found.one("Claude Code", level)
    assert "sk-ant" not in found.output


async def test_clients_that_are_set_up_and_what_is_broken(tmp_path: Path) -> None:
    around = {"KIRO_API_URL": "http://127.0.0.1:1", "PORT": "2"}
    for client in ("claude", "codex"):
        subprocess.run(
            [sys.executable, "-m", "kiroproxy", client, "--yes"],
            env=environment(tmp_path, around),
            cwd=tmp_path,
            capture_output=True,
            timeout=30,
            check=True,
        )
    found = await doctor(tmp_path, **around)
    assert found.one("Claude Code", "ok") == "Claude Code uses http://127.0.0.1:2"
    assert found.one("Codex", "ok") == "Codex uses http://127.0.0.1:2/v1"
    file = tmp_path / ".codex/config.toml"
    chosen = '\n[profiles.fast]\nmodel_provider = "openai"\n'
    write(tmp_path / ".codex/config.toml", 'profile = "fast"\n' + file.read_text() + chosen)
    found = await doctor(tmp_path, **around)
    assert "profile fast uses the provider openai" in found.one("Codex", "warn")
    write(tmp_path / ".claude/settings.json", "{")
    write(tmp_path / ".codex/config.toml", "=")
    found = await doctor(tmp_path, ENABLE_TOOL_SEARCH="false", **around)
    assert "is not JSON" in found.one("Claude Code", "fail")
    assert "is not TOML" in found.one("Codex", "fail")


async def test_tool_search_that_is_off(tmp_path: Path) -> None:
    found = await doctor(tmp_path, ENABLE_TOOL_SEARCH="false", KIRO_API_URL="http://127.0.0.1:1")
    assert "switched off" in found.one("tool search", "warn")
