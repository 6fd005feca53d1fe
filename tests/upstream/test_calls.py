"""The service's operations against a small scripted server, over the real client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from kiroproxy.errors import (
    ConnectError,
    CredentialError,
    Kind,
    UpstreamError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from kiroproxy.kiro.endpoints import BUILDER_SHARED_ARN, Overrides, RefreshInputs
from kiroproxy.kiro.identity import CredentialKind, Identity
from kiroproxy.kiro.replies import Action, Health, Remedy
from kiroproxy.secret import Secret
from kiroproxy.simulator import Simulator
from kiroproxy.upstream.calls import MAX_ERROR_BYTES, MAX_PAGES, CallTimeouts, KiroCalls
from kiroproxy.upstream.client import UpstreamClient
from kiroproxy.upstream.response import UpstreamResponse
from kiroproxy.upstream.timeouts import Timeouts
from tests.accounts.fakes import ARN, ARN_EU, MARK

QUICK = Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=10)
STREAM = "application/vnd.amazon.eventstream"
SOCIAL = Identity(CredentialKind.SOCIAL, Secret(f"aoa{MARK}"), ARN, account_id="acc1")
BUILDER = Identity(CredentialKind.IDC, Secret(f"aoa{MARK}"), builder_id=True, account_id="acc2")


@dataclass
class Seen:
    method: str
    host: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def where(self) -> str:
        return self.host.split(".")[0]


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


Script = Callable[[Seen], Answer]


class Peer:
    """An HTTP server that answers by a script. As a Sender it stands in for every host."""

    def __init__(self, script: Script, unreachable: tuple[str, ...] = ()) -> None:
        self.script = script
        self.unreachable = unreachable
        self.seen: list[Seen] = []
        self.client = UpstreamClient()
        self.port = 0

    async def send(
        self,
        method: str,
        url: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        timeouts: Timeouts,
    ) -> UpstreamResponse:
        parts = urlsplit(url)
        if parts.hostname in self.unreachable:
            raise ConnectError(f"{parts.hostname}: no address")
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        local = f"http://127.0.0.1:{self.port}{target}"
        return await self.client.send(
            method, local, [*headers, (b"x-was", (parts.hostname or "").encode())], body, timeouts
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                pairs = (line.split(": ", 1) for line in head[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                seen = Seen(method, headers.get("x-was", ""), target, headers, body)
                self.seen.append(seen)
                writer.write(_encode(self.script(seen)))
                await writer.drain()
        writer.close()


def _encode(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} x", f"content-type: {answer.content_type}"]
    lines += [f"content-length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body


@contextlib.asynccontextmanager
async def peer(script: Script, unreachable: tuple[str, ...] = ()) -> AsyncIterator[Peer]:
    made = Peer(script, unreachable)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        await made.client.aclose()
        server.close()
        await server.wait_closed()


def calls(sender: Peer, overrides: Overrides | None = None) -> KiroCalls:
    return KiroCalls(sender, overrides or Overrides(), CallTimeouts(QUICK, QUICK, QUICK))


def encode(arn: str | None) -> bytes:
    return json.dumps({"profileArn": arn}).encode()


async def generate(service: KiroCalls, identity: Identity, attempt: int = 1) -> bytes:
    response = await service.generate(
        identity, encode, invocation_id=str(uuid.UUID(int=1)), attempt=attempt
    )
    return await response.read(1000)


def refusal(status: int, message: str, **headers: str) -> Answer:
    return Answer(status, json.dumps({"message": message}).encode(), headers=headers)


STREAMED = Answer(200, b"frames", f"{STREAM}; charset=x")


# -- generate


async def test_generate_sends_the_body_made_for_the_arn() -> None:
    async with peer(lambda seen: STREAMED) as p:
        assert await generate(calls(p), SOCIAL) == b"frames"
    (seen,) = p.seen
    assert (seen.method, seen.target, seen.where) == ("POST", "/generateAssistantResponse", "q")
    assert json.loads(seen.body) == {"profileArn": ARN}
    assert seen.headers["authorization"] == f"Bearer aoa{MARK}"
    assert seen.headers["amz-sdk-request"].startswith("attempt=1;")


async def test_walk_keeps_the_invocation_id_and_counts_attempts() -> None:
    def script(seen: Seen) -> Answer:
        return STREAMED if seen.where == "runtime" else refusal(503, "down")

    async with peer(script) as p:
        assert await generate(calls(p), SOCIAL, attempt=3) == b"frames"
    assert [s.where for s in p.seen] == ["q", "runtime"]
    assert {s.headers["amz-sdk-invocation-id"] for s in p.seen} == {str(uuid.UUID(int=1))}
    assert [s.headers["amz-sdk-request"][:9] for s in p.seen] == ["attempt=3", "attempt=4"]
    assert p.seen[1].target == "/" and "x-amz-target" in p.seen[1].headers


async def test_unreachable_host_leads_to_the_next() -> None:
    async with peer(lambda seen: STREAMED, ("q.us-east-1.amazonaws.com",)) as p:
        assert await generate(calls(p), SOCIAL) == b"frames"
    assert [s.where for s in p.seen] == ["runtime"]


async def test_no_host_reachable() -> None:
    hosts = ("q.us-east-1.amazonaws.com", "runtime.us-east-1.kiro.dev")
    async with peer(lambda seen: STREAMED, hosts) as p:
        with pytest.raises(ConnectError, match=r"runtime\.us-east-1"):
            await generate(calls(p), SOCIAL)


async def test_builder_id_remembers_the_arn_that_worked() -> None:
    def script(seen: Seen) -> Answer:
        if json.loads(seen.body)["profileArn"] == BUILDER_SHARED_ARN:
            return STREAMED
        return refusal(400, "profileArn is required for this request.")

    async with peer(script) as p:
        service = calls(p)
        for _ in range(3):
            await generate(service, BUILDER)
    sent = [json.loads(s.body)["profileArn"] for s in p.seen]
    assert sent == [None, *[BUILDER_SHARED_ARN] * 3]


async def test_what_worked_after_an_outage_is_not_remembered() -> None:
    down = True

    def script(seen: Seen) -> Answer:
        return refusal(503, "down") if down and seen.where == "q" else STREAMED

    async with peer(script) as p:
        service = calls(p)
        await generate(service, SOCIAL)
        down = False
        await generate(service, SOCIAL)
    assert [s.where for s in p.seen] == ["q", "runtime", "q"]


async def test_remembered_route_is_forgotten_when_it_fails() -> None:
    wanted: str | None = BUILDER_SHARED_ARN

    def script(seen: Seen) -> Answer:
        is_right = json.loads(seen.body)["profileArn"] == wanted and seen.where == "q"
        return STREAMED if is_right else refusal(403, "User is not authorized to make this call.")

    async with peer(script) as p:
        service = calls(p)
        await generate(service, BUILDER)
        wanted = None
        await generate(service, BUILDER)
        await generate(service, BUILDER)
    sent = [json.loads(s.body)["profileArn"] for s in p.seen]
    assert sent == [None, BUILDER_SHARED_ARN, BUILDER_SHARED_ARN, None, None]


REFUSALS = {
    "malformed": (refusal(400, "Improperly formed request."), Kind.INVALID_REQUEST, Health.NONE),
    "quota": (refusal(402, "You have reached the limit."), Kind.QUOTA, Health.EXHAUST),
    "rate": (refusal(429, "Too many requests"), Kind.RATE_LIMITED, Health.COOL),
    "error in a 200": (
        Answer(200, b'{"__type":"com.x#ThrottlingException","message":"slow"}'),
        Kind.RATE_LIMITED,
        Health.COOL,
    ),
    "html in a 200": (
        Answer(200, b"<html>sign in to the hotel</html>", "text/html"),
        Kind.UPSTREAM_FAILED,
        Health.NONE,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refusals_are_sorted(name: str) -> None:
    answer, kind, health = REFUSALS[name]
    async with peer(lambda seen: answer) as p:
        with pytest.raises(UpstreamRefusedError) as caught:
            await generate(calls(p), SOCIAL)
    assert caught.value.kind is kind
    assert isinstance(caught.value.remedy, Remedy) and caught.value.remedy.health is health


async def test_refusal_carries_request_id_and_retry_after() -> None:
    headers = {"x-amzn-RequestId": "req-7", "Retry-After": "9"}
    answer = refusal(429, "Too many requests", **headers)
    async with peer(lambda seen: answer) as p:
        with pytest.raises(UpstreamRefusedError, match="req-7") as caught:
            await generate(calls(p), SOCIAL)
    assert (caught.value.upstream_request_id, caught.value.retry_after_s) == ("req-7", 9.0)


async def test_endless_error_body_is_read_to_a_bound_and_its_connection_closed() -> None:
    body = b'{"message":"Input is too long."' + b" " * (3 * MAX_ERROR_BYTES)
    async with peer(lambda seen: Answer(400, body)) as p:
        with pytest.raises(UpstreamRefusedError) as caught:
            await generate(calls(p), SOCIAL)
    assert caught.value.kind is Kind.PROMPT_TOO_LONG


async def test_error_body_that_breaks_off_still_has_its_status() -> None:
    answer = Answer(402, b"{}", headers={"transfer-encoding": "chunked"})
    async with peer(lambda seen: answer) as p:
        with pytest.raises(UpstreamError):
            await generate(calls(p), SOCIAL)


async def test_slow_service_is_a_timeout_and_is_asked_once() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = UpstreamClient()
    hasty = Timeouts(connect_s=5, first_byte_s=0.05, idle_s=5, total_s=5)
    service = KiroCalls(
        client, Overrides(api=f"http://127.0.0.1:{port}"), CallTimeouts(hasty, hasty, hasty)
    )
    with pytest.raises(UpstreamTimeoutError) as caught:
        await generate(service, SOCIAL)
    assert caught.value.phase == "first_byte"
    await client.aclose()
    server.close()
    await server.wait_closed()


# -- control plane


def model_page(*ids: str, token: str | None = None) -> Answer:
    page: dict[str, Any] = {"models": [{"modelId": i} for i in ids], "nextToken": token}
    return Answer(body=json.dumps(page).encode())


async def test_models_are_paged_and_a_repeated_token_ends_it() -> None:
    pages = {None: ("a", "t1"), "t1": ("b", "t2"), "t2": ("c", "t1")}

    def script(seen: Seen) -> Answer:
        query = parse_qs(urlsplit(seen.target).query)
        name, token = pages[query.get("nextToken", [None])[0]]  # type: ignore[index]
        return model_page(name, token=token)

    async with peer(script) as p:
        models = await calls(p).list_models(SOCIAL)
    assert [m.id for m in models] == ["a", "b", "c"] and len(p.seen) == 3
    assert parse_qs(urlsplit(p.seen[0].target).query)["profileArn"] == [ARN]


async def test_endless_pages_end_at_the_limit() -> None:
    async with peer(lambda seen: model_page("a", token=uuid.uuid4().hex)) as p:
        await calls(p).list_models(SOCIAL)
    assert len(p.seen) == MAX_PAGES


async def test_models_of_a_builder_id_go_on_to_the_shared_arn() -> None:
    def script(seen: Seen) -> Answer:
        query = parse_qs(urlsplit(seen.target).query)
        if "profileArn" not in query:
            return refusal(403, "User is not authorized to make this call.")
        return model_page("a")

    async with peer(script) as p:
        service = calls(p)
        await service.list_models(BUILDER)
        await service.list_models(BUILDER)
    assert len(p.seen) == 3


BROKEN_PAGES = [
    b"",
    b"[]",
    b"{}",
    b'{"models":7}',
    b"<html>",
    b'{"__type":"x#ThrottlingException"}',
]


@pytest.mark.parametrize("body", BROKEN_PAGES, ids=repr)
async def test_broken_catalogue_is_our_error(body: bytes) -> None:
    async with peer(lambda seen: Answer(body=body)) as p:
        with pytest.raises(UpstreamError):
            await calls(p).list_models(SOCIAL)


async def test_usage() -> None:
    reply = {
        "nextDateReset": 1790812800.0,
        "subscriptionInfo": {"subscriptionTitle": "KIRO PRO+"},
        "userInfo": {"userId": "d-90.secret"},
        "usageBreakdownList": [
            {"resourceType": "SPEC", "currentUsage": 1, "usageLimit": 1},
            {
                "resourceType": "CREDIT",
                "currentUsage": 12,
                "currentUsageWithPrecision": 12.5,
                "usageLimit": 2000,
                "freeTrialInfo": {
                    "freeTrialStatus": "ACTIVE",
                    "currentUsage": 5,
                    "usageLimit": 500,
                },
                "bonuses": [
                    {"status": "ACTIVE", "currentUsage": 0.5, "usageLimit": 100},
                    {"status": "EXPIRED", "currentUsage": 50, "usageLimit": 100},
                ],
            },
        ],
    }
    async with peer(lambda seen: Answer(body=json.dumps(reply).encode())) as p:
        usage = await calls(p).usage_limits(SOCIAL)
    assert (usage.used, usage.limit, usage.remaining) == (18.0, 2600.0, 2582.0)
    assert (usage.plan, usage.next_reset_epoch_s) == ("KIRO PRO+", 1790812800.0)
    assert "secret" not in repr(usage)


@pytest.mark.parametrize("body", [b"{}", b'{"usageBreakdownList":[]}', b'{"usageBreakdown":1}'])
async def test_usage_without_numbers_is_unknown_not_zero(body: bytes) -> None:
    async with peer(lambda seen: Answer(body=body)) as p:
        usage = await calls(p).usage_limits(SOCIAL)
    assert (usage.used, usage.limit, usage.remaining) == (None, None, None)


def profile_page(*arns: object) -> Answer:
    return Answer(body=json.dumps({"profiles": [{"arn": arn} for arn in arns]}).encode())


async def test_profiles_of_both_regions_are_joined() -> None:
    def script(seen: Seen) -> Answer:
        if "eu-central-1" in seen.host:
            return profile_page(ARN_EU, ARN, "arn:crafted:evil.example", 7)
        return profile_page(ARN)

    identity = Identity(CredentialKind.IDC, Secret("t"))
    async with peer(script) as p:
        found = await calls(p).list_profiles(identity)
    assert [f.arn for f in found] == [ARN, ARN_EU]
    assert [s.host for s in p.seen] == ["q.us-east-1.amazonaws.com", "q.eu-central-1.amazonaws.com"]


async def test_profiles_survive_one_failing_region_but_not_all() -> None:
    identity = Identity(CredentialKind.IDC, Secret("t"))
    async with peer(lambda seen: profile_page(ARN_EU), ("q.us-east-1.amazonaws.com",)) as p:
        assert [f.arn for f in await calls(p).list_profiles(identity)] == [ARN_EU]
    words = "AWS Builder ID is not supported for this operation."
    async with peer(lambda seen: refusal(403, words)) as p:
        with pytest.raises(UpstreamRefusedError, match="Builder ID is not supported"):
            await calls(p).list_profiles(identity)


async def test_mcp_sends_the_payload_as_it_is() -> None:
    async with peer(lambda seen: Answer(body=b'{"result":{}}')) as p:
        assert await calls(p).mcp(SOCIAL, b'{"id":"1"}', 1000) == b'{"result":{}}'
        with pytest.raises(UpstreamError, match="over 5 bytes"):
            await calls(p).mcp(SOCIAL, b"{}", 5)
    assert p.seen[0].target == "/mcp" and p.seen[0].body == b'{"id":"1"}'
    assert p.seen[0].headers["x-amzn-kiro-profile-arn"] == ARN


# -- refresh

INPUTS = RefreshInputs(Secret(f"aor{MARK}"), "client", Secret(f"eyJ{MARK}"))


async def refresh(answer: Answer, kind: CredentialKind = CredentialKind.SOCIAL) -> Any:
    async with peer(lambda seen: answer) as p:
        result = await calls(p).refresh(kind, INPUTS)
    return result, p.seen[0]


async def test_refresh_social_and_idc() -> None:
    reply = {"accessToken": "a", "refreshToken": "r", "expiresIn": 100, "profileArn": ARN}
    answer = Answer(body=json.dumps(reply).encode())
    tokens, seen = await refresh(answer)
    assert seen.target == "/refreshToken" and seen.host == "prod.us-east-1.auth.desktop.kiro.dev"
    assert json.loads(seen.body) == {"refreshToken": f"aor{MARK}"}
    assert "authorization" not in seen.headers
    assert (tokens.access.reveal(), tokens.refresh.reveal()) == ("a", "r")
    assert (tokens.expires_in_s, tokens.profile_arn) == (100.0, ARN)
    _, seen = await refresh(answer, CredentialKind.IDC)
    assert seen.target == "/token" and seen.host == "oidc.us-east-1.amazonaws.com"


GOOD_REPLIES: list[tuple[dict[str, Any], str | None, float]] = [
    ({"accessToken": "a"}, None, 3600.0),
    ({"accessToken": "a", "refreshToken": ""}, None, 3600.0),
    ({"accessToken": "a", "refreshToken": None, "expiresIn": "x"}, None, 3600.0),
    ({"access_token": "a", "refresh_token": "r", "expires_in": 60}, "r", 60.0),
    ({"accessToken": "a", "expiresIn": -1, "profileArn": "arn:broken"}, None, 3600.0),
]


@pytest.mark.parametrize(("reply", "token", "lifetime_s"), GOOD_REPLIES)
async def test_refresh_replies(reply: dict[str, Any], token: str | None, lifetime_s: float) -> None:
    tokens, _ = await refresh(Answer(body=json.dumps(reply).encode()))
    assert tokens.refresh == (None if token is None else Secret(token))
    assert (tokens.expires_in_s, tokens.profile_arn) == (lifetime_s, None)


PERMANENT = {
    "invalid_grant": (400, {"error": "invalid_grant"}),
    "refresh token text": (400, {"message": "Invalid refresh token provided"}),
    "social 401": (401, {"message": "Bad credentials"}),
    "social 403": (403, {}),
    "client": (401, {"__type": "InvalidClientException"}),
    "expired client": (400, {"__type": "ExpiredClientException", "message": "Client is expired"}),
    "reused": (400, {"error": "refresh_token_reused"}),
    "access denied": (400, {"__type": "x#AccessDeniedException"}),
    "ours": (400, {"__type": "InvalidRequestException"}),
}
TRANSIENT = {
    "slow down": (400, {"error": "slow_down"}),
    "slow down exception": (400, {"__type": "SlowDownException"}),
    "429": (429, {}),
    "500": (500, {}),
    "503": (503, {}),
    "404": (404, {}),
    "no token": (200, {}),
    "not JSON": (200, "text"),
    "token that breaks headers": (200, {"accessToken": "a\r\nx: y"}),
}


@pytest.mark.parametrize("name", PERMANENT)
async def test_dead_sign_in(name: str) -> None:
    status, body = PERMANENT[name]
    with pytest.raises(CredentialError, match=r"[Ss]ign in to Kiro again"):
        await refresh(Answer(status, json.dumps(body).encode()))


@pytest.mark.parametrize("name", TRANSIENT)
async def test_refresh_failure_that_says_nothing_about_the_sign_in(name: str) -> None:
    status, body = TRANSIENT[name]
    with pytest.raises(UpstreamError):
        await refresh(Answer(status, json.dumps(body).encode()))


@pytest.mark.parametrize("status", [200, 400, 401, 403])
async def test_middlebox_page_does_not_kill_a_sign_in(status: int) -> None:
    with pytest.raises(UpstreamError):
        await refresh(Answer(status, b"<html>invalid_grant</html>", "text/html"))


async def test_no_secret_in_errors_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"message": f"bad aoa{MARK} and aor{MARK}{'x' * 80}"}).encode()
    shown: list[str] = []
    async with peer(lambda seen: Answer(503, echo)) as p:
        with pytest.raises(UpstreamError) as caught:
            await generate(calls(p), SOCIAL)
        shown += [caught.value.message]
        with pytest.raises(UpstreamError) as caught:
            await calls(p).refresh(CredentialKind.IDC, INPUTS)
        shown += [caught.value.message, repr(INPUTS), repr(SOCIAL)]
    assert "next route" in caplog.text
    logged = [caplog.text, *(str(record.__dict__) for record in caplog.records)]
    assert not [text for text in shown + logged if MARK in text]


# -- against the simulator


async def test_operations_against_the_simulator() -> None:
    simulator = Simulator()
    url = await simulator.start()
    client = UpstreamClient()
    service = KiroCalls(client, Overrides(url, url, url), CallTimeouts(QUICK, QUICK, QUICK))
    account = simulator.settings.accounts[0]
    inputs = RefreshInputs(Secret(account.refresh_token))
    tokens = await service.refresh(CredentialKind.SOCIAL, inputs)
    identity = Identity(CredentialKind.SOCIAL, tokens.access, tokens.profile_arn)
    assert await service.list_models(identity)
    assert (await service.usage_limits(identity)).limit
    with pytest.raises(UpstreamRefusedError) as caught:
        await generate(service, identity)
    assert isinstance(caught.value.remedy, Remedy) and caught.value.remedy.action is Action.STOP
    with pytest.raises(CredentialError):
        await service.refresh(CredentialKind.SOCIAL, RefreshInputs(Secret("aorUnknown")))
    await client.aclose()
    await simulator.stop()
