"""Codex, the pinned release from npm, headless, over the whole way.

Every test counts the requests: Codex repeats what it cannot use without a word, up to thirty times.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kiroproxy.simulator import Settings, Simulator
from kiroproxy.simulator.catalogue import CATALOGUE
from tests.clients import register_server, samples
from tests.clients.codex import CODE_MODE, CODEX, PATCHING, Codex
from tests.clients.conftest import need
from tests.clients.harness import (
    KEY,
    Proxy,
    interrupt,
    noticed_abort,
    order,
    rounds,
    sign_in,
    tool,
)

_SOL = next(model for model in CATALOGUE if model.id == CODE_MODE)


@pytest.fixture
async def kiro() -> AsyncIterator[Simulator]:
    """The service, which also has a model that Codex gives its patch tool to."""
    models = (*CATALOGUE, replace(_SOL, id=PATCHING, name="GPT-5.5"))
    simulator = Simulator(Settings(pace_s=0.001, models=models))
    await simulator.start()
    yield simulator
    breaches = [str(breach) for entry in simulator.received("chat") for breach in entry.violations]
    await simulator.stop()
    assert breaches == []


@pytest.fixture
def codex(proxy: Proxy, tmp_path: Path) -> Codex:
    """Codex, pointed at the proxy."""
    need(CODEX)
    return Codex(tmp_path / "codex", proxy.url)


def only_streams(proxy: Proxy, requests: int) -> bool:
    """Exactly so many requests, each of them one good stream."""
    return [record["stream"] for record in proxy.answers()] == [True] * requests


def patch(*lines: str) -> str:
    """A call of the custom tool; the service only knows JSON."""
    body = "\n".join(["*** Begin Patch", *lines, "*** End Patch", ""])
    return tool("apply_patch", input=body)


async def test_text(codex: Codex, proxy: Proxy) -> None:
    run = await codex.run(order("say", "Grüße, 世界 👋: a “plain” answer"))
    assert run.text == "Grüße, 世界 👋: a “plain” answer"
    assert not run.errors.count("stream")
    assert only_streams(proxy, 1)


async def test_usage_and_thinking_are_shown(codex: Codex, proxy: Proxy) -> None:
    run = await codex.run(order("think", "A thought.") + order("say", "done"))
    assert [item["text"] for item in run.of("reasoning")] == ["A thought."]
    assert run.usage["input_tokens"] > 5_000  # the system prompt alone is that big
    assert run.usage["output_tokens"] > 0
    assert run.usage["reasoning_output_tokens"] > 0
    assert only_streams(proxy, 1)


async def test_shell(codex: Codex, proxy: Proxy) -> None:
    run = await codex.run(tool("exec_command", cmd="echo made-by-shell > made.txt; cat made.txt"))
    (command,) = run.of("command_execution")
    assert command["aggregated_output"] == "made-by-shell\n"
    assert (codex.folder / "made.txt").read_text() == "made-by-shell\n"
    assert run.text.startswith("Done.")  # the model did read the result
    assert only_streams(proxy, 2)


async def test_apply_patch_changes_files(codex: Codex, proxy: Proxy) -> None:
    codex.model = PATCHING
    poem = codex.folder / "poem.txt"
    poem.write_text("roses are red\nviolets are green\n")
    change = patch(
        "*** Update File: poem.txt",
        "@@",
        " roses are red",
        "-violets are green",
        "+violets are blue",
    )
    made = patch(
        "*** Add File: odd.txt", '+quotes " and \\ and\ttabs, emoji 👩‍👩‍👧 {"json": ["inside"]}'
    )
    run = await codex.run(rounds(change, made, order("say", "corrected")))
    assert run.text == "corrected"
    assert poem.read_text() == "roses are red\nviolets are blue\n"
    odd = (codex.folder / "odd.txt").read_text()
    assert odd == 'quotes " and \\ and\ttabs, emoji 👩‍👩‍👧 {"json": ["inside"]}\n'
    assert [len(item["changes"]) for item in run.of("file_change")] == [1, 1]
    assert only_streams(proxy, 3)


async def test_code_mode_with_tools_as_an_input_item(codex: Codex, proxy: Proxy) -> None:
    codex.model = CODE_MODE
    script = 'const r = await tools.exec_command({cmd: "echo from-js"}); text(r.output);'
    run = await codex.run(tool("functions__exec", input=script))
    assert [item["aggregated_output"] for item in run.of("command_execution")] == ["from-js\n"]
    assert run.text.startswith("Done.")
    assert only_streams(proxy, 2)


async def test_parallel_calls(codex: Codex, proxy: Proxy) -> None:
    calls = [tool("exec_command", cmd=f"echo word-{number}") for number in range(3)]
    run = await codex.run(order("say", "Three at once.") + "".join(calls))
    outputs = {item["aggregated_output"] for item in run.of("command_execution")}
    assert outputs == {"word-0\n", "word-1\n", "word-2\n"}
    assert only_streams(proxy, 2)


async def test_many_rounds(codex: Codex, proxy: Proxy) -> None:
    steps = [tool("exec_command", cmd=f"echo round-{number}") for number in range(8)]
    run = await codex.run(rounds(*steps, order("say", "all eight")))
    assert run.text == "all eight"
    outputs = [item["aggregated_output"] for item in run.of("command_execution")]
    assert outputs == [f"round-{number}\n" for number in range(8)]
    assert only_streams(proxy, 9)


MCP = [
    f"[mcp_servers.{register_server.SERVER}]",
    f"command = {json.dumps(sys.executable)}",
    f"args = [{json.dumps(register_server.__file__)}]",
]


async def test_namespaced_tool_of_an_mcp_server(codex: Codex, proxy: Proxy) -> None:
    codex.settings += MCP
    name = register_server.FULL_NAME
    assert len(name) > 64
    run = await codex.run(f'Call {name} with {{"person": "Ada"}}')
    (call,) = run.of("mcp_tool_call")
    assert (call["server"], call["tool"]) == (register_server.SERVER, register_server.TOOL)
    assert call["arguments"] == {"person": "Ada"}
    assert "the word of Ada is xylophone" in json.dumps(call["result"])
    assert only_streams(proxy, 2)


async def test_tool_search_finds_a_tool_that_is_then_called(codex: Codex, proxy: Proxy) -> None:
    codex.settings += MCP
    codex.model = PATCHING
    name = register_server.FULL_NAME
    run = await codex.run(
        rounds(tool("tool_search", query="secret word of a person"), tool(name, person="Ada"))
    )
    (call,) = run.of("mcp_tool_call")
    assert (call["tool"], call["arguments"]) == (register_server.TOOL, {"person": "Ada"})
    assert "the word of Ada is xylophone" in json.dumps(call["result"])
    assert only_streams(proxy, 3)


@pytest.mark.parametrize("mode", ["cached", "live"])
async def test_web_search_beside_its_tools(
    mode: str, codex: Codex, proxy: Proxy, kiro: Simulator
) -> None:
    """Several rounds are one request to Codex; the search goes back with the command's result."""
    codex.web_search = mode
    search = tool("web_search", query="kiroproxy")
    run = await codex.run(
        rounds(search, tool("exec_command", cmd="echo from-below"), order("say", "all found"))
    )
    assert run.text == "all found"
    (found,) = run.of("web_search")
    assert found["query"] == "kiroproxy"
    assert len(run.of("command_execution")) == 1
    assert only_streams(proxy, 2)
    assert (len(kiro.received("chat")), len(kiro.received("mcp"))) == (3, 1)
    sent = json.dumps(kiro.received("chat")[-1].json)
    assert '"name": "web_search", "input": {"query": "kiroproxy"}' in sent


async def test_web_search_in_one_breath_with_a_command(
    codex: Codex, proxy: Proxy, kiro: Simulator
) -> None:
    """The command is run; the search waits until the model asks again."""
    codex.web_search = "live"
    both = tool("web_search", query="kiroproxy") + tool("exec_command", cmd="echo from-below")
    run = await codex.run(rounds(both, tool("web_search", query="again"), order("say", "done")))
    assert run.text == "done"
    assert [item["query"] for item in run.of("web_search")] == ["again"]
    assert len(run.of("command_execution")) == 1
    assert only_streams(proxy, 2)
    assert len(kiro.received("mcp")) == 1


async def test_picture_in_a_tool_result(codex: Codex, proxy: Proxy) -> None:
    path = codex.folder / "picture.png"
    path.write_bytes(samples.png(40, 30))
    run = await codex.run(tool("view_image", path=str(path)))
    assert "a 40x30 PNG image" in run.text  # the model saw it
    assert only_streams(proxy, 2)


async def test_output_schema(codex: Codex, proxy: Proxy) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    path = codex.folder / "schema.json"
    path.write_text(json.dumps(schema))
    run = await codex.run(order("json", {"a": 7}), "--output-schema", str(path))
    assert json.loads(run.text) == {"a": 7}
    assert only_streams(proxy, 1)


async def test_conversation_goes_on_later(codex: Codex, proxy: Proxy) -> None:
    first = await codex.run(rounds(tool("exec_command", cmd="echo looked"), order("say", "first")))
    assert first.text == "first"
    second = await codex.run(order("say", "second"), "resume", "--last")
    assert second.text == "second"
    assert only_streams(proxy, 3)


async def test_compaction(codex: Codex, proxy: Proxy, kiro: Simulator) -> None:
    """Its own compaction is an ordinary request without tools, over a history with calls."""
    codex.compact_at = 11_000  # its own prompt has some 9,000
    long_once = "[ -e once ] && echo short || { touch once; seq 3000; }"
    steps = [tool("exec_command", cmd=long_once), tool("exec_command", cmd="echo again")]
    run = await codex.run(rounds(*steps, order("say", "still here")))
    assert run.text == "still here"
    asked = [entry.json["conversationState"] for entry in kiro.received("chat")]
    told = [state["currentMessage"]["userInputMessage"]["content"] for state in asked]
    assert [number for number, words in enumerate(told) if "summary" in words.lower()][:1] == [1]
    assert len(proxy.answers()) == len(told) == 5


async def test_compaction_in_the_place_of_the_built_in_provider(
    codex: Codex, proxy: Proxy, kiro: Simulator
) -> None:
    """Asked for with a ``compaction_trigger``, answered with one item, which comes back as text."""
    codex.builtin, codex.model, codex.compact_at = True, PATCHING, 11_000
    long_once = "[ -e once ] && echo short || { touch once; seq 3000; }"
    prompt = rounds(tool("exec_command", cmd=long_once), order("say", "the story so far"))
    run = await codex.run(prompt)
    assert run.text == "the story so far"
    asked = [entry.json["conversationState"] for entry in kiro.received("chat")]
    told = [state["currentMessage"]["userInputMessage"]["content"] for state in asked]
    assert "Summarise this conversation" in told[1]
    assert told[2].endswith("\n\nthe story so far")  # the summary has come back
    assert only_streams(proxy, 4)


async def test_silence_is_filled(kiro: Simulator, kiro_url: str, tmp_path: Path) -> None:
    """Its idle limit is far below the pauses of the service; only events reset it."""
    environment = sign_in(kiro, kiro_url, "social") | {"KIROPROXY_PING_INTERVAL_S": "0.1"}
    lively = await Proxy.start(tmp_path / "lively", environment)
    need(CODEX)
    provider = ["stream_idle_timeout_ms = 400"]
    settings = ['model_reasoning_summary = "none"']
    codex = Codex(tmp_path / "codex", lively.url, settings=settings, provider=provider)
    run = await codex.run(order("pace", "0.9") + order("say", "slow words"))
    await lively.stop()
    assert run.text == "slow words"
    assert only_streams(lively, 1)


async def test_wrong_key(codex: Codex, proxy: Proxy) -> None:
    run = await codex.run("hello", key="wrong-" + KEY)
    assert run.code != 0
    assert "401" in run.errors
    assert "wrong key" in run.errors


async def test_rate_limit_is_waited_for(codex: Codex, proxy: Proxy, kiro: Simulator) -> None:
    kiro.faults.next("rate", times=2, retry_after=1)
    run = await codex.run(order("say", "after the wait"))
    assert run.text == "after the wait"


async def test_broken_service_is_asked_again(codex: Codex, proxy: Proxy, kiro: Simulator) -> None:
    kiro.faults.next("internal", times=6)
    run = await codex.run(order("say", "at last"))
    assert run.text == "at last"
    statuses = [record["status"] for record in proxy.accesses()]
    assert statuses[-1] == 200
    assert min(statuses[:-1]) >= 500


@pytest.mark.parametrize("fault", ["cut", "cut_mid_frame", "eof", "corrupt"])
async def test_broken_answer_is_asked_for_again(
    codex: Codex, proxy: Proxy, kiro: Simulator, fault: str
) -> None:
    kiro.faults.next(fault, after=6)
    run = await codex.run(order("say", "one two three four five six seven eight nine ten"))
    assert run.text == "one two three four five six seven eight nine ten"
    assert [record["message"] for record in proxy.accesses()] == ["failed", "answered"]


async def test_truncated_call_is_never_carried_out(
    codex: Codex, proxy: Proxy, kiro: Simulator
) -> None:
    codex.settings.append('model_reasoning_summary = "none"')  # so that the call is all there is
    kiro.faults.next("truncated_tool")
    run = await codex.run(tool("exec_command", cmd="echo once >> count.txt; sleep 0"))
    assert run.code == 0
    assert (codex.folder / "count.txt").read_text() == "once\n"
    assert len(run.of("command_execution")) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [("quota", "Quota exceeded"), ("too_long", "ran out of room")],
)
async def test_what_no_retry_can_mend_is_said_at_once(
    codex: Codex, proxy: Proxy, kiro: Simulator, fault: str, words: str
) -> None:
    kiro.faults.always(fault)
    run = await codex.run("hello")
    assert run.code != 0
    assert words in run.errors
    assert len(proxy.accesses()) == 1


async def test_interrupt_reaches_the_service(codex: Codex, proxy: Proxy, kiro: Simulator) -> None:
    process = await codex.start(order("pace", "0.05") + order("text", "2000"))
    while not kiro.open_streams:
        await asyncio.sleep(0.01)
    await interrupt(process)
    await noticed_abort(kiro)
