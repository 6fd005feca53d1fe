"""``kiroproxy refresh``: renew sign-ins now, as the server would."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiroproxy.cli.options import add_account, add_command, add_json, add_settings
from kiroproxy.cli.settings import load_config
from kiroproxy.cli.terminal import moment_and_distance, note, say, say_json
from kiroproxy.errors import CredentialError, UpstreamError

if TYPE_CHECKING:
    from kiroproxy.accounts import Credential
    from kiroproxy.cli.service import Session

_EXAMPLES: Final = """\
  kiroproxy refresh              all sign-ins that are switched on
  kiroproxy refresh work         one, by its id or name
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "refresh",
        _run,
        "renew the sign-ins now",
        more=(
            "New tokens are stored where the server stores them, under the same lock, so it may be "
            "running.\nExit code 1 when one of them could not be renewed."
        ),
        examples=_EXAMPLES,
    )
    add_account(parser, "only this one, by its id or name")
    add_json(parser)
    add_settings(parser)


@dataclass(frozen=True, slots=True)
class _Result:
    """``after`` None: ``error`` says why, or there is nothing to renew."""

    before: Credential
    after: Credential | None = None
    error: str = ""


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli import service, sign_ins

    config = load_config(arguments)
    loaded = sign_ins.load(config)
    found = sign_ins.chosen(loaded, arguments.account)

    async def work(session: Session) -> list[_Result]:
        return [await _renew(session, credential) for credential in found]

    results = service.ask(config, loaded, "renewing", work)
    if arguments.json:
        say_json([_as_json(result) for result in results])
    for result in results:
        if result.error:
            note(f"kiroproxy: {_title(result.before)}: {result.error}")
        elif not arguments.json:
            say(f"{_title(result.before)}: {_words(result)}")
    return 1 if any(result.error for result in results) else 0


async def _renew(session: Session, credential: Credential) -> _Result:
    if credential.kind.value == "api_key":
        return _Result(credential)
    try:
        return _Result(credential, await session.renew(credential))
    except (CredentialError, UpstreamError) as error:
        return _Result(credential, error=error.message)


def _title(credential: Credential) -> str:
    return f"{credential.label} ({credential.id})"


def _words(result: _Result) -> str:
    if result.after is None:
        return "a key, which does not expire; nothing to renew"
    expiry = moment_and_distance(result.after.tokens.expires_at_epoch_s, time.time())
    return f"renewed, expires {expiry}"


def _as_json(result: _Result) -> dict[str, object]:
    after = result.after
    return {
        "id": result.before.id,
        "name": result.before.label,
        "renewed": after is not None,
        "expires_epoch_s": after.tokens.expires_at_epoch_s if after else None,
        "error": result.error or None,
    }
