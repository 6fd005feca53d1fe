"""One account's sign-in kept usable: its token renewed in time, its source watched for a new one.

Everything slow happens in tasks of the account's own, one of each kind at a time; whoever needs the
result waits for that task, and may be cancelled without disturbing it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from kiroproxy.accounts.entries import Credential
from kiroproxy.accounts.renewal import Renewer, renewal_inputs
from kiroproxy.accounts.settings import AccountSettings
from kiroproxy.accounts.standing import Standing
from kiroproxy.accounts.state import ABLE, Event, State, Status, backoff_s
from kiroproxy.accounts.tasks import Tasks
from kiroproxy.clock import Clock
from kiroproxy.errors import CredentialError, InternalError, KiroProxyError, UpstreamError
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.secret import Secret

if TYPE_CHECKING:
    from kiroproxy.accounts.account import Account

_log = logging.getLogger("kiroproxy.accounts")

_RETRY_FIRST_S: Final = 5.0
_RETRY_MOST_S: Final = 300.0


@dataclass(slots=True)
class Workshop:
    """What accounts share. ``changed`` is told an account and its status before. ``settings`` are replaced
    by a reload."""

    renewer: Renewer
    clock: Clock
    tasks: Tasks
    settings: AccountSettings
    rand: Callable[[], float]
    changed: Callable[[Account, Status], None]


class Keeper:
    """``credential`` is replaced, never changed."""

    def __init__(self, credential: Credential, standing: Standing, workshop: Workshop) -> None:
        self.credential = credential
        self._id = credential.id
        self._standing = standing
        self._shop = workshop
        self._rejected: Secret | None = None
        self._identity: tuple[Credential, Identity] | None = None  # made of that credential
        self._renewal: asyncio.Task[KiroProxyError | None] | None = None
        self._renewal_failures = 0
        self._storing: asyncio.Task[None] | None = None
        self._due_epoch_s = self._due()
        self._source_after_s = 0.0

    # -- what it has

    @property
    def has_token(self) -> bool:
        """Whether a request can be sent without waiting for a renewal."""
        tokens = self.credential.tokens
        if tokens.access is None or (
            self._rejected is not None and tokens.access == self._rejected
        ):
            return False
        return tokens.expires_at_epoch_s > self._shop.clock.wall() + self._shop.settings.min_left_s

    @property
    def expires_at_epoch_s(self) -> float | None:
        """None without a token or when it has no end."""
        tokens = self.credential.tokens
        known = tokens.access is not None and math.isfinite(tokens.expires_at_epoch_s)
        return tokens.expires_at_epoch_s if known else None

    def identity(self) -> Identity:
        """Who calls are made as now. Raises CredentialError when there is no token at all."""
        credential = self.credential
        if self._identity is not None and self._identity[0] is credential:
            return self._identity[1]
        access = credential.tokens.access
        if access is None:
            raise CredentialError(f"{credential.label}: has no access token")
        identity = Identity(
            kind=credential.kind,
            token=access,
            profile_arn=None if credential.builder_id else credential.tokens.profile_arn,
            sso_region=credential.sso_region,
            builder_id=bool(credential.builder_id),
            region_override=credential.region_override,
            account_id=self._id,
        )
        self._identity = credential, identity
        return identity

    # -- renewal

    async def ensure_token(self, rejected: Secret | None = None) -> None:
        """Return when there is a usable token other than ``rejected``; waits for no other account.

        Raises CredentialError (sign in again) or UpstreamError (later).
        """
        if rejected is not None and rejected == self.credential.tokens.access:
            self._reject(rejected)
        for _ in range(2):  # a renewal that had begun before the token was rejected may not help
            if self.has_token:
                return
            error = await asyncio.shield(self._start_renewal())
            if error is not None:
                raise error
            if self.credential.tokens.access not in (None, self._rejected):
                return  # however short its life: there is no better one
        raise CredentialError(
            f"{self.credential.label}: the renewed sign-in is refused; sign in to Kiro again."
        )

    def _reject(self, token: Secret) -> None:
        if self.credential.kind is CredentialKind.API_KEY:
            reason = "The service refused the API key; check it, or make a new one."
            self._standing.happen(Event.TOKEN_REFUSED, reason)
            raise CredentialError(f"{self.credential.label}: {reason}")
        self._rejected = token

    def _start_renewal(self) -> asyncio.Task[KiroProxyError | None]:
        if self._renewal is None or self._renewal.done():
            name = f"renewal of {self._id}"
            self._renewal = self._shop.tasks.spawn(self._renew(), name, finish=True)
        return self._renewal

    async def _renew(self) -> KiroProxyError | None:
        """The renewal task: returns its error, as several may be waiting for it, or nobody."""
        if not self.has_token:
            self._standing.happen(Event.RENEWAL_NEEDED)
        before = self.credential
        self._tell_renewal("renewal begins")
        try:
            self._take(await self._shop.renewer.renew(before, self._rejected), before)
        except CredentialError as error:
            if renewal_inputs(self.credential) != renewal_inputs(before):
                return await self._renew_corrected()
            self._not_renewed(Event.RENEWAL_DENIED, error)
            return error
        except UpstreamError as error:
            self._not_renewed(Event.RENEWAL_FAILED, error)
            return error
        except Exception:
            _log.exception("account %s: the renewal broke off", self._id)
            failure = InternalError("The sign-in could not be renewed: an internal error.")
            self._not_renewed(Event.RENEWAL_FAILED, failure)
            return failure
        self._renewal_failures = 0
        self._standing.happen(Event.RENEWED)
        self._tell_renewal("renewal done")
        self._store_again()
        return None

    async def _renew_corrected(self) -> KiroProxyError | None:
        """What was refused is not what we have now: the sign-in was read again meanwhile."""
        if not self.has_token:
            return await self._renew()
        self._standing.happen(Event.RENEWED)
        return None

    def _store_again(self) -> None:
        """Where the renewed token could not be stored: one task that tries until it can be."""
        renewer = self._shop.renewer
        is_running = self._storing is not None and not self._storing.done()
        if renewer.store.is_unsaved(self._id) and not is_running:
            work = renewer.store_again(self.credential)
            self._storing = self._shop.tasks.spawn(work, f"storing of {self._id}")

    async def store_at_last(self) -> None:
        """At the program's end: once more what no disk would take."""
        if self._shop.renewer.store.is_unsaved(self._id):
            await self._shop.renewer.stored(self.credential)

    def _take(self, found: Credential, before: Credential) -> None:
        """``before`` with other tokens. What else has become of it meanwhile stays."""
        if self.credential is not before:
            arn = found.tokens.profile_arn or self.credential.tokens.profile_arn
            tokens = replace(found.tokens, profile_arn=None if self.credential.builder_id else arn)
            found = replace(self.credential, tokens=tokens, origin=found.origin)
        self.credential = found
        self._rejected = None if found.tokens.access != self._rejected else self._rejected
        self._due_epoch_s = self._due()

    def _not_renewed(self, event: Event, error: KiroProxyError) -> None:
        """While the present token works, a failed renewal changes nothing but the next try's time."""
        self._renewal_failures += 1
        wall_s = self._shop.clock.wall()
        pause_s = backoff_s(
            self._renewal_failures, _RETRY_FIRST_S, _RETRY_MOST_S, self._shop.rand()
        )
        self._due_epoch_s = wall_s + pause_s
        _log.warning("account %s: not renewed: %s", self._id, error.message)
        if not self.has_token:
            self._standing.happen(event, error.message, error.kind, error.retry_after_s)
        elif event is Event.RENEWAL_DENIED:
            left_s = self.credential.tokens.expires_at_epoch_s - wall_s
            self._due_epoch_s = wall_s + left_s - self._shop.settings.min_left_s
        self._tell_renewal("renewal failed")

    def _tell_renewal(self, event: str) -> None:
        """Of renewals there are a few an hour, so nobody is asked first."""
        wall_s = self._shop.clock.wall()
        fields = {
            "account": self._id,
            "label": self.credential.label,
            "expires_in_s": _whole(self.credential.tokens.expires_at_epoch_s - wall_s),
            "next_in_s": _whole(self._due_epoch_s - wall_s),
        }
        _log.debug(event, extra={"fields": fields})

    def _due(self) -> float:
        """When to renew in the background, wall time."""
        wall_s = self._shop.clock.wall()
        left_s = self.credential.tokens.expires_at_epoch_s - wall_s
        return wall_s + left_s - min(self._shop.settings.renew_ahead_s, max(0.0, left_s / 4))

    def tend(self) -> float:
        """Start what is due; seconds until the next look is worth it."""
        wait_s = self._shop.settings.source_poll_s
        state = self._standing.settled().state
        if state in (State.REVOKED, State.SUSPENDED):
            self._watch_source()
        elif self._shop.settings.renew_in_background and state in (*ABLE, State.COOLING):
            due_s = self._due_epoch_s - self._shop.clock.wall()
            if due_s > 0:
                return min(wait_s, due_s)
            if self.credential.kind is not CredentialKind.API_KEY:
                self._start_renewal()
        return wait_s

    # -- its source

    def _watch_source(self) -> None:
        """What needs a new sign-in comes back when somebody signs in again where it came from."""
        now_s = self._shop.clock.monotonic()
        if now_s >= self._source_after_s:
            self._source_after_s = now_s + self._shop.settings.source_poll_s
            self._shop.tasks.spawn(self._reread_source(), f"source of {self._id}")

    def revise(self, found: Credential) -> None:
        """The same sign-in as it was read again. Our tokens may be newer; the rest is as found."""
        before = self.credential
        is_builder = before.builder_id if found.builder_id is None else found.builder_id
        arn = None if is_builder else found.tokens.profile_arn or before.tokens.profile_arn
        tokens = replace(before.tokens, profile_arn=arn)
        self.credential = replace(found, tokens=tokens, origin=before.origin, builder_id=is_builder)
        self._due_epoch_s = self._due()
        is_corrected = renewal_inputs(self.credential) != renewal_inputs(before)
        if is_corrected and self._standing.status.state is State.REVOKED:
            self._standing.happen(Event.SIGNED_IN)
        self._shop.tasks.spawn(self._reread_source(), f"source of {self._id}")

    async def _reread_source(self) -> None:
        before = self.credential
        try:
            found = await self._shop.renewer.store.reread(before)
        except CredentialError:
            return  # still gone
        if self.credential is not before:
            return  # renewed meanwhile
        if found.current != before.current:
            self._take(found, before)
            self._standing.happen(Event.SIGNED_IN)


def _whole(seconds: float) -> int | str:
    """For a log line; nothing of a time that never comes."""
    return round(seconds) if math.isfinite(seconds) else ""
