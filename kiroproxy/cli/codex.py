"""``kiroproxy codex``: make Codex use the proxy, and undo it.

The key goes into the file as ``experimental_bearer_token``. ``env_key`` would need a variable in every
shell, and ``auth.command`` a program that is there whenever Codex starts; the file is made 0600.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kiroproxy.cli.options import add_command, add_settings
from kiroproxy.cli.settings import load_config
from kiroproxy.cli.setup import target
from kiroproxy.cli.setup.target import Target, find_target
from kiroproxy.cli.setup.values import ABSENT, Keys, Wish, value_at
from kiroproxy.cli.terminal import note
from kiroproxy.errors import ConfigError
from kiroproxy.regular import read_regular

_EXAMPLES: Final = """\
  kiroproxy codex               show what would change, ask, and write it
  kiroproxy codex --yes         the same without asking
  kiroproxy codex --model claude-opus-4.5
  kiroproxy codex --undo        put everything back as it was
"""
CONFIG_FILE: Final = "config.toml"
PROVIDER: Final = "kiro"
DEFAULT_MODEL: Final = "claude-sonnet-4.5"
CONTEXT_WINDOW: Final = 200_000
COMPACT_AT: Final = 160_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "codex",
        _run,
        "make Codex use the proxy (--undo restores)",
        more="The proxy goes as a model provider into Codex's config.toml. The change is shown first; "
        "the file from before is kept.",
        examples=_EXAMPLES,
    )
    target.add_flags(parser)
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"default: {DEFAULT_MODEL}")
    add_settings(parser)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli.setup import flow
    from kiroproxy.cli.setup.kept import Kept

    config = load_config(arguments)
    kept = Kept(config.state_dir, "codex")
    if arguments.undo:
        done = flow.Setup(arguments, kept).undo()
        return 0 if done or arguments.dry_run else 1
    if not arguments.model.isprintable() or not arguments.model.strip():
        raise ConfigError("--model: must be the name of a model")
    found = find_target(arguments, config, make_key=not arguments.dry_run)
    setup = flow.Setup(arguments, kept, [found.key.reveal()])
    path = config_file(os.environ, Path.home())
    done = setup.apply([wish(found, arguments.model, path)])
    for line in [*target.notes(found), *_notes(path)]:
        note(f"note: {line}")
    return 0 if done or arguments.dry_run else 1


def _notes(path: Path) -> list[str]:
    """What stands in the way of what was written."""
    from kiroproxy.cli.setup.document import Document
    from kiroproxy.cli.setup.kept import MOST_BYTES

    try:
        found = overriding_profile(Document(path.suffix, read_regular(path, MOST_BYTES)).parse())
    except (OSError, ValueError):
        return []
    if found is None:
        return []
    return [f"{path}: profile {found[0]} uses {found[1]}; take out profile, or its model_provider"]


def config_file(environment: Mapping[str, str], home: Path) -> Path:
    """CODEX_HOME moves it."""
    given = environment.get("CODEX_HOME")
    return (Path(given).absolute() if given else home / ".codex") / CONFIG_FILE


def overriding_profile(config: Mapping[str, Any]) -> tuple[str, str] | None:
    """The profile that is chosen by the file and names a provider of its own, and that provider: it
    counts before the top's ``model_provider``."""
    name = config.get("profile")
    provider = value_at(config, ("profiles", str(name), "model_provider"))
    if not isinstance(name, str) or not isinstance(provider, str) or provider == PROVIDER:
        return None
    return name, provider


def wish(found: Target, model: str, path: Path) -> Wish:
    """A provider of our own; the built-in ones are left alone."""
    provider: dict[str, Any] = {
        "name": "Kiro",
        "base_url": f"{found.url}/v1",
        "wire_api": "responses",
        "experimental_bearer_token": found.key.reveal(),
        "env_key": ABSENT,  # would be asked for before the token above
        "env_key_instructions": ABSENT,
        "auth": ABSENT,
        "requires_openai_auth": ABSENT,
    }
    top: dict[str, Any] = {
        "model": model,
        "model_provider": PROVIDER,
        "model_context_window": CONTEXT_WINDOW,
        "model_auto_compact_token_limit": COMPACT_AT,
    }
    changes: dict[Keys, Any] = {(name,): value for name, value in top.items()}
    changes |= {("model_providers", PROVIDER, name): value for name, value in provider.items()}
    return Wish(path, changes)
