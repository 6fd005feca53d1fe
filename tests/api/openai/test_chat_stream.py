"""The encoder against an independent reader, the SDK's own accumulator, and the fold."""

from __future__ import annotations

from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

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
from kiroproxy.api.openai import ChatEncoder, ChatFold
from kiroproxy.api.openai.chat_stream import _MOVES, Open
from kiroproxy.api.openai.chat_wire import ChatStyle
from kiroproxy.errors import IncompleteAnswerError, InternalError
from tests.api.answers import HITS, ITEMS, batches_of
from tests.api.openai.reader import read_stream

USAGE = Usage(812, 64, 20_000, 3, reasoning_tokens=7)
PLAIN = ChatStyle()
NUMBERS = ChatStyle(include_usage=True)
CALL: list[AnswerEvent] = [
    (TOOL_START, "t1", "Read"),
    (TOOL_INPUT, '{"p":'),
    (TOOL_INPUT, "1}"),
    (TOOL_END,),
]
PATCH: list[AnswerEvent] = [
    (TOOL_START, "t2", "apply_patch"),
    (TOOL_INPUT, '{"input": "*** Begin\\n'),
    (TOOL_INPUT, 'caf\\u00e9"}'),
    (TOOL_END,),
]


def make(style: ChatStyle = PLAIN) -> ChatEncoder:
    return ChatEncoder("chatcmpl-1", "claude-x", 1_700_000_000, style)


def encode(
    batches: list[list[AnswerEvent]], style: ChatStyle = PLAIN, stop: Stop = Stop.END_TURN
) -> bytes:
    encoder = make(style)
    data = encoder.start(Usage(1_000))
    for batch in batches:
        data += encoder.events(batch)
    return data + encoder.finish(Ending(stop, USAGE))


def fold(
    events: list[AnswerEvent], style: ChatStyle = PLAIN, stop: Stop = Stop.END_TURN
) -> dict[str, Any]:
    made = ChatFold("chatcmpl-1", "claude-x", 1_700_000_000, style)
    made.events(events)
    document = orjson.loads(made.finish(Ending(stop, USAGE)))
    assert isinstance(document, dict)
    ChatCompletion.model_validate(document)
    return document


def test_stream_is_byte_exact() -> None:
    head = (
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
        b'"model":"claude-x","choices":[{"index":0,"delta":'
    )
    tail = b',"logprobs":null,"finish_reason":null}]}\n\n'
    encoder = make()
    assert encoder.start(USAGE) == (
        head + b'{"role":"assistant","content":"","refusal":null}' + tail
    )
    assert encoder.events([(TEXT, "a"), (TEXT, "\n")]) == (
        head + b'{"content":"a"}' + tail + head + b'{"content":"\\n"}' + tail
    )
    assert encoder.events([]) == b""
    assert encoder.ping() == b": ping\n\n"
    assert encoder.events(CALL[:2]) == (
        head
        + b'{"tool_calls":[{"index":0,"id":"t1","type":"function",'
        + b'"function":{"name":"Read","arguments":""}}]}'
        + tail
        + head
        + b'{"tool_calls":[{"index":0,"function":{"arguments":"{\\"p\\":"}}]}'
        + tail
    )
    encoder.events(CALL[2:])
    assert encoder.finish(Ending(Stop.TOOL_USE, USAGE)) == (
        head + b'{},"logprobs":null,"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n'
    )


def test_numbers_come_in_a_chunk_of_their_own_when_asked_for() -> None:
    assert read_stream(encode([[(TEXT, "a")]])).usage is None
    got = read_stream(encode([[(TEXT, "a")]], NUMBERS))
    assert got.usage == fold([(TEXT, "a")])["usage"]
    assert got.usage == {
        "prompt_tokens": 20_815,
        "completion_tokens": 64,
        "total_tokens": 20_879,
        "prompt_tokens_details": {"cached_tokens": 20_000, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 7,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    assert all("usage" in chunk for chunk in got.chunks)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (Stop.END_TURN, "stop"),
        (Stop.TOOL_USE, "tool_calls"),
        (Stop.MAX_TOKENS, "length"),
        (Stop.STOP_SEQUENCE, "stop"),
        (Stop.CONTEXT_WINDOW, "length"),
        (Stop.REFUSAL, "content_filter"),
        (Stop.PAUSE_TURN, "stop"),
    ],
)
def test_finish_reason(stop: Stop, reason: str) -> None:
    assert read_stream(encode([[(TEXT, "a")]], stop=stop)).finish == reason
    assert fold([(TEXT, "a")], stop=stop)["choices"][0]["finish_reason"] == reason


def test_every_stop_has_a_reason() -> None:
    for stop in Stop:
        assert fold([(TEXT, "a")], stop=stop)["choices"][0]["finish_reason"]


def test_a_call_without_input_has_an_empty_object() -> None:
    events: list[AnswerEvent] = [(TOOL_START, "t", "Now"), (TOOL_END,), *CALL]
    got = read_stream(encode([events]))
    assert [call["function"]["arguments"] for call in got.calls] == ["{}", '{"p":1}']
    message = fold(events)["choices"][0]["message"]
    assert message["tool_calls"] == got.calls
    assert message["content"] is None


def test_custom_tool_gets_its_text_back() -> None:
    style = ChatStyle(custom=frozenset({"apply_patch"}))
    events = [*CALL, *PATCH]
    got = read_stream(encode([[event] for event in events], style))
    assert got.calls[1] == {
        "id": "t2",
        "type": "custom",
        "custom": {"name": "apply_patch", "input": "*** Begin\ncafé"},
    }
    assert fold(events, style)["choices"][0]["message"]["tool_calls"] == got.calls


def test_custom_text_can_travel_as_a_functions_arguments() -> None:
    style = ChatStyle(custom=frozenset({"apply_patch"}), custom_as_function=True)
    events: list[AnswerEvent] = [*PATCH, (TOOL_START, "t3", "apply_patch"), (TOOL_END,), *CALL]
    got = read_stream(encode([[event] for event in events], style))
    assert [call["type"] for call in got.calls] == ["function"] * 3
    assert [call["function"]["arguments"] for call in got.calls] == [
        "*** Begin\ncafé",
        "",
        '{"p":1}',
    ]
    assert fold(events, style)["choices"][0]["message"]["tool_calls"] == got.calls


def test_legacy_client_gets_a_function_call() -> None:
    style = ChatStyle(legacy=True)
    got = read_stream(encode([CALL], style, Stop.TOOL_USE))
    assert (got.function_call, got.calls) == ({"name": "Read", "arguments": '{"p":1}'}, [])
    assert got.finish == "function_call"
    choice = fold(CALL, style, Stop.TOOL_USE)["choices"][0]
    assert choice["message"]["function_call"] == got.function_call
    assert choice["finish_reason"] == "function_call"
    bare: list[AnswerEvent] = [(TOOL_START, "t", "Now"), (TOOL_END,)]
    message = fold(bare, style)["choices"][0]["message"]
    assert message["function_call"] == {"name": "Now", "arguments": "{}"}
    assert read_stream(encode([bare], style)).function_call == message["function_call"]


def test_thinking_is_reasoning_content() -> None:
    events: list[AnswerEvent] = [(THINKING, "h"), (THINKING, "m"), (THINKING_END, "s"), (TEXT, "a")]
    got = read_stream(encode([events]))
    assert (got.thinking, got.text) == ("hm", "a")
    message = fold(events)["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm", "a")
    assert "reasoning_content" not in fold([(TEXT, "a")])["choices"][0]["message"]


def test_a_search_is_cited_in_one_chunk_at_the_end() -> None:
    """Positions count from the first word of the answer, whatever way it took to the wire."""
    url = HITS[0].url
    events: list[AnswerEvent] = [
        (TEXT, "Grüße. "), (SEARCH, "s", "q", HITS, ""), (TEXT, "See "), (THINKING, "hm"),
        (THINKING_END, ""), (TEXT, f"{url}, "), (TEXT, "twice."),
    ]  # fmt: skip
    text = f"Grüße. See {url}, twice."
    cited = {"start_index": 11, "end_index": 11 + len(url), "title": HITS[0].title, "url": url}
    annotations = [{"type": "url_citation", "url_citation": cited}]
    style = ChatStyle(searching=True)
    for size in (1, 2, len(events)):
        batches = [events[at : at + size] for at in range(0, len(events), size)]
        data = encode(batches, style)
        assert read_stream(data).text == text
        chunks = [orjson.loads(line[6:]) for line in data.decode().split("\n\n")[:-2]]
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        assert [d for d in deltas if "annotations" in d] == [{"annotations": annotations}]
        assert deltas[-2:] == [{"annotations": annotations}, {}]
    assert fold(events, style)["choices"][0]["message"]["annotations"] == annotations
    assert b"annotations" not in encode([events], PLAIN)
    assert b"annotations" not in encode([[(TEXT, url)]], style)
    assert "annotations" not in fold([(TEXT, url)])["choices"][0]["message"]


def test_failure_is_the_last_line() -> None:
    encoder = make()
    data = encoder.start(USAGE) + encoder.events([(TEXT, "a"), *CALL[:2]])
    data += encoder.ping() + encoder.fail(
        IncompleteAnswerError("broke off", upstream_request_id="r1")
    )
    got = read_stream(data)
    assert (got.done, got.finish) == (False, None)
    assert got.error == {
        "message": "broke off (Kiro request id r1)",
        "type": "server_error",
        "param": None,
        "code": "upstream_error",
    }


LEGAL = {
    Open.NONE: {TEXT, THINKING, THINKING_END, REDACTED, TOOL_START, SEARCH},
    Open.CALL: {TOOL_INPUT, TOOL_END},
}
OPENING: dict[Open, list[AnswerEvent]] = {Open.NONE: [], Open.CALL: CALL[:1]}
SAMPLES: list[AnswerEvent] = [
    (TEXT, "a"),
    (THINKING, "a"),
    (THINKING_END, ""),
    (REDACTED, "b"),
    (TOOL_START, "t", "Read"),
    (TOOL_INPUT, "{}"),
    (TOOL_END,),
    (SEARCH, "s", "q", HITS, ""),
]


@pytest.mark.parametrize(("state", "event"), list(product(Open, SAMPLES)))
def test_every_state_and_event(state: Open, event: AnswerEvent) -> None:
    assert ((state, event[0]) in _MOVES) == (event[0] in LEGAL[state])
    encoder = make()
    encoder.events(OPENING[state])
    if event[0] not in LEGAL[state]:
        with pytest.raises(InternalError):
            encoder.events([event])
    else:
        assert isinstance(encoder.events([event]), bytes)


def test_no_proper_end_inside_a_call() -> None:
    encoder, whole = make(), ChatFold("c", "m", 1, PLAIN)
    encoder.events(CALL[:1])
    whole.events(CALL[:1])
    for made in (encoder, whole):
        with pytest.raises(InternalError):
            made.finish(Ending(Stop.END_TURN, USAGE))


@settings(max_examples=150)
@given(st.lists(ITEMS, max_size=6), st.booleans(), st.booleans(), st.data())
def test_any_answer_reads_alike_streamed_and_whole(
    items: list[list[AnswerEvent]], numbers: bool, searching: bool, data: st.DataObject
) -> None:
    events = [event for item in items for event in item]
    style = ChatStyle(include_usage=numbers, searching=searching)
    stream = encode(data.draw(batches_of(events)), style)
    assert stream == encode([events], style) == encode([[event] for event in events], style)
    got = read_stream(stream)
    message = fold(events, style)["choices"][0]["message"]
    assert got.text == (message["content"] or "")
    assert got.thinking == message.get("reasoning_content", "")
    assert got.calls == message.get("tool_calls", [])
    assert (got.usage is not None) == numbers
    seen = _accumulated(got.chunks)["choices"][0]["message"]
    assert (seen["content"] or "") == got.text
    assert [call["function"]["arguments"] for call in seen.get("tool_calls") or ()] == [
        call["function"]["arguments"] for call in got.calls
    ]


def _accumulated(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """What the official SDK makes of the stream."""
    state: Any = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    document = state.get_final_completion().to_dict()
    assert isinstance(document, dict)
    return document
