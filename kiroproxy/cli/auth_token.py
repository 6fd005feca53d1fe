"""``kiroproxy authToken``: the service's access token, alone on standard output."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from kiroproxy.cli.options import add_account, add_command, add_settings
from kiroproxy.cli.settings import load_config
from kiroproxy.cli.terminal import note, say
from kiroproxy.errors import CredentialError, KiroProxyError, UpstreamError

if TYPE_CHECKING:
    from kiroproxy.accounts import Credential
    from kiroproxy.cli.service import Session

_EXAMPLES: Final = """\
  kiroproxy authToken            of the first sign-in that works
  kiroproxy authToken work       of one, by its id or name
  curl -H "Authorization: Bearer $(kiroproxy authToken)" …
"""
LEAST_S: Final = 300.0
"""A token with less life than this is renewed first."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "authToken",
        _run,
        "print the current access token of a sign-in",
        more=(
            "It opens your Kiro account to whoever reads it. One that expires within five minutes is "
            "renewed\nfirst and stored. Exit code 1 when there is none to be had."
        ),
        examples=_EXAMPLES,
    )
    add_account(parser, "only this one, by its id or name")
    add_settings(parser)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli import service, sign_ins

    config = load_config(arguments)
    loaded = sign_ins.load(config)
    found = sign_ins.chosen(loaded, arguments.account)

    async def work(session: Session) -> Credential:
        return await _first(session, found)

    credential = service.ask(config, loaded, "renewing", work)
    if credential.tokens.access is None:
        raise CredentialError(f"{credential.label}: has no access token")
    say(credential.tokens.access.reveal())
    return 0


async def _first(session: Session, found: list[Credential]) -> Credential:
    """The first sign-in that has a token or gets one. Raises the last one's error."""
    failure: KiroProxyError | None = None
    for credential in found:
        if failure is not None:
            note(f"kiroproxy: {failure.message}; the next sign-in is tried")
        try:
            return await session.fresh(credential, LEAST_S)
        except (CredentialError, UpstreamError) as error:
            failure = type(error)(f"{credential.label}: {error.message}")
    raise failure or CredentialError("there is no sign-in")
