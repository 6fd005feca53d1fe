"""Sign in with a code that is confirmed in any browser, and keep the sign-in."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from typing import Final

from kiroproxy.accounts import sign_ins
from kiroproxy.accounts.found import reason
from kiroproxy.accounts.login import SignedIn, sign_in_to_portal
from kiroproxy.cli.settings import load_config
from kiroproxy.clock import SystemClock
from kiroproxy.config import Config
from kiroproxy.errors import ConfigError, CredentialError
from kiroproxy.kiro.hosts import DEFAULT_REGION, Overrides, valid_region
from kiroproxy.kiro.sign_in import DeviceCode, Portal, check_start_url
from kiroproxy.upstream import ProxyTable, UpstreamClient, load_tls_context
from kiroproxy.upstream.sign_in import SignInCalls

_SOCIAL: Final = """\
there is no sign-in with Google or GitHub here: that service knows only
Kiro's own programs, and kiroproxy does not pose as one of them. Import such a sign-in instead:
  1. Sign in with the Kiro IDE or Kiro CLI, on this machine or another.
  2. On this machine: start kiroproxy. While no other sign-in is set up, it finds the IDE's
     ~/.aws/sso/cache/kiro-auth-token.json and the CLI's store by itself.
     From another machine: copy that file here and name it in KIRO_OAUTH_CREDS_FILE_PATH
     (a copy of the CLI's data.sqlite3: in KIRO_CLI_DB_FILE).
More: docs/accounts.md."""
_MAX_NAME_CHARS: Final = 80


def sign_in(arguments: argparse.Namespace) -> int:
    """The command; its exit code. Raises ConfigError, CredentialError or UpstreamError."""
    if arguments.social is not None:
        raise CredentialError(_SOCIAL)
    target = _target(arguments)
    name = _name(arguments.name)
    config = load_config(arguments)
    try:
        sign_ins.make_folder(config.state_dir)
        signed_in = asyncio.run(_sign_in(config, target))
        name = name or sign_ins.free_name(config.state_dir, signed_in.title)
        kept = sign_ins.save(config.state_dir, signed_in.id, name, signed_in.fields)
    except OSError as error:
        raise ConfigError(
            f"KIROPROXY_STATE_DIR: the sign-in cannot be kept ({reason(error)})"
        ) from None
    print(f"Signed in: {name} ({kept.id}), kept in {kept.path}")
    print("A server that is running uses it within seconds.")
    print(f"To forget it: kiroproxy logout {name if ' ' not in name else kept.id}")
    return 0


def _target(arguments: argparse.Namespace) -> Portal:
    """What to sign in to. Raises ConfigError naming the flag."""
    if not arguments.start_url:
        if arguments.region:
            raise ConfigError("--region: needs --start-url (Builder ID has one region)")
        return Portal()
    try:
        start_url = check_start_url(arguments.start_url)
    except ValueError as error:
        raise ConfigError(f"--start-url: {error}") from None
    region = arguments.region or DEFAULT_REGION
    if not valid_region(region):
        raise ConfigError("--region: must be a region name such as us-east-1")
    return Portal(start_url, region)


def _name(text: str) -> str:
    name = text.strip()
    if not name.isprintable() or len(name) > _MAX_NAME_CHARS:
        raise ConfigError(f"--name: must be at most {_MAX_NAME_CHARS} printable characters")
    return name


async def _sign_in(config: Config, target: Portal) -> SignedIn:
    """Raises CredentialError or UpstreamError."""
    clock, progress = SystemClock(), TerminalProgress()
    client = UpstreamClient(
        tls=await load_tls_context(config.environment),
        proxies=ProxyTable.from_env(config.environment),
        clock=clock,
    )
    calls = SignInCalls(client, Overrides(oidc=config.upstream.oidc_url))
    try:
        return await sign_in_to_portal(calls, clock, target, progress)
    finally:
        progress.end()
        await client.aclose()


class TerminalProgress:
    """On a terminal one line counts down; elsewhere each thing is said once."""

    def __init__(self) -> None:
        self._counts_down = sys.stdout.isatty()
        self._last = ""

    def announce(self, code: DeviceCode) -> None:
        minutes = math.ceil(code.expires_in_s / 60)
        print("Open this page in a browser and confirm the code:")
        print(f"  {code.url}")
        print(f"  code: {code.user_code} (valid for {minutes} min)")
        if not self._counts_down:
            print("Waiting for you to confirm …", flush=True)

    def waiting(self, left_s: float) -> None:
        if self._counts_down:
            minutes, seconds = divmod(math.ceil(left_s), 60)
            print(
                f"\rWaiting for you to confirm … {minutes}:{seconds:02} left ", end="", flush=True
            )

    def trouble(self, message: str) -> None:
        if message != self._last:
            self.end()
            print(f"still trying: {message}", file=sys.stderr, flush=True)
        self._last = message

    def end(self) -> None:
        """Leave the counting line."""
        if self._counts_down:
            print(flush=True)
