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
    Claude,
    ClaudeRun,
    Proxy,
    interrupt,
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


async def test_several_turns_and_a_picture_in_one_process(claude: Claude, proxy: Proxy) -> None:
    source = {
        "type": "base64",
        "media_type": "image/png",
        "data": samples.base64_text(samples.png(23, 11)),
    }
    picture = [{"type": "image", "source": source}, {"type": "text", "text": "Look."}]
    run = await claude.converse(order("say", "first"), picture, order("say", "third"))
    answers = [line["result"] for line in run.events if line["type"] == "result"]
    assert (answers[0], answers[2]) == ("first", "third")
    assert "a 23x11 PNG image" in answers[1]
    assert only_streams(run, proxy, 3)


async def test_many_pictures_at_once(claude: Claude, proxy: Proxy) -> None:
    paths = [claude.folder / f"{number}.png" for number in range(8)]
    for number, path in enumerate(paths):
        path.write_bytes(samples.png(20 + number, 10))
    calls = [tool("Read", file_path=str(path)) for path in paths]
    run = await claude.run("".join(calls), allow=["Read"])
    for number in range(8):
        assert f"a {20 + number}x10 PNG image" in run.text
    assert only_streams(run, proxy, 2)


async def test_call_that_the_user_did_not_allow(claude: Claude, proxy: Proxy) -> None:
    run = await claude.run(tool("Bash", command="touch ../forbidden"))
    assert "(failed)" in run.text
    assert not (claude.folder.parent / "forbidden").exists()
    assert only_streams(run, proxy, 2)


async def test_conversation_goes_on_after_an_interrupted_call(claude: Claude, proxy: Proxy) -> None:
    process = await claude.start(
        tool("Bash", command="touch ready; sleep 30"), "--allowedTools", "Bash"
    )
    while not (claude.folder / "ready").exists():
        await asyncio.sleep(0.05)
    await interrupt(process)
    run = await claude.run(order("say", "back again"), "--continue")
    assert run.text == "back again"
    assert only_streams(run, proxy, 2)


async def test_web_search(claude: Claude, proxy: Proxy, kiro: Simulator) -> None:
    """The tool's own request is one search, without the model."""
    claude.environment["ENABLE_TOOL_SEARCH"] = "false"
    run = await claude.run(tool("WebSearch", query="kiroproxy"), allow=["WebSearch"])
    assert "https://example.com/1" in json.dumps(run.results())
    assert only_streams(run, proxy, 3)
    assert (len(kiro.received("chat")), len(kiro.received("mcp"))) == (2, 1)


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
