"""``kiroproxy claude`` and ``kiroproxy codex``: afterwards the real programs need no more words."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.clients.codex import CODEX, CodexRun
from tests.clients.conftest import need
from tests.clients.harness import (
    CLAUDE,
    KEY,
    Proxy,
    bare_environment,
    order,
    outputs,
    read_json_lines,
)


async def run(home: Path, *command: str, **environment: str) -> str:
    """What it prints; it must succeed."""
    work = home / "work"
    work.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=work,
        env=bare_environment(home, DISABLE_AUTOUPDATER="1", **environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await outputs(process, command[0])
    assert process.returncode == 0, (out, err)
    return out


async def set_up(home: Path, *words: str) -> str:
    said = await run(home, sys.executable, "-m", "kiroproxy", *words, "--yes")
    assert KEY not in said
    return said


@pytest.mark.parametrize("settings", [None, b'{\n    "cleanupPeriodDays": 20\n}\n'])
async def test_claude_code(settings: bytes | None, proxy: Proxy, tmp_path: Path) -> None:
    need(CLAUDE)
    home = tmp_path / "home"
    path = home / ".claude" / "settings.json"
    if settings is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(settings)
    await set_up(home, "claude", "--url", proxy.url, "--key", KEY)
    said = await run(
        home, str(CLAUDE), "-p", "--model", "claude-sonnet-4-5", order("say", "It works.")
    )
    assert said.strip() == "It works."
    assert len(proxy.answers()) == 1
    assert json.loads((home / ".claude.json").read_bytes())["hasCompletedOnboarding"] is True
    await set_up(home, "claude", "--undo")
    assert (path.read_bytes() if path.exists() else None) == settings
    # Claude Code has written its own things there since; they stay, and ours is gone.
    state = json.loads((home / ".claude.json").read_bytes())
    assert "hasCompletedOnboarding" not in state
    assert "userID" in state or "firstStartTime" in state


CONFIG = b"""\
# mine
check_for_update_on_startup = false
web_search = "disabled"

[analytics]
enabled = false
"""


async def test_codex(proxy: Proxy, tmp_path: Path) -> None:
    need(CODEX)
    home = tmp_path / "home"
    path = home / ".codex" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONFIG)
    await set_up(home, "codex", "--url", proxy.url, "--key", KEY)
    said = await run(
        home, str(CODEX), "exec", "--json", "--skip-git-repo-check",
        "--dangerously-bypass-approvals-and-sandbox", order("say", "It works."),
    )  # fmt: skip
    lines = [line for line in said.splitlines() if line.startswith("{")]
    assert CodexRun(read_json_lines(lines), "", 0).text == "It works."
    assert len(proxy.answers()) == 1
    await set_up(home, "codex", "--undo")
    assert path.read_bytes() == CONFIG
