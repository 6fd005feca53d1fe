"""The profile of an organisation's sign-in: who needs one, and what a look-up tells. Pure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from kiroproxy.accounts.entries import Credential
from kiroproxy.errors import KiroProxyError
from kiroproxy.kiro.hosts import ProfileArn
from kiroproxy.kiro.identity import CredentialKind

_log = logging.getLogger("kiroproxy.accounts")


def lacks_profile(credential: Credential) -> bool:
    """Whether requests need a profile's ARN that is not known yet."""
    if credential.kind not in (CredentialKind.IDC, CredentialKind.EXTERNAL_IDP):
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
