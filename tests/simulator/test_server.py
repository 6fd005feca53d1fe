"""The simulated service over real sockets: sign-in, both bindings, control plane, faults, the log."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any

import botocore.eventstream
import pytest

from kiroproxy.simulator.faults import NAMES
from kiroproxy.simulator.view import BUILDER_ARN, SOCIAL_ARN
from tests.simulator.bodies import body, offering, tool, tool_turn, user
from tests.simulator.wire import (
    AGENT,
    BUILDER,
    CHAT_TARGET,
    IDC,
    JSON10,
    KEY,
    REST,
    SOCIAL,
    call,
    chat,
    simulator,
    until,
)


async def refresh(sim: Any, token: str, headers: dict[str, str] | None = None) -> Any:
    return await call(
        sim, "POST", "/refreshToken", {**AGENT, **REST, **(headers or {})}, {"refreshToken": token}
    )


def entry(sim: Any, label: str) -> dict[str, Any]:
    found: dict[str, Any] = sim.demo_credentials(label)[0]
    return found


# chat


async def test_chat_streams_decodable_frames() -> None:
    async with simulator() as sim:
        reply = await chat(sim, body(user("[[sim:say ha ha 1000]]")))
        assert reply.status == 200
        assert reply.headers["content-type"] == "application/vnd.amazon.eventstream"
        assert reply.headers["x-amzn-requestid"]
        assert reply.text() == "ha ha 1000"
        (metadata,) = reply.events("metadataEvent")
        assert metadata["stopReason"] == "END_TURN"
        assert metadata["tokenUsage"]["totalTokens"] > 0
        assert reply.frames()[0][0][":event-type"] == "messageMetadataEvent"
        (context,) = reply.events("contextUsageEvent")
        assert 0 < context["contextUsagePercentage"] < 1
        (metering,) = reply.events("meteringEvent")
        assert sim.account("social").credits_used == metering["usage"] > 0


async def test_json_binding_starts_with_the_initial_response() -> None:
    async with simulator() as sim:
        headers = {**SOCIAL, **JSON10, "x-amz-target": CHAT_TARGET}
        reply = await call(sim, "POST", "/", headers, body())
        assert reply.status == 200
        assert reply.frames()[0][0][":event-type"] == "initial-response"
        assert reply.text()


async def test_tool_call_arrives_in_fragments() -> None:
    async with simulator() as sim:
        reply = await chat(sim, offering("run echo hello world"))
        events = reply.events("toolUseEvent")
        assert "input" not in events[0] and events[0]["name"] == "Bash"
        assert events[-1] == {
            "toolUseId": events[0]["toolUseId"],
            "name": "Bash",
            "stop": True,
        }
        written = "".join(event.get("input", "") for event in events)
        assert len(events) > 3
        assert json.loads(written) == {"command": "echo hello world"}
        assert reply.events("metadataEvent")[0]["stopReason"] == "TOOL_USE"


async def test_whole_tool_round() -> None:
    async with simulator() as sim:
        assert "a.txt" in (await chat(sim, tool_turn())).text()


async def test_idc_streams_have_no_metadata_event() -> None:
    async with simulator() as sim:
        reply = await chat(sim, body(), IDC)
        assert reply.events("metadataEvent") == []
        assert reply.events("meteringEvent") and reply.events("contextUsageEvent")


async def test_key_streams_have_a_stop_reason_but_no_counts() -> None:
    async with simulator() as sim:
        assert (await chat(sim, body(), KEY)).events("metadataEvent") == [
            {"stopReason": "END_TURN"}
        ]


async def test_returned_reasoning_must_be_its_own() -> None:
    fields = {"thinking": {"type": "adaptive"}}
    async with simulator() as sim:
        first = await chat(
            sim, body(user("Hi", "claude-sonnet-5"), additionalModelRequestFields=fields)
        )
        events = first.events("reasoningContentEvent")
        text = "".join(event.get("text", "") for event in events)
        signature = "".join(event.get("signature", "") for event in events)
        reasoning = {"reasoningText": {"text": text, "signature": signature}}
        answered = {"assistantResponseMessage": {"content": "Hi.", "reasoningContent": reasoning}}
        again = body(user("Hi", "claude-sonnet-5"), answered, user("More", "claude-sonnet-5"))
        assert (await chat(sim, again)).status == 200
        foreign = await chat(sim, again, IDC)
        assert (foreign.status, foreign.json()["reason"]) == (400, "THINKING_SIGNATURE_INVALID")


async def test_paced_stream_comes_piece_by_piece() -> None:
    async with simulator(pace_s=0.001) as sim:
        reply = await chat(sim, body(user("[[sim:text 30]]")))
        assert len(reply.text().split()) == 30


async def test_long_answer_at_full_speed() -> None:
    async with simulator(check=False) as sim:
        reply = await chat(sim, body(user("[[sim:text 20000]]")))
        assert len(reply.text().split()) == 20_000


# refusals


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b"{", None),
        (json.dumps({**body(), "extra": 1}).encode(), "shape"),
        (json.dumps(body(user(""))).encode(), "content-empty"),
    ],
)
async def test_bad_body_gets_the_terse_answer(raw: bytes, rule: str | None) -> None:
    async with simulator() as sim:
        reply = await call(sim, "POST", "/generateAssistantResponse", {**SOCIAL, **REST}, raw)
        assert reply.status == 400
        assert reply.json() == {"message": "Improperly formed request.", "reason": None}
        assert reply.headers["x-amzn-errortype"] == "ValidationException"
        assert [v.rule for v in sim.requests[-1].violations] == ([rule] if rule else [])


async def test_json_binding_folds_statuses_and_names_the_type() -> None:
    headers = {**JSON10, "x-amz-target": CHAT_TARGET}
    async with simulator() as sim:
        sim.faults.next("rate")
        sim.faults.next("unavailable")
        first = await call(sim, "POST", "/", {**SOCIAL, **headers}, body())
        second = await call(sim, "POST", "/", {**SOCIAL, **headers}, body())
        assert (first.status, second.status) == (400, 500)
        assert first.json()["__type"] == "com.amazon.aws.codewhisperer#ThrottlingException"
        assert first.json()["reason"] == "USER_REQUEST_RATE_EXCEEDED"
    async with simulator(folded_statuses=False) as sim:
        sim.faults.next("rate")
        assert (await call(sim, "POST", "/", {**SOCIAL, **headers}, body())).status == 429


@pytest.mark.parametrize(
    ("headers", "status", "exception"),
    [
        ({"authorization": "Bearer aoaDemoSocialAccess"}, 400, "ValidationException"),
        (AGENT, 401, "UnauthorizedException"),
        ({**AGENT, "authorization": "Basic x"}, 401, "UnauthorizedException"),
        ({**AGENT, "authorization": "Bearer nobody"}, 403, "AccessDeniedException"),
        ({**SOCIAL, "tokentype": "API_KEY"}, 403, "AccessDeniedException"),
        ({k: v for k, v in KEY.items() if k != "tokentype"}, 403, "AccessDeniedException"),
        ({**KEY, "authorization": "Bearer ksk_unknown"}, 403, "AccessDeniedException"),
    ],
)
async def test_sign_in_is_checked_before_the_body(
    headers: dict[str, str], status: int, exception: str
) -> None:
    async with simulator() as sim:
        reply = await call(
            sim, "POST", "/generateAssistantResponse", {**headers, **REST}, b"not json"
        )
        assert (reply.status, reply.headers["x-amzn-errortype"]) == (status, exception)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/generateAssistantResponse", JSON10, 415),
        ("/generateAssistantResponse", {}, 415),
        ("/", {**REST, "x-amz-target": CHAT_TARGET}, 400),
        ("/", {**JSON10, "x-amz-target": "Nobody.Knows"}, 400),
        ("/", JSON10, 400),
        ("/SendMessage", REST, 404),
    ],
)
async def test_wrong_binding(path: str, headers: dict[str, str], status: int) -> None:
    async with simulator() as sim:
        reply = await call(sim, "POST", path, {**SOCIAL, **headers}, body())
        assert reply.status == status
        assert "message" in reply.json()


async def test_profile_rules_reach_the_wire() -> None:
    async with simulator(arn_required=True) as sim:
        missing = await chat(sim, body())
        assert missing.json()["message"] == "profileArn is required for this request."
        assert (await chat(sim, body(profileArn=SOCIAL_ARN))).status == 200
        assert (await chat(sim, body(), {**SOCIAL, "x-amzn-kiro-profile-arn": SOCIAL_ARN})).status
        foreign = await chat(sim, body(profileArn=SOCIAL_ARN), BUILDER)
        assert foreign.status == 403
        assert foreign.json()["message"] == "The bearer token included in the request is invalid."
        assert (await chat(sim, body(profileArn=BUILDER_ARN), BUILDER)).status == 200
        assert (await chat(sim, body(), KEY)).status == 200


async def test_account_states() -> None:
    async with simulator() as sim:
        sim.account("social").suspended = True
        sim.account("idc").credits_used = 1e9
        sim.account("api_key").models = frozenset({"auto"})
        suspended = await chat(sim, body())
        assert (suspended.status, suspended.json()["reason"]) == (403, "TEMPORARILY_SUSPENDED")
        usage = await call(sim, "GET", "/getUsageLimits?origin=AI_EDITOR", SOCIAL)
        assert usage.status == 403
        exhausted = await chat(sim, body(), IDC)
        assert (exhausted.status, exhausted.json()["reason"]) == (402, "MONTHLY_REQUEST_COUNT")
        no_model = await chat(sim, body(user(model="claude-sonnet-5")), KEY)
        assert no_model.json()["reason"] == "INVALID_MODEL_ID"


# sign-in


async def test_social_refresh_rotates() -> None:
    async with simulator() as sim:
        old = entry(sim, "social")["refreshToken"]
        first = (await refresh(sim, old)).json()
        assert first["profileArn"] == SOCIAL_ARN
        assert first["expiresIn"] == 3600
        assert first["refreshToken"] != old and len(first["refreshToken"]) > 100
        again = await refresh(sim, old)
        assert (again.status, again.json()) == (401, {"message": "Bad credentials"})
        assert (await refresh(sim, first["refreshToken"])).status == 200
        bearer = {**AGENT, "authorization": f"Bearer {first['accessToken']}"}
        assert (await chat(sim, body(), bearer)).status == 200


async def test_idc_refresh_speaks_json_with_the_client() -> None:
    async with simulator() as sim:
        credential = entry(sim, "idc")
        ask = {
            "clientId": credential["clientId"],
            "clientSecret": credential["clientSecret"],
            "grantType": "refresh_token",
            "refreshToken": credential["refreshToken"],
        }
        headers = {**AGENT, **REST}
        reply = await call(sim, "POST", "/token", headers, ask)
        assert reply.status == 200
        assert reply.json()["tokenType"] == "Bearer" and "profileArn" not in reply.json()
        dead = await call(sim, "POST", "/token", headers, ask)
        assert (dead.status, dead.json()["error"]) == (400, "invalid_grant")
        assert dead.headers["x-amzn-errortype"] == "InvalidGrantException"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"scope": "x"}, "invalid_request"),
        ({"grantType": "password"}, "invalid_request"),
        ({"clientSecret": "wrong"}, "invalid_client"),
        ({"clientId": None}, "invalid_client"),
        ({"refreshToken": "aorNobody"}, "invalid_grant"),
        ({"refreshToken": 7}, "invalid_request"),
    ],
)
async def test_idc_refresh_refusals(change: dict[str, Any], error: str) -> None:
    async with simulator() as sim:
        credential = entry(sim, "builder")
        ask = {
            "clientId": credential["clientId"],
            "clientSecret": credential["clientSecret"],
            "grantType": "refresh_token",
            "refreshToken": credential["refreshToken"],
            **change,
        }
        reply = await call(sim, "POST", "/token", {**AGENT, **REST}, ask)
        assert (reply.status, reply.json()["error"]) == (400, error)


async def test_form_encoding_is_refused() -> None:
    form = {**AGENT, "content-type": "application/x-www-form-urlencoded"}
    async with simulator() as sim:
        reply = await call(sim, "POST", "/token", form, b"grant_type=refresh_token")
        assert reply.json()["error"] == "invalid_request"


async def test_a_token_of_one_service_is_nothing_to_the_other() -> None:
    async with simulator() as sim:
        assert (await refresh(sim, entry(sim, "idc")["refreshToken"])).status == 401


async def test_device_flow() -> None:
    headers = {**AGENT, **REST}
    async with simulator() as sim:
        client = (
            await call(
                sim,
                "POST",
                "/client/register",
                headers,
                {"clientName": "test", "clientType": "public", "scopes": []},
            )
        ).json()
        pair = {"clientId": client["clientId"], "clientSecret": client["clientSecret"]}
        device = (await call(sim, "POST", "/device_authorization", headers, pair)).json()
        assert device["verificationUriComplete"].endswith(device["userCode"])
        poll = {
            **pair,
            "grantType": "urn:ietf:params:oauth:grant-type:device_code",
            "deviceCode": device["deviceCode"],
        }
        waiting = await call(sim, "POST", "/token", headers, poll)
        assert waiting.json()["error"] == "authorization_pending"
        assert waiting.headers["x-amzn-errortype"] == "AuthorizationPendingException"
        token = (await call(sim, "POST", "/token", headers, poll)).json()["accessToken"]
        bearer = {**AGENT, "authorization": f"Bearer {token}"}
        assert (await chat(sim, body(), bearer)).status == 200


async def test_tokens_expire_and_are_revoked() -> None:
    async with simulator(token_ttl_s=0) as sim:
        token = (await refresh(sim, entry(sim, "social")["refreshToken"])).json()["accessToken"]
        bearer = {**AGENT, "authorization": f"Bearer {token}"}
        expired = await chat(sim, body(), bearer)
        assert "expired" in expired.json()["message"]
        sim.tokens.revoke_access("social")
        assert "invalid" in (await chat(sim, body())).json()["message"]
        sim.tokens.revoke_refresh("idc")
        assert sim.tokens.by_refresh(entry(sim, "idc")["refreshToken"]) is None


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("invalid_grant", 400),
        ("internal", 500),
        ("rate", 429),
        ("html", 502),
        ("bad_credentials", 401),
    ],
)
async def test_refresh_faults(fault: str, status: int) -> None:
    async with simulator() as sim:
        token = entry(sim, "social")["refreshToken"]
        sim.faults.next(fault, route="refresh", account="social")
        assert (await refresh(sim, token)).status == status
        assert (await refresh(sim, token)).status == 200


async def test_refresh_without_rotation() -> None:
    async with simulator() as sim:
        token = entry(sim, "social")["refreshToken"]
        sim.faults.next("no_rotation", route="refresh")
        assert "refreshToken" not in (await refresh(sim, token)).json()
        assert (await refresh(sim, token)).status == 200


async def test_every_demo_credential_signs_in() -> None:
    async with simulator() as sim:
        assert [c["authMethod"] for c in sim.demo_credentials()] == [
            "social",
            "IdC",
            "IdC",
            "api_key",
        ]
        assert all(len(c["refreshToken"]) > 100 for c in sim.demo_credentials()[:3])


# control plane


async def test_usage_limits() -> None:
    async with simulator() as sim:
        path = "/getUsageLimits?origin=AI_EDITOR&resourceType=AGENTIC_REQUEST&isEmailRequired=true"
        usage = (await call(sim, "GET", path, SOCIAL)).json()
        assert usage["userInfo"]["email"] == "social@example.com"
        assert usage["usageBreakdownList"][0]["usageLimitWithPrecision"] == 2000.0
        target = {**JSON10, "x-amz-target": "AmazonCodeWhispererService.GetUsageLimits"}
        other = await call(sim, "POST", "/", {**IDC, **target}, {"origin": "KIRO_CLI"})
        assert "email" not in other.json()["userInfo"]
        assert other.headers["content-type"] == "application/x-amz-json-1.0"
        assert (await call(sim, "GET", "/getUsageLimits", SOCIAL)).status == 400


async def test_models_come_in_pages() -> None:
    async with simulator(page_size=7) as sim:
        seen: list[str] = []
        token = ""
        for _ in range(10):
            path = f"/ListAvailableModels?origin=AI_EDITOR&maxResults=50{token}"
            page = (await call(sim, "GET", path, SOCIAL)).json()
            seen += [model["modelId"] for model in page["models"]]
            if "nextToken" not in page:
                break
            token = f"&nextToken={page['nextToken']}"
        assert seen == [model.id for model in sim.settings.models]
        assert page["defaultModel"]["modelId"] == "auto"


async def test_models_by_target_carry_schemas() -> None:
    target = "KiroControlPlaneBearerService.ListAvailableModels"
    headers = {**KEY, **JSON10, "x-amz-target": target}
    async with simulator() as sim:
        ask = {"origin": "AI_EDITOR", "maxResults": 100}
        models = (await call(sim, "POST", "/", headers, ask)).json()["models"]
        schemas = {m["modelId"]: m.get("additionalModelRequestFieldsSchema") for m in models}
        assert schemas["claude-sonnet-4.5"] is None
        assert "thinking" in schemas["claude-opus-5"]["properties"]
        bad = await call(sim, "POST", "/", headers, {"origin": "AI_EDITOR", "maxResults": 0.5})
        assert bad.status == 400


@pytest.mark.parametrize(
    ("headers", "status", "count"),
    [(SOCIAL, 200, 0), (IDC, 200, 1), (BUILDER, 403, 0), (KEY, 403, 0)],
)
async def test_profiles(headers: dict[str, str], status: int, count: int) -> None:
    async with simulator(arn_required=True) as sim:
        reply = await call(
            sim, "POST", "/ListAvailableProfiles", {**headers, **REST}, {"maxResults": 10}
        )
        assert reply.status == status
        assert len(reply.json().get("profiles", ())) == count


async def test_control_plane_checks_the_profile() -> None:
    async with simulator(arn_required=True) as sim:
        path = "/getUsageLimits?origin=AI_EDITOR"
        assert (await call(sim, "GET", path, SOCIAL)).status == 400
        assert (await call(sim, "GET", f"{path}&profileArn={SOCIAL_ARN}", SOCIAL)).status == 200
        assert (await call(sim, "GET", f"{path}&profileArn={SOCIAL_ARN}", IDC)).status == 403
        assert (await call(sim, "GET", f"{path}&profileArn=arn:x", IDC)).status == 400


WRONG_SEARCHES: list[tuple[dict[str, Any], int]] = [
    ({"jsonrpc": "1.0"}, -32600),
    ({"id": None}, -32600),
    ({"id": ""}, -32600),
    ({"extra": 1}, -32600),
    ({"params": None}, -32602),
    ({"params": {"name": "web_search", "arguments": {"query": " "}}}, -32602),
    ({"params": {"name": "web_search", "arguments": {"query": "a", "limit": 3}}}, -32602),
    ({"params": {"name": "web_search", "arguments": {"query": "a"}, "more": 1}}, -32602),
]


async def test_web_search() -> None:
    ask = {
        "id": "1",
        "jsonrpc": "2.0",
        "method": "tools/call",
        "params": {"name": "web_search", "arguments": {"query": "python"}},
    }
    async with simulator() as sim:
        reply = (await call(sim, "POST", "/mcp", {**SOCIAL, **REST}, ask)).json()
        assert reply["id"] == "1"
        found = json.loads(reply["result"]["content"][0]["text"])
        assert found["totalResults"] == len(found["results"]) == 10
        listed = await call(
            sim, "POST", "/mcp", {**SOCIAL, **REST}, {**ask, "method": "tools/list"}
        )
        assert listed.json()["result"]["tools"][0]["name"] == "web_search"
        bad = await call(sim, "POST", "/mcp", {**SOCIAL, **REST}, {**ask, "params": {"name": "x"}})
        assert bad.json()["error"]["code"] == -32602
        for change, code in WRONG_SEARCHES:
            reply = (await call(sim, "POST", "/mcp", {**SOCIAL, **REST}, {**ask, **change})).json()
            assert reply["error"]["code"] == code, change
        plain = {**SOCIAL, **REST, "content-type": "text/plain"}
        assert (await call(sim, "POST", "/mcp", plain, ask)).status == 415
    async with simulator(arn_required=True) as sim:
        assert (await call(sim, "POST", "/mcp", {**SOCIAL, **REST}, ask)).status == 400
        with_arn = {**ask, "profileArn": SOCIAL_ARN}
        assert (await call(sim, "POST", "/mcp", {**SOCIAL, **REST}, with_arn)).status == 200


# faults on the wire


@pytest.mark.parametrize("name", ["cut", "cut_mid_frame", "cut_mid_chunk"])
async def test_cut_is_seen_as_a_cut(name: str) -> None:
    async with simulator() as sim:
        reply = await chat(sim, body(user(f"[[sim:text 9]][[sim:fault {name} after=4]]")))
        assert reply.status == 200 and reply.cut
        assert sim.requests[-1].fault == name
        await until(lambda: sim.open_streams == 0)


@pytest.mark.parametrize("name", ["eof", "eof_mid_frame", "nothing"])
async def test_early_end_is_proper_http(name: str) -> None:
    async with simulator() as sim:
        reply = await chat(sim, body(user(f"[[sim:text 9]][[sim:fault {name}]]")))
        assert (reply.status, reply.cut) == (200, False)
        assert reply.events("meteringEvent") == []


async def test_corrupt_frame_fails_its_checksum() -> None:
    async with simulator() as sim:
        reply = await chat(sim, body(user("[[sim:text 9]][[sim:fault corrupt]]")))
        with pytest.raises(botocore.eventstream.ChecksumMismatch):
            reply.frames()


async def test_exception_in_the_stream() -> None:
    async with simulator() as sim:
        sim.faults.next("exception", name="ValidationException", after=2)
        reply = await chat(sim, body(user("[[sim:text 9]]")))
        headers, payload = reply.frames()[-1]
        assert headers[":message-type"] == "exception"
        assert headers[":exception-type"] == "ValidationException"
        assert payload["message"]
        sim.faults.next("error_frame")
        headers, payload = (await chat(sim, body())).frames()[0]
        assert headers[":error-code"] == "InternalError" and payload is None


async def test_close_without_a_reply() -> None:
    async with simulator() as sim:
        sim.faults.next("close_at_once")
        with pytest.raises((http.client.BadStatusLine, ConnectionError)):
            await chat(sim, body())
        assert (await chat(sim, body())).status == 200


async def test_canned_replies() -> None:
    async with simulator() as sim:
        sim.faults.next("html", status=403)
        html = await chat(sim, body())
        assert (html.status, html.headers["content-type"]) == (403, "text/html")
        sim.faults.next("json_200")
        assert "ThrottlingException" in (await chat(sim, body())).json()["__type"]
        sim.faults.next("rate", retry_after=3)
        assert (await chat(sim, body())).headers["retry-after"] == "3"
        sim.faults.next("empty_reply")
        assert (await chat(sim, body())).body == b""


async def test_directive_fault_once() -> None:
    async with simulator() as sim:
        ask = body(user("[[sim:say ok]][[sim:fault internal times=1]]"))
        assert (await chat(sim, ask)).status == 500
        assert (await chat(sim, ask)).text() == "ok"


@pytest.mark.parametrize("name", sorted(NAMES - {"stall", "slow_first_byte", "slow_first_frame"}))
async def test_every_fault_is_served(name: str) -> None:
    async with simulator() as sim:
        sim.faults.next(name, bytes=64, seconds=0)
        try:
            reply = await chat(sim, offering('[[sim:say hi]][[sim:tool Bash {"a": "b"}]]'))
        except (http.client.BadStatusLine, ConnectionError):
            assert name == "close_at_once"
        else:
            assert reply.status >= 200
        assert sim.requests[-1].fault == name
        assert sim.faults.pending == 0


@pytest.mark.parametrize("name", ["slow_first_byte", "slow_first_frame"])
async def test_slow_starts_end_well(name: str) -> None:
    async with simulator() as sim:
        sim.faults.next(name, seconds=0.01)
        assert (await chat(sim, body(user("[[sim:say hi]]")))).text() == "hi"


# the client leaves


async def test_client_that_leaves_is_noticed() -> None:
    async with simulator() as sim:
        sim.faults.next("stall", after=2)
        host, port = sim.base_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        payload = json.dumps(body(user("[[sim:text 50]]"))).encode()
        head = "POST /generateAssistantResponse HTTP/1.1\r\nhost: x\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in {**SOCIAL, **REST}.items()
        )
        writer.write(f"{head}content-length: {len(payload)}\r\n\r\n".encode() + payload)
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: sim.open_streams == 1)
        received = sim.requests[-1]
        assert not received.aborted and received.ended_at_s is None
        writer.close()
        await until(lambda: received.aborted)
        assert sim.open_streams == 0
        assert received.ended_at_s is not None
        await until(lambda: sim.connections == 0)


async def test_slow_reader_gets_everything() -> None:
    async with simulator(check=False) as sim:
        host, port = sim.base_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
        payload = json.dumps(body(user("[[sim:text 120000]]"))).encode()
        head = "POST /generateAssistantResponse HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in {**SOCIAL, **REST}.items())
        writer.write(f"{head}content-length: {len(payload)}\r\n\r\n".encode() + payload)
        await until(lambda: sim.open_streams == 1)
        for _ in range(300):  # the stream cannot end while nobody reads: it exceeds all buffers
            await asyncio.sleep(0)
        assert sim.open_streams == 1
        received = await reader.read(-1)
        assert received.endswith(b"0\r\n\r\n")
        assert len(received) > 12_000_000
        writer.close()


async def test_stop_ends_open_streams() -> None:
    async with simulator() as sim:
        sim.faults.next("stall")
        task = asyncio.ensure_future(chat(sim, body(user("[[sim:text 50]]"))))
        await until(lambda: sim.open_streams == 1)
        await sim.stop()
        assert (await task).cut
        assert sim.open_streams == 0


async def test_starting_twice_is_starting_once() -> None:
    async with simulator() as sim:
        assert await sim.start() == sim.base_url


async def test_it_starts_again_after_a_stop() -> None:
    async with simulator() as sim:
        await sim.stop()
        await sim.stop()
        await sim.start()
        assert (await chat(sim, body())).status == 200


async def test_log_tells_what_came_in() -> None:
    async with simulator() as sim:
        await chat(sim, offering("Hi", tool()))
        (received,) = sim.received("chat")
        assert received.method == "POST"
        assert received.account == "social"
        assert received.status == 200
        assert received.json["conversationState"]["chatTriggerType"] == "MANUAL"
        assert received.headers["user-agent"] == "test/1"
        assert "aoaDemo" not in repr(received)


async def test_token_of_a_device_sign_in_belongs_to_its_client() -> None:
    headers = {**AGENT, **REST}
    asked = {"clientName": "test", "clientType": "public"}
    async with simulator(device_polls=0) as sim:
        pairs = []
        for _ in range(2):
            client = (await call(sim, "POST", "/client/register", headers, asked)).json()
            pairs.append({name: client[name] for name in ("clientId", "clientSecret")})
        start = {**pairs[0], "startUrl": "https://team.awsapps.com/start"}
        device = (await call(sim, "POST", "/device_authorization", headers, start)).json()
        grant = {"grantType": "urn:ietf:params:oauth:grant-type:device_code"}
        code = {"deviceCode": device["deviceCode"]}
        tokens = (await call(sim, "POST", "/token", headers, {**pairs[0], **grant, **code})).json()
        assert sim.requests[-1].account == "idc"
        renewal = {"grantType": "refresh_token", "refreshToken": tokens["refreshToken"]}
        statuses = [
            (await call(sim, "POST", "/token", headers, {**pair, **renewal})).status
            for pair in reversed(pairs)
        ]
        assert statuses == [400, 200]
