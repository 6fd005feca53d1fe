"""``kiroproxy claude`` and ``kiroproxy codex`` as a user runs them, with a home of their own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

KEY = "key-of-this-test-0123456789"


def run(home: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kiroproxy", *arguments],
        env=environment(home) | more,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": os.getcwd(), "PORT": "1"}


def claude(home: Path, *arguments: str, **more: str) -> str:
    """What it says; it must succeed. The key is never in it."""
    done = run(home, "claude", "--key", KEY, *arguments, **more)
    assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout + done.stderr
    return done.stdout


def codex(home: Path, *arguments: str, **more: str) -> str:
    done = run(home, "codex", "--key", KEY, *arguments, **more)
    assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout + done.stderr
    return done.stdout


def settings(home: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((home / ".claude/settings.json").read_text())
    return value


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def tree(home: Path) -> dict[str, bytes]:
    """All files but our own."""
    files = (path for path in home.rglob("*") if path.is_file() and ".local" not in path.parts)
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def test_claude_from_nothing_and_back(tmp_path: Path) -> None:
    assert '"ANTHROPIC_AUTH_TOKEN": "***"' in claude(tmp_path, "--yes")
    assert settings(tmp_path)["env"] == {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "ANTHROPIC_AUTH_TOKEN": KEY,
        "CLAUDE_CODE_AUTO_COMPACT_WINDOW": "180000",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    assert json.loads((tmp_path / ".claude.json").read_text()) == {"hasCompletedOnboarding": True}
    kept = tmp_path / ".local/state/kiroproxy/client-setup/claude.json"
    written = [tmp_path / ".claude/settings.json", tmp_path / ".claude.json", kept]
    assert [mode(path) for path in written] == [0o600] * 3
    assert "Nothing to do" in claude(tmp_path, "--yes")
    claude(tmp_path, "--undo", "--yes")
    assert tree(tmp_path) == {}
    assert not kept.exists()
    assert "Nothing to undo" in claude(tmp_path, "--undo", "--yes")


ORIGINAL = (
    b'\xef\xbb\xbf{\r\n\t"model": "opus",\r\n'
    b'\t"env": {"FOO": "1",  "ANTHROPIC_API_KEY": "sk-secret"}\r\n}'
)


def test_claude_undo_restores_bytes_and_permissions(tmp_path: Path) -> None:
    path = tmp_path / ".claude/settings.json"
    path.parent.mkdir()
    path.write_bytes(ORIGINAL)
    path.chmod(0o640)
    (tmp_path / ".claude.json").write_text('{"numStartups":7}')
    before = tree(tmp_path)
    assert "sk-secret" not in claude(tmp_path, "--yes")
    assert path.read_bytes().startswith(b'\xef\xbb\xbf{\r\n\t"model": "opus",\r\n')
    assert b"ANTHROPIC_API_KEY" not in path.read_bytes()
    assert mode(path) == 0o600
    claude(tmp_path, "--yes", "--url", "https://proxy.example/v1/")  # the original stays the first
    assert b'"https://proxy.example"' in path.read_bytes()
    claude(tmp_path, "--undo", "--yes")
    assert tree(tmp_path) == before
    assert mode(path) == 0o640


def test_claude_undo_keeps_what_was_changed_since(tmp_path: Path) -> None:
    path = tmp_path / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text('{"env": {"ANTHROPIC_BASE_URL": "http://old", "ANTHROPIC_API_KEY": "k"}}')
    claude(tmp_path, "--yes")
    now = settings(tmp_path)
    now["theme"] = "light"
    now["env"]["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] = "99"
    path.write_text(json.dumps(now))
    (tmp_path / ".claude.json").write_text('{"hasCompletedOnboarding": true, "numStartups": 1}')
    done = run(tmp_path, "claude", "--undo", "--yes")
    assert done.returncode == 0
    assert "was changed since" in done.stderr
    assert "env.CLAUDE_CODE_AUTO_COMPACT_WINDOW has another value by now and stays" in done.stderr
    assert settings(tmp_path) == {
        "env": {
            "ANTHROPIC_BASE_URL": "http://old",
            "CLAUDE_CODE_AUTO_COMPACT_WINDOW": "99",
            "ANTHROPIC_API_KEY": "k",
        },
        "theme": "light",
    }
    assert json.loads((tmp_path / ".claude.json").read_text()) == {"numStartups": 1}


def test_claude_changes_between_two_runs_survive_the_undo(tmp_path: Path) -> None:
    claude(tmp_path, "--yes")
    path = tmp_path / ".claude/settings.json"
    path.write_text(json.dumps({**settings(tmp_path), "theme": "light"}))
    claude(tmp_path, "--yes", "--url", "http://127.0.0.1:2")
    claude(tmp_path, "--undo", "--yes")
    assert settings(tmp_path) == {"theme": "light"}


def test_claude_undo_brings_a_file_back_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text('{"theme": "light"}')
    claude(tmp_path, "--yes")
    path.unlink()
    claude(tmp_path, "--undo", "--yes")
    assert settings(tmp_path) == {"theme": "light"}


def test_a_folder_in_the_files_place_is_named(tmp_path: Path) -> None:
    (tmp_path / ".claude/settings.json").mkdir(parents=True)
    done = run(tmp_path, "claude", "--yes")
    assert done.returncode == 2
    assert "settings.json: cannot be read (Is a directory)" in done.stderr


def test_claude_config_dir_and_a_link(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    target = tmp_path / "dotfiles/settings.json"
    target.write_text("{}\n")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "settings.json").symlink_to(target)
    claude(tmp_path, "--yes", CLAUDE_CONFIG_DIR=str(folder))
    assert (folder / "settings.json").is_symlink()
    assert KEY in target.read_text()
    assert (folder / ".claude.json").exists()
    assert not (tmp_path / ".claude").exists()
    claude(tmp_path, "--undo", "--yes")
    assert (folder / "settings.json").is_symlink()
    assert target.read_text() == "{}\n"


def test_claude_without_a_flag_uses_the_servers_own_key(tmp_path: Path) -> None:
    assert run(tmp_path, "claude", "--yes").returncode == 0
    key = (tmp_path / ".local/state/kiroproxy/client-key").read_text().strip()
    assert settings(tmp_path)["env"]["ANTHROPIC_AUTH_TOKEN"] == key


def test_dry_run_writes_nothing_at_all(tmp_path: Path) -> None:
    done = run(tmp_path, "claude", "--dry-run")
    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])
    assert "+++" in done.stdout
    assert "Nothing was written" in done.stdout


REFUSED = {
    "nobody to ask": ((), {}, "--yes: must be given"),
    "no json": (
        ("--yes",),
        {".claude/settings.json": "{oops"},
        "settings.json: is not JSON (line 1",
    ),
    "no object": (("--yes",), {".claude.json": "[]"}, ".claude.json: must be a JSON object"),
    "env": (("--yes",), {".claude/settings.json": '{"env": 1}'}, "env must hold named values"),
    "url": (("--yes", "--url", "ftp://x"), {}, "--url: must be an address"),
    "port": (("--yes",), {".env": "PORT=0\n"}, "--url: must be given when PORT is 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_change_nothing(case: str, tmp_path: Path) -> None:
    arguments, files, words = REFUSED[case]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = tree(tmp_path)
    more = {"PORT": ""} if case == "port" else {}
    done = run(tmp_path, "claude", *arguments, **more)
    assert done.returncode == 2
    assert words in done.stderr
    assert tree(tmp_path) == before


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"\n", 1)])
def test_on_a_terminal_it_asks(answer: bytes, code: int, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "kiroproxy", "claude", "--key", KEY],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        os.write(ours, answer)
        said, _ = process.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code, said
    assert b"Write this? [y/N]" in said
    assert (tmp_path / ".claude.json").exists() == (code == 0)


CODEX = """\
# my settings
model = "gpt-5.5" # the best
approval_policy = "never"

[model_providers.kiro] # from before
name = "Old"
env_key = "SOMETHING"

[projects."/home/me/x"]
trust_level = "trusted"
"""


def test_codex_and_back(tmp_path: Path) -> None:
    path = tmp_path / ".codex/config.toml"
    path.parent.mkdir()
    path.write_text(CODEX)
    path.chmod(0o644)
    codex(tmp_path, "--yes")
    text = path.read_text()
    assert '# my settings\nmodel = "claude-sonnet-4.5" # the best\n' in text
    assert tomllib.loads(text) == {
        "model": "claude-sonnet-4.5",
        "model_provider": "kiro",
        "model_context_window": 200_000,
        "model_auto_compact_token_limit": 160_000,
        "approval_policy": "never",
        "model_providers": {
            "kiro": {
                "name": "Kiro",
                "base_url": "http://127.0.0.1:1/v1",
                "wire_api": "responses",
                "experimental_bearer_token": KEY,
            }
        },
        "projects": {"/home/me/x": {"trust_level": "trusted"}},
    }
    assert mode(path) == 0o600
    assert "Nothing to do" in codex(tmp_path, "--yes")
    codex(tmp_path, "--undo", "--yes")
    assert (path.read_text(), mode(path)) == (CODEX, 0o644)


def test_codex_undo_keeps_what_codex_wrote_since(tmp_path: Path) -> None:
    folder = tmp_path / "codex-home"
    codex(tmp_path, "--yes", CODEX_HOME=str(folder))
    path = folder / "config.toml"
    path.write_text(path.read_text() + '\n[projects."/x"]\ntrust_level = "trusted"\n')
    codex(tmp_path, "--undo", "--yes")
    assert tomllib.loads(path.read_text()) == {"projects": {"/x": {"trust_level": "trusted"}}}


def test_codex_refuses_what_is_no_toml(tmp_path: Path) -> None:
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex/config.toml").write_text("model = \n")
    done = run(tmp_path, "codex", "--yes")
    assert done.returncode == 2
    assert "config.toml: is not TOML" in done.stderr


def test_codex_profile_of_another_provider_is_told(tmp_path: Path) -> None:
    path = tmp_path / ".codex/config.toml"
    path.parent.mkdir()
    path.write_text('profile = "fast"\n\n[profiles.fast]\nmodel_provider = "openai"\n')
    done = run(tmp_path, "codex", "--key", KEY, "--yes")
    assert done.returncode == 0
    assert "profile fast uses openai" in done.stderr
    path.write_text(path.read_text().replace('model_provider = "openai"', ""))
    done = run(tmp_path, "codex", "--key", KEY, "--yes")
    assert "profile fast" not in done.stderr


@pytest.mark.parametrize("more", [(), ("--undo",)])
def test_two_at_once(tmp_path: Path, more: tuple[str, ...]) -> None:
    """The first one waits for an answer to its question."""
    before = tree(tmp_path)
    if more:
        claude(tmp_path, "--yes")
        before = tree(tmp_path)
    ours, theirs = pty.openpty()
    first = subprocess.Popen(
        [sys.executable, "-m", "kiroproxy", "claude", "--key", KEY, *more],
        env=environment(tmp_path), cwd=tmp_path, text=True,
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert first.stdout is not None
        said = ""
        while "Write this?" not in said:
            said += first.stdout.read(1)
        done = run(tmp_path, "claude", "--key", KEY, "--yes", *more)
        assert done.returncode == 2
        assert "another kiroproxy claude is at work" in done.stderr
        assert tree(tmp_path) == before
        assert run(tmp_path, "claude", "--key", KEY, "--dry-run").returncode == 0
        os.write(ours, b"y\n")
        assert first.wait(30) == 0
        assert tree(tmp_path) != before
    finally:
        first.kill()
        first.communicate()
        os.close(ours)
        os.close(theirs)


def test_a_long_history_in_the_state_file_comes_back(tmp_path: Path) -> None:
    """Claude Code keeps much more than settings in ~/.claude.json."""
    state = tmp_path / ".claude.json"
    before = json.dumps({"projects": {f"/p/{n}": {"history": ["x" * 900]} for n in range(5000)}})
    assert len(before) > 4_500_000
    state.write_text(before)
    claude(tmp_path, "--yes")
    assert json.loads(state.read_text())["hasCompletedOnboarding"] is True
    claude(tmp_path, "--undo", "--yes")
    assert state.read_text() == before


@pytest.mark.parametrize("name", [".claude/settings.json", ".codex/config.toml"])
@pytest.mark.parametrize("kind", ["pipe", "large"])
def test_what_is_no_settings_file_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        with path.open("wb") as file:
            file.truncate(17_000_000)
    done = run(tmp_path, "codex" if "codex" in name else "claude", "--key", KEY, "--yes")
    assert done.returncode == 2
    assert ("is not a regular file" if kind == "pipe" else "is bigger than") in done.stderr


def test_a_password_in_the_address_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "claude", "--key", KEY, "--yes", "--url", "http://:secret@h")
    assert done.returncode == 2
    assert "secret" not in done.stderr
