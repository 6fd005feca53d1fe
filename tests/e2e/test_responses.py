"""What the Responses API promises, through the whole program: raw bytes and the official SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from kiroproxy.api.openai.sealed import unseal
from tests.api.openai.responses_reader import Read, parse_sse, read_stream
from tests.clients.samples import base64_text, png
from tests.e2e.support import KEY, Answer, House, house

MODEL = "claude-sonnet-4-5"
THINKER = "claude-opus-4-8"
ROUTE = "/v1/responses"
CODEX = {"originator": "codex_exec"}
READ: Any = {
    "type": "function",
    "name": "Read",
    "description": "Reads a file",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
}
PATCH: Any = {"type": "custom", "name": "apply_patch", "description": "Edits files."}
SERVER: Any = {"type": "namespace", "name": "mcp__srv", "description": "S", "tools": [READ]}


async def ask(
    home: House, given: Any, headers: dict[str, str] | None = None, **more: Any
) -> Answer:
    return await home.send("POST", ROUTE, {"model": MODEL, "input": given, **more}, headers)


async def read(home: House, given: Any, **more: Any) -> Read:
    """A streamed answer, through the strict reader."""
    answer = await ask(home, given, stream=True, **more)
    assert answer.status == 200, answer.body
    assert answer.whole
    return read_stream(answer.body)


@asynccontextmanager
async def sdk(home: House, key: str = KEY) -> AsyncIterator[AsyncOpenAI]:
    """The official client; it does not hide failures by retrying."""
    url = f"http://127.0.0.1:{home.port}/v1"
    async with AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        yield client


def sent_texts(home: House) -> str:
    """All that the service was sent last."""
    return home.kiro.received("chat")[-1].body.decode()


# -- raw --------------------------------------------------------------------------------------------


async def test_both_modes_say_the_same(tmp_path: Path) -> None:
    prompt = "[[sim:say Grüße, 世界! 👋🏽\n\ttab]]"
    async with house(tmp_path) as home:
        whole = (await ask(home, prompt)).json
        streamed = (await read(home, prompt)).response
    volatile = ("id", "created_at", "output")
    assert {k: v for k, v in whole.items() if k not in volatile} == {
        k: v for k, v in streamed.items() if k not in volatile
    }
    assert whole["output"][0]["content"][0]["text"] == "Grüße, 世界! 👋🏽\n\ttab"
    assert streamed["output"][0]["content"] == whole["output"][0]["content"]
    assert whole["id"].startswith("resp_")
    assert (whole["object"], whole["model"], whole["status"]) == ("response", MODEL, "completed")


async def test_silence_is_filled_with_json_events(tmp_path: Path) -> None:
    """Comments do not reset Codex's idle clock."""
    async with house(tmp_path, KIROPROXY_PING_INTERVAL_S="0.05") as home:
        got = await read(home, "[[sim:pace 0.2]][[sim:say one two]]")
    assert got.names.count("response.in_progress") > 2
    assert got.end == "completed"


async def test_custom_call_and_its_output(tmp_path: Path) -> None:
    patch = "*** Begin Patch\n*** End Patch\n"
    order = orjson.dumps({"input": patch}).decode()
    async with house(tmp_path) as home:
        got = await read(home, f"[[sim:tool apply_patch {order}]]", tools=[PATCH], store=False)
        (call,) = got.items
        assert (call["type"], call["name"], call["input"]) == (
            "custom_tool_call",
            "apply_patch",
            patch,
        )
        picture = "data:image/png;base64," + base64_text(png(9, 7))
        output = [
            {"type": "input_text", "text": "it worked"},
            {"type": "input_image", "image_url": picture},
        ]
        items = [
            {"role": "user", "content": "Patch it."},
            call,
            {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": output},
        ]
        answer = await read(home, items, tools=[PATCH])
        assert "it worked" in sent_texts(home)
        assert "9x7" in answer.texts[-1]
        assert not any(entry.violations for entry in home.kiro.received("chat"))


async def test_namespaced_call_comes_back_in_both_parts(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        got = await read(home, '[[sim:tool mcp__srv__Read {"path":"/x"}]]', tools=[SERVER])
    (call,) = got.items
    assert (call["name"], call["namespace"], call["arguments"]) == (
        "Read",
        "mcp__srv",
        '{"path":"/x"}',
    )


async def test_thinking_goes_out_sealed_and_comes_back_signed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        options: Any = {
            "model": THINKER,
            "reasoning": {"effort": "high", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
            "tools": [READ],
        }
        prompt = '[[sim:think Hm.]][[sim:tool Read {"path":"/x"}]]'
        got = await read(home, prompt, **options)
        thought, call = got.items
        assert thought["summary"][0]["text"].strip() == "Hm."
        signature = (unseal(thought["encrypted_content"]) or {})["signature"]
        items = [
            {"role": "user", "content": prompt},
            thought,
            call,
            {"type": "function_call_output", "call_id": call["call_id"], "output": "read"},
        ]
        await read(home, items, **options)
        assert signature in sent_texts(home)
        assert not any(entry.violations for entry in home.kiro.received("chat"))


async def test_compaction(tmp_path: Path) -> None:
    """Asked for with the last item, answered with one item, which comes back as text."""
    items: list[Any] = [
        {"role": "user", "content": "Call me Ishmael."},
        {"type": "function_call", "call_id": "c", "name": "Read", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "read"},
        {"type": "compaction_trigger"},
    ]
    async with house(tmp_path) as home:
        got = await read(home, items, tools=[READ], store=False)
        (item,) = got.items
        assert item["type"] == "compaction"
        summary = (unseal(item["encrypted_content"]) or {})["summary"]
        assert summary
        await read(home, [item, {"role": "user", "content": "Go on."}])
        assert orjson.dumps(summary)[1:-1].decode() in sent_texts(home)


async def test_cut_becomes_response_failed(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("cut", after=3)
        got = await read(home, "[[sim:text 40]]")
    assert got.end == "failed"
    assert got.response["error"]["code"] == "server_error"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("too_long", 400, "context_length_exceeded"),
        ("quota", 429, "insufficient_quota"),
        ("rate", 429, "rate_limit_exceeded"),
    ],
)
async def test_error_body(fault: str, status: int, code: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always(fault)
        answer = await ask(home, "hi", stream=True)
    assert (answer.status, answer.error["code"]) == (status, code)
    if fault == "rate":
        assert int(answer.headers["retry-after"]) >= 1
    else:  # the reset may be told too; what counts is that nobody tries before it
        assert fault == "too_long" or answer.headers["x-should-retry"] == "false"


async def test_wrong_field_is_named(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await ask(home, [{"role": "user", "content": [{"type": "input_text"}]}])
        background = await ask(home, "hi", background=True)
    assert (answer.status, answer.error["param"]) == (400, "input[0].content[0].text")
    assert (background.status, background.error["param"]) == (400, "background")


async def test_websocket_is_refused_so_that_codex_goes_on_with_http(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await home.send("GET", ROUTE, b"", {"Upgrade": "websocket"})
    assert answer.status == 426


# -- the pause before a 5xx -------------------------------------------------------------------------


async def test_codex_waits_before_a_server_error(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_CODEX_PAUSE_S="7.5") as home:
        home.kiro.faults.always("internal")
        for headers in (None, {"originator": "my_app"}):
            assert (await ask(home, "hi", headers)).status == 502
        assert 7.5 not in home.clock.pauses
        assert (await ask(home, "hi", CODEX)).status == 502
        assert home.clock.pauses.count(7.5) == 1


async def test_codex_does_not_wait_for_what_is_its_own_fault(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_CODEX_PAUSE_S="7.5") as home:
        assert (await ask(home, 7, CODEX)).status == 400
        home.kiro.faults.always("rate")
        assert (await ask(home, "hi", CODEX)).status == 429
        assert 7.5 not in home.clock.pauses


async def test_pause_can_be_switched_off(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_CODEX_PAUSE_S="0") as home:
        home.kiro.faults.always("internal")
        assert (await ask(home, "hi", CODEX)).status == 502
        assert 0 not in home.clock.pauses


# -- kept responses ---------------------------------------------------------------------------------


async def test_conversation_goes_on_by_id(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        first = (await read(home, "My name is Ishmael.[[sim:say Hello.]]")).response
        second = await ask(home, "[[sim:say two]]", previous_response_id=first["id"])
        assert "My name is Ishmael." in sent_texts(home)
        assert second.json["previous_response_id"] == first["id"]
        gone = await home.send("DELETE", f"{ROUTE}/{first['id']}")
        assert gone.json == {"id": first["id"], "object": "response", "deleted": True}
        # Each response holds all that came before, so a link of the chain may go.
        await ask(home, "three", previous_response_id=second.json["id"])
        assert "My name is Ishmael." in sent_texts(home)
        assert not any(entry.violations for entry in home.kiro.received("chat"))


async def test_kept_response_is_the_one_that_was_sent(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        sent = (await read(home, "[[sim:say once]]", metadata={"k": "v"})).response
        kept = await home.send("GET", f"{ROUTE}/{sent['id']}")
    assert kept.json == sent


@pytest.mark.parametrize("environment", [{}, {"KIROPROXY_RESPONSE_STORE_H": "0"}])
async def test_what_is_not_kept(tmp_path: Path, environment: Any) -> None:
    """By the client's wish, or by the setting."""
    more: Any = {} if environment else {"store": False}
    async with house(tmp_path, **environment) as home:
        answer = (await ask(home, "[[sim:say once]]", **more)).json
        assert answer["store"] is False
        again = await ask(home, "hi", previous_response_id=answer["id"])
        kept = await home.send("GET", f"{ROUTE}/{answer['id']}")
        gone = await home.send("DELETE", f"{ROUTE}/{answer['id']}")
    assert (again.status, again.error["param"]) == (400, "previous_response_id")
    assert (kept.status, gone.status) == (404, 404)


async def test_kept_responses_ask_for_the_key(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        sent = (await ask(home, "[[sim:say once]]")).json
        path = f"{ROUTE}/{sent['id']}"
        for method in ("GET", "DELETE"):
            assert (await home.send(method, path, b"", {"x-api-key": "wrong"})).status == 401
        assert (await home.send("GET", path)).status == 200


async def test_responses_outlive_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        sent = (await ask(home, "[[sim:say once]]")).json
    async with house(tmp_path) as home:
        assert (await home.send("GET", f"{ROUTE}/{sent['id']}")).json == sent


async def test_failed_answer_is_not_kept(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("cut", after=3)
        got = await read(home, "[[sim:text 40]]")
        assert (await home.send("GET", f"{ROUTE}/{got.response['id']}")).status == 404


# -- the official SDK -------------------------------------------------------------------------------


async def test_sdk_create(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        response = await client.responses.create(model=MODEL, input="[[sim:say Grüße]]")
        assert response.output_text == "Grüße"
        assert response.usage is not None
        assert response.usage.total_tokens > 0
        again = await client.responses.retrieve(response.id)
        assert again.output_text == "Grüße"
        await client.responses.delete(response.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)


async def test_sdk_raw_stream(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        stream = await client.responses.create(model=MODEL, input="[[sim:text 30]]", stream=True)
        events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 5
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == "".join(deltas)


async def test_sdk_stream_helper(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        manager = client.responses.stream(
            model=MODEL,
            input='[[sim:think Hm.]][[sim:say Look:]][[sim:tool Read {"path":"/x"}]]',
            tools=[READ],
            reasoning={"effort": "high", "summary": "auto"},
        )
        async with manager as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
    assert "response.function_call_arguments.done" in kinds
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    call = final.output[2]
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("Read", '{"path":"/x"}')


async def test_sdk_stream_helper_bears_repeated_progress(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_PING_INTERVAL_S="0.05") as home, sdk(home) as client:
        prompt = "[[sim:pace 0.2]][[sim:say one two three]]"
        async with client.responses.stream(model=MODEL, input=prompt) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
    assert kinds.count("response.in_progress") > 2
    assert final.output_text == "one two three"


class Title(BaseModel):
    title: str


async def test_sdk_parse(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        parsed = await client.responses.parse(model=MODEL, input="Write a title", text_format=Title)
        assert parsed.output_parsed == Title(title="Write a title")
        manager = client.responses.stream(model=MODEL, input="Write a title", text_format=Title)
        async with manager as stream:
            final = await stream.get_final_response()
    assert final.output_parsed == Title(title="Write a title")


async def test_sdk_tool_loop_by_id(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        prompt = '[[sim:tool Read {"path":"/x"}]]'
        first = await client.responses.create(model=MODEL, input=prompt, tools=[READ])
        (call,) = first.output
        assert call.type == "function_call"
        second = await client.responses.create(
            model=MODEL,
            previous_response_id=first.id,
            input=[{"type": "function_call_output", "call_id": call.call_id, "output": "line one"}],
            tools=[READ],
        )
    assert second.output_text == "Done. The result begins: line one"


async def test_sdk_errors(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        async with sdk(home, "wrong") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.responses.create(model=MODEL, input="hi")
        async with sdk(home) as client:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.responses.create(model=MODEL, input="hi", background=True)
            assert caught.value.param == "background"
            home.kiro.faults.next("cut", after=3, times=9)
            stream = await client.responses.create(
                model=MODEL, input="[[sim:text 40]]", stream=True
            )
            last = [event async for event in stream][-1]
    assert last.type == "response.failed"
    assert last.response.error is not None


async def test_every_line_of_the_stream_is_an_event(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await ask(home, "[[sim:say hi]]", stream=True)
    assert parse_sse(answer.body)[0][0] == "response.created"
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
