"""Which refusals lead to another host or ARN, and which error is reported in the end."""

from __future__ import annotations

import pytest

from kiroproxy.errors import (
    ConnectError,
    ConnectionLostError,
    KiroProxyError,
    PeerProtocolError,
    StaleConnectionError,
    UpstreamError,
    UpstreamTimeoutError,
)
from kiroproxy.kiro.endpoints import BUILDER_SHARED_ARN, chat_candidates
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.kiro.replies import classify_reply
from kiroproxy.secret import Secret
from kiroproxy.upstream.routes import Route, is_lasting, next_routes, plan_routes, truest

BUILDER = Identity(CredentialKind.IDC, Secret("t"), builder_id=True)
ROUTES = plan_routes(BUILDER, chat_candidates(BUILDER))


def reply(status: int, message: str = "", reason: str = "") -> KiroProxyError:
    body = f'{{"message":"{message}","reason":"{reason}"}}'.encode()
    return classify_reply(status, lambda name: None, body)


def test_builder_id_tries_none_then_the_shared_arn_then_other_hosts() -> None:
    shown = [(r.candidate.host_url.split("/")[2].split(".")[0], r.profile_arn) for r in ROUTES]
    assert shown == [
        ("q", None),
        ("q", BUILDER_SHARED_ARN),
        ("codewhisperer", None),
        ("codewhisperer", BUILDER_SHARED_ARN),
        ("runtime", BUILDER_SHARED_ARN),
    ]


def test_preferred_route_comes_first_if_it_is_one() -> None:
    candidates = chat_candidates(BUILDER)
    planned = plan_routes(BUILDER, candidates, ROUTES[4])
    assert planned == [ROUTES[4], *ROUTES[:4]]
    foreign = Route(candidates[0], "arn:other")
    assert plan_routes(BUILDER, candidates, foreign) == ROUTES


HERE, OTHERS, NONE = ROUTES[1:2], ROUTES[2:], []
NEXT = {
    "connect": (ConnectError("x"), OTHERS),
    "stale": (StaleConnectionError("x"), OTHERS),
    "connect timeout": (UpstreamTimeoutError("x", phase="connect"), OTHERS),
    "first byte timeout": (UpstreamTimeoutError("x", phase="first_byte"), NONE),
    "lost": (ConnectionLostError("x"), NONE),
    "no HTTP": (PeerProtocolError("x"), NONE),
    "unreadable": (UpstreamError("x"), NONE),
    "unknown operation": (reply(404, reason="UnknownOperationException"), OTHERS),
    "408": (reply(408), OTHERS),
    "500": (reply(500), OTHERS),
    "503": (reply(503), OTHERS),
    "busy model": (reply(429, reason="INSUFFICIENT_MODEL_CAPACITY"), OTHERS),
    "account's rate": (reply(429, "Too many requests"), NONE),
    "brake": (reply(429, "Due to suspicious activity, we are imposing limits"), NONE),
    "profile required": (reply(400, "profileArn is required for this request."), HERE + OTHERS),
    "profile disputed": (reply(403, "User is not authorized to make this call."), HERE),
    "token": (reply(403, "The bearer token included in the request is invalid."), NONE),
    "401": (reply(401), NONE),
    "quota": (reply(402, reason="MONTHLY_REQUEST_COUNT"), NONE),
    "malformed": (reply(400, "Improperly formed request."), NONE),
    "too long": (reply(400, "Input is too long."), NONE),
    "suspended": (reply(403, reason="TEMPORARILY_SUSPENDED"), NONE),
}


@pytest.mark.parametrize("name", NEXT)
def test_next_routes(name: str) -> None:
    error, expected = NEXT[name]
    assert next_routes(error, ROUTES[0], ROUTES[1:]) == expected


def test_only_lasting_refusals_are_worth_remembering() -> None:
    lasting = {n for n, (e, _) in NEXT.items() if is_lasting(e)}
    assert lasting == {"unknown operation", "profile required", "profile disputed"}


def test_truest_error() -> None:
    busy, forbidden, required = reply(503), reply(403, "x"), NEXT["profile required"][0]
    assert truest([busy, forbidden]) is busy  # the other host just does not suit the sign-in
    assert truest([forbidden]) is forbidden
    assert truest([forbidden, reply(404)]) is forbidden
    assert truest([ConnectError("x"), busy]) is busy
    quota = reply(402)
    assert truest([required, quota]) is quota
