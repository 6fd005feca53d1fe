"""What kind of Kiro is played: accounts, pace, windows, quirks."""

from __future__ import annotations

from dataclasses import dataclass, field

from kiroproxy.simulator.answer import Ending
from kiroproxy.simulator.catalogue import CATALOGUE, JsonObject, ModelSpec
from kiroproxy.simulator.view import DEMO_ORGANISATION_ARN, SOCIAL_ARN, Caller

DEFAULT_PACE_S = 0.015
DEFAULT_TOKEN_TTL_S = 3600
MAX_BODY_BYTES = 32 * 1024 * 1024

SOCIAL, IDC, BUILDER, API_KEY = "social", "idc", "builder", "api_key"

# Real refresh tokens are hundreds of characters long; readers refuse short ones as truncated.
_FILL = "ForTheSimulatorOnlyNoRealAccountIsBehindThisToken" * 3
DEMO_NEXT_RESET_EPOCH_S = 1_798_761_600.0  # 2027-01-01


@dataclass(slots=True)
class Account:
    """One account of the simulated service. ``label`` names it in faults and logs.

    ``models``: ids it may use, None for all. ``credits_used`` grows with each chat.
    ``ending``: which closing events its streams have.
    """

    label: str
    kind: str
    refresh_token: str = ""
    access_token: str = ""
    client_id: str = ""
    client_secret: str = ""
    api_key: str = ""
    arn: str | None = None
    user_id: str = ""
    email: str = ""
    title: str = "KIRO PRO+"
    subscription: str = "Q_DEVELOPER_STANDALONE_PRO_PLUS"
    credits_limit: float = 2000.0
    credits_used: float = 0.0
    suspended: bool = False
    models: frozenset[str] | None = None
    ending: Ending = field(default_factory=Ending)
    builder_arn: str = "either"

    def caller(self, *, arn_required: bool) -> Caller:
        """The account as the rules see it."""
        return Caller(self.kind, self.arn, self.user_id, self.builder_arn, arn_required)

    @property
    def exhausted(self) -> bool:
        """Whether its credits are used up."""
        return self.credits_used >= self.credits_limit

    @property
    def entry(self) -> JsonObject:
        """The sign-in as an entry of KIRO_AUTH_TOKEN, in the IDE file's own spelling."""
        if self.kind == API_KEY:
            return {"authMethod": "api_key", "kiroApiKey": self.api_key}
        entry: JsonObject = {"refreshToken": self.refresh_token}
        if self.kind == SOCIAL:
            return {"authMethod": "social", "provider": "Google", **entry}
        provider = "BuilderId" if self.kind == BUILDER else "Enterprise"
        return {
            "authMethod": "IdC",
            "provider": provider,
            "region": "us-east-1",
            "clientId": self.client_id,
            "clientSecret": self.client_secret,
            **entry,
        }


def demo_accounts() -> list[Account]:
    """One account of each kind, with fixed first tokens."""
    return [
        Account(
            SOCIAL,
            SOCIAL,
            refresh_token=f"aorDemoSocial{_FILL}",
            access_token="aoaDemoSocialAccess",  # noqa: S106 - opens nothing but the simulator
            arn=SOCIAL_ARN,
            user_id="d-90670000.demo-social",
            email="social@example.com",
            ending=Ending(token_usage=True),
        ),
        Account(
            IDC,
            IDC,
            refresh_token=f"aorDemoIdc{_FILL}",
            access_token="aoaDemoIdcAccess",  # noqa: S106 - as above
            client_id="demo-idc-client",
            client_secret="demo-idc-secret",  # noqa: S106 - as above
            arn=DEMO_ORGANISATION_ARN,
            user_id="d-90670000.demo-idc",
            email="idc@example.com",
            ending=Ending(metadata=False),
        ),
        Account(
            BUILDER,
            BUILDER,
            refresh_token=f"aorDemoBuilder{_FILL}",
            access_token="aoaDemoBuilderAccess",  # noqa: S106 - as above
            client_id="demo-builder-client",
            client_secret="demo-builder-secret",  # noqa: S106 - as above
            user_id="d-90670000.demo-builder",
            email="builder@example.com",
            ending=Ending(metadata=False),
        ),
        Account(
            API_KEY,
            API_KEY,
            api_key="ksk_" + "DemoKeyForTheSimulatorOnly000000",
            arn=DEMO_ORGANISATION_ARN,
            user_id="d-90670000.demo-key",
            email="key@example.com",
        ),
    ]


@dataclass(slots=True)
class Settings:
    """``pace_s``: seconds per content event, 0 for as fast as possible. ``latency_s``: before each
    reply to a chat. ``arn_required``: behave as the newer runtime hosts. ``folded_statuses``: the
    JSON 1.0 binding answers errors with 400 and 500 only, as AWS's protocol has it. ``check``: refuse
    bad requests (off for load tests). ``keep_requests``: length of the request log.
    A device sign-in is confirmed after ``device_polls`` questions, or ends in OAuth's word
    ``device_end`` instead (``access_denied``); its code lives for ``device_ttl_s``.
    ``old_until_use``: a refresh token lives on until the access token that came for it is used, so that an
    answer that got lost loses no sign-in.
    ``batch_bytes``: at full speed, frames are joined to writes of this size; 0 for one write each.
    """

    pace_s: float = DEFAULT_PACE_S
    latency_s: float = 0.0
    token_ttl_s: float = DEFAULT_TOKEN_TTL_S
    arn_required: bool = False
    folded_statuses: bool = True
    check: bool = True
    keep_requests: int = 500
    batch_bytes: int = 16_384
    page_size: int = 50
    old_until_use: bool = False
    device_polls: int = 1
    device_end: str = ""
    device_ttl_s: float = 600
    models: tuple[ModelSpec, ...] = CATALOGUE
    accounts: list[Account] = field(default_factory=demo_accounts)
