"""Claude Code, the pinned release from npm, headless, over the whole way.

Every test ends in ``streamed``: Claude Code repeats an unusable stream with ``stream: false`` without a
word, so a broken stream would otherwise look fine and cost double.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from kiroproxy.simulator import Simulator
from tests.clients import register_server, samples
from tests.clients.harness import (
    KEY,
    Claude,
    ClaudeRun,
    Proxy,
    interrupt,
    noticed_abort,
    order,
    rounds,
    tool,
)

ADAPTIVE = "claude-opus-5-5"  # thinks natively, effort and all
BUDGET = "claude-sonnet-4-5"  # thinking with a number of tokens


def only_streams(run: ClaudeRun, proxy: Proxy, requests: int) -> bool:
    """Exactly so many requests, each of them one good stream."""
    streams = [record["stream"] for record in proxy.answers()]
    return run.streamed() and streams == [True] * requests


async def test_text(claude: Claude, proxy: Proxy) -> None:
    run = await claude.run(order("say", "Grüße, 世界 👋: a “plain” answer"))
    assert run.text == "Grüße, 世界 👋: a “plain” answer"
    assert run.result["stop_reason"] == "end_turn"
    assert only_streams(run, proxy, 1)


async def test_raw_events_have_the_order_of_the_api(claude: Claude, proxy: Proxy) -> None:
    run = await claude.run(order("text", "50"))
    letters = {
        "message_start": "M",
        "content_block_start": "(",
        "content_block_delta": ".",
        "content_block_stop": ")",
        "message_delta": "d",
        "message_stop": "m",
        "ping": "",
    }
    written = "".join(letters[event["type"]] for event in run.raw())
    # Thinking, then text, one after the other, each in pieces and not at once.
    assert re.fullmatch(r"M\(\.{6,}\)\(\.{6,}\)dm", written), written
    assert only_streams(run, proxy, 1)


async def test_usage_is_told_and_agrees(claude: Claude, proxy: Proxy) -> None:
    run = await claude.run(order("text", "80"))
    (begun,) = run.raw("message_start")
    (ended,) = run.raw("message_delta")
    assert begun["message"]["usage"]["input_tokens"] > 5_000  # the system prompt alone is that big
    assert ended["usage"]["output_tokens"] > 40
    assert run.result["usage"]["output_tokens"] == ended["usage"]["output_tokens"]


@pytest.mark.parametrize("path", ["/v1", "/claude-kiro-oauth", "/claude-kiro-oauth/v1", "/"])
async def test_base_url_in_every_form(claude: Claude, proxy: Proxy, path: str) -> None:
    claude.base_url += path
    run = await claude.run(order("say", "found"))
    assert run.text == "found"
    assert only_streams(run, proxy, 1)


async def test_bash_tool_loop(claude: Claude, proxy: Proxy) -> None:
    run = await claude.run(tool("Bash", command="echo made-by-bash"), allow=["Bash"])
    assert run.calls() == [("Bash", {"command": "echo made-by-bash"})]
    assert "The result begins: made-by-bash" in run.text  # the model did read the result
    assert only_streams(run, proxy, 2)


async def test_failed_tool_is_told_to_the_model(claude: Claude, proxy: Proxy) -> None:
    run = await claude.run(tool("Bash", command="echo oops >&2; exit 3"), allow=["Bash"])
    assert "(failed)" in run.text
    assert "oops" in run.text
    assert only_streams(run, proxy, 2)


async def test_read_then_edit(claude: Claude, proxy: Proxy) -> None:
    poem = claude.folder / "poem.txt"
    poem.write_text("roses are red\nviolets are green\n")
    prompt = rounds(
        tool("Read", file_path=str(poem)),
        tool("Edit", file_path=str(poem), old_string="green", new_string="blue"),
        order("say", "corrected"),
    )
    run = await claude.run(prompt, allow=["Read", "Edit"])
    assert run.text == "corrected"
    assert poem.read_text() == "roses are red\nviolets are blue\n"
    assert only_streams(run, proxy, 3)


async def test_difficult_tool_input_arrives_byte_for_byte(claude: Claude, proxy: Proxy) -> None:
    wanted = (
        'quotes " and \\ and\ttabs\r\n\u2028 emoji 👩‍👩‍👧 zero-width\u200b {"json": ["inside"]} </tool>'
        * 20
    )
    path = claude.folder / "odd.txt"
    run = await claude.run(tool("Write", file_path=str(path), content=wanted), allow=["Write"])
    assert not run.result["is_error"]
    assert path.read_bytes().decode() == wanted
    assert only_streams(run, proxy, 2)


async def test_parallel_calls(claude: Claude, proxy: Proxy) -> None:
    (claude.folder / "note.txt").write_text("from a file")
    calls = [
        tool("Bash", command="sleep 0.3; echo slow"),
        tool("Bash", command="echo quick"),
        tool("Read", file_path=str(claude.folder / "note.txt")),
    ]
    run = await claude.run(order("say", "Three at once.") + "".join(calls), allow=["Bash", "Read"])
    assert [name for name, _ in run.calls()] == ["Bash", "Bash", "Read"]
    for word in ("slow", "quick", "from a file"):
        assert word in run.text
    assert only_streams(run, proxy, 2)


async def test_many_rounds(claude: Claude, proxy: Proxy) -> None:
    steps = [tool("Bash", command=f"echo round-{number}") for number in range(12)]
    run = await claude.run(rounds(*steps, order("say", "all twelve")), allow=["Bash"])
    assert run.text == "all twelve"
    assert [block["content"] for block in run.results()] == [f"round-{n}" for n in range(12)]
    assert only_streams(run, proxy, 13)


async def test_tool_without_input_is_called_with_none(claude: Claude, proxy: Proxy) -> None:
    run = await claude.run(tool("ListAgents"), allow=["ListAgents"])
    assert run.calls() == [("ListAgents", {})]
    assert not run.results()[0].get("is_error")
    assert only_streams(run, proxy, 2)


def mcp_flags(folder: Path) -> tuple[str, str]:
    entry = {"type": "stdio", "command": sys.executable, "args": [register_server.__file__]}
    path = folder / "servers.json"
    path.write_text(json.dumps({"mcpServers": {register_server.SERVER: entry}}))
    return "--mcp-config", str(path)


async def test_mcp_tool_with_a_name_too_long_for_the_service(claude: Claude, proxy: Proxy) -> None:
    name = register_server.FULL_NAME
    assert len(name) > 64
    claude.environment["ENABLE_TOOL_SEARCH"] = "false"  # all tools are listed at once
    run = await claude.run(
        f'Call {name} with {{"person": "Ada"}}', *mcp_flags(claude.folder), allow=[name]
    )
    assert run.calls() == [(name, {"person": "Ada"})]
    assert "the word of Ada is xylophone" in run.text
    assert only_streams(run, proxy, 2)


async def test_tool_search_loads_a_deferred_tool(claude: Claude, proxy: Proxy) -> None:
    name = register_server.FULL_NAME
    prompt = rounds(tool("ToolSearch", query=f"select:{name}"), tool(name, person="Ada"))
    run = await claude.run(prompt, *mcp_flags(claude.folder), allow=[name, "ToolSearch"])
    assert run.calls()[1] == (name, {"person": "Ada"})
    assert "the word of Ada is xylophone" in run.text
    assert only_streams(run, proxy, 3)


async def test_subagent(claude: Claude, proxy: Proxy) -> None:
    inner = rounds(tool("Bash", command="echo from-below"), order("say", "the agent says pong"))
    call = tool(
        "Agent",
        description="ask below",
        prompt=inner,
        subagent_type="general-purpose",
        run_in_background=False,
    )
    run = await claude.run(call, allow=["Agent", "Bash"])
    assert "the agent says pong" in json.dumps(run.results())
    assert [name for name, _ in run.calls()] == ["Agent", "Bash"]
    assert not run.result["is_error"]
    assert only_streams(run, proxy, 4)


async def test_image_inside_a_tool_result(claude: Claude, proxy: Proxy) -> None:
    path = claude.folder / "picture.png"
    path.write_bytes(samples.png(40, 30))
    run = await claude.run(tool("Read", file_path=str(path)), allow=["Read"])
    assert "a 40x30 PNG image" in run.text  # the model saw it
    assert only_streams(run, proxy, 2)


async def test_pdf(claude: Claude, proxy: Proxy) -> None:
    path = claude.folder / "paper.pdf"
    path.write_bytes(samples.pdf(3))
    run = await claude.run(tool("Read", file_path=str(path)), allow=["Read"])
    assert "a PDF named" in run.text
    assert "with 3 pages" in run.text
    assert only_streams(run, proxy, 2)


@pytest.mark.parametrize("model", [ADAPTIVE, BUDGET])
async def test_thinking_goes_out_and_comes_back(claude: Claude, proxy: Proxy, model: str) -> None:
    claude.model = model
    prompt = rounds(
        order("think", "First a look at the folder.") + tool("Bash", command="echo looked"),
        order("think", "Now I know.") + order("say", "<thinking> is a tag, `</thinking>` too"),
    )
    run = await claude.run(prompt, allow=["Bash"])
    assert run.text == "<thinking> is a tag, `</thinking>` too"
    thoughts = [block["thinking"].strip() for block in run.blocks("assistant", "thinking")]
    assert thoughts == ["First a look at the folder.", "Now I know."]
    assert only_streams(run, proxy, 2)


@pytest.mark.parametrize("effort", ["low", "max"])
async def test_effort(claude: Claude, proxy: Proxy, effort: str) -> None:
    claude.model = ADAPTIVE
    run = await claude.run(order("say", "fine"), "--effort", effort)
    assert run.text == "fine"
    assert only_streams(run, proxy, 1)


@pytest.mark.parametrize(
    "model",
    [
        "opus",
        "sonnet",
        "haiku",
        "opusplan",
        "claude-opus-4-8[1m]",
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4.5",
        "claude-3-7-sonnet-20250219",
        "claude-opus-9-9",  # newer than the service's list
        "auto",
    ],
)
async def test_model_names(claude: Claude, proxy: Proxy, model: str) -> None:
    claude.model = model
    run = await claude.run(order("say", "any name will do"))
    assert run.text == "any name will do"
    assert only_streams(run, proxy, 1)


async def test_model_that_nobody_has(claude: Claude, kiro: Simulator) -> None:
    claude.model = "a-model-of-next-year"
    run = await claude.run("hello")
    assert "a-model-of-next-year" in run.result["result"]
    assert not run.statuses("api_retry")
    kiro.requests.clear()  # the service did refuse these, as it should


async def test_conversation_goes_on_later_with_another_model(claude: Claude, proxy: Proxy) -> None:
    claude.model = ADAPTIVE
    call = order("think", "I look.") + tool("Bash", command="echo looked")
    first = await claude.run(rounds(call, order("say", "first answer")), allow=["Bash"])
    claude.model = BUDGET
    second = await claude.run(order("say", "second answer"), "--continue")
    claude.model = "claude-sonnet-5"
    third = await claude.run(order("say", "third answer"), "--continue")
    assert [run.text for run in (first, second, third)] == [
        "first answer",
        "second answer",
        "third answer",
    ]
    assert only_streams(third, proxy, 4)


async def test_web_search(claude: Claude, proxy: Proxy) -> None:
    claude.environment["ENABLE_TOOL_SEARCH"] = "false"
    run = await claude.run(tool("WebSearch", query="kiroproxy"), allow=["WebSearch"])
    assert "https://example.com/1" in json.dumps(run.results())
    assert only_streams(run, proxy, 3)


async def test_json_schema(claude: Claude, proxy: Proxy) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "rank": {"type": "integer"}},
        "required": ["city", "rank"],
    }
    prompt = tool("StructuredOutput", city="Paris", rank=1)
    run = await claude.run(prompt, "--json-schema", json.dumps(schema))
    assert run.result["structured_output"] == {"city": "Paris", "rank": 1}
    assert only_streams(run, proxy, 1)


# --- when things go wrong -------------------------------------------------------------------------


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
    process = await claude.start(
        rounds(tool("Bash", command="touch ready; until [ -e go ]; do sleep 0.05; done")),
        "--allowedTools",
        "Bash",
    )
    ready, go = claude.folder / "ready", claude.folder / "go"
    while not ready.exists():  # the first exchange is over; the next request is the one to refuse
        await asyncio.sleep(0.05)
    kiro.faults.next("too_long")
    go.touch()
    out, err = await process.communicate()
    lines = [json.loads(line) for line in out.decode().splitlines()]
    run = ClaudeRun(lines, err.decode(), process.returncode or 0)
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


async def test_refused_sign_in_is_said_at_once(
    claude: Claude, proxy: Proxy, kiro: Simulator
) -> None:
    kiro.faults.always("suspended")
    run = await claude.run("hello")
    assert run.result["is_error"]
    assert "suspended" in run.result["result"]
    assert "d-90670000" not in json.dumps(run.events)  # the service's words name the user
    assert not run.statuses("api_retry")


async def test_interrupt_reaches_the_service(claude: Claude, proxy: Proxy, kiro: Simulator) -> None:
    process = await claude.start(order("pace", "0.05") + order("text", "2000"))
    assert process.stdout is not None
    while b"content_block_delta" not in await process.stdout.readline():
        pass
    assert kiro.open_streams == 1
    await interrupt(process)
    await noticed_abort(kiro)
