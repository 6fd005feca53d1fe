"""What can be asked of the service, for commands that do not serve. Slow to import: inside ``run``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from kiroproxy import logs
from kiroproxy.accounts import (
    AccountManager,
    AccountSettings,
    Credential,
    LoadResult,
    TokenStore,
)
from kiroproxy.accounts.renewal import Renewer
from kiroproxy.accounts.tasks import Tasks
from kiroproxy.cli.terminal import progress
from kiroproxy.clock import Clock, SystemClock
from kiroproxy.config import Config, Log
from kiroproxy.errors import CredentialError, KiroProxyError, UpstreamError
from kiroproxy.kiro.endpoints import Overrides
from kiroproxy.kiro.identity import Identity
from kiroproxy.kiro.models import ModelInfo
from kiroproxy.kiro.usage import UsageLimits
from kiroproxy.upstream import ProxyTable, UpstreamClient, load_tls_context
from kiroproxy.upstream.calls import CONTROL_TIMEOUTS, CallTimeouts, KiroCalls

_T = TypeVar("_T")
_STOP_GRACE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Session:
    """What can be asked of the service. Nothing runs in the background but what was asked for."""

    _calls: KiroCalls
    _manager: AccountManager
    _renewer: Renewer
    _tasks: Tasks
    _clock: Clock

    async def renew(self, credential: Credential) -> Credential:
        """The sign-in with new tokens, stored as the server stores them, under the same lock.

        Once the service was asked, the end is waited for even when the command is interrupted: the
        new token exists nowhere else. Raises CredentialError or UpstreamError.
        """
        work = self._try_to_renew(credential)
        result = await asyncio.shield(self._tasks.spawn(work, "renewal", finish=True))
        if isinstance(result, Credential):
            return result
        raise result

    async def _try_to_renew(self, credential: Credential) -> Credential | KiroProxyError:
        """Somebody may have stopped waiting for it: the error is a result too."""
        try:
            return await self._renewer.renew(credential)
        except (CredentialError, UpstreamError) as error:
            return error

    async def fresh(self, credential: Credential, least_s: float) -> Credential:
        """The sign-in with an access token that lives for ``least_s`` more; renewed if it does not.
        Same errors as ``renew``."""
        tokens = credential.tokens
        left_s = tokens.expires_at_epoch_s - self._clock.wall()
        if tokens.access is not None and left_s >= least_s:
            return credential
        return await self.renew(credential)

    async def identity(self, credential: Credential) -> Identity:
        """Who calls are made as. Raises CredentialError or UpstreamError."""
        return await self._manager.identity(credential.id)

    async def models(self, credential: Credential) -> list[ModelInfo]:
        """The account's own list. Raises CredentialError or UpstreamError."""
        return await self._calls.list_models(await self.identity(credential))

    async def usage(self, credential: Credential) -> UsageLimits:
        """The account's quota. Raises CredentialError or UpstreamError."""
        return await self._calls.usage_limits(await self.identity(credential))


@asynccontextmanager
async def session(config: Config, loaded: LoadResult) -> AsyncIterator[Session]:
    """Connections are closed, and renewals done, when it ends."""
    clock, upstream = SystemClock(), config.upstream
    urls = (upstream.api_url, upstream.social_auth_url, upstream.oidc_url)
    is_plain = all(url is not None and url.startswith("http://") for url in urls)
    client = UpstreamClient(
        tls=None if is_plain else await load_tls_context(config.environment),
        proxies=ProxyTable.from_env(config.environment),
        clock=clock,
        shows_paths=True,
    )
    calls = KiroCalls(client, Overrides(*urls), CallTimeouts(chat=CONTROL_TIMEOUTS))
    store = TokenStore(config.state_dir, clock)
    settings = AccountSettings(renew_in_background=False)
    manager = AccountManager(loaded.credentials, store, calls, clock, settings)
    tasks = Tasks()
    try:
        yield Session(calls, manager, Renewer(calls, store, clock), tasks, clock)
    finally:
        await tasks.stop(_STOP_GRACE_S)
        await manager.stop()
        await client.aclose()


def ask(
    config: Config, loaded: LoadResult, what: str, work: Callable[[Session], Awaitable[_T]]
) -> _T:
    """What ``work`` makes of a session; ``what`` is said on a terminal when it takes a while."""

    async def run() -> _T:
        async with session(config, loaded) as opened:
            return await work(opened)

    _set_up_log(config)
    with progress(what):
        return asyncio.run(run())


def _set_up_log(config: Config) -> None:
    """The log's warnings say what the commands say themselves; its errors are nobody else's."""
    level = config.log.level if config.log.level == "debug" else "error"
    logs.setup(Log(level, config.log.format))
