"""The profile of an organisation's sign-in: who needs one, and what a look-up tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from kiroproxy.accounts.entries import Credential
from kiroproxy.accounts.keeper import Keeper, Workshop
from kiroproxy.errors import KiroProxyError
from kiroproxy.kiro.hosts import ProfileArn
from kiroproxy.kiro.identity import CredentialKind

_log = logging.getLogger("kiroproxy.accounts")

_OF_ORGANISATIONS: Final = (CredentialKind.IDC, CredentialKind.EXTERNAL_IDP)
_RETRY_S: Final = 60.0
_KEEP_S: Final = 3600.0


class Profile:
    """One account's look-up of it: one at a time, and not again for a while."""

    def __init__(self, keeper: Keeper, workshop: Workshop) -> None:
        self._keeper = keeper
        self._shop = workshop
        self._task: asyncio.Task[None] | None = None
        self._after_s = 0.0

    async def ensure(self) -> None:
        """An organisation's sign-in needs its profile's ARN; look it up once, for a bounded time."""
        if not lacks_profile(self._keeper.credential):
            return
        if self._task is None or self._task.done():
            if self._shop.clock.monotonic() < self._after_s:
                return
            name = f"profile of {self._keeper.credential.id}"
            self._task = self._shop.tasks.spawn(self._find(), name)
        await asyncio.wait({self._task}, timeout=self._shop.settings.profile_wait_s)

    async def _find(self) -> None:
        keeper, pause_s = self._keeper, _RETRY_S
        try:
            profiles = await self._shop.renewer.service.list_profiles(keeper.identity())
        except KiroProxyError as error:
            keeper.credential = profile_refused(keeper.credential, error)
        else:
            pause_s = _KEEP_S
            keeper.credential = profile_found(keeper.credential, profiles)
        self._after_s = self._shop.clock.monotonic() + pause_s


def lacks_profile(credential: Credential) -> bool:
    """Whether requests need a profile's ARN that is not known yet."""
    if credential.kind not in _OF_ORGANISATIONS:
        return False
    return credential.tokens.profile_arn is None and credential.builder_id is not True


def profile_found(credential: Credential, profiles: Sequence[ProfileArn]) -> Credential:
    """With the first of the profiles, if there is any."""
    if len(profiles) > 1:
        _log.warning(
            "account %s: has %d profiles and uses the first; set profileArn to choose",
            credential.id,
            len(profiles),
        )
    if not profiles:
        return credential
    return credential.with_tokens(replace(credential.tokens, profile_arn=profiles[0].arn))


def profile_refused(credential: Credential, error: KiroProxyError) -> Credential:
    """The service tells by its refusal that the sign-in is a Builder ID, which has no profile."""
    if "builder id" in error.message.lower():
        return replace(credential, builder_id=True)
    _log.warning("account %s: its profile is not known: %s", credential.id, error.message)
    return credential
