"""``kiroproxy logout``: forget a sign-in that ``kiroproxy login`` has made."""

from __future__ import annotations

import argparse
from typing import Final

from kiroproxy.cli.settings import add_state_dir, load_config
from kiroproxy.errors import ConfigError

_EXAMPLES: Final = """\
examples:
  kiroproxy logout "Builder ID"
  kiroproxy logout 1a2b3c4d          by its id, as kiroproxy accounts shows it
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    logout = commands.add_parser(
        "logout",
        help="forget a sign-in made by kiroproxy login",
        description=(
            "Delete a sign-in that kiroproxy login has kept. Sign-ins of other programs and of the "
            "environment are not touched."
        ),
        epilog=_EXAMPLES,
    )
    logout.add_argument("name", metavar="NAME", help="its name, or its id of eight digits")
    add_state_dir(logout)
    logout.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.accounts import sign_ins
    from kiroproxy.accounts.found import reason

    config = load_config(arguments)
    try:
        removed = sign_ins.remove(config.state_dir, arguments.name)
        left = sign_ins.own_sign_ins(config.state_dir)
    except OSError as error:
        raise ConfigError(
            f"KIROPROXY_STATE_DIR: the sign-in cannot be deleted ({reason(error)})"
        ) from None
    if removed is None:
        there_are = ", ".join(f"{s.name} ({s.id})" if s.name else s.id for s in left) or "none"
        raise ConfigError(
            f"NAME: no sign-in of kiroproxy login is called so; there are: {there_are}"
        )
    print(f"Signed out: {removed.name or removed.id}; its tokens are deleted from this machine.")
    print("A server that is running stops using it within seconds.")
    return 0
