"""All accounts together: who serves a request, and keeping everybody's token fresh meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from kiroproxy.accounts.account import Account
from kiroproxy.accounts.entries import Credential
from kiroproxy.accounts.keeper import Workshop
from kiroproxy.accounts.persistence import StateBook, to_saved
from kiroproxy.accounts.renewal import Renewer, Service
from kiroproxy.accounts.selection import (
    UNTRIED,
    AccountView,
    Tried,
    back_s,
    busy_s,
    choose,
    explain_busy,
    explain_none,
    has_room,
)
from kiroproxy.accounts.settings import AccountSettings
from kiroproxy.accounts.state import ABLE, Now, State, Status
from kiroproxy.accounts.store import TokenStore
from kiroproxy.accounts.tasks import Tasks
from kiroproxy.accounts.waiting import WaitingRoom
from kiroproxy.clock import Clock
from kiroproxy.errors import CredentialError, InternalError, KiroProxyError, UpstreamError
from kiroproxy.ids import fraction
from kiroproxy.kiro.identity import Identity
from kiroproxy.kiro.models import FALLBACK, ModelInfo

_log = logging.getLogger("kiroproxy.accounts")

MAX_SESSIONS: Final = 4096  # conversations whose account is remembered; the oldest are forgotten
_TICK_MIN_S: Final = 1.0
_LIST_WAIT_S: Final = 5.0
_LOOK_S: Final = 0.05  # room that was there may be another's a moment later
_GONE: Final = frozenset({State.DISABLED, State.REVOKED, State.SUSPENDED})


class Lease(NamedTuple):
    """The right to make one request as an account. ``models``: its catalogue at this moment; ``model``:
    the catalogue's entry for a requested name (names nobody knows pass through).

    ``exclude``: what this request has tried before. ``number`` tells the manager which right
    it is; it stays the same when the account's token is renewed for the request."""

    account_id: str
    label: str
    identity: Identity
    models: Sequence[ModelInfo]
    model: Callable[[str], ModelInfo]
    session: str
    exclude: Tried
    number: int
    wanted: str = ""
    was_renewed: bool = False


class AccountManager:
    """``restore``, ``start`` and ``stop`` once each, on the loop that uses it. ``book``: where the
    accounts' states outlive this process."""

    def __init__(
        self,
        credentials: Sequence[Credential],
        store: TokenStore,
        service: Service,
        clock: Clock,
        settings: AccountSettings | None = None,
        rand: Callable[[], float] = fraction,
        book: StateBook | None = None,
    ) -> None:
        self._clock = clock
        self._settings = settings or AccountSettings()
        self._tasks = Tasks()
        self._book = book
        self._listeners: list[Callable[[AccountView], None]] = []
        self._room = WaitingRoom(clock)
        self._numbers = itertools.count(1)
        self._held: dict[int, Account] = {}
        self._shop = shop = Workshop(
            Renewer(service, store, clock), clock, self._tasks, self._settings, rand, self._changed
        )
        self._accounts = {credential.id: Account(credential, shop) for credential in credentials}
        self._sessions: OrderedDict[str, str] = OrderedDict()

    async def restore(self) -> None:
        """Take up the states from before; to be done before the first request."""
        if self._book is not None:
            for account_id, saved in (await self._book.load()).items():
                if account := self._accounts.get(account_id):
                    account.adopt(saved, "restored")

    async def replace(self, credentials: Sequence[Credential], settings: AccountSettings) -> None:
        """Other sign-ins and settings from now on. What is known about a sign-in that stays is kept;
        requests under way keep the account that they have."""
        saved = await self._book.load() if self._book is not None else {}
        self._settings = self._shop.settings = settings
        accounts: dict[str, Account] = {}
        for credential in credentials:
            account = self._accounts.get(credential.id)
            if account is not None and account.credential.disabled == credential.disabled:
                account.revise(credential)
            else:
                account = Account(credential, self._shop)
                if credential.id in saved and not credential.disabled:
                    account.adopt(saved[credential.id], "restored")
            accounts[credential.id] = account
        self._accounts = accounts
        self._room.wake()

    async def start(self) -> None:
        """Begin to renew in the background. Waits for nothing."""
        self._tasks.spawn(self._tend(), "renewals")

    async def stop(self) -> None:
        """End background work; a renewal under way may finish, since its token exists only here. What the
        disk did not take then may fit by now."""
        await self._tasks.stop(self._settings.stop_grace_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.stop_grace_s):
                for account in self._accounts.values():
                    await account.store_at_last()

    # -- for requests

    async def lease(self, session: str, exclude: Tried = UNTRIED, wanted: str = "") -> Lease:
        """An account with a usable token, counted as busy until ``release``. Raises NoAccountError.

        ``session``: a conversation's key, '' for none. ``exclude``: accounts this request has left; it goes
        back to one only when it has to wait, when that one's pause is over, and once.
        ``wanted``: a model's name; accounts known not to have it serve only when no other can. Waits
        for the chosen account's own renewal at most (if that fails the next one is taken), and for a
        bounded time while every able account serves as many requests as it may.
        """
        tried = exclude
        while True:
            number = home = self._claim_home(session, tried.left, wanted)
            if not home:
                number = await self._claim(session, tried, self._lacking(wanted, tried.left))
            account = self._held[number]
            try:
                if not account.is_prepared:
                    await account.prepare()
                lease = _lease(account, session, exclude, number, wanted)
            except (CredentialError, UpstreamError, InternalError):
                self._free(number)
                tried = tried.leave(account.id)  # its state says why
            except BaseException:
                self._free(number)
                raise
            else:
                if not home:
                    self._remember(session, account.id, tried.left)
                return lease

    def _lacking(self, wanted: str, tried: frozenset[str]) -> frozenset[str]:
        """Accounts whose catalogue lacks the model, as long as an able one may have it."""
        lacking = {
            account.id
            for account in self._accounts.values()
            if wanted and not account.catalogue.may_offer(wanted)
        }
        if not lacking:
            return frozenset()
        others = (a for a in self._accounts.values() if a.id not in lacking and a.id not in tried)
        return frozenset(lacking) if any(other.is_able for other in others) else frozenset()

    async def refresh(self, lease: Lease) -> Lease:
        """After the service refused the lease's token: the same account with another token.

        When it cannot be renewed, another account's lease; raises NoAccountError when there is none.
        The new lease takes the old one's place; releasing the old one as well does no harm.
        """
        account = self._held.get(lease.number) or self._accounts.get(lease.account_id)
        try:
            if account is not None:
                await account.ensure_token(rejected=lease.identity.token)
            if account is not None and account.is_able:
                if not account.is_prepared:
                    await account.prepare()
                session, exclude, wanted = lease.session, lease.exclude, lease.wanted
                return _lease(account, session, exclude, lease.number, wanted, was_renewed=True)
        except (CredentialError, UpstreamError, InternalError):
            pass  # its state says why
        self._free(lease.number)
        return await self.lease(lease.session, lease.exclude.leave(lease.account_id), lease.wanted)

    def release(self, lease: Lease, error: KiroProxyError | None) -> None:
        """How the last try with the lease ended; None: with an answer. Only the first release of a
        lease counts."""
        account = self._held.get(lease.number)
        if account is not None:
            account.report(error, lease.identity.token, was_renewed=lease.was_renewed)
            self._free(lease.number)

    # -- room: how many requests an account serves

    def _claim_home(self, session: str, tried: frozenset[str], wanted: str) -> int:
        """Room on the conversation's own account, which ``choose`` would take as well: nearly every request
        goes there, and none of them has to look at all the others. 0 when it takes a choice."""
        account = self._home(session)
        if account is None or self._room or not has_room(account, tried):
            return 0
        if wanted and not account.catalogue.may_offer(wanted):
            return 0
        self._sessions.move_to_end(session)
        return self._begin(account)

    async def _claim(self, session: str, tried: Tried, lacking: frozenset[str]) -> int:
        """Room on an able account, under a number of its own. Raises NoAccountError."""
        left_out = tried.left | lacking
        if not self._room and (number := self._maybe_claim(session, left_out)):
            return number
        give_up_at_s = self._clock.monotonic() + self._settings.busy_wait_s
        # One that paused because of this request may be back before another has room.
        able = (one for one in self._accounts.values() if one.id in tried.left and one.is_able)
        left_out = (lacking | tried.twice).union(one.id for one in able)
        with self._room.ticket() as ticket:
            if self._choose(session, left_out) is not None:
                self._room.wake()  # those before us first; if they cannot use it, it comes to us
            while True:
                await self._room.wait(ticket, self._wait_s(left_out, give_up_at_s))
                self._room.clear(ticket)
                number = self._maybe_claim(session, left_out)
                if any(map(has_room, self._accounts.values())):
                    self._room.wake(ticket)
                if number:
                    return number

    def _wait_s(self, tried: frozenset[str], give_up_at_s: float) -> float:
        """How long to wait for room. Raises NoAccountError when waiting is over, or no use."""
        views, now_s = self.accounts(), self._clock.monotonic()
        now = Now(now_s, self._clock.wall())
        wait_s = busy_s(views, tried)
        if wait_s is None:
            raise explain_none(views, now)
        if now_s >= give_up_at_s:
            raise explain_busy(wait_s)
        # Nobody calls when a pause is over.
        wait_s = min(wait_s, back_s(views, tried, now))
        return min(max(_LOOK_S, wait_s), give_up_at_s - now_s)

    def _choose(self, session: str, tried: frozenset[str]) -> str | None:
        account = self._home(session)
        if account is not None and has_room(account, tried):
            return account.id  # the others need not be looked at
        return choose(self._accounts.values(), tried, self._settings.strategy)

    def _home(self, session: str) -> Account | None:
        """The conversation's own account."""
        return self._accounts.get(self._sessions.get(session, ""))

    def _maybe_claim(self, session: str, tried: frozenset[str]) -> int:
        """0 when there is no room."""
        account_id = self._choose(session, tried)
        return 0 if account_id is None else self._begin(self._accounts[account_id])

    def _begin(self, account: Account) -> int:
        number = next(self._numbers)
        self._held[number] = account
        account.last_used = number
        account.pace.begin(self._clock.monotonic())
        return number

    def _free(self, number: int) -> None:
        account = self._held.pop(number, None)
        if account is not None:
            account.pace.end()
            self._room.wake()

    def _remember(self, session: str, account_id: str, tried: frozenset[str]) -> None:
        """Where the conversation is at home: it moves only when its account cannot serve it."""
        if not session:
            return
        home = self._accounts.get(self._sessions.get(session, ""))
        if home is None or home.id in tried or not home.is_able:
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
        asked = [a for a in self._accounts.values() if a.view().status.state not in _GONE]
        await asyncio.gather(*(a.catalogue.update(_LIST_WAIT_S) for a in asked))
        union: dict[str, ModelInfo] = {}
        for account in asked:
            if account.catalogue.is_known:
                for model in account.catalogue.models:
                    union.setdefault(model.id, model)
        return list(union.values()) or list(FALLBACK)

    async def identity(self, account_id: str) -> Identity:
        """For calls that are no requests of a client, such as the usage figures: they count nowhere.

        Raises CredentialError when the account is not to be used, UpstreamError when it may be later.
        """
        account = self._accounts.get(account_id)
        if account is None:
            raise CredentialError("The account is not used any more.")
        status = account.view().status
        if status.state in _GONE:
            raise CredentialError(f"{account.label}: is {status.state.value}. {status.reason}")
        await account.ensure_token()
        await account.ensure_profile()
        return account.identity()

    def set_remaining(
        self, account_id: str, remaining: float | None, reset_epoch_s: float | None
    ) -> None:
        """What the service's usage figures say: credits left (None: not known; infinite: no limit),
        and when they come back, wall time. Accounts that are gone are ignored."""
        account = self._accounts.get(account_id)
        if account is not None:
            account.take_remaining(remaining, reset_epoch_s)

    def listen(self, listener: Callable[[AccountView], None]) -> None:
        """Call ``listener`` on the loop, at once, with each change of an account's status."""
        self._listeners.append(listener)

    def _changed(self, account: Account, before: Status) -> None:
        if before.state not in ABLE or account.status.state not in ABLE:
            self._room.wake()  # there may be more room, or none to wait for
        self._keep(account, before)
        if self._listeners:
            view = account.view()
            for listener in self._listeners:
                listener(view)

    def _keep(self, account: Account, before: Status) -> None:
        if self._book is None:
            return
        now = Now(self._clock.monotonic(), self._clock.wall())
        saved = to_saved(account.id, account.status, account.sign_in, now)
        if saved is not None and saved != to_saved(account.id, before, account.sign_in, now):
            self._book.save(saved)

    # -- in the background

    async def _tend(self) -> None:
        while True:
            await self._learn_from_others()
            waits = [account.tend() for account in self._accounts.values()]
            wait_s = min(waits, default=self._settings.source_poll_s)
            await self._clock.sleep(max(_TICK_MIN_S, wait_s))

    async def _learn_from_others(self) -> None:
        if self._book is not None:
            for account_id, saved in (await self._book.news()).items():
                if account := self._accounts.get(account_id):
                    account.adopt(saved, "told by another process")


def _lease(
    account: Account,
    session: str,
    exclude: Tried,
    number: int,
    wanted: str,
    *,
    was_renewed: bool = False,
) -> Lease:
    """Of an account that is prepared. Raises CredentialError."""
    return Lease(
        account.id,
        account.label,
        account.identity(),
        account.catalogue.models,
        account.catalogue.resolve,
        session,
        exclude,
        number,
        wanted,
        was_renewed,
    )
