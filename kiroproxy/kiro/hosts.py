"""Where calls go: regions, profile ARNs, hosts and the order to try them. Pure data.

Three regions belong to an account: where its sign-in was issued, where its profile lives, and the one
we send to. Only the profile's region decides the third. Regions are spliced into host names, so every
one is checked first: a crafted credential file must not choose a host.

Hosts: ``q.{region}`` and ``codewhisperer.us-east-1`` take requests without a profile ARN,
``runtime.{region}.kiro.dev`` and ``management.{region}.kiro.dev`` insist on one (API keys excepted).
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from kiroproxy.errors import ConfigError, CredentialError
from kiroproxy.kiro.identity import CredentialKind, Identity

Headers = list[tuple[bytes, bytes]]

DEFAULT_REGION: Final = "us-east-1"
BUILDER_START_URL: Final = "https://view.awsapps.com/start"

# Not anybody's own: everyone of a kind shares them, so they never identify an account or a region.
SOCIAL_SHARED_ARN: Final = "arn:aws:codewhisperer:us-east-1:699475941385:profile/EHGA3GRVQMUK"
BUILDER_SHARED_ARN: Final = "arn:aws:codewhisperer:us-east-1:638616132270:profile/AAAACCCCXXXX"

_REGION: Final = re.compile(r"[a-z]{2}(?:-gov)?-[a-z]+-\d{1,2}")
_ARN: Final = re.compile(
    r"arn:aws(?:-us-gov)?:(?:codewhisperer|transform):"
    r"(?P<region>[a-z]{2}(?:-gov)?-[a-z]+-\d{1,2}):(?P<account>\d{12}):profile/[A-Za-z0-9]{12}"
)


class Binding(enum.Enum):
    """The two spellings of one operation; bodies are the same."""

    REST = "rest"  # as Kiro IDE: the operation is the path
    JSON10 = "json10"  # as Q CLI: POST / and the operation in x-amz-target


_REST: Final = Binding.REST  # asked of its class it costs 0.2 µs on Python 3.11


@dataclass(frozen=True, slots=True)
class Candidate:
    """A base URL without trailing slash. ``requires_arn``: a call without a profile ARN is refused."""

    host_url: str
    binding: Binding
    requires_arn: bool = False

    def __hash__(self) -> int:
        """Cheap: what is worked out of a host is looked up with every request."""
        return hash(self.host_url)

    @property
    def chat_url(self) -> str:
        """Where generateAssistantResponse is posted."""
        path = "/generateAssistantResponse" if self.binding is _REST else "/"
        return self.host_url + path


@dataclass(frozen=True, slots=True)
class Overrides:
    """Base URLs that replace the service's own (tests, private links); already checked."""

    api: str | None = None
    social_auth: str | None = None
    oidc: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request of the control plane, ready to send. Headers and body hold secrets."""

    method: str
    url: str
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class ProfileArn:
    """A checked profile ARN."""

    arn: str
    region: str
    account: str


def valid_region(region: str) -> bool:
    """Whether ``region`` has the form of an AWS region, so that it may stand in a host name."""
    return _REGION.fullmatch(region) is not None


def parse_arn(arn: str) -> ProfileArn:
    """Check the whole ARN. Raises CredentialError."""
    match = _ARN.fullmatch(arn)
    if match is None:
        raise CredentialError(
            "The profile ARN is malformed: expected "
            "arn:aws:codewhisperer:REGION:12 digits:profile/12 letters or digits."
        )
    return ProfileArn(arn, match["region"], match["account"])


def check_base_url(url: str, setting: str) -> str:
    """A base URL from the configuration, without trailing slash.

    https to anywhere; plain http only to this machine. Raises ConfigError naming ``setting``.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"{setting}: not a valid URL ({error}).") from None
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ConfigError(f"{setting}: expected a URL such as https://host.example.")
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigError(f"{setting}: a base URL holds no user name, query or fragment.")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"{setting}: a URL holds no spaces or special characters.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigError(f"{setting}: plain http is allowed to this machine only; use https.")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- which host ---------------------------------------------------------------------------------

# The API lives in two regions only; everybody else is served from one of them.
_NEAREST: Final = (("us-gov-", None), ("eu-", "eu-central-1"))


def api_region(identity: Identity) -> str:
    """The region of the host. Raises CredentialError on a malformed region or ARN."""
    if identity.region_override:
        return checked_region(identity.region_override)
    if identity.profile_arn:
        return parse_arn(identity.profile_arn).region
    sso_region = checked_region(identity.sso_region)
    for prefix, region in _NEAREST:
        if sso_region.startswith(prefix):
            return region or sso_region
    return DEFAULT_REGION


def profile_regions(identity: Identity) -> tuple[str, ...]:
    """Where to look for profiles, in order: both API regions, then the sign-in's own."""
    sso_region = checked_region(identity.sso_region)
    pair = ("us-east-1", "eu-central-1")
    if sso_region.startswith(("eu-", "af-", "me-", "il-")):
        pair = ("eu-central-1", "us-east-1")
    return tuple(dict.fromkeys((*pair, sso_region)))


def checked_region(region: str) -> str:
    """``region`` itself. Raises CredentialError when it may not stand in a host name."""
    if not valid_region(region):
        raise CredentialError("The region is malformed: expected a name such as us-east-1.")
    return region


def _q(region: str) -> Candidate:
    return Candidate(f"https://q.{region}.amazonaws.com", Binding.REST)


def _legacy(_region: str) -> Candidate:
    # Only us-east-1 resolves.
    return Candidate("https://codewhisperer.us-east-1.amazonaws.com", Binding.REST)


def _runtime(region: str) -> Candidate:
    return Candidate(f"https://runtime.{region}.kiro.dev", Binding.JSON10, requires_arn=True)


def _management(region: str) -> Candidate:
    return Candidate(f"https://management.{region}.kiro.dev", Binding.JSON10, requires_arn=True)


class _Standing(enum.Enum):
    """What decides the order of hosts."""

    OWN_PROFILE = enum.auto()
    NO_PROFILE = enum.auto()
    BUILDER_ID = enum.auto()
    API_KEY = enum.auto()


_CHAT_HOSTS: Final[dict[_Standing, tuple[Callable[[str], Candidate], ...]]] = {
    _Standing.OWN_PROFILE: (_q, _runtime),
    _Standing.NO_PROFILE: (_q, _legacy),
    _Standing.BUILDER_ID: (_q, _legacy, _runtime),
    _Standing.API_KEY: (_q, _runtime),
}
_CONTROL_HOSTS: Final[dict[_Standing, tuple[Callable[[str], Candidate], ...]]] = {
    _Standing.OWN_PROFILE: (_q, _management),
    _Standing.NO_PROFILE: (_q, _legacy),
    _Standing.BUILDER_ID: (_q, _legacy, _management),
    _Standing.API_KEY: (_q, _management),
}


def _standing(identity: Identity) -> _Standing:
    if identity.kind is CredentialKind.API_KEY:
        return _Standing.API_KEY
    if identity.profile_arn:
        return _Standing.OWN_PROFILE
    return _Standing.BUILDER_ID if identity.builder_id else _Standing.NO_PROFILE


def chat_candidates(identity: Identity, override_url: str | None = None) -> tuple[Candidate, ...]:
    """Hosts for generateAssistantResponse, in the order to try. Raises CredentialError."""
    if override_url is not None:
        return (Candidate(override_url, Binding.REST),)
    region = api_region(identity)
    return tuple(make(region) for make in _CHAT_HOSTS[_standing(identity)])


def control_candidates(
    identity: Identity, override_url: str | None = None
) -> tuple[Candidate, ...]:
    """Hosts for models and usage, in the order to try. Raises CredentialError."""
    if override_url is not None:
        return (Candidate(override_url, Binding.REST),)
    region = api_region(identity)
    return tuple(make(region) for make in _CONTROL_HOSTS[_standing(identity)])


def profile_candidates(
    identity: Identity, override_url: str | None = None
) -> tuple[Candidate, ...]:
    """Hosts to ask for profiles; each is asked and the answers are joined."""
    if override_url is not None:
        return (Candidate(override_url, Binding.REST),)
    return tuple(_q(region) for region in profile_regions(identity))


def arn_choices(identity: Identity, candidate: Candidate) -> tuple[str | None, ...]:
    """The profile ARNs to send to this host, best first (None: send none); never empty.

    Keys carry their profile inside: none. An own ARN: that one and no other. Builder ID has none
    of its own: nothing first, then the one its kind shares, except where a host insists. The same
    for a social sign-in whose refresh has not told its ARN yet. The second choice is for a 400 that
    asks for the ARN, or a 403 that disputes it.
    """
    if identity.kind is CredentialKind.API_KEY:
        return (None,)
    if identity.profile_arn:
        return (identity.profile_arn,)
    if identity.kind is CredentialKind.SOCIAL:
        shared = SOCIAL_SHARED_ARN
    elif identity.builder_id:
        shared = BUILDER_SHARED_ARN
    else:
        return (None,)
    return (shared,) if candidate.requires_arn else (None, shared)
