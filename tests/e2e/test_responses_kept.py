"""Kept responses through the whole program: their input, their replay, references to their items."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from kiroproxy.api.openai.sealed import unseal
from tests.api.openai.responses_reader import parse_sse
from tests.e2e.support import Answer, House, house
from tests.e2e.test_responses import (
    MODEL,
    PATCH,
    READ,
    ROUTE,
    SERVER,
    THINKER,
    ask,
    sdk,
    sent_texts,
)

SEARCH: Any = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}


async def get(home: House, path: str) -> Answer:
    return await home.send("GET", f"{ROUTE}/{path}")


# -- the input --------------------------------------------------------------------------------------


async def test_sdk_lists_the_input(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        first = await client.responses.create(model=MODEL, input="one [[sim:say 1]]")
        second = await client.responses.create(
            model=MODEL, input="two [[sim:say 2]]", previous_response_id=first.id
        )
        pages = client.responses.input_items.list(second.id, order="asc", limit=1)
        items: list[Any] = [item async for item in pages]
        newest = await client.responses.input_items.list(second.id)
    assert [item.role for item in items] == ["user", "assistant", "user"]
    texts = [item.content[0].text for item in items]
    assert texts == ["one [[sim:say 1]]", "1", "two [[sim:say 2]]"]
    assert [item.content[0].type for item in items] == ["input_text", "output_text", "input_text"]
    assert [item.id for item in newest.data] == [item.id for item in reversed(items)]
    assert len({item.id for item in items}) == 3


async def test_page_of_the_input(tmp_path: Path) -> None:
    given = [{"role": "user", "content": str(number), "id": f"m{number}"} for number in range(5)]
    async with house(tmp_path) as home:
        kept = (await ask(home, given)).json["id"]
        page = (await get(home, f"{kept}/input_items?limit=2&after=m3")).json
        rest = (await get(home, f"{kept}/input_items?order=asc&after=m3")).json
        empty = (await get(home, f"{kept}/input_items?after=m0")).json
    assert [item["id"] for item in page.pop("data")] == ["m2", "m1"]
    assert page == {"object": "list", "first_id": "m2", "last_id": "m1", "has_more": True}
    assert ([item["id"] for item in rest["data"]], rest["has_more"]) == (["m4"], False)
    assert (empty["data"], empty["first_id"], empty["has_more"]) == ([], None, False)


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("{id}/input_items?limit=0", 400, "limit"),
        ("{id}/input_items?limit=101", 400, "limit"),
        ("{id}/input_items?limit=x", 400, "limit"),
        ("{id}/input_items?order=up", 400, "order"),
        ("{id}/input_items?after=nobody", 400, "after"),
        ("{id}/input_items?before=x", 400, "before"),
        ("resp_none/input_items", 404, "id"),
        ("{id}?stream=1", 400, "stream"),
        ("{id}?stream=true&starting_after=x", 400, "starting_after"),
        ("resp_none?stream=true", 404, "id"),
    ],
)
async def test_wrong_query_is_named(path: str, status: int, param: str, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        kept = (await ask(home, "hi")).json["id"]
        answer = await get(home, path.format(id=kept))
    assert (answer.status, answer.error["param"]) == (status, param)


async def test_a_missing_response_is_no_missing_route(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await get(home, "resp_none")
    assert (answer.status, answer.error["code"]) == (404, "response_not_found")
    assert answer.error["message"] == (
        "Response with id 'resp_none' not found: it is not kept here (any more, or it was made with store: "
        "false, was too large or could not be stored)."
    )


# -- the replay -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "more"),
    [
        ("[[sim:say Grüße, 世界! one two three four five six seven]]", {}),
        (
            '[[sim:think Hm.]][[sim:say Look:]][[sim:tool Read {"path":"/x"}]]',
            {
                "model": THINKER,
                "tools": [READ],
                "reasoning": {"effort": "high", "summary": "auto"},
                "include": ["reasoning.encrypted_content"],
            },
        ),
        ("[[sim:think Hm.]][[sim:say Yes.]]", {"model": THINKER, "reasoning": {"effort": "high"}}),
        ('[[sim:tool apply_patch {"input":"*** x"}]]', {"tools": [PATCH]}),
        ('[[sim:tool mcp__srv__Read {"path":"/x"}]]', {"tools": [SERVER]}),
        ('[[sim:tool local_shell {"command":["ls"]}]]', {"tools": [{"type": "local_shell"}]}),
        ('[[sim:tool tool_search {"query":"q"}]]', {"tools": [SEARCH]}),
        (
            '[[sim:tool web_search {"query":"kiro"}]][[sim:then]][[sim:say https://example.com/1]]',
            {"tools": [{"type": "web_search"}]},
        ),
        ("[[sim:text 40]]", {"max_output_tokens": 5}),
        ([{"role": "user", "content": "hi"}, {"type": "compaction_trigger"}], {}),
    ],
)
async def test_replay_is_the_stream_with_fewer_deltas(
    prompt: Any, more: dict[str, Any], tmp_path: Path
) -> None:
    async with house(tmp_path) as home:
        live = parse_sse((await ask(home, prompt, stream=True, **more)).body)
        last = live[-1][1]["response"]
        answer = await get(home, f"{last['id']}?stream=true")
    replayed = parse_sse(answer.body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [name for name, _ in replayed] == [name for name, _ in groupby(n for n, _ in live)]
    assert [event["sequence_number"] for _, event in replayed] == list(range(len(replayed)))
    whole = [(n, without_number(e)) for n, e in replayed if not n.endswith("delta")]
    assert whole == [(n, without_number(e)) for n, e in live if not n.endswith("delta")]
    for name in {n for n, _ in live if n.endswith("delta")}:
        assert deltas(replayed, name) == deltas(live, name)


def without_number(event: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "sequence_number"}


def deltas(events: list[tuple[str, dict[str, Any]]], name: str) -> str:
    return "".join(event["delta"] for kind, event in events if kind == name)


async def test_sdk_replays(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        made = await client.responses.create(model=MODEL, input="[[sim:say Grüße]]")
        stream = await client.responses.retrieve(made.id, stream=True)
        events = [event async for event in stream]
        rest = await client.responses.retrieve(made.id, stream=True, starting_after=3)
        numbers = [event.sequence_number async for event in rest]
        late = await client.responses.retrieve(made.id, stream=True, starting_after=99)
        (end,) = [event async for event in late]
    last = events[-1]
    assert last.type == end.type == "response.completed"
    assert last.response.output_text == "Grüße"
    assert numbers == [event.sequence_number for event in events][4:]


# -- references -------------------------------------------------------------------------------------


async def test_reference_stands_for_the_item(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        made = await client.responses.create(
            model=MODEL,
            input=[{"role": "user", "content": "Call me Ishmael.", "id": "own_1"}],  # type: ignore[list-item]
        )
        again = await client.responses.create(
            model=MODEL,
            input=[
                {"type": "item_reference", "id": "own_1"},
                {"id": made.output[0].id},  # type: ignore[typeddict-item, list-item]
                {"role": "user", "content": "Go on."},
            ],
        )
        sent = sent_texts(home)
        assert "Call me Ishmael." in sent
        assert orjson.dumps(made.output_text)[1:-1].decode() in sent
        # Later responses hold what was referred to, so the first one may go.
        await client.responses.delete(made.id)
        third = await client.responses.create(
            model=MODEL, input=[{"type": "item_reference", "id": made.output[0].id}]
        )
        listed = await client.responses.input_items.list(third.id)
        assert listed.data[0].id == made.output[0].id
        await client.responses.delete(again.id)
        await client.responses.delete(third.id)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(
                model=MODEL,
                input=[
                    {"role": "user", "content": "hi"},
                    {"type": "item_reference", "id": made.output[0].id},
                ],
            )
        assert caught.value.param == "input[1].id"
        assert not any(entry.violations for entry in home.kiro.received("chat"))


async def test_wrong_reference_is_named(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        item = {"type": "item_reference"}
        nameless = await ask(home, [item])
        chat = await home.send(
            "POST", "/v1/chat/completions", {"model": MODEL, "input": [{**item, "id": "msg_1"}]}
        )
    assert (nameless.status, nameless.error["param"]) == (400, "input[0].id")
    assert (chat.status, chat.error["param"]) == (400, "input[0]")


async def test_path_counts_the_request_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        first = (await ask(home, "hi")).json["id"]
        wrong = await ask(home, [{"role": "nobody"}], previous_response_id=first)
        nothing = await ask(home, None, previous_response_id=first)
    assert wrong.error["param"] == "input[0].role"
    assert nothing.status == 200


async def test_unknown_previous_response_has_its_code(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answer = await ask(home, "hi", previous_response_id="resp_none")
    assert answer.status == 400
    assert answer.error["code"] == "previous_response_not_found"
    assert answer.error["param"] == "previous_response_id"


async def test_large_numbers_of_kept_items_keep_their_digits(tmp_path: Path) -> None:
    number = b"36893488147419103233"
    body = (
        b'{"model": "%b", "input": [{"role": "user", "content": "hi"}, {"type": "tool_search_call",'
        b' "call_id": "c", "arguments": {"n": %b}}, {"type": "tool_search_output", "call_id": "c",'
        b' "tools": []}, {"role": "user", "content": "go on"}]}' % (MODEL.encode(), number)
    )
    async with house(tmp_path) as home:
        first = (await home.send("POST", ROUTE, body)).json["id"]
        assert number.decode() in sent_texts(home)
        listed = await get(home, f"{first}/input_items")
        assert number in listed.body
        assert (await ask(home, "again", previous_response_id=first)).status == 200
        assert number.decode() in sent_texts(home)


# -- cancel, count, compact -------------------------------------------------------------------------


async def test_sdk_cancel_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        made = await client.responses.create(model=MODEL, input="hi")
        with pytest.raises(openai.BadRequestError, match="background"):
            await client.responses.cancel(made.id)


async def test_sdk_counts(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        small = await client.responses.input_tokens.count(input="hi")
        large = await client.responses.input_tokens.count(
            model=MODEL, input="hi " * 500, instructions="Be good.", tools=[READ]
        )
        made = await client.responses.create(model=MODEL, input="word " * 1000)
        after = await client.responses.input_tokens.count(previous_response_id=made.id)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.input_tokens.count()
        assert len(home.kiro.received("chat")) == 1
    assert small.object == "response.input_tokens"
    assert 0 < small.input_tokens < 100 < large.input_tokens < 2000
    assert after.input_tokens > 1000
    assert caught.value.param == "input"


async def test_sdk_compacts(tmp_path: Path) -> None:
    async with house(tmp_path) as home, sdk(home) as client:
        made = await client.responses.create(model=MODEL, input="Call me Ishmael.")
        compacted = await client.responses.compact(
            model=MODEL, input="And now?", previous_response_id=made.id
        )
        assert compacted.object == "response.compaction"
        assert compacted.usage.total_tokens > 0
        *users, last = [item.model_dump(warnings=False) for item in compacted.output]
        assert [item["content"][0]["text"] for item in users] == ["Call me Ishmael.", "And now?"]
        summary = (unseal(last["encrypted_content"]) or {})["summary"]
        again = await home.send(
            "POST",
            ROUTE,
            {"model": MODEL, "input": [*users, last, {"role": "user", "content": "?"}]},
        )
        assert again.status == 200
        assert orjson.dumps(summary)[1:-1].decode() in sent_texts(home)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(compacted.id)


async def test_all_of_them_ask_for_the_key(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for method, path in (
            ("GET", "x/input_items"),
            ("POST", "x/cancel"),
            ("POST", "compact"),
            ("POST", "input_tokens"),
        ):
            body = b"{}" if method == "POST" else b""
            answer = await home.send(method, f"{ROUTE}/{path}", body, {"x-api-key": "wrong"})
            assert answer.status == 401, path
