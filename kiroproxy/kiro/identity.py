"""Who a call is made as: the part of an account that the wire needs. Pure data."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from kiroproxy.secret import Secret


class CredentialKind(enum.Enum):
    """The four kinds of sign-in; each has its own refresh and headers."""

    SOCIAL = "social"
    IDC = "idc"
    EXTERNAL_IDP = "external_idp"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Identity:
    """``account_id``: whose calls these are, for what is remembered per account; tokens change.
    ``profile_arn``: the account's own ARN if it is known, never the shared one of Builder ID.
    ``sso_region``: where the sign-in was issued; it decides a host only when there is no ARN.
    ``builder_id``: an IdC sign-in without an organisation, so without a profile of its own.
    """

    kind: CredentialKind
    token: Secret
    profile_arn: str | None = None
    sso_region: str = "us-east-1"
    builder_id: bool = False
    region_override: str | None = None  # KIRO_REGION or the entry's own choice
    account_id: str = ""

    def __hash__(self) -> int:
        """Cheap: what is worked out of an identity is looked up with every request."""
        return hash(self.account_id)
