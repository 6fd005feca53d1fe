"""Commands that are not typed as they stand: what is done in their place, and why.

The first rule whose pattern matches the whole command counts. A command without a rule is run.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import yaml

from kiroproxy.cli import COMMANDS
from tests.docs.pages import ROOT


@dataclass(frozen=True)
class Serve:
    """Started, waited for until it serves; stopped when the page ends or starts another one."""


@dataclass(frozen=True)
class Instead:
    """Another spelling is run: ``{}`` is the command. ``code``: how it ends."""

    command: str
    why: str
    codes: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Looked:
    """Something else is looked at; ``check`` gets the command and asserts."""

    check: Callable[[str], None]
    why: str


Rule = Serve | Instead | Looked


def _make(command: str) -> None:
    """make itself says what the target would do."""
    target = command.split("#")[0].split()
    said = subprocess.run(
        ["make", "-n", *target[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "kiroproxy" in said.stdout or "pytest" in said.stdout


def _extra(command: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for names in re.findall(r"\[([\w,]+)\]", command):
        assert set(names.split(",")) <= set(project["optional-dependencies"])
    assert "kiroproxy" in command or " ." in command or " git+" in command


def _compose(command: str) -> None:
    named = re.findall(r"-f (\S+)", command) or ["docker-compose.yml"]
    for name in named:
        assert yaml.safe_load((ROOT / name).read_text("utf-8"))["services"]


def _file(command: str) -> None:
    """Files of this repository that a command names are there."""
    named = re.findall(r"\b((?:deploy|docs)/[\w./-]+)", command)
    assert all((ROOT / name).is_file() for name in named)


def _unit(command: str) -> None:
    assert (ROOT / "deploy" / "kiroproxy.service").is_file()


def _subcommand(command: str) -> None:
    """What the program is called with exists; a test elsewhere runs it in that shell."""
    match = re.search(r"kiroproxy (\w+)", command)
    assert match is not None and match[1] in COMMANDS


def _client(command: str) -> None:
    """The program is one of those that tests of real clients use."""
    tests = {"claude": "test_claude_code.py", "codex": "test_codex.py"}
    assert (ROOT / "tests" / "clients" / tests[command.split()[0]]).is_file()


NOT_SH: Final = "another shell's; run in it by tests/cli"
UNTIL_READY: Final = "until [ -s sim.env ]; do sleep 0.1; done"

RULES: Final[list[tuple[str, Rule]]] = [
    (
        r"(?:.*[;&] *)?(?:[A-Z_]+=\S+ )*(?:python -m )?"
        r"kiroproxy(?: server\b[^|&>]*| --config [^|&>]*)?",
        Serve(),
    ),
    (
        r"kiroproxy login --social",
        Instead("{}", "it says what to do, and that it did not", (1,)),
    ),
    (
        r"kiroproxy (?:claude|codex)(?: --(?!dry-run|yes)\S+(?: \S+)?)*",
        Instead("{} --yes", "there is no terminal to ask on"),
    ),
    (
        r"kiroproxy doctor(?: --demo)?",
        Instead("{}", "it may find something on this machine", (0, 1)),
    ),
    (
        r"kiroproxy simulate --scenario \w+ > sim\.env & sleep 1",
        Instead(f"kiroproxy simulate 8090 > sim.env & {UNTIL_READY}", "free port, no clock"),
    ),
    (
        r"kiroproxy completion fish > .*",
        Instead("mkdir -p ~/.config/fish/completions; {}", "fish itself makes the folder"),
    ),
    (r"kiroproxy export \| (?:source|Out-String.*)", Looked(_subcommand, NOT_SH)),
    (r"kiroproxy export --shell cmd .*", Looked(_subcommand, NOT_SH)),
    (r'eval "\$\(kiroproxy completion zsh\)"', Looked(_subcommand, NOT_SH)),
    (r"make .*", Looked(_make, "make says what it would do; no tests within a test")),
    (r"(?:\S+/)?pip install .*", Looked(_extra, "asks the registry; see tests/test_image.py")),
    (r"docker (?:compose|build|buildx) .*", Looked(_compose, "needs an engine; see tests/deploy")),
    (r"kubectl .*", Looked(_file, "needs a cluster; see tests/deploy")),
    (r"(?:sudo )?(?:systemctl|journalctl) .*", Looked(_unit, "needs systemd; see tests/deploy")),
    (r"(?:claude|codex)(?: [^|]*)?", Looked(_client, "the real programs are run by make clients")),
]


def rule_for(command: str) -> Rule | None:
    """None: run it."""
    for pattern, rule in RULES:
        if re.fullmatch(pattern, command):
            return rule
    return None
