"""A device sign-in from the first question to the fields of a token file.

The code is shown once; then the service is asked at its own pace until somebody has confirmed it, it was
declined, or its time is over. A fault on the way ends nothing while the code lives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from kiroproxy.accounts.entries import Entry, Place, parse_entry
from kiroproxy.accounts.fields import format_expiry
from kiroproxy.clock import Clock
from kiroproxy.errors import CredentialError, UpstreamError
from kiroproxy.kiro.renewal import RefreshedTokens
from kiroproxy.kiro.sign_in import (
    DeviceCode,
    Portal,
    Registration,
    Wait,
)
from kiroproxy.secret import Secret

SLOWER_BY_S: Final = 5.0  # what OAuth's slow_down asks for


class Service(Protocol):
    """The part of SignInCalls that is needed here."""

    async def register(self, portal: Portal) -> Registration: ...

    async def authorize(self, portal: Portal, registration: Registration) -> DeviceCode: ...

    async def poll(
        self, portal: Portal, registration: Registration, code: Secret
    ) -> RefreshedTokens | Wait: ...


class Progress(Protocol):
    """Who is told what is going on."""

    def announce(self, code: DeviceCode) -> None:
        """Show the page and the code."""

    def waiting(self, left_s: float) -> None:
        """Still nobody; the code lives for so long."""

    def trouble(self, message: str) -> None:
        """A fault on the way; it goes on."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """``fields`` of a token file, secrets among them. ``title``: what it is, for a default name."""

    id: str
    title: str
    fields: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"SignedIn(id={self.id!r}, title={self.title!r})"


async def sign_in_to_portal(
    service: Service, clock: Clock, portal: Portal, progress: Progress
) -> SignedIn:
    """Builder ID or an organisation. Raises CredentialError, or UpstreamError before there is a code."""
    registration = await service.register(portal)
    code = await service.authorize(portal, registration)
    tokens = await _confirmed(
        lambda: service.poll(portal, registration, code.code), code, clock, progress
    )
    expires_s = registration.expires_at_epoch_s
    fields = {
        "authMethod": "IdC",
        "provider": "BuilderId" if portal.is_builder_id else "Enterprise",
        "region": portal.region,
        "startUrl": portal.start_url,
        "clientId": registration.client_id,
        "clientSecret": registration.client_secret.reveal(),
        **({"clientSecretExpiresAt": format_expiry(expires_s)} if expires_s else {}),
        **_token_fields(tokens, clock),
    }
    host = urlsplit(portal.start_url).hostname or "organisation"
    return _signed_in("Builder ID" if portal.is_builder_id else host, fields)


async def _confirmed(
    poll: Callable[[], Awaitable[RefreshedTokens | Wait]],
    code: DeviceCode,
    clock: Clock,
    progress: Progress,
) -> RefreshedTokens:
    """Ask until there is an end. Raises CredentialError."""
    progress.announce(code)
    give_up_at_s = clock.monotonic() + code.expires_in_s
    interval_s = code.interval_s
    while (left_s := give_up_at_s - clock.monotonic()) > 0:
        progress.waiting(left_s)
        await clock.sleep(min(interval_s, left_s))
        try:
            outcome = await poll()
        except UpstreamError as error:
            progress.trouble(error.message)
            continue
        if isinstance(outcome, RefreshedTokens):
            return outcome
        if outcome is Wait.SLOWER:
            interval_s += SLOWER_BY_S
    raise CredentialError(
        "The code has expired before it was confirmed; run kiroproxy login again."
    )


def _token_fields(tokens: RefreshedTokens, clock: Clock) -> dict[str, str]:
    now_s = clock.wall()
    return {
        "accessToken": tokens.access.reveal(),
        "refreshToken": tokens.refresh.reveal() if tokens.refresh else "",
        "expiresAt": format_expiry(now_s + tokens.expires_in_s),
        "createdAt": format_expiry(now_s),
    }


def _signed_in(title: str, fields: dict[str, str]) -> SignedIn:
    """Checked as any other entry, so that what is kept can be read back."""
    return SignedIn(parse_entry(Entry(Place("kiroproxy login"), fields)).id, title, fields)
