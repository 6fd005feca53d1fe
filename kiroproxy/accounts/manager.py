"""All accounts together: who serves a request, and keeping everybody's token fresh meanwhile."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kiroproxy.accounts.account import Account, AccountSettings, Workshop
from kiroproxy.accounts.entries import Credential
from kiroproxy.accounts.renewal import Renewer, Service
from kiroproxy.accounts.selection import AccountView, choose, explain_none
from kiroproxy.accounts.state import ABLE, Now, State
from kiroproxy.accounts.store import TokenStore
from kiroproxy.accounts.tasks import Tasks
from kiroproxy.clock import Clock
from kiroproxy.errors import CredentialError, InternalError, KiroProxyError, UpstreamError
from kiroproxy.kiro.identity import Identity
from kiroproxy.kiro.models import FALLBACK, ModelInfo, resolve

_log = logging.getLogger("kiroproxy.accounts")

MAX_SESSIONS: Final = 4096  # conversations whose account is remembered; the oldest are forgotten
_TICK_MIN_S: Final = 1.0
_LIST_WAIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to make one request as an account. ``models``: its catalogue at this moment."""

    account_id: str
    label: str
    identity: Identity
    models: Sequence[ModelInfo]
    session: str
    exclude: frozenset[str]
    was_renewed: bool = False

    def model(self, name: str) -> ModelInfo:
        """The catalogue's entry for a requested name; names nobody knows pass through."""
        return resolve(name, self.models)


class AccountManager:
    """``start`` and ``stop`` once each, on the loop that uses it."""

    def __init__(
        self,
        credentials: Sequence[Credential],
        store: TokenStore,
        service: Service,
        clock: Clock,
        settings: AccountSettings | None = None,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._settings = settings or AccountSettings()
        self._tasks = Tasks()
        shop = Workshop(Renewer(service, store, clock), clock, self._tasks, self._settings, rand)
        self._accounts = {credential.id: Account(credential, shop) for credential in credentials}
        self._sessions: OrderedDict[str, str] = OrderedDict()

    async def start(self) -> None:
        """Begin to renew in the background. Waits for nothing."""
        self._tasks.spawn(self._tend(), "renewals")

    async def stop(self) -> None:
        """End background work; a renewal under way may finish, since its token exists only here."""
        await self._tasks.stop(self._settings.stop_grace_s)

    # -- for requests

    async def lease(self, session: str, exclude: frozenset[str] = frozenset()) -> Lease:
        """An account with a usable token. Raises NoAccountError.

        ``session``: a conversation's key, '' for none. ``exclude``: accounts this request has tried.
        Waits for the chosen account's own renewal at most; if that fails the next one is taken.
        """
        return await self._lease(session, exclude, exclude)

    async def _lease(self, session: str, tried: frozenset[str], exclude: frozenset[str]) -> Lease:
        while True:
            views = self.accounts()
            account_id = choose(views, tried, self._sessions.get(session) if session else None)
            if account_id is None:
                raise explain_none(views, Now(self._clock.monotonic(), self._clock.wall()))
            try:
                return await self._open(self._accounts[account_id], session, exclude)
            except (CredentialError, UpstreamError, InternalError):
                tried |= {account_id}  # its state says why

    async def refresh(self, lease: Lease) -> Lease:
        """After the service refused the lease's token: the same account with another token.

        When it cannot be renewed, another account's lease; raises NoAccountError when there is none.
        """
        account = self._accounts[lease.account_id]
        try:
            await account.ensure_token(rejected=lease.identity.token)
            if account.view().status.state in ABLE:
                return await self._open(account, lease.session, lease.exclude, was_renewed=True)
        except (CredentialError, UpstreamError, InternalError):
            pass  # its state says why
        exclude = lease.exclude | {lease.account_id}
        return await self._lease(lease.session, exclude, exclude)

    def release(self, lease: Lease, error: KiroProxyError | None) -> None:
        """How a try with the lease ended; None: nothing to say against the account."""
        account = self._accounts[lease.account_id]
        account.report(error, lease.identity.token, was_renewed=lease.was_renewed)

    async def _open(
        self,
        account: Account,
        session: str,
        exclude: frozenset[str],
        *,
        was_renewed: bool = False,
    ) -> Lease:
        await account.ensure_token()
        await account.ensure_profile()
        await account.catalogue.update(self._settings.catalogue_wait_s)
        self._remember(session, account.id)
        return Lease(
            account.id,
            account.label,
            account.identity(),
            account.catalogue.models,
            session,
            exclude,
            was_renewed,
        )

    def _remember(self, session: str, account_id: str) -> None:
        if session:
            self._sessions[session] = account_id
            self._sessions.move_to_end(session)
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)

    # -- for everybody else

    def accounts(self) -> list[AccountView]:
        """All accounts in the order of use, without secrets."""
        return [account.view() for account in self._accounts.values()]

    async def models(self) -> list[ModelInfo]:
        """What the accounts offer together, in their order; the built-in table when none can tell.

        Waits a few seconds at most for catalogues that were never read.
        """
        gone = (State.DISABLED, State.REVOKED, State.SUSPENDED)
        asked = [a for a in self._accounts.values() if a.view().status.state not in gone]
        await asyncio.gather(*(a.catalogue.update(_LIST_WAIT_S) for a in asked))
        union: dict[str, ModelInfo] = {}
        for account in asked:
            if account.catalogue.is_known:
                for model in account.catalogue.models:
                    union.setdefault(model.id, model)
        return list(union.values()) or list(FALLBACK)

    # -- in the background

    async def _tend(self) -> None:
        while True:
            waits = [account.tend() for account in self._accounts.values()]
            wait_s = min(waits, default=self._settings.source_poll_s)
            await self._clock.sleep(max(_TICK_MIN_S, wait_s))
