"""The encoder against an independent reader and the fold."""

from __future__ import annotations

from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from kiroproxy.api.events import (
    REDACTED,
    SEARCH,
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_INPUT,
    TOOL_START,
    AnswerEvent,
    Ending,
    Stop,
    Usage,
)
from kiroproxy.api.openai import ResponsesEncoder, ResponsesFold
from kiroproxy.api.openai.responses_items import _MOVES, Open
from kiroproxy.api.openai.responses_style import FormKind, ResponsesStyle, ToolForm
from kiroproxy.api.openai.responses_wire import FAILURES
from kiroproxy.api.openai.sealed import unseal
from kiroproxy.errors import IncompleteAnswerError, InternalError, Kind, KiroProxyError
from tests.api.answers import HITS, ITEMS, batches_of
from tests.api.openai.responses_reader import Read, parse_sse, read_stream

USAGE = Usage(812, 64, 20_000, 3, reasoning_tokens=9)
ENDING = Ending(Stop.END_TURN, USAGE)
ECHO: dict[str, Any] = {
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}
FORMS = {
    "mcp__srv__echo": ToolForm(FormKind.FUNCTION, "echo", "mcp__srv"),
    "apply_patch": ToolForm(FormKind.CUSTOM, "apply_patch"),
    "functions__exec": ToolForm(FormKind.CUSTOM, "exec", "functions"),
    "local_shell": ToolForm(FormKind.LOCAL_SHELL, "local_shell"),
    "tool_search": ToolForm(FormKind.TOOL_SEARCH, "tool_search"),
}


def style(**more: Any) -> ResponsesStyle:
    return ResponsesStyle(forms=FORMS, echo=ECHO, **more)


def encode(
    batches: list[list[AnswerEvent]], ending: Ending = ENDING, made: ResponsesStyle | None = None
) -> bytes:
    encoder = ResponsesEncoder("resp_1", "claude-x", 1_700_000_000, made or style())
    data = encoder.start(Usage(1_000))
    for batch in batches:
        data += encoder.events(batch)
    return data + encoder.finish(ending)


def fold(
    events: list[AnswerEvent], ending: Ending = ENDING, made: ResponsesStyle | None = None
) -> dict[str, Any]:
    folded = ResponsesFold("resp_1", "claude-x", 1_700_000_000, made or style())
    folded.events(events)
    document = orjson.loads(folded.finish(ending))
    assert isinstance(document, dict)
    Response.model_validate(document)
    return document


def call(name: str, *fragments: str) -> list[AnswerEvent]:
    inputs: list[AnswerEvent] = [(TOOL_INPUT, fragment) for fragment in fragments]
    return [(TOOL_START, "call_1", name), *inputs, (TOOL_END,)]


def read(events: list[AnswerEvent], **more: Any) -> Read:
    """Streamed and folded, which must agree."""
    got = read_stream(encode([events], made=style(**more)))
    assert fold(events, made=style(**more)) == got.response
    return got


def test_text_and_a_call_in_full_order() -> None:
    got = read([(TEXT, "a"), (TEXT, "b"), *call("Read", '{"p":', "1}")])
    assert [name.removeprefix("response.") for name in got.names] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    message, function = got.items
    assert message["content"][0]["text"] == "ab"
    assert (function["call_id"], function["name"], function["arguments"]) == (
        "call_1",
        "Read",
        '{"p":1}',
    )
    assert "namespace" not in function
    assert got.response["usage"] == {
        "input_tokens": 20_815,
        "input_tokens_details": {"cached_tokens": 20_000, "cache_write_tokens": 3},
        "output_tokens": 64,
        "output_tokens_details": {"reasoning_tokens": 9},
        "total_tokens": 20_879,
    }


def test_a_first_batch_of_many_is_the_same_one_by_one() -> None:
    events: list[AnswerEvent] = [(TEXT, f"t{n}") for n in range(5)]
    assert encode([events]) == encode([[event] for event in events])


def test_delta_is_byte_exact() -> None:
    encoder = ResponsesEncoder("resp_1", "m", 1, style())
    encoder.start(Usage(1))
    encoder.events([(TEXT, "a")])
    assert encoder.events([(TEXT, "\n")]) == (
        b"event: response.output_text.delta\n"
        b'data: {"type":"response.output_text.delta","item_id":"msg_100","output_index":0,'
        b'"content_index":0,"logprobs":[],"sequence_number":5,"delta":"\\n"}\n\n'
    )


def test_head_may_be_asked_for_after_the_first_events() -> None:
    encoder = ResponsesEncoder("resp_1", "m", 1, style())
    first = encoder.events([(THINKING, "hm"), (THINKING_END, ""), (TEXT, "a")])
    data = encoder.start(Usage(1)) + first + encoder.ping() + encoder.finish(ENDING)
    assert read_stream(data).end == "completed"


def test_namespaced_call() -> None:
    (item,) = read(call("mcp__srv__echo", '{"a":1}')).items
    assert (item["name"], item["namespace"]) == ("echo", "mcp__srv")


def test_call_without_arguments_has_an_empty_object() -> None:
    (item,) = read(call("Now")).items
    assert item["arguments"] == "{}"


@pytest.mark.parametrize("name", ["apply_patch", "functions__exec"])
@given(text=st.text(max_size=40), data=st.data())
def test_custom_call_is_unwrapped_however_it_is_cut(
    name: str, text: str, data: st.DataObject
) -> None:
    whole = orjson.dumps({"input": text}).decode()
    at = data.draw(st.lists(st.integers(0, len(whole)), max_size=6).map(sorted))
    pieces = [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]
    (item,) = read(call(name, *pieces)).items
    assert (item["type"], item["input"]) == ("custom_tool_call", text)
    assert (item["name"], item.get("namespace", "")) == (FORMS[name].name, FORMS[name].namespace)


def test_custom_call_comes_as_it_comes() -> None:
    encoder = ResponsesEncoder("resp_1", "m", 1, style())
    encoder.start(Usage(1))
    first = encoder.events([(TOOL_START, "c", "apply_patch"), (TOOL_INPUT, '{"input":"*** Be')])
    names = [name for name, _ in parse_sse(first)]
    assert names[-1] == "response.custom_tool_call_input.delta"
    assert parse_sse(first)[-1][1]["delta"] == "*** Be"


def test_local_shell_call() -> None:
    (item,) = read(call("local_shell", '{"command":["ls","-l"],"timeout_ms":5}')).items
    assert item["type"] == "local_shell_call"
    assert item["action"]["command"] == ["ls", "-l"]
    assert item["action"]["timeout_ms"] == 5


def test_tool_search_call() -> None:
    (item,) = read(call("tool_search", '{"query":"mail"}')).items
    assert (item["type"], item["execution"]) == ("tool_search_call", "client")
    assert item["arguments"] == {"query": "mail"}


def test_web_search() -> None:
    good, bad = read([(SEARCH, "s", "kiro", HITS, ""), (SEARCH, "t", "kiro", [], "down")]).items
    assert (good["type"], good["status"], good["action"]["query"]) == (
        "web_search_call",
        "completed",
        "kiro",
    )
    assert good["action"]["sources"][0]["url"] == "https://example.org"
    assert bad["status"] == "failed"


def test_sources_are_cited_in_the_messages_behind_their_search() -> None:
    url = HITS[0].url
    search: AnswerEvent = (SEARCH, "s", "kiro", HITS, "")
    got = read([(TEXT, url), search, (TEXT, "Grüße: "), (TEXT, f"[it]({url})."), search])
    before, _, message, _ = got.items
    (part,) = message["content"]
    title = HITS[0].title or url
    cited = {"start_index": 7, "end_index": 7 + len(f"[it]({url})"), "title": title, "url": url}
    assert part["annotations"] == [{"type": "url_citation", **cited}]
    assert before["content"][0]["annotations"] == []
    assert got.names.count("response.output_text.annotation.added") == 1


THOUGHT: list[AnswerEvent] = [(THINKING, "hm "), (THINKING, "so"), (THINKING_END, "sig")]


def test_thinking_as_a_summary() -> None:
    (item,) = read(THOUGHT).items
    assert item["summary"] == [{"type": "summary_text", "text": "hm so"}]
    assert "encrypted_content" not in item


def test_thinking_sealed() -> None:
    shown, redacted = read([*THOUGHT, (REDACTED, "b64")], sealed=True).items
    assert unseal(shown["encrypted_content"]) == {"signature": "sig"}
    assert unseal(redacted["encrypted_content"]) == {"redacted": "b64"}
    assert redacted["summary"] == []


def test_thinking_that_is_only_sealed() -> None:
    got = read(THOUGHT, sealed=True, summary=False)
    assert got.items[0]["summary"] == []
    assert unseal(got.items[0]["encrypted_content"]) == {"signature": "sig", "text": "hm so"}
    assert not [name for name in got.names if "summary" in name]


def test_compaction_is_exactly_one_item() -> None:
    events = [*THOUGHT, (TEXT, "The "), *call("Read", "{}"), (TEXT, "story.")]
    got = read_stream(encode([events], made=style(compaction=True)))
    (item,) = got.items
    assert item["type"] == "compaction"
    assert unseal(item["encrypted_content"]) == {"summary": "The story."}


def test_compaction_without_a_summary_is_a_failure() -> None:
    events = [*THOUGHT, *call("Read", "{}")]
    got = read_stream(encode([events], made=style(compaction=True)))
    assert (got.end, got.items) == ("failed", [])
    with pytest.raises(IncompleteAnswerError):
        fold(events, made=style(compaction=True))


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (Stop.MAX_TOKENS, "max_output_tokens"),
        (Stop.CONTEXT_WINDOW, "max_output_tokens"),
        (Stop.REFUSAL, "content_filter"),
    ],
)
def test_incomplete(stop: Stop, reason: str) -> None:
    ending = Ending(stop, USAGE)
    got = read_stream(encode([[(TEXT, "so far")]], ending))
    assert got.end == "incomplete"
    assert got.response["incomplete_details"] == {"reason": reason}
    assert got.items[0]["status"] == "incomplete"
    assert fold([(TEXT, "so far")], ending) == got.response


@pytest.mark.parametrize(
    "stop", [s for s in Stop if s.name not in ("MAX_TOKENS", "CONTEXT_WINDOW", "REFUSAL")]
)
def test_every_other_stop_is_a_proper_end(stop: Stop) -> None:
    assert read_stream(encode([[(TEXT, "a")]], Ending(stop, USAGE))).end == "completed"


def test_failure_closes_no_item() -> None:
    encoder = ResponsesEncoder("resp_1", "m", 1, style())
    data = encoder.start(Usage(1)) + encoder.events([(TEXT, "a"), *call("Read", "{}")[:2]])
    got = read_stream(data + encoder.fail(IncompleteAnswerError("It broke.")))
    assert got.end == "failed"
    assert got.response["error"] == {"code": "server_error", "message": "It broke."}
    assert [item["type"] for item in got.items] == ["message"]  # the call was not complete


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_failure_code(kind: Kind) -> None:
    encoder = ResponsesEncoder("resp_1", "m", 1, style())
    data = encoder.start(Usage(1)) + encoder.fail(KiroProxyError("No.", kind=kind))
    assert read_stream(data).response["error"]["code"] == FAILURES[kind]


def test_keep_gets_the_final_object() -> None:
    kept: list[bytes] = []
    data = encode([[(TEXT, "a")]], made=style(keep=kept.append))
    assert [orjson.loads(body) for body in kept] == [read_stream(data).response]


def test_nothing_is_kept_of_a_failure() -> None:
    kept: list[bytes] = []
    encoder = ResponsesEncoder("resp_1", "m", 1, style(keep=kept.append))
    encoder.start(Usage(1))
    encoder.fail(KiroProxyError("No."))
    assert kept == []


@given(items=st.lists(ITEMS, max_size=6), data=st.data())
def test_any_answer_in_any_cut_is_a_good_stream(
    items: list[list[AnswerEvent]], data: st.DataObject
) -> None:
    events = [event for item in items for event in item]
    sealed, summary = data.draw(st.booleans()), data.draw(st.booleans())
    batches = data.draw(batches_of(events))
    made = style(sealed=sealed, summary=summary)
    encoder = ResponsesEncoder("resp_1", "claude-x", 1_700_000_000, made)
    out = encoder.start(Usage(1))
    for batch in batches:
        out += encoder.events(batch)
        if data.draw(st.booleans()):
            out += encoder.ping()
    got = read_stream(out + encoder.finish(ENDING))
    assert got.end == "completed"
    assert got.response == fold(events, made=made)


SAMPLES: dict[int, AnswerEvent] = {
    TEXT: (TEXT, "a"),
    THINKING: (THINKING, "a"),
    THINKING_END: (THINKING_END, ""),
    REDACTED: (REDACTED, "x"),
    TOOL_START: (TOOL_START, "t", "Read"),
    TOOL_INPUT: (TOOL_INPUT, "{}"),
    TOOL_END: (TOOL_END,),
    SEARCH: (SEARCH, "s", "q", [], ""),
}
WAYS: dict[Open, list[AnswerEvent]] = {
    Open.NONE: [],
    Open.TEXT: [SAMPLES[TEXT]],
    Open.THINKING: [SAMPLES[THINKING]],
    Open.TOOL: [SAMPLES[TOOL_START]],
}


@pytest.mark.parametrize(("state", "number"), list(product(Open, SAMPLES)))
def test_every_pair_of_state_and_event(state: Open, number: int) -> None:
    encoder = ResponsesEncoder("resp_1", "m", 1, style())
    encoder.start(Usage(1))
    encoder.events(WAYS[state])
    if (state, number) in _MOVES:
        encoder.events([SAMPLES[number]])
    else:
        with pytest.raises(InternalError):
            encoder.events([SAMPLES[number]])


@pytest.mark.parametrize("state", [Open.THINKING, Open.TOOL])
def test_no_answer_ends_inside_an_item(state: Open) -> None:
    with pytest.raises(InternalError):
        encode([WAYS[state]])
