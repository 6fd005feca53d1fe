"""``kiroproxy simulate``: the simulator alone, for whoever tests against it."""

from __future__ import annotations

import argparse
import errno
import json
import signal
import sys
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from kiroproxy.cli import environment
from kiroproxy.cli.options import add_command
from kiroproxy.cli.terminal import BOLD, facts, note, paint, say
from kiroproxy.errors import ConfigError
from kiroproxy.values import parse_whole

if TYPE_CHECKING:
    from kiroproxy.simulator import Simulator

_EXAMPLES: Final = """\
  kiroproxy simulate                          on http://127.0.0.1:8090, nothing goes wrong
  kiroproxy simulate 9000 --scenario flaky    break the first answers
  kiroproxy simulate --scenario "rate retry_after=2 times=3"
                                              one fault, as in a prompt's [[sim:fault …]]
  kiroproxy simulate --scenario mine.toml     a situation of your own: docs/commands.md
  kiroproxy simulate > sim.env & sleep 1; . ./sim.env; kiroproxy server
"""
DEFAULT_PORT: Final = "8090"
_ACCOUNTS: Final = ("social", "idc", "builder", "api_key", "all")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "simulate",
        _run,
        "run the simulator of the service alone",
        more=(
            "It prints the lines that lead a proxy to it, with a sign-in and a state folder of their "
            "own,\nand runs until Ctrl-C or SIGTERM."
        ),
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "port",
        nargs="?",
        default=DEFAULT_PORT,
        metavar="PORT",
        help=f"on 127.0.0.1; 0 picks a free one (default {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--scenario",
        default="calm",
        metavar="NAME|FILE",
        help="a scenario or a fault by name, or a TOML or JSON file (default calm)",
    )
    parser.add_argument(
        "--account",
        action="append",
        choices=_ACCOUNTS,
        help="whose sign-in is printed; may be repeated (default social)",
    )
    parser.add_argument("--shell", choices=environment.SHELLS, help="whose words, as for export")
    parser.add_argument("--list", action="store_true", help="show scenarios and faults, and end")


def _run(arguments: argparse.Namespace) -> int:
    import asyncio

    from kiroproxy.simulator.scenarios import scenario

    if arguments.list:
        _list()
        return 0
    try:
        port = parse_whole(0, 65535)(arguments.port)
    except ValueError as error:
        raise ConfigError(f"PORT: {error}") from None
    chosen = scenario(arguments.scenario)
    simulator = chosen.simulator()
    shell = arguments.shell or environment.detect_shell()
    labels = [] if "all" in (arguments.account or ()) else arguments.account or ["social"]
    with tempfile.TemporaryDirectory(prefix="kiroproxy-simulate-") as folder:
        credentials = json.dumps(simulator.demo_credentials(*labels), separators=(",", ":"))
        variables = {"KIRO_AUTH_TOKEN": credentials, "KIROPROXY_STATE_DIR": folder}
        said = f"simulator: {arguments.scenario} ({chosen.meaning or 'a scenario of your own'})"
        asyncio.run(_serve(simulator, port, shell, variables, said))
    return 0


async def _serve(
    simulator: Simulator, port: int, shell: str, variables: dict[str, str], said: str
) -> None:
    import asyncio

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        url = await simulator.start(port=port)
    except OSError as error:
        why = "another program may hold it" if error.errno == errno.EADDRINUSE else "see PORT"
        raise ConfigError(
            f"PORT: cannot listen on 127.0.0.1:{port} ({error.strerror or error}); {why}"
        ) from None
    try:
        names = ("KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL", "KIRO_OIDC_URL")
        for name, value in {**dict.fromkeys(names, url), **variables}.items():
            say(environment.set_line(shell, name, value))
        sys.stdout.flush()
        note(f"{said} on {url}; Ctrl-C ends it")
        await stop.wait()
    finally:
        await simulator.stop()


def _list() -> None:
    from kiroproxy.simulator import fault_bytes, fault_events
    from kiroproxy.simulator.faults import REFUSALS, REPLIES, SERVER_FAULTS
    from kiroproxy.simulator.scenarios import SCENARIOS

    say(paint("scenarios", BOLD))
    for line in facts([(name, table["meaning"]) for name, table in SCENARIOS.items()]):
        say(line)
    groups: dict[str, Iterable[str]] = {
        "faults: the service refuses": REFUSALS,
        "faults: another reply takes its place": REPLIES,
        "faults: the answer's events change": fault_events.CHANGES,
        "faults: bytes, timing and connections": fault_bytes.CHANGES,
        "faults: before the reply, or in a renewal": SERVER_FAULTS,
    }
    for title, names in groups.items():
        say()
        say(paint(title, BOLD))
        for name in sorted(names):
            say(f"  {name}")
