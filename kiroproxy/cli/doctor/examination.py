"""What the checks share: the settings, what earlier checks have found, and things opened once."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from kiroproxy.accounts import Credential, LoadResult
from kiroproxy.cli import service, sign_ins
from kiroproxy.cli.setup.target import Target
from kiroproxy.config import Config
from kiroproxy.kiro.endpoints import chat_candidates
from kiroproxy.kiro.hosts import DEFAULT_REGION
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.secret import Secret
from kiroproxy.simulator import Simulator
from kiroproxy.upstream import ProxyTable, UpstreamClient, load_tls_context


@dataclass(slots=True)
class Examination:
    """One run of the doctor. ``may_spend``: credits, and a renewal that is not due.

    ``is_reachable`` False: a check has found that there is no way to the service, so that later ones
    need not wait for it. ``target``: the server that clients use, as far as it is known. ``running``:
    one answers there. ``service_date``: as the service told it, '' if it did not.
    """

    config: Config
    environment: dict[str, str]
    home: Path
    may_spend: bool = False
    is_demo: bool = False
    elsewhere: Target | None = None
    is_reachable: bool = True
    target: Target | None = None
    running: bool = False
    service_date: str = ""
    models: list[str] = field(default_factory=list)
    _loaded: LoadResult | None = None
    _session: service.Session | None = None
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def sign_ins(self) -> LoadResult:
        """Read once. Blocking."""
        if self._loaded is None:
            self._loaded = sign_ins.load(self.config)
        return self._loaded

    def able(self) -> list[Credential]:
        """Those that would serve."""
        return [c for c in self.sign_ins().credentials if not c.disabled]

    def service_url(self) -> str:
        """The first host that a request would go to. Raises CredentialError."""
        one = next(iter(self.able()), None)
        identity = Identity(
            one.kind if one else CredentialKind.SOCIAL,
            Secret(""),
            one.tokens.profile_arn if one else None,
            one.sso_region if one else DEFAULT_REGION,
            region_override=one.region_override if one else self.config.upstream.region,
        )
        return chat_candidates(identity, self.config.upstream.api_url)[0].host_url

    def proxies(self) -> ProxyTable:
        """Raises ConfigError."""
        return ProxyTable.from_env(self.config.environment)

    async def session(self) -> service.Session:
        """The accounts' calls. Raises ConfigError (no certificates, a wrong proxy)."""
        if self._session is None:
            opened = service.session(self.config, self.sign_ins())
            self._session = await self._stack.enter_async_context(opened)
        return self._session

    async def client(self, url: str) -> UpstreamClient:
        """For one-off requests to ``url``; closed at the end. Raises ConfigError."""
        is_plain = url.startswith("http://")
        tls = None if is_plain else await load_tls_context(self.config.environment)
        client = UpstreamClient(tls=tls, proxies=self.proxies())
        self._stack.push_async_callback(client.aclose)
        return client

    async def close(self) -> None:
        await self._stack.aclose()


def demo_environment(simulator: Simulator, url: str) -> dict[str, str]:
    """What leads a configuration to the simulator, with one sign-in for it."""
    return {
        "KIRO_API_URL": url,
        "KIRO_SOCIAL_AUTH_URL": url,
        "KIRO_OIDC_URL": url,
        "KIRO_AUTH_TOKEN": json.dumps(simulator.demo_credentials("social")),
    }
