"""``kiroproxy doctor``: check everything on the way, and say what to do about what is wrong."""

from __future__ import annotations

import argparse
from typing import Final

from kiroproxy.cli.options import add_command, add_json, add_settings

_EXAMPLES: Final = """\
  kiroproxy doctor              look at everything; one small answer is asked for only if you agree
  kiroproxy doctor --yes        without asking; also renews sign-ins that are not due
  kiroproxy doctor --demo       against the built-in simulator
  kiroproxy doctor --url https://proxy.example --key KEY
                                the server there, with what stands in front of it
  kiroproxy doctor --json | jq '.checks[] | select(.level == "fail")'
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "doctor",
        _run,
        "check settings, network, sign-ins and clients",
        more="Each line is ok, warn, fail or skip, with what to do. Exit code 1 if something fails.",
        examples=_EXAMPLES,
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before credits are used")
    parser.add_argument("--demo", action="store_true", help="against the built-in simulator")
    parser.add_argument("--url", help="the server to try (default: the one on HOST and PORT)")
    parser.add_argument("--key", help="its key (default: the server's own)")
    add_json(parser)
    add_settings(parser)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli.doctor.running import run

    return run(arguments)
