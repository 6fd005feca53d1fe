"""``completion``: the scripts in real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kiroproxy.cli import COMMANDS, parser
from kiroproxy.cli.completion import bash, commands_of
from tests.test_cli import run

# The line so far, by words → what is offered.
CASES = {
    "command": (["ex"], ["export"]),
    "server's flag without its name": (["--dem"], ["--demo"]),
    "flag": (["export", "--she"], ["--shell"]),
    "choice": (["export", "--shell", "f"], ["fish"]),
    "argument": (["completion", "z"], ["zsh"]),
    "file": (["decode", "an-ans"], ["an-answer.bin"]),
    "file of a flag": (["read", "--state-dir", "an-ans"], ["an-answer.bin"]),
    "plain value": (["export", "--port", ""], []),
    "later flag": (["read", "--json", "--sho"], ["--show"]),
}


def shell(home: Path, *command: str) -> list[str]:
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not here")
    done = subprocess.run(
        [program, *command[1:]],
        env={"PATH": os.defpath, "HOME": str(home), "TERM": "dumb"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [line.partition("\t")[0] for line in done.stdout.splitlines() if line]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "an-answer.bin").touch()
    return tmp_path


def written(home: Path, name: str) -> str:
    done = run(home, "completion", name)
    assert (done.returncode, done.stderr) == (0, "")
    (home / "script").write_text(done.stdout)
    return str(home / "script")


@pytest.mark.parametrize("case", CASES)
def test_bash(case: str, home: Path) -> None:
    words, offered = CASES[case]
    line = " ".join(f"'{word}'" for word in ["kiroproxy", *words])
    script = (
        f"source {written(home, 'bash')}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; "
        "_kiroproxy; printf '%s\\n' \"${COMPREPLY[@]}\"; complete -p kiroproxy >/dev/null"
    )
    assert shell(home, "bash", "--norc", "-c", script) == offered


def test_bash_with_an_equals_sign(home: Path) -> None:
    script = (
        f"source {written(home, 'bash')}; COMP_WORDS=(kiroproxy export --shell = f); "
        'COMP_CWORD=4; _kiroproxy; echo "${COMPREPLY[@]}"'
    )
    assert shell(home, "bash", "--norc", "-c", script) == ["fish"]


@pytest.mark.parametrize("case", CASES)
def test_fish(case: str, home: Path) -> None:
    words, offered = CASES[case]
    line = " ".join(["kiroproxy", *words])
    script = f"source {written(home, 'fish')}; complete -C '{line}'"
    assert shell(home, "fish", "--no-config", "-c", script) == offered


def test_zsh_loads_it(home: Path) -> None:
    script = (
        "autoload -U compinit; compinit -D -u; "
        f"source {written(home, 'zsh')}; print $_comps[kiroproxy]"
    )
    assert shell(home, "zsh", "-f", "-c", script) == ["_kiroproxy"]


@pytest.mark.parametrize("case", CASES)
def test_zsh(case: str, home: Path) -> None:
    """On a terminal of its own, since zsh completes nowhere else: a tab, and the line that it makes."""
    words, offered = CASES[case]
    program = shutil.which("zsh")
    if program is None:
        pytest.skip("zsh is not here")
    script = written(home, "zsh")
    line = " ".join(["kiroproxy", *words, *([] if words[-1] else [""])]).replace("  ", " ")
    terminal = f"""
zmodload zsh/zpty
zpty z {program} -f -i
answer() {{ local got; zpty -r z got "*$1*" || exit 1; }}
zpty -w z "PS1= PROMPT_EOL_MARK=; autoload -U compinit; compinit -D -u; source {script}"
zpty -w z 'show() {{ print -r -- "<<$BUFFER>>"; BUFFER=; }}; zle -N show; bindkey "^G" show'
zpty -w z 'print rea""dy'; answer ready
zpty -n -w z '{line}'$'\t'$'\a'
zpty -r z got '*<<*>>*'
print -r -- "${{${{got##*<<}}%%>>*}}"
zpty -d z
"""
    (made,) = shell(home, "zsh", "-f", "-c", terminal)
    assert [word.rstrip("=") for word in made.split()[len(words) :]] == offered


def test_nothing_of_the_parser_is_missing() -> None:
    commands = commands_of(parser())
    assert [command.name for command in commands] == ["", *COMMANDS]
    script = "\n".join(bash(commands))
    for command in commands:
        for option in command.options:
            assert all(name in script for name in option.names)


def test_unknown_shell_is_exit_code_2(home: Path) -> None:
    assert run(home, "completion", "tcsh").returncode == 2
