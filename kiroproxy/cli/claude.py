"""``kiroproxy claude``: make Claude Code use the proxy, and undo it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kiroproxy.cli.environment import claude_code
from kiroproxy.cli.options import add_command, add_settings
from kiroproxy.cli.settings import load_config
from kiroproxy.cli.setup import target
from kiroproxy.cli.setup.target import Target, find_target
from kiroproxy.cli.setup.values import ABSENT, Keys, Wish
from kiroproxy.cli.terminal import note

_EXAMPLES: Final = """\
  kiroproxy claude              show what would change, ask, and write it
  kiroproxy claude --yes        the same without asking
  kiroproxy claude --undo       put everything back as it was
  kiroproxy claude --url https://proxy.example --key KEY
                                use a server elsewhere
"""
SETTINGS_FILE, STATE_FILE, OLD_STATE_FILE = "settings.json", ".claude.json", ".config.json"
# These in the shell win over, or stand beside, what the settings file says.
_IN_THE_WAY: Final = ("ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "claude",
        _run,
        "make Claude Code use the proxy (--undo restores)",
        more="The proxy's address and key go into Claude Code's settings, and its first-run questions "
        "count as answered. The change is shown first; the files from before are kept.",
        examples=_EXAMPLES,
    )
    target.add_flags(parser)
    add_settings(parser)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli.setup import flow
    from kiroproxy.cli.setup.kept import Kept

    config = load_config(arguments)
    kept = Kept(config.state_dir, "claude")
    if arguments.undo:
        done = flow.Setup(arguments, kept).undo()
        return 0 if done or arguments.dry_run else 1
    found = find_target(arguments, config, make_key=not arguments.dry_run)
    setup = flow.Setup(arguments, kept, [found.key.reveal()])
    done = setup.apply(wishes(found, Files.of(os.environ, Path.home())))
    for line in [*target.notes(found), *_notes(os.environ)]:
        note(f"note: {line}")
    return 0 if done or arguments.dry_run else 1


class Files:
    """Where Claude Code keeps what: ``settings`` is the user's, ``state`` its own memory."""

    def __init__(self, settings: Path, state: Path) -> None:
        self.settings, self.state = settings, state

    @classmethod
    def of(cls, environment: Mapping[str, str], home: Path) -> Files:
        """CLAUDE_CONFIG_DIR moves both; an old state file that is in use stays in use."""
        given = environment.get("CLAUDE_CONFIG_DIR")
        folder = Path(given).absolute() if given else home / ".claude"
        state = (folder if given else home) / STATE_FILE
        old = folder / OLD_STATE_FILE
        if old.is_file() and old.stat().st_size > 0:
            state = old
        return cls(folder / SETTINGS_FILE, state)


def wishes(found: Target, files: Files) -> list[Wish]:
    """The same that the server prints at its start, where Claude Code reads it every time."""
    environment: dict[str, Any] = dict(claude_code(found.url, found.key.reveal()))
    environment["ANTHROPIC_API_KEY"] = ABSENT  # goes as x-api-key, which counts before the token
    changes: dict[Keys, Any] = {("env", name): value for name, value in environment.items()}
    return [
        Wish(files.settings, changes),
        Wish(files.state, {("hasCompletedOnboarding",): True}),
    ]


def _notes(environment: Mapping[str, str]) -> list[str]:
    return [
        f"{name} is set in this shell and gets in the way; unset it before you start claude"
        for name in _IN_THE_WAY
        if environment.get(name)
    ]
