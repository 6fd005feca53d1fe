"""Which (host, profile ARN) pairs a call may try, and when the next one is worth it. Pure.

The rule for going on to another host is narrow, since every host is the same service with the same
account behind it: the host could not be reached at all, does not know the call, is down (408, 5xx), or
is out of capacity (429 without a word about the account). A 429 about the account's own rate stops
here: that limit is a penalty window which each further try prolongs. So does every other 4xx, save the
two that are about the profile ARN.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from kiroproxy.errors import (
    ConnectError,
    KiroProxyError,
    StaleConnectionError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from kiroproxy.kiro.endpoints import Candidate, arn_choices, chat_candidates
from kiroproxy.kiro.identity import Identity
from kiroproxy.kiro.replies import Action, Health, Remedy


@dataclass(frozen=True, slots=True)
class Route:
    """One try: a host and the profile ARN sent to it (None: none)."""

    candidate: Candidate
    profile_arn: str | None


def plan_routes(
    identity: Identity, candidates: Sequence[Candidate], preferred: Route | None = None
) -> list[Route]:
    """All routes in the order to try; ``preferred`` (what worked before) first if it is among them."""
    routes = [Route(host, arn) for host in candidates for arn in arn_choices(identity, host)]
    return _beginning_with(preferred, routes)


def chat_routes(
    identity: Identity, override_url: str | None, preferred: Route | None = None
) -> list[Route]:
    """As ``plan_routes`` for the hosts of a conversation. Raises CredentialError."""
    routes = list(_known_chat_routes(identity, override_url))
    return routes if preferred is None else _beginning_with(preferred, routes)


@functools.lru_cache(maxsize=256)
def _known_chat_routes(identity: Identity, override_url: str | None) -> tuple[Route, ...]:
    return tuple(plan_routes(identity, chat_candidates(identity, override_url)))


def _beginning_with(preferred: Route | None, routes: list[Route]) -> list[Route]:
    if preferred in routes:
        routes.remove(preferred)
        routes.insert(0, preferred)
    return routes


def next_routes(error: KiroProxyError, failed: Route, rest: list[Route]) -> list[Route]:
    """What is left to try after ``error``; empty means: it stands."""
    others = [route for route in rest if route.candidate != failed.candidate]
    if not isinstance(error, UpstreamRefusedError):
        return others if was_not_sent(error) else []
    if not isinstance(error.remedy, Remedy):
        return []
    if error.remedy.action is Action.ALTERNATE_ARN:
        here = [route for route in rest if route.candidate == failed.candidate]
        # A 400 asks for an ARN, which another host may not do; a 403 disputes the one it got.
        return here + others if error.status == 400 else here
    return others if _is_about_the_host(error, error.remedy) else []


def was_not_sent(error: KiroProxyError) -> bool:
    """Nobody can have acted on the request."""
    if isinstance(error, UpstreamTimeoutError):
        return error.phase == "connect"
    return isinstance(error, ConnectError | StaleConnectionError)


def _is_about_the_host(error: UpstreamRefusedError, remedy: Remedy) -> bool:
    if remedy.action is Action.NEXT_CANDIDATE or error.status == 408 or error.status >= 500:
        return True
    return error.status == 429 and remedy.health is Health.NONE


def is_lasting(error: KiroProxyError) -> bool:
    """Whether the same route would be refused again tomorrow, so that what works instead is worth
    remembering."""
    if not isinstance(error, UpstreamRefusedError) or not isinstance(error.remedy, Remedy):
        return False
    return error.remedy.action in (Action.ALTERNATE_ARN, Action.NEXT_CANDIDATE)


def truest(errors: Sequence[KiroProxyError]) -> KiroProxyError:
    """The error to report when every route failed.

    The last one, unless it only shows that a later host or ARN does not suit the sign-in: such a
    401, 403 or 404 says nothing about the account when an earlier route failed otherwise.
    """
    for error in reversed(errors):
        if not isinstance(error, UpstreamRefusedError) or error.status not in (401, 403, 404):
            return error
    return errors[0]
