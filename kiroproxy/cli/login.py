"""``kiroproxy login``: its line. What it does is in ``signing_in``, which takes a while to import."""

from __future__ import annotations

import argparse
from typing import Final

from kiroproxy.cli.helping import HelpFormatter
from kiroproxy.cli.settings import add_state_dir
from kiroproxy.kiro.hosts import DEFAULT_REGION

_EXAMPLES: Final = """\
examples:
  kiroproxy login                                    AWS Builder ID
  kiroproxy login --start-url https://team.awsapps.com/start --region eu-west-1
                                                     an organisation (IAM Identity Center)
  kiroproxy login --social                           how to use a Google or GitHub sign-in
  kiroproxy login --name work                        signs "work" in again if there is one

A sign-in of the Kiro IDE or of Kiro CLI needs no login: see docs/accounts.md.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    login = commands.add_parser(
        "login",
        help="sign in to Kiro and keep the sign-in in the state folder",
        description="Sign in to Kiro with a code that you confirm in a browser, on any machine.",
        epilog=_EXAMPLES,
        formatter_class=HelpFormatter,
    )
    login.add_argument("--name", default="", help="what to call it; asked for by kiroproxy logout")
    login.add_argument("--start-url", metavar="URL", help="your organisation's access portal")
    login.add_argument(
        "--region", help=f"the region of that portal (default {DEFAULT_REGION}); with --start-url"
    )
    login.add_argument(
        "--social",
        nargs="?",
        const="google",
        metavar="PROVIDER",
        help="say how to import a sign-in with Google or GitHub",
    )
    add_state_dir(login)
    login.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli.signing_in import sign_in

    return sign_in(arguments)
