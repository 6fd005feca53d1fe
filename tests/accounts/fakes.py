"""Hand-written stand-ins for time and the sign-in service, and marked secrets."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path

from kiroproxy.accounts.entries import Credential, Place, Tokens, fingerprint, long_lived
from kiroproxy.errors import KiroProxyError
from kiroproxy.kiro.hosts import ProfileArn
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.kiro.models import ModelInfo
from kiroproxy.kiro.refresh import RefreshInputs
from kiroproxy.kiro.renewal import RefreshedTokens
from kiroproxy.kiro.usage import UsageLimits
from kiroproxy.secret import Secret
from tests.threads import threads_idle

MARK = "SECRETMARK"
ARN = "arn:aws:codewhisperer:us-east-1:111122223333:profile/ABCDEFGHIJKL"
ARN_EU = "arn:aws:codewhisperer:eu-central-1:111122223333:profile/MNOPQRSTUVWX"
START_EPOCH_S = 1_790_000_000.0


class ManualClock:
    """Time that moves only when a test says so. ``skew_s``: how wrong the wall clock is."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.skew_s = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return START_EPOCH_S + self.now_s + self.skew_s

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_s + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time and let everybody who was woken run."""
        end_s = self.now_s + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end_s:
            at_s, _, future = heapq.heappop(self._sleepers)
            self.now_s = max(self.now_s, at_s)
            if not future.done():
                future.set_result(None)
            await settle()
        self.now_s = end_s
        await settle()


async def settle() -> None:
    """Let everything that is ready run to its next wait, work in threads included."""
    for _ in range(8):
        for _ in range(8):
            await asyncio.sleep(0)
        await threads_idle()


@dataclass
class FakeService:
    """The service as the manager sees it. ``errors``: raised by the next refreshes, in order."""

    errors: list[KiroProxyError] = field(default_factory=list)
    refreshes: list[RefreshInputs] = field(default_factory=list)
    gate: asyncio.Event | None = None
    expires_in_s: float = 3600.0
    rotate: bool = True
    profile_arn: str | None = None
    models: list[ModelInfo] | KiroProxyError = field(default_factory=list)
    model_calls: int = 0
    model_gate: asyncio.Event | None = None
    profiles: list[ProfileArn] | KiroProxyError = field(default_factory=list)
    profile_calls: int = 0
    usage: UsageLimits | KiroProxyError | None = None

    async def refresh(self, kind: CredentialKind, inputs: RefreshInputs) -> RefreshedTokens:
        self.refreshes.append(inputs)
        number = len(self.refreshes)
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        refresh = Secret(f"aor{MARK}{number}") if self.rotate else None
        return RefreshedTokens(
            Secret(f"aoa{MARK}{number}"), refresh, self.expires_in_s, self.profile_arn
        )

    async def list_models(self, identity: Identity) -> list[ModelInfo]:
        self.model_calls += 1
        if self.model_gate is not None:
            await self.model_gate.wait()
        if isinstance(self.models, KiroProxyError):
            raise self.models
        return self.models

    async def list_profiles(self, identity: Identity) -> list[ProfileArn]:
        self.profile_calls += 1
        if isinstance(self.profiles, KiroProxyError):
            raise self.profiles
        return self.profiles

    async def usage_limits(self, identity: Identity) -> UsageLimits:
        if isinstance(self.usage, KiroProxyError):
            raise self.usage
        return self.usage or UsageLimits()


def credential(
    number: int = 1,
    *,
    kind: CredentialKind = CredentialKind.SOCIAL,
    expires_in_s: float = 3600.0,
    path: Path | None = None,
    **changes: object,
) -> Credential:
    """A sign-in whose access token lives for ``expires_in_s`` on a fresh ManualClock."""
    tokens = Tokens(
        Secret(f"aoa{MARK}old{number}"),
        Secret(f"aor{MARK}old{number}"),
        START_EPOCH_S + expires_in_s,
    )
    origin = fingerprint(kind, long_lived(kind, tokens))
    made = Credential(
        id=origin[:8],
        label=f"account {number}",
        kind=kind,
        place=Place("KIRO_AUTH_TOKEN", path, None if path else number),
        tokens=tokens,
        origin=origin,
        client_id="client",
        client_secret=Secret(f"eyJ{MARK}"),
    )
    return replace(made, **changes)  # type: ignore[arg-type]
