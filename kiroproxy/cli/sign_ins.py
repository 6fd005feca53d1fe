"""The sign-ins that a server would use, for commands that do not serve. To be imported inside ``run``."""

from __future__ import annotations

from typing import Final

from kiroproxy.accounts import Credential, LoadResult, load_credentials
from kiroproxy.cli.terminal import note
from kiroproxy.config import Config
from kiroproxy.errors import ConfigError, CredentialError

NO_SIGN_IN: Final = (
    "no sign-in is there: use kiroproxy login, sign in to the Kiro IDE on this machine, or set "
    "KIRO_API_KEY (docs/configuration.md has more ways)"
)


def load(config: Config) -> LoadResult:
    """All sign-ins that a server with these settings would use."""
    return load_credentials(
        config.environment,
        config.home,
        config.state_dir,
        copy=config.copies_sign_ins,
        own=config.uses_own_sign_ins,
    )


def chosen(loaded: LoadResult, wanted: str) -> list[Credential]:
    """The sign-in with this id or name; without one all that are switched on, in the order of use.

    What cannot be used is told on standard error. Raises CredentialError when there is none at all,
    ConfigError for a name that fits none or several.
    """
    tell_problems(loaded)
    if wanted:
        return named(loaded.credentials, wanted)
    able = [credential for credential in loaded.credentials if not credential.disabled]
    if not able:
        switched_off = "all sign-ins are switched off in the configuration"
        raise CredentialError(switched_off if loaded.credentials else NO_SIGN_IN)
    return able


def tell_problems(loaded: LoadResult) -> None:
    for problem in loaded.problems:
        note(f"not used: {problem}")


def named(credentials: list[Credential], wanted: str) -> list[Credential]:
    """The one with this id, name or place; all of them for ''. Raises ConfigError."""
    if not wanted:
        return credentials
    found = [c for c in credentials if c.id == wanted] or [
        c for c in credentials if wanted in (c.label, str(c.place))
    ]
    if len(found) > 1:
        ids = ", ".join(c.id for c in found)
        raise ConfigError(f"ACCOUNT: several are called so; name one by its id: {ids}")
    if not found:
        there_are = ", ".join(f"{c.label} ({c.id})" for c in credentials) or "none"
        raise ConfigError(f"ACCOUNT: no account is called so; there are: {there_are}")
    return found
