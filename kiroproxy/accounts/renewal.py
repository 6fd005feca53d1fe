"""One renewal of one sign-in, from the lock to the disk; the order of its steps is the whole point."""

from __future__ import annotations

import itertools
import logging
from typing import Final, Protocol

from kiroproxy.accounts.entries import Credential, Tokens
from kiroproxy.accounts.state import backoff_s
from kiroproxy.accounts.store import TokenStore
from kiroproxy.clock import Clock
from kiroproxy.errors import CredentialError, UpstreamError
from kiroproxy.kiro.hosts import ProfileArn
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.kiro.models import ModelInfo
from kiroproxy.kiro.refresh import RefreshInputs
from kiroproxy.kiro.renewal import RefreshedTokens
from kiroproxy.kiro.usage import UsageLimits
from kiroproxy.secret import Secret

_log = logging.getLogger("kiroproxy.accounts")

TRIES: Final = 3
PAUSE_S: Final = 0.5
STORE_PAUSE_S: Final = 2.0
STORE_PAUSE_MOST_S: Final = 300.0
# A token that another process has just put into the store is taken if it lives for this long.
MIN_FOUND_LIFE_S: Final = 60.0


class Service(Protocol):
    """The part of KiroCalls that accounts need."""

    async def refresh(self, kind: CredentialKind, inputs: RefreshInputs) -> RefreshedTokens: ...

    async def list_models(self, identity: Identity) -> list[ModelInfo]: ...

    async def list_profiles(self, identity: Identity) -> list[ProfileArn]: ...

    async def usage_limits(self, identity: Identity) -> UsageLimits: ...


class Renewer:
    """Stateless; who calls it makes sure that an account is renewed once at a time."""

    def __init__(self, service: Service, store: TokenStore, clock: Clock) -> None:
        self.service = service
        self.store = store
        self._clock = clock

    async def renew(self, credential: Credential, rejected: Secret | None = None) -> Credential:
        """``credential`` with a usable token that is already stored.

        ``rejected``: an access token that the service refused, whatever its expiry says. Raises
        CredentialError when a new sign-in is needed, UpstreamError when it may work later.
        """
        async with self.store.locked(credential):
            current = await self.store.reread(credential)
            if self._was_renewed_elsewhere(current, credential, rejected):
                return current
            try:
                tokens = await self._ask(current)
            except CredentialError:
                # Programs that do not know our lock (the IDE) may have renewed it this moment.
                again = await self.store.reread(current)
                if again.tokens.refresh == current.tokens.refresh:
                    raise
                if self._was_renewed_elsewhere(again, credential, rejected):
                    return again
                current = again
                tokens = await self._ask(again)
            return await self._save(current, tokens)

    async def store_again(self, credential: Credential) -> None:
        """Until it succeeds: store what could not be stored when it was renewed."""
        for number in itertools.count(1):
            await self._clock.sleep(backoff_s(number, STORE_PAUSE_S, STORE_PAUSE_MOST_S, 0.0))
            if await self.stored(credential):
                return

    async def stored(self, credential: Credential) -> bool:
        """Whether what could not be stored now is, or has no place any more."""
        try:
            async with self.store.locked(credential):
                current = await self.store.reread(credential)
                if self.store.is_unsaved(credential.id):
                    await self.store.save(current, current.tokens)
                    _log.info("%s: the renewed sign-in is stored now", credential.label)
        except (OSError, UpstreamError):
            return False
        except CredentialError:
            pass  # its source is gone: there is no place for it any more
        return True

    def _was_renewed_elsewhere(
        self, found: Credential, before: Credential, rejected: Secret | None
    ) -> bool:
        access = found.tokens.access
        if access is None or access in (before.tokens.access, rejected):
            return False
        return found.tokens.expires_at_epoch_s > self._clock.wall() + MIN_FOUND_LIFE_S

    async def _ask(self, credential: Credential) -> Tokens:
        """The service's new tokens; a few tries, as a fault on the way says nothing."""
        inputs = renewal_inputs(credential)
        for number in range(1, TRIES):
            try:
                return self._tokens(credential, await self.service.refresh(credential.kind, inputs))
            except UpstreamError:
                await self._clock.sleep(backoff_s(number, PAUSE_S, PAUSE_S * 4, 0.0))
        return self._tokens(credential, await self.service.refresh(credential.kind, inputs))

    def _tokens(self, credential: Credential, reply: RefreshedTokens) -> Tokens:
        """A reply without a new refresh token leaves the old one valid: it must never be lost."""
        return Tokens(
            access=reply.access,
            refresh=reply.refresh or credential.tokens.refresh,
            expires_at_epoch_s=self._clock.wall() + reply.expires_in_s,
            profile_arn=reply.profile_arn or credential.tokens.profile_arn,
        )

    async def _save(self, credential: Credential, tokens: Tokens) -> Credential:
        try:
            return await self.store.save(credential, tokens)
        except OSError as error:
            # The old refresh token dies either way, so the new one is used from memory.
            _log.error(
                "%s: the renewed sign-in could not be stored (%s); after a restart it may be "
                "necessary to sign in again",
                credential.label,
                error.strerror,
            )
            return credential.with_tokens(tokens)


def renewal_inputs(credential: Credential) -> RefreshInputs:
    """What a renewal sends."""
    return RefreshInputs(
        refresh_token=credential.tokens.refresh,
        client_id=credential.client_id,
        client_secret=credential.client_secret,
        sso_region=credential.sso_region,
        token_endpoint=credential.token_endpoint,
        scopes=credential.scopes,
    )
