"""One credential entry, as users and other programs write it, and the credential it makes. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from kiroproxy.accounts.fields import (
    client_hash,
    maybe_arn,
    maybe_region,
    maybe_text,
    maybe_token,
    parse_expiry,
    parse_switch,
    printable,
    spelling,
)
from kiroproxy.errors import CredentialError
from kiroproxy.kiro.hosts import BUILDER_SHARED_ARN, BUILDER_START_URL, DEFAULT_REGION
from kiroproxy.kiro.identity import CredentialKind
from kiroproxy.kiro.refresh import is_known_token_endpoint
from kiroproxy.secret import Secret

# sha1 of the compact JSON {"startUrl": BUILDER_START_URL}: the same on every machine.
BUILDER_CLIENT_HASH: Final = "e909a0580879b06ece1202964fbe9dda95ea4ce3"

# The IDE can leave a shortened refresh token in its file; real ones have hundreds of characters.
MIN_IDE_REFRESH_TOKEN_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sign-in stands and where its renewed tokens go.

    ``source``: what the user calls it, for messages. ``path`` None: the environment. ``index``: which
    entry of the file's array; None when the file is one object. ``key``: which row of a CLI's store.
    ``copied``: the user wants the file left alone after it was read.
    """

    source: str
    path: Path | None = None
    index: int | None = None
    key: str | None = None
    copied: bool = False

    @property
    def takes_back(self) -> bool:
        """Whether renewed tokens are written there; otherwise they go to the state folder."""
        return self.path is not None and self.key is None and not self.copied

    def __str__(self) -> str:
        return self.source if self.index is None else f"{self.source}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The part of a sign-in that changes. ``expires_at_epoch_s`` 0: expired or not known."""

    access: Secret | None = None
    refresh: Secret = field(default_factory=lambda: Secret(""))
    expires_at_epoch_s: float = 0.0
    profile_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """One sign-in. For an API key ``tokens.access`` is the key and never expires.

    ``id``: eight hex digits that stay the same while tokens rotate. ``builder_id``: True for an AWS
    Builder ID, False for an organisation's sign-in, None when nothing in the entry tells. ``origin``:
    fingerprint of the long-lived secret as the source held it when last read; ``tokens`` may be newer.
    """

    id: str
    label: str
    kind: CredentialKind
    place: Place
    tokens: Tokens
    origin: str = ""
    sso_region: str = DEFAULT_REGION
    region_override: str | None = None
    client_id: str = ""
    client_secret: Secret | None = None
    token_endpoint: str = ""
    scopes: str = ""
    builder_id: bool | None = None
    disabled: bool = False

    def with_tokens(self, tokens: Tokens) -> Credential:
        return replace(self, tokens=tokens)

    @property
    def current(self) -> str:
        """Fingerprint of the long-lived secret in ``tokens``."""
        return fingerprint(self.kind, long_lived(self.kind, self.tokens))

    @property
    def sign_in(self) -> str:
        """Fingerprint, 16 hex digits, of all that a renewal is made with: what the service says about it
        holds for no other, be it another token or a corrected registration."""
        secret = self.client_secret.reveal() if self.client_secret is not None else ""
        words = (self.client_id, secret, self.sso_region, self.token_endpoint, self.scopes)
        return sha256("\0".join((self.current, *words)).encode()).hexdigest()[:16]


def long_lived(kind: CredentialKind, tokens: Tokens) -> Secret:
    """The secret that makes this sign-in what it is: the key, or the refresh token."""
    if kind is CredentialKind.API_KEY and tokens.access is not None:
        return tokens.access
    return tokens.refresh


def fingerprint(kind: CredentialKind, secret: Secret) -> str:
    """64 hex digits; tokens have far too much entropy to be found back from it."""
    return sha256(f"{kind.value}:{secret.reveal()}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry before it is checked. ``registration``: the client registration found beside it.
    ``is_ide``: the Kiro IDE's own file, whose refresh tokens may be shortened. ``id``: set when the
    source itself knows the account's id."""

    place: Place
    fields: Mapping[str, Any] = field(repr=False)
    registration: Mapping[str, Any] | None = field(default=None, repr=False)
    region_override: str | None = None
    is_ide: bool = False
    id: str = ""


_KINDS: Final[dict[str, CredentialKind]] = {
    "social": CredentialKind.SOCIAL,
    "google": CredentialKind.SOCIAL,
    "github": CredentialKind.SOCIAL,
    "idc": CredentialKind.IDC,
    "builderid": CredentialKind.IDC,
    "enterprise": CredentialKind.IDC,
    "internal": CredentialKind.IDC,
    "iam": CredentialKind.IDC,
    "externalidp": CredentialKind.EXTERNAL_IDP,
    "apikey": CredentialKind.API_KEY,
}


def parse_kind(fields: Mapping[str, Any]) -> CredentialKind:
    """Which sign-in this is: what the entry says, else what only that kind has.

    Not from file names: an IdC token refreshed at the social host is lost.
    """
    word = maybe_text(fields, "auth", "authMethod")
    if word:
        kind = _KINDS.get(re.sub(r"[-_ ]", "", word).lower())
        if kind is None:
            raise CredentialError("auth: must be Social, IdC, external_idp or api_key")
        return kind
    if maybe_text(fields, "kiroApiKey", "apiKey"):
        return CredentialKind.API_KEY
    if maybe_text(fields, "tokenEndpoint"):
        return CredentialKind.EXTERNAL_IDP
    if maybe_text(fields, "clientIdHash") or maybe_text(fields, "clientId"):
        return CredentialKind.IDC
    return CredentialKind.SOCIAL


def parse_tokens(kind: CredentialKind, fields: Mapping[str, Any], *, is_ide: bool) -> Tokens:
    """The changing part of an entry. Raises CredentialError naming the field."""
    arn = maybe_arn(fields)
    if kind is CredentialKind.API_KEY:
        key = maybe_token(fields, "kiroApiKey", "apiKey", "accessToken")
        if not key.startswith("ksk_"):
            raise CredentialError("apiKey: must start with ksk_")
        return Tokens(access=Secret(key), expires_at_epoch_s=math.inf)
    refresh = maybe_token(fields, "refreshToken")
    if not refresh:
        raise CredentialError("refreshToken: is missing; sign in again")
    if is_ide and len(refresh) < MIN_IDE_REFRESH_TOKEN_CHARS:
        raise CredentialError(
            "refreshToken: is shortened (real ones have hundreds of characters); sign in to Kiro again"
        )
    access = maybe_token(fields, "accessToken")
    expires = parse_expiry(fields.get(spelling(fields, "expiresAt")))
    return Tokens(Secret(access) if access else None, Secret(refresh), expires, arn)


def parse_entry(entry: Entry) -> Credential:
    """The credential of an entry, its id made from its present secret. Raises CredentialError."""
    fields = entry.fields
    kind = parse_kind(fields)
    tokens = parse_tokens(kind, fields, is_ide=entry.is_ide)
    client = _client_source(kind, entry)
    builder_id = _builder_id(kind, fields, tokens.profile_arn)
    if builder_id:
        # An ARN here is the one all Builder IDs share: not this account's own.
        tokens = replace(tokens, profile_arn=None)
    token_endpoint = _token_endpoint(kind, fields)
    secret = maybe_token(client, "clientSecret")
    region = maybe_region(fields, "region", "idcRegion", "ssoRegion") or maybe_region(
        client, "region"
    )
    origin = fingerprint(kind, long_lived(kind, tokens))
    return Credential(
        id=entry.id or origin[:8],
        label=printable(maybe_text(fields, "description", "label"))[:80] or str(entry.place),
        kind=kind,
        place=entry.place,
        tokens=tokens,
        origin=origin,
        sso_region=region or DEFAULT_REGION,
        region_override=maybe_region(fields, "apiRegion") or entry.region_override,
        client_id=maybe_token(client, "clientId"),
        client_secret=Secret(secret) if secret else None,
        token_endpoint=token_endpoint,
        scopes=_scopes(fields),
        builder_id=builder_id,
        disabled=parse_switch(fields, "disabled"),
    )


def _client_source(kind: CredentialKind, entry: Entry) -> Mapping[str, Any]:
    """Where clientId and clientSecret stand: in the entry, or in its registration."""
    fields = entry.fields
    if kind is not CredentialKind.IDC:
        return fields
    if maybe_text(fields, "clientId") and maybe_text(fields, "clientSecret"):
        return fields
    if entry.registration is None:
        if client_hash(fields):
            raise CredentialError(
                "clientIdHash: its registration file is missing or unreadable; sign in to Kiro again"
            )
        missing = "clientSecret" if maybe_text(fields, "clientId") else "clientId"
        raise CredentialError(
            f"{missing}: is missing; an IdC sign-in needs clientId and clientSecret"
        )
    for name in ("clientId", "clientSecret"):
        if not maybe_text(entry.registration, name):
            raise CredentialError(f"{name}: is missing in the client registration file")
    return entry.registration


def _token_endpoint(kind: CredentialKind, fields: Mapping[str, Any]) -> str:
    """Where an external provider renews its tokens; only known providers are sent one."""
    if kind is not CredentialKind.EXTERNAL_IDP:
        return ""
    for name in ("tokenEndpoint", "clientId"):
        if not maybe_text(fields, name):
            raise CredentialError(f"{name}: is missing; an external_idp sign-in needs it")
    endpoint = maybe_text(fields, "tokenEndpoint")
    if not is_known_token_endpoint(endpoint):
        raise CredentialError("tokenEndpoint: must be an https URL of a known identity provider")
    return endpoint


def _builder_id(kind: CredentialKind, fields: Mapping[str, Any], arn: str | None) -> bool | None:
    if kind is not CredentialKind.IDC:
        return False
    provider = re.sub(r"[-_ ]", "", maybe_text(fields, "provider", "auth")).lower()
    start_url = maybe_text(fields, "startUrl").rstrip("/")
    if provider == "builderid" or start_url == BUILDER_START_URL or arn == BUILDER_SHARED_ARN:
        return True
    if client_hash(fields) == BUILDER_CLIENT_HASH:
        return True
    if arn is not None or start_url or provider in ("enterprise", "internal"):
        return False
    return None


def _scopes(fields: Mapping[str, Any]) -> str:
    value = fields.get("scopes", "")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = " ".join(value)
    else:
        text = maybe_text(fields, "scopes")
    if not (text.isascii() and text.isprintable()):
        raise CredentialError("scopes: must be printable ASCII")
    return text
