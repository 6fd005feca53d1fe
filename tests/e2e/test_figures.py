"""What people see: JSON routes, events and metrics, over real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kiroproxy.handlers.events import MAX_WATCHERS
from tests.e2e.support import KEY, Answer, House, Json, house, read_answer, request_bytes, turn

LOCAL = {"Host": "localhost", "x-api-key": ""}


async def get(home: House, path: str, headers: Mapping[str, str] = LOCAL) -> Answer:
    return await home.send("GET", path, headers=headers)


async def figures(home: House) -> Json:
    """``/api/usage`` once every account's quota is known."""
    while True:
        usage = (await get(home, "/api/usage")).json
        if all(account["fetched_epoch_s"] for account in usage["accounts"]):
            return usage
        await asyncio.sleep(0.01)


async def test_usage_shows_accounts_with_their_quota(tmp_path: Path) -> None:
    async with house(tmp_path, "social", "idc") as home:
        social, idc = (await figures(home))["accounts"]
        assert (social["state"], idc["state"]) == ("ready", "ready")
        assert social["limit"] > 0
        assert social["remaining"] == social["limit"] - social["used"]
        assert social["stale"] is False
        assert social["plan"].startswith("KIRO")
        assert social["overage"]["status"] == "DISABLED"
        assert set(social) == {
            "id", "label", "kind", "state", "reason", "until_epoch_s", "active", "plan", "used",
            "limit", "remaining", "trial", "bonuses", "overage", "reset_epoch_s",
            "fetched_epoch_s", "stale", "source",
        }  # fmt: skip


async def test_finished_requests_are_listed_and_summed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        agent = {"User-Agent": "claude-cli/2.1.0 (external, cli)"}
        streamed = await home.send("POST", "/v1/messages", turn("Hi", stream=True), agent)
        whole = await home.ask("Hello")
        rows = (await get(home, "/api/requests")).json["requests"]
        assert [row["id"] for row in rows] == [
            whole.headers["x-request-id"],
            streamed.headers["x-request-id"],
        ]
        first = rows[1]
        assert (first["outcome"], first["status"], first["stream"]) == ("answered", 200, True)
        assert (first["client"], first["dialect"]) == ("claude-cli/2.1.0", "messages")
        assert first["account"] == streamed.headers["x-kiroproxy-account"]
        assert first["upstream_model"] == streamed.headers["x-kiroproxy-model"]
        usage = streamed.events[-2][1]["usage"]
        assert first["output_tokens"] == usage["output_tokens"]
        assert first["input_tokens"] == usage["input_tokens"]
        assert first["sources"]["input_tokens"] in ("reported", "derived", "estimated")
        assert 0 <= first["first_token_ms"] <= first["total_ms"]
        assert (first["tries"], first["error"]) == (1, "")
        usage = await figures(home)
        assert usage["totals"]["requests"] == 2
        assert sum(bucket["requests"] for bucket in usage["series"]["minute"]) == 2
        assert usage["by"]["account"][0]["name"] == first["account"]


async def test_failures_are_listed_with_what_the_client_got(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.send("POST", "/v1/messages", turn("x", messages=[]))
        await home.ask("x", max_tokens=-1)
        rows = (await get(home, "/api/requests")).json["requests"]
        assert [row["outcome"] for row in rows] == ["failed", "failed"]
        assert {row["status"] for row in rows} == {400}
        assert {row["error_kind"] for row in rows} == {"invalid_request"}
        assert all(row["error"] and row["input_tokens"] is None for row in rows)


async def test_a_client_that_leaves_is_no_failure(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        _, writer = await home.connect()
        body = orjson.dumps(turn("[[sim:fault stall after=1]] Hi", stream=True))
        writer.write(request_bytes("POST", "/v1/messages", body))
        while home.app.metrics.active == 0:
            await asyncio.sleep(0)
        writer.transport.abort()
        while home.app.metrics.active:
            await asyncio.sleep(0.01)
        (row,) = (await get(home, "/api/requests")).json["requests"]
        assert row["outcome"] == "cancelled"
        assert row["error"] == ""


async def test_requests_come_in_pages(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for _ in range(3):
            await home.ask("Hi")
        first = (await get(home, "/api/requests?limit=2")).json["requests"]
        rest = (await get(home, f"/api/requests?limit=2&before={first[-1]['id']}")).json["requests"]
        assert (len(first), len(rest)) == (2, 1)


@pytest.mark.parametrize(
    "limit",
    [
        "0",
        "501",
        "x",
        "-1",
        "+1",
        "1.0",
        "%D9%A5",
        f"000000001{'9' * 11}",
        f"000000001{'0' * 5000}",
    ],
)
async def test_a_page_has_at_most_so_many_requests(
    tmp_path: Path, limit: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path) as home:
        answer = await get(home, f"/api/requests?limit={limit}")
        assert answer.status == 400
        assert "limit" in answer.json["error"]["message"]
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_tokens_have_the_shape_of_kiro2api(tmp_path: Path) -> None:
    async with house(tmp_path, "social", "idc") as home:
        await figures(home)
        await home.ask("Hi")
        pool = (await get(home, "/api/tokens")).json
        assert (pool["total_tokens"], pool["active_tokens"]) == (2, 2)
        assert pool["pool_stats"] == {"total_tokens": 2, "active_tokens": 2}
        first = pool["tokens"][0]
        assert (first["index"], first["status"], first["auth_type"]) == (0, "active", "social")
        assert first["remaining_usage"] > 0
        assert first["usage_limits"]["is_exceeded"] is False
        assert first["last_used"] is not None
        assert pool["tokens"][1]["last_used"] is None


async def test_no_route_tells_a_secret(tmp_path: Path) -> None:
    async with house(tmp_path, "social", "idc", "api_key") as home:
        await figures(home)
        await home.ask("Hi")
        tokens = [
            value
            for entry in home.kiro.demo_credentials("social", "idc", "api_key")
            for name, value in entry.items()
            if name in ("refreshToken", "clientSecret", "kiroApiKey", "apiKey")
        ]
        assert tokens
        for path in ("/api/usage", "/api/tokens", "/api/requests", "/metrics"):
            body = (await get(home, path)).body.decode()
            assert not [token for token in tokens if token[-10:] in body]
            assert KEY not in body
            assert "example.com" not in body


async def test_strangers_need_the_key_and_get_no_cors(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for path in ("/api/usage", "/api/tokens", "/api/requests", "/api/events", "/metrics"):
            foreign = {**LOCAL, "Host": "evil.example"}
            assert (await get(home, path, foreign)).status == 401
            page = {**LOCAL, "Origin": "https://evil.example"}
            refused = await get(home, path, page)
            assert refused.status == 401
            assert not [name for name in refused.headers if name.startswith("access-control")]
        assert (await get(home, "/api/usage", {"Host": "evil.example"})).status == 200


async def read_event(reader: asyncio.StreamReader) -> tuple[str, Json]:
    """The next event of a chunked stream whose events come in chunks of their own."""
    name = ""
    while True:
        line = (await reader.readline()).decode().rstrip()
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            return name, orjson.loads(line[6:])


async def open_events(home: House) -> asyncio.StreamReader:
    reader, writer = await home.connect()
    writer.write(request_bytes("GET", "/api/events", headers=LOCAL))
    return reader


async def until(reader: asyncio.StreamReader, wanted: str) -> Json:
    while True:
        name, data = await read_event(reader)
        if name == wanted:
            return data


async def test_events_tell_of_requests_and_streams(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reader = await open_events(home)
        assert await read_event(reader) == ("active", {"streams": 0})
        answer = await home.ask("Hi")
        told = await until(reader, "request")
        assert told["id"] == answer.headers["x-request-id"]
        (listed,) = (await get(home, "/api/requests")).json["requests"]
        assert told == listed


async def test_events_tell_of_accounts(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await figures(home)
        reader = await open_events(home)
        await read_event(reader)
        home.kiro.account("social").suspended = True
        await home.ask("Hi")
        account = await until(reader, "account")
        assert account["state"] == "suspended"
        assert account["reason"]


async def test_head_of_events_is_answered_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.send("HEAD", "/api/events", headers=LOCAL)
        assert answer.headers["content-type"].startswith("text/event-stream")


async def test_open_events_do_not_hold_up_the_end(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_DRAIN_S="600") as home:
        reader, writer = await home.connect()
        writer.write(request_bytes("GET", "/api/events", headers=LOCAL))
        await reader.readuntil(b"active")
        await home.app.stop()
        assert (await reader.read()).endswith(b"0\r\n\r\n")


async def test_whoever_watches_longest_makes_room_for_another(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        first = await open_events(home)
        await read_event(first)
        others = [await open_events(home) for _ in range(MAX_WATCHERS)]
        for reader in others:
            assert await read_event(reader) == ("active", {"streams": 0})
        assert await first.readuntil(b"0\r\n\r\n")  # its proper end
        await home.ask("Hi")
        for reader in others:
            assert (await until(reader, "request"))["outcome"] == "answered"


def metric_values(body: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


async def test_metrics_agree_with_what_happened(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        usage: Json = await figures(home)
        await home.ask("Hi")
        await home.ask("x", messages=[])
        answer = await get(home, "/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        values = metric_values(answer.body)
        account: Any = usage["accounts"][0]
        who = ("account", account["id"])
        assert values["kiro2api_token_usage_remaining", (who,)] == account["remaining"]
        assert values["kiro2api_requests_failed_total", ()] == 1
        kind = ("kind", "invalid_request")
        assert values["kiroproxy_requests_failed_total", (kind,)] == 1
        answered = (("dialect", "messages"), ("outcome", "answered"))
        assert values["kiroproxy_requests_total", answered] == 1
        assert values["kiroproxy_first_token_seconds_count", ()] == 1
        assert values["kiroproxy_request_seconds_count", ()] == 2
        assert values["kiroproxy_active_streams", ()] == 0
        assert values["kiroproxy_account_state", (who, ("state", "ready"))] == 1
        assert values["kiroproxy_account_state", (who, ("state", "revoked"))] == 0
        assert values["process_resident_memory_bytes", ()] > 1e6
        assert values["process_start_time_seconds", ()] > 1e9


async def test_metrics_tell_connections_and_what_they_hold(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.connect()  # a stranger
        reader, writer = await home.connect()
        writer.write(request_bytes("GET", "/v1/models"))  # who shows the key
        await reader.readuntil(b"\r\n\r\n")
        writer.write(request_bytes("POST", "/v1/messages", b"x" * 5_000)[:-1])
        wanted = {"client_connections": 3, "stranger_connections": 2, "request_held_bytes": 4_999}
        while True:  # the test's own timeout is the limit
            values = metric_values((await get(home, "/metrics")).body)
            found = {name: values[f"kiroproxy_{name}", ()] for name in wanted}
            if found == wanted:  # the one that asks has not shown it either
                break


async def test_metrics_can_be_switched_off(tmp_path: Path) -> None:
    async with house(tmp_path, METRICS_ENABLED="false") as home:
        assert (await get(home, "/metrics")).status == 404


async def test_the_ledger_survives_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.ask("Hi")
    async with house(tmp_path) as home:
        (row,) = (await get(home, "/api/requests")).json["requests"]
        assert row["id"] == answer.headers["x-request-id"]
        assert (await figures(home))["totals"]["requests"] == 1


async def test_a_wrong_key_is_counted_and_not_recorded(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        body = orjson.dumps(turn("Hi"))
        writer.write(request_bytes("POST", "/v1/messages", body, {"x-api-key": "wrong"}))
        assert (await read_answer(reader)).status == 401
        assert home.app.metrics.failures == {"unauthenticated": 1}
        assert (await get(home, "/api/requests")).json == {"requests": []}


async def test_prompts_are_logged_only_when_asked_for(tmp_path: Path) -> None:
    async with house(tmp_path / "off") as home:
        await home.ask("Hi")
        assert not (home.state_dir / "prompts").exists()
    async with house(tmp_path / "on", PROMPT_LOG_MODE="file") as home:
        whole = await home.ask("[[sim:say Good day]]")
        await home.send("POST", "/v1/messages", turn("[[sim:say Well]]", stream=True))
        await home.send("POST", "/v1/messages", b"no json")
    (file,) = (tmp_path / "on" / "state" / "prompts").iterdir()
    first, second, third = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert first["request_id"] == whole.headers["x-request-id"]
    assert first["prompt"]["messages"][0]["content"] == "[[sim:say Good day]]"
    assert [first["answer"], second["answer"]] == [[["text", "Good day"]], [["text", "Well"]]]
    assert (third["prompt"], third["outcome"], third["answer"]) == ("no json", "failed", [])


async def test_renewals_are_counted(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.ask("Hi")
        home.kiro.tokens.revoke_access("social")
        assert (await home.ask("Hi")).status == 200
        values = metric_values((await get(home, "/metrics")).body)
        assert values["kiroproxy_refreshes_total", (("result", "renewed"),)] == 2
        assert values["kiroproxy_retries_total", (("step", "refresh"),)] == 1


async def test_tokens_know_expiry_and_last_use_after_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.ask("Hi")
        before = (await get(home, "/api/tokens")).json["tokens"][0]
    async with house(tmp_path) as home:
        after = (await get(home, "/api/tokens")).json["tokens"][0]
    assert before["expires_at"] > before["last_used"] > "2020"
    assert after["last_used"] == before["last_used"]
