"""What Chat Completions promises, through the whole program: raw bytes and the official SDK."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import openai
import orjson
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from kiroproxy.simulator import Settings
from tests.api.openai.reader import Read, read_stream
from tests.e2e.support import KEY, Answer, House, house, turn

MODEL = "claude-sonnet-4-5"
THINKER = "claude-opus-4-8"
ROUTE = "/v1/chat/completions"
PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    + (64).to_bytes(4, "big")
    + (48).to_bytes(4, "big")
    + b"\x08\2\0\0\0"
).decode()
READ: Any = {
    "type": "function",
    "function": {
        "name": "Read",
        "description": "Reads a file",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
}
NOW: Any = {"type": "function", "function": {"name": "Now"}}
TWO_CALLS = (
    "[[sim:say Two calls.]]"
    '[[sim:tools [{"name":"Read","input":{"path":"/etc/hosts"}},{"name":"Now","input":{}}]]]'
)


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


async def ask(home: House, text: str, **more: Any) -> Answer:
    return await home.send("POST", ROUTE, chat(text, **more))


async def read(home: House, text: str, **more: Any) -> Read:
    """A streamed answer, through the strict reader."""
    answer = await ask(home, text, stream=True, **more)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.whole
    return read_stream(answer.body)


@asynccontextmanager
async def sdk(home: House, key: str = KEY) -> AsyncIterator[AsyncOpenAI]:
    """The official client; it does not hide failures by retrying."""
    url = f"http://127.0.0.1:{home.port}/v1"
    async with AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
        yield client


# -- raw --------------------------------------------------------------------------------------------


async def test_both_modes_say_the_same(tmp_path: Path) -> None:
    prompt = "[[sim:say Grüße, 世界! 👋🏽\n\ttab]]"
    async with house(tmp_path) as home:
        whole = (await ask(home, prompt)).json
        streamed = await read(home, prompt)
    assert streamed.text == "Grüße, 世界! 👋🏽\n\ttab"
    assert whole["choices"][0]["message"]["content"] == streamed.text
    assert (whole["object"], whole["model"]) == ("chat.completion", MODEL)
    assert whole["id"].startswith("chatcmpl-")
    assert whole["created"] > 1_700_000_000
    assert (streamed.finish, streamed.done, streamed.usage) == ("stop", True, None)


async def test_usage_in_both_modes(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        whole = (await ask(home, "[[sim:text 30]]")).json["usage"]
        streamed = (
            await read(home, "[[sim:text 30]]", stream_options={"include_usage": True})
        ).usage
    assert whole["prompt_tokens"] > 0
    assert whole["completion_tokens"] > 10
    assert whole["total_tokens"] == whole["prompt_tokens"] + whole["completion_tokens"]
    assert streamed == whole


async def test_cached_tokens_are_part_of_the_prompt(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("token_usage")
        usage = (await ask(home, "hello")).json["usage"]
    assert 0 < usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


@pytest.mark.parametrize("model", [MODEL, THINKER], ids=["tags", "native"])
async def test_reasoning_is_shown_and_counted(model: str, tmp_path: Path) -> None:
    prompt = "[[sim:think Let me see.]][[sim:say Seen.]]"
    async with house(tmp_path) as home:
        streamed = await read(home, prompt, model=model, reasoning_effort="high")
        whole = (await ask(home, prompt, model=model, reasoning_effort="high")).json
        silent = (await ask(home, "[[sim:say Seen.]]", model=model)).json
    message = whole["choices"][0]["message"]
    assert (streamed.thinking.strip(), streamed.text) == ("Let me see.", "Seen.")
    assert (message["reasoning_content"].strip(), message["content"]) == ("Let me see.", "Seen.")
    details = whole["usage"]["completion_tokens_details"]
    assert 0 < details["reasoning_tokens"] <= whole["usage"]["completion_tokens"]
    assert "reasoning_content" not in silent["choices"][0]["message"]


async def test_several_calls_have_their_index(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        streamed = await read(home, TWO_CALLS, tools=[READ, NOW])
        whole = (await ask(home, TWO_CALLS, tools=[READ, NOW])).json["choices"][0]
    assert (streamed.text, streamed.finish) == ("Two calls.", "tool_calls")
    functions = [call["function"] for call in streamed.calls]
    assert [f["name"] for f in functions] == ["Read", "Now"]
    assert [orjson.loads(f["arguments"]) for f in functions] == [{"path": "/etc/hosts"}, {}]
    assert whole["finish_reason"] == "tool_calls"
    assert whole["message"]["tool_calls"] == streamed.calls


async def test_only_one_call_when_parallel_ones_are_off(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        streamed = await read(home, TWO_CALLS, tools=[READ, NOW], parallel_tool_calls=False)
    assert [call["function"]["name"] for call in streamed.calls] == ["Read"]
    assert streamed.finish == "tool_calls"


async def test_legacy_functions(tmp_path: Path) -> None:
    functions = [READ["function"]]
    async with house(tmp_path) as home:
        prompt = '[[sim:tool Read {"path":"/a"}]]'
        streamed = await read(home, prompt, functions=functions)
        choice = (await ask(home, prompt, functions=functions)).json["choices"][0]
        call = choice["message"]["function_call"]
        messages = [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": None, "function_call": call},
            {"role": "function", "name": "Read", "content": "line one"},
        ]
        after = await home.send(
            "POST", ROUTE, {"model": MODEL, "messages": messages, "functions": functions}
        )
        assert not any(entry.violations for entry in home.kiro.received("chat"))
    assert streamed.function_call == call
    assert (choice["finish_reason"], streamed.finish) == ("function_call", "function_call")
    assert orjson.loads(call["arguments"]) == {"path": "/a"}
    assert "line one" in after.json["choices"][0]["message"]["content"]


async def test_custom_tool_speaks_plain_text(tmp_path: Path) -> None:
    tools = [{"type": "custom", "custom": {"name": "apply_patch", "description": "Patches"}}]
    prompt = '[[sim:tool apply_patch {"input":"*** Begin\\n+é"}]]'
    async with house(tmp_path) as home:
        streamed = await read(home, prompt, tools=tools)
        whole = (await ask(home, prompt, tools=tools)).json["choices"][0]["message"]
    assert streamed.calls[0]["custom"] == {"name": "apply_patch", "input": "*** Begin\n+é"}
    assert whole["tool_calls"] == streamed.calls


async def test_responses_body_gets_chunks_back(tmp_path: Path) -> None:
    body = {
        "model": MODEL,
        "input": [
            {"role": "user", "content": '[[sim:tool ApplyPatch {"input":"*** Begin\\n"}]]'},
        ],
        "tools": [{"type": "custom", "name": "ApplyPatch", "description": "Patches"}],
        "stream": True,
    }
    async with house(tmp_path) as home:
        got = read_stream((await home.send("POST", ROUTE, body)).body)
    assert got.calls[0]["function"] == {"name": "ApplyPatch", "arguments": "*** Begin\n"}
    assert got.finish == "tool_calls"


@pytest.mark.parametrize(
    ("fields", "finish"),
    [
        ({"stop": "STOP"}, "stop"),
        ({"stop": ["x", "STOP"]}, "stop"),
        ({"max_tokens": 2}, "length"),
        ({"max_completion_tokens": 2, "max_tokens": 4000}, "length"),
    ],
)
async def test_cut_answers(fields: dict[str, Any], finish: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        streamed = await read(home, "[[sim:say one two STOP three]]", **fields)
        whole = (await ask(home, "[[sim:say one two STOP three]]", **fields)).json["choices"][0]
    assert streamed.text == whole["message"]["content"] == "one two "
    assert streamed.finish == whole["finish_reason"] == finish


@pytest.mark.parametrize("stop", ["CONTENT_FILTERED", "MODEL_CONTEXT_WINDOW_EXCEEDED"])
async def test_the_services_own_stops(stop: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        streamed = await read(home, f"[[sim:say so far]][[sim:stop {stop}]]")
    assert streamed.finish == {"CONTENT_FILTERED": "content_filter"}.get(stop, "length")


async def test_image_is_seen_and_url_is_refused(tmp_path: Path) -> None:
    def part(url: str) -> list[Any]:
        return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]

    async with house(tmp_path) as home:
        seen = await ask(home, "", messages=part(f"data:image/png;base64,{PNG}"))
        assert "64x48" in seen.json["choices"][0]["message"]["content"].replace(" ", "")
        refused = await ask(home, "", messages=part("https://example.org/a.png"))
        assert refused.status == 400
        assert refused.error["param"] == "messages[0].content[0].image_url.url"
        assert len(home.chats()) == 1


async def test_ignored_fields_are_named_or_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await ask(home, "hello", temperature=0.2, seed=7, n=1, user="me")
        assert answer.headers["x-kiroproxy-ignored"] == "seed, temperature, user"
        assert answer.headers["x-kiroproxy-model"] == "claude-sonnet-4.5"
    async with house(tmp_path / "strict", KIROPROXY_STRICT="1") as home:
        refused = await ask(home, "hello", temperature=0.2, seed=7)
        assert (refused.status, refused.error["param"]) == (400, "seed")
        assert "temperature" in refused.error["message"]
        tool = {"type": "function", "function": {"name": "f", "hum": 1}}
        inside = await ask(home, "hello", tools=[tool])
        assert (inside.status, inside.error["param"]) == (400, "tools.hum")
        assert not home.chats()
        assert (await ask(home, "hello", n=1, temperature=1)).status == 200


@pytest.mark.parametrize("stream", [True, False])
async def test_strict_refuses_what_only_the_model_cannot_do(stream: bool, tmp_path: Path) -> None:
    fields = {"model": "deepseek-3.2", "reasoning_effort": "high", "stream": stream}
    async with house(tmp_path) as home:
        answer = await ask(home, "hello", **fields)
        assert answer.headers["x-kiroproxy-ignored"] == "thinking"
    async with house(tmp_path / "strict", KIROPROXY_STRICT="true") as home:
        refused = await ask(home, "hello", **fields)
        assert (refused.status, refused.error["param"]) == (400, "thinking")
        assert not home.chats()


async def test_ping_is_a_comment(tmp_path: Path) -> None:
    async with house(tmp_path, KIROPROXY_PING_INTERVAL_S="0.05") as home:
        home.kiro.faults.always("slow_first_frame", seconds=0.3)
        answer = await ask(home, "[[sim:say there]]", stream=True)
        assert b"\n\n: ping\n\n" in answer.body
        assert read_stream(answer.body).text == "there"


async def test_broken_stream_has_no_done(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("cut", after=3)
        streamed = await read(home, "[[sim:text 40]]")
    assert streamed.text
    assert (streamed.done, streamed.finish) == (False, None)
    assert streamed.error is not None and streamed.error["type"] == "server_error"


async def test_conversation_with_a_prefix_of_its_own_keeps_its_id(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": "Be good."},
            {"role": "user", "content": "one"},
        ]
        for word in ("two", "three"):
            answer = await home.send("POST", ROUTE, {"model": MODEL, "messages": messages})
            messages += [answer.json["choices"][0]["message"], {"role": "user", "content": word}]
        first, second = (e.json["conversationState"] for e in home.kiro.received("chat"))
    assert first["conversationId"] == second["conversationId"]
    assert second["history"][: len(first["history"])] == first["history"]


# -- errors -----------------------------------------------------------------------------------------


async def test_errors_are_told_in_the_routes_dialect(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        bearer = {"x-api-key": "", "Authorization": f"Bearer {KEY}"}
        for path, headers, theirs in (
            ("/v1/chat/completions/nothing", {}, True),
            ("/v1/messages/nothing", bearer, False),
            ("/v1/nothing", bearer, True),
            ("/v1/nothing", {}, False),
            ("/v1/nothing", {**bearer, "anthropic-version": "2023-06-01"}, False),
            ("/v1/models/none", bearer, True),
            ("/v1/models/none", {}, False),
        ):
            answer = await home.send("GET", path, headers=headers)
            assert answer.status == 404
            assert ("code" in answer.error) == theirs, path
        assert (await home.send("GET", ROUTE)).error["code"] == "method_not_supported"


# -- structured answers -----------------------------------------------------------------------------

TITLE = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["title", "year"],
    "additionalProperties": False,
}


def form(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "title", "schema": schema, "strict": True},
    }


@pytest.mark.parametrize("stream", [True, False])
async def test_schema_is_kept(stream: bool, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        text = await _text(home, "Write a title", stream, response_format=form(TITLE))
        assert set(orjson.loads(text)) == {"title", "year"}
        assert len(home.chats()) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_misfit_is_repaired_out_of_sight(stream: bool, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        prompt = '[[sim:say ```json\n{"title": 1}\n```]]'
        text = await _text(home, prompt, stream, response_format=form(TITLE))
        assert isinstance(orjson.loads(text)["title"], str)
        first, second = (e.json["conversationState"] for e in home.kiro.received("chat"))
        assert first["conversationId"] == second["conversationId"]
        assert (
            second["history"][-1]["assistantResponseMessage"]["content"] == '{"title": 1}\n'.strip()
        )
        said = second["currentMessage"]["userInputMessage"]["content"]
        assert "$.title must be a string" in said
        assert "$ lacks the member 'year'" in said


@pytest.mark.parametrize("stream", [True, False])
async def test_misfit_that_stays_is_an_error(stream: bool, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        fields = {"response_format": {"type": "json_object"}, "stream": stream}
        answer = await ask(home, "[[sim:say Never JSON.]]", **fields)
        assert (answer.status, answer.error["type"]) == (502, "server_error")
        assert "does not fit the requested JSON schema" in answer.error["message"]
        assert answer.headers["x-should-retry"] == "false"
        assert len(home.chats()) == 2


async def test_the_messages_dialect_is_held_to_its_schema_too(tmp_path: Path) -> None:
    config = {"format": {"type": "json_schema", "schema": TITLE}}
    async with house(tmp_path) as home:
        answer = await home.ask("[[sim:say No.]]", output_config=config, stream=True)
        assert set(orjson.loads(answer.text)) == {"title", "year"}
        assert answer.events[-1][0] == "message_stop"


async def test_cut_json_is_told_by_its_finish_reason(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        prompt = '[[sim:json {"title": "a rather long one", "year": 1}]]'
        streamed = await read(home, prompt, response_format=form(TITLE), max_tokens=3)
        assert (streamed.finish, len(home.chats())) == ("length", 1)


async def _text(home: House, prompt: str, stream: bool, **fields: Any) -> str:
    if stream:
        return (await read(home, prompt, **fields)).text
    answer = await ask(home, prompt, **fields)
    assert answer.status == 200
    content = answer.json["choices"][0]["message"]["content"]
    assert isinstance(content, str)
    return content


# -- the official SDK -------------------------------------------------------------------------------


def says(text: str) -> Any:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]}


async def test_sdk_create(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        made = await client.chat.completions.create(**says("[[sim:say Grüße]]"))
    assert made.choices[0].message.content == "Grüße"
    assert made.usage is not None and made.usage.total_tokens > 0
    assert made._request_id is not None and made._request_id.startswith("req_")


async def test_sdk_stream(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        stream = await client.chat.completions.create(
            **says("[[sim:text 60]]"), stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert len("".join(c.choices[0].delta.content or "" for c in chunks[:-1]).split()) == 60
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens > 10


async def test_sdk_stream_helper_with_tools(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        async with client.chat.completions.stream(**says(TWO_CALLS), tools=[READ, NOW]) as stream:
            kinds = {event.type async for event in stream}
            final = await stream.get_final_completion()
    message = final.choices[0].message
    assert {"content.delta", "tool_calls.function.arguments.done"} <= kinds
    assert message.content == "Two calls."
    assert [call.function.name for call in message.tool_calls or ()] == ["Read", "Now"]
    assert orjson.loads((message.tool_calls or [])[0].function.arguments) == {"path": "/etc/hosts"}


async def test_sdk_tool_round(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        messages: list[Any] = [{"role": "user", "content": '[[sim:tool Read {"path":"/a"}]]'}]
        first = await client.chat.completions.create(model=MODEL, messages=messages, tools=[READ])
        calls = first.choices[0].message.tool_calls or []
        messages += [
            first.choices[0].message,
            {"role": "tool", "tool_call_id": calls[0].id, "content": "line one"},
        ]
        second = await client.chat.completions.create(model=MODEL, messages=messages, tools=[READ])
        assert not any(entry.violations for entry in home.kiro.received("chat"))
    assert "line one" in (second.choices[0].message.content or "")


class Title(BaseModel):
    title: str
    kind: Literal["book", "film"]
    years: list[int]
    note: str | None


async def test_sdk_parse(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        made = await client.chat.completions.parse(**says("Write a title"), response_format=Title)
        async with client.chat.completions.stream(
            **says("[[sim:say no JSON]]"), response_format=Title
        ) as stream:
            final = await stream.get_final_completion()
    for parsed in (made.choices[0].message.parsed, final.choices[0].message.parsed):
        assert isinstance(parsed, Title)
        assert parsed.kind == "book"


async def test_sdk_models(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        ids = [model.id async for model in client.models.list()]
        assert "claude-sonnet-4.5" in ids
        assert (await client.models.retrieve(ids[0])).id == ids[0]
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve("no-such-model")
        assert caught.value.code == "model_not_found"


REFUSALS: list[tuple[str, type[openai.APIStatusError], str | None]] = [
    ("improper", openai.BadRequestError, None),
    ("too_long", openai.BadRequestError, "context_length_exceeded"),
    ("bad_model", openai.NotFoundError, "model_not_found"),
    ("unauthenticated", openai.AuthenticationError, "invalid_api_key"),
    ("suspended", openai.PermissionDeniedError, "permission_denied"),
    ("quota", openai.RateLimitError, "insufficient_quota"),
    ("rate", openai.RateLimitError, "rate_limit_exceeded"),
    ("capacity", openai.InternalServerError, "server_is_overloaded"),
    ("internal", openai.InternalServerError, "upstream_error"),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("fault", "kind", "code"), REFUSALS, ids=[r[0] for r in REFUSALS])
async def test_sdk_error_classes(
    fault: str, kind: type[openai.APIStatusError], code: str | None, stream: bool, tmp_path: Path
) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        home.kiro.faults.always(fault)
        with pytest.raises(kind) as caught:
            await client.chat.completions.create(**says("hello"), stream=stream)
    assert caught.value.code == code
    assert caught.value.request_id is not None
    if fault == "rate":
        assert int(caught.value.response.headers["retry-after"]) >= 1


async def test_sdk_wrong_key(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home, "wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(**says("hello"))
    assert caught.value.code == "invalid_api_key"


async def test_sdk_raises_on_a_stream_that_breaks(tmp_path: Path) -> None:
    async with house(tmp_path, settings=Settings(pace_s=0.002)) as home, sdk(home) as client:
        home.kiro.faults.always("cut", after=3)
        stream = await client.chat.completions.create(**says("[[sim:text 40]]"), stream=True)
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass


async def test_two_dialects_share_one_house(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        made = await client.chat.completions.create(**says("[[sim:say hi]]"))
        other = await home.send("POST", "/v1/messages", turn("[[sim:say hi]]"))
    assert made.choices[0].message.content == other.text == "hi"
