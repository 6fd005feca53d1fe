"""One account at work, as requests see it: whether it may serve one, as whom, and how one ended."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from kiroproxy.accounts.catalogue import Catalogue
from kiroproxy.accounts.entries import Credential
from kiroproxy.accounts.keeper import Keeper, Workshop
from kiroproxy.accounts.pace import Pace
from kiroproxy.accounts.persistence import Saved
from kiroproxy.accounts.profile import Profile, lacks_profile
from kiroproxy.accounts.selection import AccountView
from kiroproxy.accounts.standing import WELL, Standing
from kiroproxy.accounts.state import ABLE, Event, Status, is_quota_spent, with_reset
from kiroproxy.errors import Kind, KiroProxyError, UpstreamRefusedError
from kiroproxy.kiro.identity import Identity
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

# The usage figures lag behind: what they say right after a refusal for want of credits is not believed.
_QUOTA_DOUBT_S: Final = 300.0
_QUOTA_LEAST: Final = 1.0


class Account:
    """Used on one event loop. ``remaining``: credits left as far as is known. ``last_used``: see
    AccountView."""

    def __init__(self, credential: Credential, workshop: Workshop) -> None:
        self.id = credential.id
        self.label = credential.label
        self.pace = Pace(workshop.settings.pace)
        self.remaining: float | None = None
        self.last_used = 0
        self._shop = workshop
        self._standing = Standing(self.id, workshop.clock, workshop.rand, self._changed)
        self._keeper = Keeper(credential, self._standing, workshop)
        self._profile = Profile(self._keeper, workshop)
        self.catalogue = Catalogue(workshop.clock, workshop.tasks, self._fetch_models)
        if credential.disabled:
            self._standing.happen(Event.SWITCHED_OFF, "disabled in the configuration")

    # -- what others see

    @property
    def credential(self) -> Credential:
        return self._keeper.credential

    @property
    def sign_in(self) -> str:
        """Which sign-in this is, for the state file; it changes as tokens rotate."""
        return self._keeper.credential.sign_in

    @property
    def status(self) -> Status:
        """As it was when something last happened; ``view`` tells it as of now."""
        return self._standing.status

    @property
    def has_token(self) -> bool:
        """Whether a request can be sent without waiting for a renewal."""
        return self._keeper.has_token

    @property
    def is_able(self) -> bool:
        """As ``view().is_able``."""
        return self._standing.settled().state in ABLE

    @property
    def active(self) -> int:
        """Requests under way."""
        return self.pace.active

    @property
    def wait_s(self) -> float:
        """Until its pace lets a request start."""
        return self.pace.wait_s(self._shop.clock.monotonic())

    def view(self) -> AccountView:
        return AccountView(
            self.id,
            self.label,
            self.credential.kind,
            str(self.credential.place),
            self._standing.settled(),
            self.has_token,
            self.remaining,
            self.active,
            self.last_used,
            self.wait_s,
            self._keeper.expires_at_epoch_s,
        )

    # -- for requests

    def identity(self) -> Identity:
        """Who calls are made as now. Raises CredentialError when there is no token at all."""
        return self._keeper.identity()

    @property
    def is_prepared(self) -> bool:
        """Whether ``prepare`` would return at once."""
        keeper = self._keeper
        return keeper.has_token and self.catalogue.is_fresh and not lacks_profile(keeper.credential)

    async def prepare(self) -> None:
        """Wait for what a request needs: a token, perhaps a profile, a first catalogue. Errors as
        ``ensure_token``."""
        await self.ensure_token()
        await self.ensure_profile()
        await self.catalogue.update(self._shop.settings.catalogue_wait_s)

    async def ensure_token(self, rejected: Secret | None = None) -> None:
        """As ``Keeper.ensure_token``."""
        await self._keeper.ensure_token(rejected)

    async def ensure_profile(self) -> None:
        """As ``Profile.ensure``."""
        await self._profile.ensure()

    async def _fetch_models(self) -> Sequence[ModelInfo]:
        await self.ensure_token()
        await self.ensure_profile()
        return await self._shop.renewer.service.list_models(self.identity())

    def report(self, error: KiroProxyError | None, used: Secret, *, was_renewed: bool) -> None:
        """How a request with the token ``used`` ended. Only the service's word about the account counts.

        A refused token counts only if it had been renewed for this request and is still ours.
        """
        if error is None:
            # A success changes nothing about an account that is well, nearly always this very object.
            status = self._standing.status
            if status is not WELL and status != WELL:
                self._standing.happen(Event.SUCCEEDED)
            return
        if error.kind is Kind.MODEL_NOT_FOUND:
            self.catalogue.forget_age()
        remedy = error.remedy if isinstance(error, UpstreamRefusedError) else None
        if not isinstance(remedy, Remedy) or remedy.health is Health.NONE:
            return
        if remedy.health is Health.REVOKE:
            if not was_renewed or used != self.credential.tokens.access:
                return
        self._refused(HEALTH_EVENTS[remedy.health], error)

    def _refused(self, event: Event, error: KiroProxyError) -> None:
        before = self._standing.settled().state
        if event in (Event.THROTTLED, Event.BRAKED):
            self.pace.throttled(self._shop.clock.monotonic())
        if event is Event.QUOTA_SPENT:
            self.remaining = 0.0
        self._standing.happen(event, error.message, error.kind, error.retry_after_s)
        if event is Event.QUOTA_SPENT and self.status.state is not before:
            self._shop.tasks.spawn(self._learn_reset(), f"usage of {self.id}")

    # -- credits

    async def _learn_reset(self) -> None:
        """The quota's true reset time, in place of the first of the month."""
        try:
            limits = await self._shop.renewer.service.usage_limits(self.identity())
        except KiroProxyError as error:
            _log.info("account %s: usage is not known (%s)", self.id, error.message)
            return
        self.take_remaining(self.remaining, limits.next_reset_epoch_s)

    def take_remaining(self, remaining: float | None, reset_epoch_s: float | None) -> None:
        """The credits left, as the service's usage figures have them; None: not known."""
        status = self._standing.settled()
        self.remaining = remaining
        if not is_quota_spent(status):
            return
        if reset_epoch_s is not None and reset_epoch_s > self._shop.clock.wall():
            self._standing.become(with_reset(status, reset_epoch_s), "reset_known")
        is_sure = self._shop.clock.monotonic() >= self._standing.moved_at_s + _QUOTA_DOUBT_S
        if is_sure and remaining is not None and remaining >= _QUOTA_LEAST:
            self._standing.happen(Event.QUOTA_BACK)

    # -- besides requests

    def adopt(self, saved: Saved, why: str) -> None:
        """What the state file knows, where it is worse than what we know."""
        self._standing.adopt(saved, self.sign_in, why)

    def revise(self, found: Credential) -> None:
        """The same sign-in as it was read again, and perhaps other settings."""
        self.label = found.label
        self.pace.limit(self._shop.settings.pace)
        self._keeper.revise(found)

    def tend(self) -> float:
        """Start what is due; seconds until the next look is worth it."""
        return self._keeper.tend()

    async def store_at_last(self) -> None:
        """At the program's end: once more what no disk would take."""
        await self._keeper.store_at_last()

    def _changed(self, before: Status) -> None:
        self._shop.changed(self, before)
