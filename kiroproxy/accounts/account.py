"""One account at work: its token, its health, its profile, its catalogue.

Everything slow happens in tasks of the account's own, one of each kind at a time; whoever needs the
result waits for that task, and may be cancelled without disturbing it.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from kiroproxy.accounts.catalogue import Catalogue
from kiroproxy.accounts.entries import Credential
from kiroproxy.accounts.pace import Pace
from kiroproxy.accounts.persistence import Saved, from_saved
from kiroproxy.accounts.profile import lacks_profile, profile_found, profile_refused
from kiroproxy.accounts.renewal import Renewer, renewal_inputs
from kiroproxy.accounts.selection import AccountView
from kiroproxy.accounts.settings import AccountSettings
from kiroproxy.accounts.state import (
    ABLE,
    GRAVITY,
    Event,
    Now,
    State,
    Status,
    advance,
    backoff_s,
    is_quota_spent,
    settle,
    with_reset,
)
from kiroproxy.accounts.tasks import Tasks
from kiroproxy.clock import Clock
from kiroproxy.errors import (
    CredentialError,
    InternalError,
    Kind,
    KiroProxyError,
    UpstreamError,
    UpstreamRefusedError,
)
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.kiro.models import ModelInfo
from kiroproxy.kiro.replies import Health, Remedy
from kiroproxy.secret import Secret

_log = logging.getLogger("kiroproxy.accounts")

# What a refusal says about the account's health → the event of its state machine.
HEALTH_EVENTS: Final[dict[Health, Event]] = {
    Health.COOL: Event.THROTTLED,
    Health.EXHAUST: Event.QUOTA_SPENT,
    Health.DAILY: Event.DAY_SPENT,
    Health.REVOKE: Event.TOKEN_REFUSED,
    Health.SUSPEND: Event.SUSPENSION,
    Health.BRAKE: Event.BRAKED,
}

_WELL: Final = Status()
_PROFILE_RETRY_S: Final = 60.0
_PROFILE_KEEP_S: Final = 3600.0
_RETRY_FIRST_S: Final = 5.0
_RETRY_MOST_S: Final = 300.0
# The usage figures lag behind: what they say right after a refusal for want of credits is not believed.
_QUOTA_DOUBT_S: Final = 300.0
_QUOTA_LEAST: Final = 1.0


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


class Account:
    """Used on one event loop. ``credential`` and ``status`` are replaced, never changed.

    ``remaining``: credits left as far as is known. ``last_used``: see AccountView."""

    def __init__(self, credential: Credential, workshop: Workshop) -> None:
        self.credential = credential
        self.status = _WELL
        self.id = credential.id
        self.label = credential.label
        self.pace = Pace(workshop.settings.pace)
        self.remaining: float | None = None
        self.last_used = 0
        self._shop = workshop
        self._rejected: Secret | None = None
        self._identity: tuple[Credential, Identity] | None = None  # made of that credential
        self._renewal: asyncio.Task[KiroProxyError | None] | None = None
        self._renewal_failures = 0
        self._storing: asyncio.Task[None] | None = None
        self._due_epoch_s = self._due()
        self._profile: asyncio.Task[None] | None = None
        self._profile_after_s = 0.0
        self._source_after_s = 0.0
        self._quota_doubt_until_s = -math.inf
        self.catalogue = Catalogue(workshop.clock, workshop.tasks, self._fetch_models)
        if credential.disabled:
            self.happen(Event.SWITCHED_OFF, "disabled in the configuration")

    # -- what others see

    @property
    def has_token(self) -> bool:
        """Whether a request can be sent without waiting for a renewal."""
        tokens = self.credential.tokens
        if tokens.access is None or tokens.access == self._rejected:
            return False
        return tokens.expires_at_epoch_s > self._shop.clock.wall() + self._shop.settings.min_left_s

    @property
    def is_able(self) -> bool:
        """As ``view().is_able``."""
        self._settle()
        return self.status.state in ABLE

    @property
    def active(self) -> int:
        """Requests under way."""
        return self.pace.active

    @property
    def wait_s(self) -> float:
        """Until its pace lets a request start."""
        return self.pace.wait_s(self._shop.clock.monotonic())

    def view(self) -> AccountView:
        self._settle()
        return AccountView(
            self.id,
            self.label,
            self.credential.kind,
            str(self.credential.place),
            self.status,
            self.has_token,
            self.remaining,
            self.active,
            self.last_used,
            self.wait_s,
            self._expiry(),
        )

    def _expiry(self) -> float | None:
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
            raise CredentialError(f"{self.label}: has no access token")
        identity = Identity(
            kind=credential.kind,
            token=access,
            profile_arn=None if credential.builder_id else credential.tokens.profile_arn,
            sso_region=credential.sso_region,
            builder_id=bool(credential.builder_id),
            region_override=credential.region_override,
            account_id=self.id,
        )
        self._identity = credential, identity
        return identity

    @property
    def is_prepared(self) -> bool:
        """Whether ``prepare`` would return at once."""
        return self.has_token and self.catalogue.is_fresh and not lacks_profile(self.credential)

    async def prepare(self) -> None:
        """Wait for what a request needs: a token, perhaps a profile, a first catalogue. Errors as
        ``ensure_token``."""
        await self.ensure_token()
        await self.ensure_profile()
        await self.catalogue.update(self._shop.settings.catalogue_wait_s)

    def now(self) -> Now:
        clock = self._shop.clock
        return Now(clock.monotonic(), clock.wall(), self._shop.rand())

    # -- health

    def happen(
        self,
        event: Event,
        reason: str = "",
        kind: Kind = Kind.UPSTREAM_UNAUTHENTICATED,
        retry_after_s: float | None = None,
    ) -> None:
        """Take an event in, and log a change of state."""
        self._settle()
        now = self.now()
        if event in (Event.THROTTLED, Event.BRAKED):
            self.pace.throttled(now.monotonic_s)
        if event is Event.QUOTA_SPENT:
            self.remaining = 0.0
        self._become(
            advance(self.status, event, now, reason=reason, kind=kind, retry_after_s=retry_after_s),
            event.value,
        )

    def _settle(self) -> None:
        if not self.status.has_deadline:  # nearly always: this runs several times a request
            return
        self._become(settle(self.status, self.now()), Event.DEADLINE_PASSED.value)

    def adopt(self, saved: Saved, why: str) -> None:
        """What the state file knows, where it is worse than what we know."""
        self._settle()
        if GRAVITY.index(saved.state) >= GRAVITY.index(self.status.state):
            self._become(settle(from_saved(saved, self.sign_in, self.now()), self.now()), why)

    @property
    def sign_in(self) -> str:
        """Which sign-in this is, for the state file; it changes as tokens rotate."""
        return self.credential.sign_in

    def _become(self, status: Status, event: str) -> None:
        before = self.status
        if status == before:
            return
        self.status = status
        if status.state is not before.state:
            self._quota_doubt_until_s = self._shop.clock.monotonic() + _QUOTA_DOUBT_S
            quiet = status.state in ABLE and before.state in ABLE
            _log.log(
                logging.DEBUG if quiet else logging.INFO,
                "account %s: %s → %s",
                self.id,
                before.state.value,
                status.state.value,
                extra={"fields": {"account": self.id, "event": event, "reason": status.reason}},
            )
        self._shop.changed(self, before)

    def take_remaining(self, remaining: float | None, reset_epoch_s: float | None) -> None:
        """The credits left, as the service's usage figures have them; None: not known."""
        self._settle()
        self.remaining = remaining
        if not is_quota_spent(self.status):
            return
        if reset_epoch_s is not None and reset_epoch_s > self._shop.clock.wall():
            self._become(with_reset(self.status, reset_epoch_s), "reset_known")
        is_sure = self._shop.clock.monotonic() >= self._quota_doubt_until_s
        if is_sure and remaining is not None and remaining >= _QUOTA_LEAST:
            self.happen(Event.QUOTA_BACK)

    def report(self, error: KiroProxyError | None, used: Secret, *, was_renewed: bool) -> None:
        """How a request with the token ``used`` ended. Only the service's word about the account counts.

        A refused token counts only if it had been renewed for this request and is still ours.
        """
        if error is None:
            # A success changes nothing about an account that is well, nearly always this very object.
            if self.status is not _WELL and self.status != _WELL:
                self.happen(Event.SUCCEEDED)
            return
        if error.kind is Kind.MODEL_NOT_FOUND:
            self.catalogue.forget_age()
        remedy = error.remedy if isinstance(error, UpstreamRefusedError) else None
        if not isinstance(remedy, Remedy) or remedy.health is Health.NONE:
            return
        if remedy.health is Health.REVOKE:
            if not was_renewed or used != self.credential.tokens.access:
                return
        event = HEALTH_EVENTS[remedy.health]
        before = self.status.state
        self.happen(event, error.message, error.kind, error.retry_after_s)
        if event is Event.QUOTA_SPENT and self.status.state is not before:
            self._shop.tasks.spawn(self._learn_reset(), f"usage of {self.id}")

    async def _learn_reset(self) -> None:
        """The quota's true reset time, in place of the first of the month."""
        try:
            limits = await self._shop.renewer.service.usage_limits(self.identity())
        except KiroProxyError as error:
            _log.info("account %s: usage is not known (%s)", self.id, error.message)
            return
        self.take_remaining(self.remaining, limits.next_reset_epoch_s)

    # -- token

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
            f"{self.label}: the renewed sign-in is refused; sign in to Kiro again."
        )

    def _reject(self, token: Secret) -> None:
        if self.credential.kind is CredentialKind.API_KEY:
            reason = "The service refused the API key; check it, or make a new one."
            self.happen(Event.TOKEN_REFUSED, reason)
            raise CredentialError(f"{self.label}: {reason}")
        self._rejected = token

    def _start_renewal(self) -> asyncio.Task[KiroProxyError | None]:
        if self._renewal is None or self._renewal.done():
            name = f"renewal of {self.id}"
            self._renewal = self._shop.tasks.spawn(self._renew(), name, finish=True)
        return self._renewal

    async def _renew(self) -> KiroProxyError | None:
        """The renewal task: returns its error, as several may be waiting for it, or nobody."""
        if not self.has_token:
            self.happen(Event.RENEWAL_NEEDED)
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
            _log.exception("account %s: the renewal broke off", self.id)
            failure = InternalError("The sign-in could not be renewed: an internal error.")
            self._not_renewed(Event.RENEWAL_FAILED, failure)
            return failure
        self._renewal_failures = 0
        self.happen(Event.RENEWED)
        self._tell_renewal("renewal done")
        self._store_again()
        return None

    async def _renew_corrected(self) -> KiroProxyError | None:
        """What was refused is not what we have now: the sign-in was read again meanwhile."""
        if not self.has_token:
            return await self._renew()
        self.happen(Event.RENEWED)
        return None

    def _store_again(self) -> None:
        """Where the renewed token could not be stored: one task that tries until it can be."""
        renewer, running = (
            self._shop.renewer,
            self._storing is not None and not self._storing.done(),
        )
        if renewer.store.is_unsaved(self.id) and not running:
            work = renewer.store_again(self.credential)
            self._storing = self._shop.tasks.spawn(work, f"storing of {self.id}")

    async def store_at_last(self) -> None:
        """At the program's end: once more what no disk would take."""
        if self._shop.renewer.store.is_unsaved(self.id):
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
        _log.warning("account %s: not renewed: %s", self.id, error.message)
        if not self.has_token:
            self.happen(event, error.message, error.kind, error.retry_after_s)
        elif event is Event.RENEWAL_DENIED:
            left_s = self.credential.tokens.expires_at_epoch_s - wall_s
            self._due_epoch_s = wall_s + left_s - self._shop.settings.min_left_s
        self._tell_renewal("renewal failed")

    def _tell_renewal(self, event: str) -> None:
        """Of renewals there are a few an hour, so nobody is asked first."""
        wall_s = self._shop.clock.wall()
        fields = {
            "account": self.id,
            "label": self.label,
            "expires_in_s": _whole(self.credential.tokens.expires_at_epoch_s - wall_s),
            "next_in_s": _whole(self._due_epoch_s - wall_s),
        }
        _log.debug(event, extra={"fields": fields})

    def _due(self) -> float:
        """When to renew in the background, wall time."""
        wall_s = self._shop.clock.wall()
        left_s = self.credential.tokens.expires_at_epoch_s - wall_s
        return wall_s + left_s - min(self._shop.settings.renew_ahead_s, max(0.0, left_s / 4))

    # -- in the background

    def tend(self) -> float:
        """Start what is due; seconds until the next look is worth it."""
        self._settle()
        wait_s = self._shop.settings.source_poll_s
        state = self.status.state
        if state in (State.REVOKED, State.SUSPENDED):
            self._watch_source()
        elif self._shop.settings.renew_in_background and state in (*ABLE, State.COOLING):
            due_s = self._due_epoch_s - self._shop.clock.wall()
            if due_s > 0:
                return min(wait_s, due_s)
            if self.credential.kind is not CredentialKind.API_KEY:
                self._start_renewal()
        return wait_s

    def _watch_source(self) -> None:
        """What needs a new sign-in comes back when somebody signs in again where it came from."""
        now_s = self._shop.clock.monotonic()
        if now_s >= self._source_after_s:
            self._source_after_s = now_s + self._shop.settings.source_poll_s
            self._shop.tasks.spawn(self._reread_source(), f"source of {self.id}")

    def revise(self, found: Credential) -> None:
        """The same sign-in as it was read again. Our tokens may be newer; the rest is as found."""
        before = self.credential
        is_builder = before.builder_id if found.builder_id is None else found.builder_id
        arn = None if is_builder else found.tokens.profile_arn or before.tokens.profile_arn
        tokens = replace(before.tokens, profile_arn=arn)
        self.label = found.label
        self.credential = replace(found, tokens=tokens, origin=before.origin, builder_id=is_builder)
        self.pace.limit(self._shop.settings.pace)
        self._due_epoch_s = self._due()
        is_corrected = renewal_inputs(self.credential) != renewal_inputs(before)
        if is_corrected and self.status.state is State.REVOKED:
            self.happen(Event.SIGNED_IN)
        self._shop.tasks.spawn(self._reread_source(), f"source of {self.id}")

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
            self.happen(Event.SIGNED_IN)

    # -- profile

    async def ensure_profile(self) -> None:
        """An organisation's sign-in needs its profile's ARN; look it up once, for a bounded time."""
        if not lacks_profile(self.credential):
            return
        if self._profile is None or self._profile.done():
            if self._shop.clock.monotonic() < self._profile_after_s:
                return
            name = f"profile of {self.id}"
            self._profile = self._shop.tasks.spawn(self._find_profile(), name)
        await asyncio.wait({self._profile}, timeout=self._shop.settings.profile_wait_s)

    async def _find_profile(self) -> None:
        pause_s = _PROFILE_RETRY_S
        try:
            profiles = await self._shop.renewer.service.list_profiles(self.identity())
        except KiroProxyError as error:
            self.credential = profile_refused(self.credential, error)
        else:
            pause_s = _PROFILE_KEEP_S
            self.credential = profile_found(self.credential, profiles)
        self._profile_after_s = self._shop.clock.monotonic() + pause_s

    # -- catalogue

    async def _fetch_models(self) -> Sequence[ModelInfo]:
        await self.ensure_token()
        await self.ensure_profile()
        return await self._shop.renewer.service.list_models(self.identity())


def _whole(seconds: float) -> int | str:
    """For a log line; nothing of a time that never comes."""
    return round(seconds) if math.isfinite(seconds) else ""
