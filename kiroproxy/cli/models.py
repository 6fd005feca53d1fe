"""``kiroproxy models``: what an account may ask for, as the service lists it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from kiroproxy.cli.options import add_account, add_command, add_json, add_settings
from kiroproxy.cli.settings import load_config
from kiroproxy.cli.terminal import note, number, say, say_json, table
from kiroproxy.errors import CredentialError, KiroProxyError

if TYPE_CHECKING:
    from kiroproxy.accounts import Credential
    from kiroproxy.cli.service import Session
    from kiroproxy.kiro.models import ModelInfo

_EXAMPLES: Final = """\
  kiroproxy models               of the first account that answers
  kiroproxy models work          of one account, by its id or name
  kiroproxy models --json | jq -r '.models[].id'
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "models",
        _run,
        "list the models of an account",
        more=(
            "With their windows, output limits and rates, as the service tells them. When it does "
            "not,\nthe built-in table is shown instead, and said to be that."
        ),
        examples=_EXAMPLES,
    )
    add_account(parser, "only this one's, by its id or name")
    add_json(parser)
    add_settings(parser)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli import service, sign_ins
    from kiroproxy.kiro.models import FALLBACK

    config = load_config(arguments)
    loaded = sign_ins.load(config)
    errors: list[str] = []
    listed: tuple[Credential, list[ModelInfo]] | None = None
    try:
        found = sign_ins.chosen(loaded, arguments.account)
    except CredentialError as error:
        errors.append(error.message)
    else:

        async def work(session: Session) -> tuple[Credential, list[ModelInfo]] | None:
            return await _first(session, found, errors)

        listed = service.ask(config, loaded, "asking for the models", work)
    for text in errors:
        note(f"kiroproxy: {text}")
    credential, models = listed or (None, FALLBACK)
    if arguments.json:
        say_json(
            {
                "source": "account" if credential else "built-in table",
                "account": {"id": credential.id, "label": credential.label} if credential else None,
                "models": [_as_json(model) for model in models],
            }
        )
        return 0
    if credential is None:
        note("note: this is the built-in table; what the account really has may differ")
    else:
        note(f"as the service lists them for {credential.label} ({credential.id})")
    _show(models)
    return 0


async def _first(
    session: Session, found: Sequence[Credential], errors: list[str]
) -> tuple[Credential, list[ModelInfo]] | None:
    """The first account's list that comes; what went wrong before goes to ``errors``."""
    for credential in found:
        try:
            if models := await session.models(credential):
                return credential, models
            errors.append(f"{credential.label}: the service lists no models")
        except KiroProxyError as error:
            errors.append(f"{credential.label}: {error.message}")
    return None


def _as_json(model: ModelInfo) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "max_input_tokens": model.max_input_tokens,
        "max_output_tokens": model.max_output_tokens,
        "rate": model.rate,
        "images": model.images,
        "prompt_caching": model.cache,
        "description": model.description,
    }


def _show(models: Sequence[ModelInfo]) -> None:
    rows = [
        (
            model.id,
            number(model.max_input_tokens),
            number(model.max_output_tokens),
            number(model.rate),
            "yes" if model.images else "no",
            "yes" if model.cache else "no",
        )
        for model in models
    ]
    headers = ("MODEL", "WINDOW", "OUTPUT", "RATE", "IMAGES", "CACHE")
    for line in table(headers, rows, right=frozenset({1, 2, 3})):
        say(line)
