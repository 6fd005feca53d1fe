"""Claude Code when something goes wrong: what the user sees, what is asked again, what never happens."""

from __future__ import annotations

import asyncio
import json

import pytest

from kiroproxy.simulator import Simulator
from tests.clients.harness import (
    KEY,
    Claude,
    Proxy,
    finish,
    interrupt,
    noticed_abort,
    order,
    rounds,
    tool,
)


async def test_busy_service_then_success(claude: Claude, proxy: Proxy, kiro: Simulator) -> None:
    kiro.faults.next("high_load", times=6)  # more than the proxy's own patience
    run = await claude.run(order("say", "at last"))
    assert run.text == "at last"
    assert {status["error_status"] for status in run.statuses("api_retry")} == {529}
    assert run.streamed()


async def test_rate_limit_is_waited_for(claude: Claude, proxy: Proxy, kiro: Simulator) -> None:
    kiro.faults.next("rate", times=2, retry_after=1)
    run = await claude.run(order("say", "after the wait"))
    assert run.text == "after the wait"
    waits = [
        (status["error_status"], status["retry_delay_ms"]) for status in run.statuses("api_retry")
    ]
    assert {status for status, _ in waits} == {429}
    assert (
        min(delay for _, delay in waits) >= 1000
    )  # as the service asked, not Claude Code's own 500
    assert run.streamed()


async def test_too_long_leads_to_compaction(claude: Claude, proxy: Proxy, kiro: Simulator) -> None:
    prompt = rounds(tool("Bash", command="touch ready; until [ -e go ]; do sleep 0.05; done"))
    process = await claude.start(prompt, "--allowedTools", "Bash")
    ready, go = claude.folder / "ready", claude.folder / "go"
    while not ready.exists():  # the first exchange is over; the next request is the one to refuse
        await asyncio.sleep(0.05)
    kiro.faults.next("too_long")
    go.touch()
    run = await finish(process)
    assert not run.result["is_error"], run.result
    assert run.statuses("compact_boundary")
    assert run.streamed()


@pytest.mark.parametrize("fault", ["cut", "cut_mid_frame", "cut_mid_chunk", "eof", "corrupt"])
async def test_broken_answer_is_asked_for_again(
    claude: Claude, proxy: Proxy, kiro: Simulator, fault: str
) -> None:
    kiro.faults.next(fault, after=6)
    claude.environment["MAX_THINKING_TOKENS"] = "0"  # so that frame 6 is in the text
    run = await claude.run(order("say", "one two three four five six seven eight nine ten"))
    assert run.text == "one two three four five six seven eight nine ten"
    told = [(record["message"], record["stream"]) for record in proxy.accesses()]
    # An error event makes Claude Code ask for the same without a stream.
    assert told == [("failed", True), ("answered", False)]


async def test_throttled_in_the_middle(claude: Claude, proxy: Proxy, kiro: Simulator) -> None:
    kiro.faults.next("exception", after=6, name="ThrottlingException")
    run = await claude.run(order("say", "one two three four five six seven eight nine ten"))
    assert run.text == "one two three four five six seven eight nine ten"
    assert proxy.accesses()[0]["kind"] in ("rate_limited", "overloaded")


async def test_truncated_tool_call_is_never_carried_out(
    claude: Claude, proxy: Proxy, kiro: Simulator
) -> None:
    path = claude.folder / "whole.txt"
    wanted = "line\n" * 40
    kiro.faults.next("truncated_tool")
    run = await claude.run(tool("Write", file_path=str(path), content=wanted), allow=["Write"])
    assert not run.result["is_error"]
    assert path.read_text() == wanted
    assert [given["content"] for _, given in run.calls()] == [wanted]


async def test_wrong_key_is_said_at_once(claude: Claude, proxy: Proxy) -> None:
    run = await claude.run("hello", key="wrong-" + KEY)
    assert run.code != 0
    assert "401" in run.result["result"]
    assert "key" in run.result["result"]
    assert not run.statuses("api_retry")


@pytest.mark.parametrize(
    ("fault", "route", "words"),
    [
        ("suspended", "chat", "suspended"),
        ("quota", "chat", "credits of this Kiro account are used up"),
        ("invalid_grant", "refresh", "sign in to Kiro again"),
        ("too_long", "chat", "Prompt is too long"),  # in the first turn nothing can be compacted
    ],
)
async def test_what_no_retry_can_mend_is_said_at_once(
    claude: Claude, proxy: Proxy, kiro: Simulator, fault: str, route: str, words: str
) -> None:
    kiro.faults.always(fault, route=route)
    if route == "refresh":
        kiro.faults.always("token_expired")
    run = await claude.run("hello")
    assert run.code != 0
    assert run.result["is_error"]
    assert words in run.result["result"]
    assert "d-90670000" not in json.dumps(run.events)  # the service's words name the user
    assert not run.statuses("api_retry")
    assert len(proxy.accesses()) == 1


async def test_interrupt_reaches_the_service(claude: Claude, proxy: Proxy, kiro: Simulator) -> None:
    process = await claude.start(order("pace", "0.05") + order("text", "2000"))
    assert process.stdout is not None
    while b"content_block_delta" not in await process.stdout.readline():
        pass
    assert kiro.open_streams == 1
    await interrupt(process)
    await noticed_abort(kiro)
