"""Web search by the model, beside other tools and alone, over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tests.api.anthropic.reader import read_stream as read_messages
from tests.api.openai.reader import read_stream as read_chat
from tests.api.openai.responses_reader import read_stream as read_responses
from tests.e2e.support import Answer, House, Json, house, request_bytes

OBJECT: Json = {"type": "object", "properties": {"path": {"type": "string"}}}
SEARCH = '[[sim:tool web_search {"query":"kiro"}]]'
READ = '[[sim:tool Read {"path":"/x"}]]'
ANSWER = "[[sim:say See https://example.com/1 and [two](https://example.com/2).]]"
SAID = "See https://example.com/1 and [two](https://example.com/2)."
ONCE = f"{SEARCH}[[sim:then]]{ANSWER}"


class Asked(Protocol):
    """One dialect: how it asks for a search, ``alone`` or beside the tool ``Read``, and what it hears."""

    path: str

    def body(self, prompt: str, *, stream: bool, **more: Any) -> Json: ...

    def hear(self, answer: Answer) -> Heard: ...


class Heard:
    """``parts``: text, search or call, in order. ``failed``: how the searches ended."""

    def __init__(self) -> None:
        self.text = ""
        self.parts: list[str] = []
        self.queries: list[str] = []
        self.failed: list[bool] = []
        self.calls: list[str] = []
        self.stop = ""
        self.usage: Json = {}
        self.error = ""
        self.message = ""


class Messages:
    path = "/v1/messages"

    def body(self, prompt: str, *, stream: bool, **more: Any) -> Json:
        tools = [
            {"name": "Read", "input_schema": OBJECT},
            {"type": "web_search_20250305", "name": "web_search", **more.pop("search", {})},
        ][more.pop("alone", False) :]
        return {
            "model": "claude-sonnet-4-5",
            "max_tokens": 4096,
            "messages": [{"role": "user", "content": prompt}],
            "tools": tools,
            "stream": stream,
            **more,
        }

    def hear(self, answer: Answer) -> Heard:
        heard = Heard()
        if answer.headers["content-type"].startswith("text/event-stream"):
            got = read_messages(answer.body)
            blocks, stop, usage = got.blocks, got.stop.get("stop_reason", ""), got.usage
            heard.error = got.error["type"] if got.error else ""
            heard.message = got.error["message"] if got.error else ""
        elif answer.status != 200:
            heard.error, heard.message = (
                answer.json["error"]["type"],
                answer.json["error"]["message"],
            )
            return heard
        else:
            whole = answer.json
            blocks, stop, usage = whole["content"], whole["stop_reason"], whole["usage"]
        for block in blocks:
            if block["type"] == "text":
                heard.text += block["text"]
                heard.parts.append("text")
            elif block["type"] == "server_tool_use":
                heard.parts.append("search")
                heard.queries.append(block["input"]["query"])
            elif block["type"] == "web_search_tool_result":
                heard.failed.append(isinstance(block["content"], dict))
            elif block["type"] == "tool_use":
                heard.parts.append("call")
                heard.calls.append(block["name"])
        heard.stop, heard.usage = stop, usage
        return heard


class Responses:
    path = "/v1/responses"

    def body(self, prompt: str, *, stream: bool, **more: Any) -> Json:
        tools = [
            {"type": "function", "name": "Read", "parameters": OBJECT},
            {"type": "web_search", **more.pop("search", {})},
        ][more.pop("alone", False) :]
        return {
            "model": "claude-sonnet-4-5", "input": prompt, "tools": tools, "stream": stream, **more,
        }  # fmt: skip

    def hear(self, answer: Answer) -> Heard:
        heard = Heard()
        if answer.headers["content-type"].startswith("text/event-stream"):
            response = read_responses(answer.body).response
        elif answer.status != 200:
            heard.error, heard.message = (
                answer.json["error"]["type"],
                answer.json["error"]["message"],
            )
            return heard
        else:
            response = answer.json
        for item in response["output"]:
            if item["type"] == "message":
                heard.text += item["content"][0]["text"]
                heard.parts.append("text")
            elif item["type"] == "web_search_call":
                heard.parts.append("search")
                heard.queries.append(item["action"]["query"])
                heard.failed.append(item["status"] == "failed")
            else:
                heard.parts.append("call")
                heard.calls.append(item["name"])
        if response["error"]:
            heard.error, heard.message = response["error"]["code"], response["error"]["message"]
        heard.stop, heard.usage = response["status"], response["usage"] or {}
        return heard


class Chat:
    path = "/v1/chat/completions"

    def body(self, prompt: str, *, stream: bool, **more: Any) -> Json:
        tools = [
            {"type": "function", "function": {"name": "Read", "parameters": OBJECT}},
            {"type": "web_search", **more.pop("search", {})},
        ][more.pop("alone", False) :]
        body: Json = {
            "model": "claude-sonnet-4-5",
            "messages": [{"role": "user", "content": prompt}],
            "tools": tools,
            "stream": stream,
            **more,
        }
        return body | ({"stream_options": {"include_usage": True}} if stream else {})

    def hear(self, answer: Answer) -> Heard:
        heard = Heard()
        if answer.headers["content-type"].startswith("text/event-stream"):
            got = read_chat(answer.body)
            heard.text, heard.stop, heard.usage = got.text, got.finish or "", got.usage or {}
            heard.calls = [call["function"]["name"] for call in got.calls]
            heard.error = got.error["type"] if got.error else ""
            heard.message = got.error["message"] if got.error else ""
        elif answer.status != 200:
            heard.error, heard.message = (
                answer.json["error"]["type"],
                answer.json["error"]["message"],
            )
        else:
            (choice,) = answer.json["choices"]
            heard.text, heard.stop = choice["message"]["content"] or "", choice["finish_reason"]
            calls = choice["message"].get("tool_calls", [])
            heard.calls = [call["function"]["name"] for call in calls]
            heard.usage = answer.json["usage"]
        return heard


DIALECTS: dict[str, Asked] = {"messages": Messages(), "responses": Responses(), "chat": Chat()}
NOTHING: Json = {"messages": {"type": "none"}, "responses": "none", "chat": "none"}
FORCED: Json = {
    "messages": {"named": {"type": "tool", "name": "web_search"}, "any": {"type": "any"}},
    "responses": {"named": {"type": "web_search_preview"}, "any": "required"},
    "chat": {"named": {"type": "web_search"}, "any": "required"},
}
SHOWN = ("messages", "responses")  # those that show a search
ENDS = {"messages": "end_turn", "responses": "completed", "chat": "stop"}
GAPS = {"messages": "", "responses": "", "chat": "\n\n"}  # between texts that are one in Chat alone
CALLS = {"messages": "tool_use", "responses": "completed", "chat": "tool_calls"}

every_dialect = pytest.mark.parametrize("name", DIALECTS)
both_modes = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
alone_or_not = pytest.mark.parametrize("alone", [True, False], ids=["alone", "beside"])


async def ask(home: House, name: str, prompt: str, *, stream: bool, **more: Any) -> Heard:
    dialect = DIALECTS[name]
    answer = await home.send("POST", dialect.path, dialect.body(prompt, stream=stream, **more))
    assert answer.whole
    assert not any(entry.violations for entry in home.kiro.received("chat"))
    assert "x-kiroproxy-ignored" not in answer.headers
    return dialect.hear(answer)


def results_sent(home: House) -> list[tuple[str, str]]:
    """Status and text of the tool results in the last request to the model."""
    state = home.kiro.received("chat")[-1].json["conversationState"]
    context = state["currentMessage"]["userInputMessage"]["userInputMessageContext"]
    return [
        (entry["status"], entry["content"][0]["text"]) for entry in context.get("toolResults", [])
    ]


def offered_tools(home: House) -> list[str]:
    """Names of the tools in the last request to the model."""
    message = home.kiro.received("chat")[-1].json["conversationState"]["currentMessage"]
    tools = message["userInputMessage"].get("userInputMessageContext", {}).get("tools", [])
    return [tool["toolSpecification"]["name"] for tool in tools]


@every_dialect
@both_modes
@alone_or_not
async def test_the_model_searches_and_answers(
    name: str, stream: bool, alone: bool, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        heard = await ask(home, name, ONCE, stream=stream, alone=alone)
        assert (heard.text, heard.stop, heard.calls) == (SAID, ENDS[name], [])
        if name in SHOWN:
            assert (heard.parts, heard.queries) == (["search", "text"], ["kiro"])
            assert heard.failed == [False]
        assert (home.chats(), len(home.kiro.received("mcp"))) == ([200, 200], 1)
        ((status, found),) = results_sent(home)
        assert status == "success" and "https://example.com/1" in found


@both_modes
async def test_the_sum_of_all_rounds_is_told(stream: bool, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        heard = await ask(home, "messages", ONCE, stream=stream)
        one, two = heard.usage["iterations"]
        for key in ("input_tokens", "output_tokens"):
            assert heard.usage[key] == one[key] + two[key]
        assert heard.usage["server_tool_use"]["web_search_requests"] == 1
        assert two["input_tokens"] > one["input_tokens"]
        (record,) = (await home.send("GET", "/api/requests")).json["requests"]
        assert record["input_tokens"] == heard.usage["input_tokens"]
        assert (record["tries"], record["upstream_model"]) == (3, "claude-sonnet-4.5")


@every_dialect
@both_modes
async def test_text_before_a_search_and_several_rounds(
    name: str, stream: bool, tmp_path: Path
) -> None:
    second = f"[[sim:say Second.]]{SEARCH}{SEARCH}[[sim:then]]{ANSWER}"
    prompt = f"[[sim:say First.]]{SEARCH}[[sim:then]]{second}"
    async with house(tmp_path) as home:
        heard = await ask(home, name, prompt, stream=stream)
        gap = GAPS[name]
        assert (heard.text, heard.stop) == (f"First.{gap}Second.{gap}{SAID}", ENDS[name])
        if name in SHOWN:
            assert heard.parts == ["text", "search", "text", "search", "search", "text"]
        assert (len(home.chats()), len(home.kiro.received("mcp"))) == (3, 3)


@every_dialect
async def test_a_search_alone_may_be_left_undone(name: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        heard = await ask(home, name, "[[sim:say I know that.]]", stream=True, alone=True)
        assert (heard.text, heard.stop) == ("I know that.", ENDS[name])
        assert home.chats() == [200] and not home.kiro.received("mcp")
        heard = await ask(
            home, name, "[[sim:say No.]]", stream=False, alone=True, tool_choice=NOTHING[name]
        )
        assert heard.text == "No."
        assert offered_tools(home) == []


@every_dialect
@pytest.mark.parametrize("forced", ["named", "any"])
async def test_a_forced_search_alone_is_forced_once(name: str, forced: str, tmp_path: Path) -> None:
    choice = FORCED[name][forced]
    wish = {"named": "the tool web_search.", "any": "one of your tools."}[forced]
    async with house(tmp_path) as home:
        heard = await ask(home, name, ONCE, stream=True, alone=True, tool_choice=choice)
        assert heard.text == SAID
        first, second = (
            orjson.dumps(entry.json["conversationState"]["currentMessage"]).decode()
            for entry in home.kiro.received("chat")
        )
        assert f"Answer by calling {wish}" in first
        assert "Answer by calling" not in second


@every_dialect
@both_modes
@alone_or_not
@pytest.mark.parametrize(
    "fault",
    ["improper", "feature", "internal", "rpc_error", "tool_error", "empty_reply", "close_at_once"],
)
async def test_a_failed_search_is_told_to_the_model(
    name: str, stream: bool, alone: bool, fault: str, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always(fault, route="mcp")
        heard = await ask(home, name, ONCE, stream=stream, alone=alone)
        assert (heard.text, heard.stop, heard.error) == (SAID, ENDS[name], "")
        if name in SHOWN:
            assert heard.failed == [True]
        ((status, words),) = results_sent(home)
        assert status == "error" and words.startswith("The web search failed: ")


@every_dialect
@both_modes
@pytest.mark.parametrize("fault", ["rate", "daily"])
async def test_too_many_searches_do_not_rest_an_account(
    name: str, stream: bool, fault: str, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always(fault, route="mcp")
        heard = await ask(home, name, ONCE, stream=stream)
        assert (heard.text, heard.stop, heard.error) == (SAID, ENDS[name], "")
        assert home.chats() == [200, 200] and len(home.kiro.received("mcp")) == 1


async def test_a_search_that_is_refused_moves_no_conversation(tmp_path: Path) -> None:
    """Another account is asked to search; the model's next round is where the first one was."""
    async with house(tmp_path, "social", "idc") as home:
        home.kiro.faults.next("rate", route="mcp")
        heard = await ask(home, "messages", ONCE, stream=True)
        assert (heard.failed, heard.text) == ([False], SAID)
        first, second = home.kiro.received("chat")
        refused, found = home.kiro.received("mcp")
        assert first.account == second.account == refused.account != found.account


@every_dialect
@both_modes
async def test_a_search_that_ends_the_only_account_is_an_error(
    name: str, stream: bool, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("suspended", route="mcp")
        heard = await ask(home, name, f"[[sim:say Wait.]]{ONCE}", stream=stream)
        assert heard.error and heard.stop not in (ENDS[name], CALLS[name])
        assert home.chats() == [200]


@every_dialect
@both_modes
@pytest.mark.parametrize("fault", ["cut after=4", "eof after=4", "internal", "improper"])
async def test_a_failure_of_a_later_round_is_an_error(
    name: str, stream: bool, fault: str, tmp_path: Path
) -> None:
    """The text that came before it stands; nothing says that the answer is whole."""
    last = f"[[sim:text 9]][[sim:fault {fault}]]"
    async with house(tmp_path) as home:
        heard = await ask(home, name, f"{SEARCH}[[sim:then]]{last}", stream=stream)
        assert heard.error and heard.stop not in (ENDS[name], CALLS[name])


@every_dialect
@both_modes
async def test_a_later_round_is_tried_again_before_its_first_word(
    name: str, stream: bool, tmp_path: Path
) -> None:
    last = f"{ANSWER}[[sim:fault internal times=1]]"
    async with house(tmp_path) as home:
        heard = await ask(home, name, f"[[sim:say Wait.]]{SEARCH}[[sim:then]]{last}", stream=stream)
        assert (heard.text, heard.stop) == (f"Wait.{GAPS[name]}{SAID}", ENDS[name])
        if name in SHOWN:
            assert heard.parts == ["text", "search", "text"]
        assert len(home.chats()) == 3 and len(home.kiro.received("mcp")) == 1


@both_modes
async def test_messages_show_a_search_beside_calls_and_get_it_back(
    stream: bool, tmp_path: Path
) -> None:
    speaker = Messages()
    prompt = f"{READ}{SEARCH}[[sim:then]]{ANSWER}"
    async with house(tmp_path) as home:
        body = speaker.body(prompt, stream=stream)
        answer = await home.send("POST", speaker.path, body)
        heard = speaker.hear(answer)
        assert (heard.parts, heard.stop) == (["call", "search"], "tool_use")
        assert home.chats() == [200]
        content = read_messages(answer.body).blocks if stream else answer.json["content"]
        done = {"type": "tool_result", "tool_use_id": content[0]["id"], "content": "read"}
        body["messages"] += [
            {"role": "assistant", "content": content},
            {"role": "user", "content": [done]},
        ]
        heard = speaker.hear(await home.send("POST", speaker.path, body))
        assert (heard.text, heard.stop) == (SAID, "end_turn")
        read, found = results_sent(home)
        assert read == ("success", "read") and "https://example.com/1" in found[1]
        assert not any(entry.violations for entry in home.kiro.received("chat"))


@pytest.mark.parametrize("name", ["responses", "chat"])
@both_modes
async def test_others_put_a_search_beside_calls_off(
    name: str, stream: bool, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        heard = await ask(home, name, f"{SEARCH}{READ}", stream=stream)
        assert (heard.calls, heard.stop) == (["Read"], CALLS[name])
        assert "search" not in heard.parts
        assert not home.kiro.received("mcp")


@pytest.mark.parametrize("name", SHOWN)
async def test_a_past_search_is_a_call_and_its_result(name: str, tmp_path: Path) -> None:
    """And without the search on offer it is words, so that nobody calls what cannot be run."""
    speaker = DIALECTS[name]
    key = {"messages": "messages", "responses": "input"}[name]
    async with house(tmp_path) as home:
        body = speaker.body(ONCE, stream=False)
        answer = await home.send("POST", speaker.path, body)
        if name == "messages":
            back: list[Any] = [{"role": "assistant", "content": answer.json["content"]}]
        else:
            back = answer.json["output"]
        body[key] = [
            {"role": "user", "content": "go"},
            *back,
            {"role": "user", "content": "[[sim:say ok]]"},
        ]
        assert speaker.hear(await home.send("POST", speaker.path, body)).text == "ok"
        sent = orjson.dumps(home.kiro.received("chat")[-1].json).decode()
        assert '"name":"web_search","input":{"query":"kiro"}' in sent
        assert "https://example.com/1" in sent
        body["tools"] = body["tools"][:1]
        assert speaker.hear(await home.send("POST", speaker.path, body)).text == "ok"
        sent = orjson.dumps(home.kiro.received("chat")[-1].json).decode()
        assert '"web_search"' not in sent
        assert "https://example.com/1" in sent and "Web search for: kiro" in sent
        assert not any(entry.violations for entry in home.kiro.received("chat"))


@alone_or_not
async def test_calls_of_hosted_tools_are_bounded(alone: bool, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        prompt = f"{SEARCH}{SEARCH}[[sim:then]]{ANSWER}"
        heard = await ask(home, "responses", prompt, stream=True, alone=alone, max_tool_calls=1)
        assert (heard.failed, heard.text) == ([False, True], SAID)
        assert len(home.kiro.received("mcp")) == 1


async def test_uses_are_bounded(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        prompt = f"{SEARCH}{SEARCH}[[sim:then]]{ANSWER}"
        heard = await ask(home, "messages", prompt, stream=True, search={"max_uses": 1})
        assert (heard.failed, heard.text) == ([False, True], SAID)
        assert heard.usage["server_tool_use"]["web_search_requests"] == 1
        sent = home.kiro.received("chat")[-1].json["conversationState"]["currentMessage"]
        tools = sent["userInputMessage"]["userInputMessageContext"]["tools"]
        (offered,) = [
            t["toolSpecification"] for t in tools if t["toolSpecification"]["name"] == "web_search"
        ]
        assert "not offered now" in offered["description"]


@both_modes
async def test_a_model_that_only_searches_ends_in_an_error(stream: bool, tmp_path: Path) -> None:
    prompt = "[[sim:then]]".join([SEARCH] * 5)
    async with house(tmp_path) as home:
        heard = await ask(home, "messages", prompt, stream=stream, search={"max_uses": 1})
        assert heard.error == "api_error" and "max_uses: 1" in heard.message
        assert (len(home.chats()), len(home.kiro.received("mcp"))) == (3, 1)


@pytest.mark.parametrize("name", SHOWN)
async def test_domains_are_kept_to(name: str, tmp_path: Path) -> None:
    kept = {"allowed_domains": ["example.com/2"]}
    search = {"messages": kept, "responses": {"filters": kept}}[name]
    async with house(tmp_path) as home:
        await ask(home, name, ONCE, stream=False, search=search)
        ((_, found),) = results_sent(home)
        assert "https://example.com/2" in found and "https://example.com/1" not in found


async def test_a_forced_search_is_forced_once(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        choice = {"type": "tool", "name": "web_search"}
        heard = await ask(home, "messages", ONCE, stream=True, tool_choice=choice)
        assert heard.text == SAID
        first, second = (
            orjson.dumps(entry.json["conversationState"]["currentMessage"]).decode()
            for entry in home.kiro.received("chat")
        )
        assert "Answer by calling the tool web_search." in first
        assert "Answer by calling" not in second


async def test_max_tokens_hold_for_all_rounds(tmp_path: Path) -> None:
    prompt = f"[[sim:text 20]]{SEARCH}[[sim:then]][[sim:text 200]]"
    async with house(tmp_path) as home:
        heard = await ask(home, "messages", prompt, stream=True, max_tokens=60)
        assert heard.stop == "max_tokens"
        assert heard.usage["output_tokens"] <= 60
        first = heard.usage["iterations"][0]["output_tokens"]
        heard = await ask(home, "messages", prompt, stream=True, max_tokens=first)
        assert (heard.stop, heard.parts) == ("max_tokens", ["text", "search"])
        assert len(home.chats()) == 3


@every_dialect
@both_modes
async def test_an_answer_that_fits_a_schema_after_a_search(
    name: str, stream: bool, tmp_path: Path
) -> None:
    schema: Json = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "name": "answer", "schema": schema}
    more: Json = {
        "messages": {"output_config": {"format": form}},
        "responses": {"text": {"format": form}},
        "chat": {"response_format": {"type": "json_schema", "json_schema": form}},
    }[name]
    prompt = f'[[sim:say I look it up.]]{SEARCH}[[sim:then]][[sim:json {{"a": 7}}]]'
    async with house(tmp_path) as home:
        heard = await ask(home, name, prompt, stream=stream, **more)
        assert orjson.loads(heard.text) == {"a": 7}


async def test_a_client_that_leaves_during_a_search_ends_it(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always("slow_first_byte", route="mcp", seconds=30)
        body = orjson.dumps(Messages().body(f"[[sim:say Wait.]]{ONCE}", stream=True))
        _, writer = await home.connect()
        writer.write(request_bytes("POST", "/v1/messages", body))
        while not home.kiro.received("mcp"):
            await asyncio.sleep(0.01)
        writer.close()
        while not home.kiro.received("mcp")[0].aborted:
            await asyncio.sleep(0.01)
        while not (records := (await home.send("GET", "/api/requests")).json["requests"]):
            await asyncio.sleep(0.01)
        assert records[0]["outcome"] == "cancelled"
        assert home.chats() == [200]


# -- a search without the model: Claude Code's own -----------------------------------------------------

CLAUDE_CODES = "Perform a web search for the query: python release"


@both_modes
async def test_claude_codes_search_needs_no_model(stream: bool, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        heard = await ask(home, "messages", CLAUDE_CODES, stream=stream, alone=True)
        assert (heard.parts, heard.queries) == (["search", "text"], ["python release"])
        assert (heard.failed, heard.stop) == ([False], "end_turn")
        assert heard.usage["server_tool_use"]["web_search_requests"] == 1
        assert not home.chats() and len(home.kiro.received("mcp")) == 1
        assert home.kiro.received("mcp")[0].json["params"]["arguments"] == {
            "query": "python release"
        }


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("responses", {"alone": True}),
        ("chat", {"alone": True}),
        ("messages", {"alone": False}),
    ],
)
async def test_the_same_words_elsewhere_are_the_models(
    name: str, more: Json, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        await ask(home, name, CLAUDE_CODES, stream=True, **more)
        assert home.chats()[0] == 200


@both_modes
@pytest.mark.parametrize("fault", ["feature", "improper", "rate", "tool_error"])
async def test_a_failed_search_without_the_model_is_an_error(
    stream: bool, fault: str, tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.always(fault, route="mcp")
        heard = await ask(home, "messages", CLAUDE_CODES, stream=stream, alone=True)
        assert heard.error and not heard.stop
        assert not home.chats()


# -- citations ------------------------------------------------------------------------------------------

MARKED = ["https://example.com/1", "[two](https://example.com/2)"]


@pytest.mark.parametrize(
    "asked",
    [
        {"web_search_options": {}},
        {"tools": [{"type": "web_search_preview"}]},
        {"tools": Chat().body("", stream=False)["tools"]},
    ],
)
@both_modes
async def test_chat_cites_what_the_model_names(asked: Json, stream: bool, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        body = {"model": "claude-sonnet-4-5", "stream": stream, **asked}
        body["messages"] = [{"role": "user", "content": f"[[sim:say Wait.]]{ONCE}"}]
        text, annotations = said(await home.send("POST", Chat.path, body), stream)
    cited = [annotation["url_citation"] for annotation in annotations]
    assert [text[c["start_index"] : c["end_index"]] for c in cited] == MARKED
    assert cited[0]["title"] == "kiro: result 1"


@both_modes
@alone_or_not
async def test_responses_cite_what_the_model_names(
    stream: bool, alone: bool, tmp_path: Path
) -> None:
    """What comes back is taken, and without a word about its annotations."""
    speaker = Responses()
    async with house(tmp_path) as home:
        body = speaker.body(f"[[sim:say Wait.]]{ONCE}", stream=stream, alone=alone)
        answer = await home.send("POST", speaker.path, body)
        response = read_responses(answer.body).response if stream else answer.json
        Response.model_validate(response)
        first, search, second = response["output"]
        (part,) = second["content"]
        cited = part["annotations"]
        assert [part["text"][c["start_index"] : c["end_index"]] for c in cited] == MARKED
        assert (cited[0]["type"], cited[0]["title"]) == ("url_citation", "kiro: result 1")
        assert cited[0]["url"] == "https://example.com/1"
        assert first["content"][0]["annotations"] == []
        if stream:
            events = read_responses(answer.body).names
            assert events.count("response.output_text.annotation.added") == 2
        body["input"] = [first, search, second, {"role": "user", "content": "[[sim:say ok]]"}]
        again = await home.send("POST", speaker.path, body)
        assert speaker.hear(again).text == "ok"
        assert "x-kiroproxy-ignored" not in again.headers


def said(answer: Answer, stream: bool) -> tuple[str, list[Json]]:
    """The text and its annotations."""
    if not stream:
        message = ChatCompletion.model_validate(answer.json).choices[0].message
        assert message.annotations is not None
        return message.content or "", [entry.model_dump() for entry in message.annotations]
    lines = [line.removeprefix("data: ") for line in answer.body.decode().split("\n\n") if line]
    chunks = [orjson.loads(line) for line in lines if line.startswith("{")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    found = [delta["annotations"] for delta in deltas if "annotations" in delta]
    assert len(found) <= 1
    return read_chat(answer.body).text, found[0] if found else []
