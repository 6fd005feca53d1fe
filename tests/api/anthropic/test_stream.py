"""The encoder against an independent reader, the SDK's own accumulator, and the fold."""

from __future__ import annotations

from itertools import product
from typing import Any

import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.api.anthropic import MessageFold, MessagesEncoder
from kiroproxy.api.anthropic.stream import _MOVES, Block
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
from kiroproxy.api.signatures import PLACEHOLDER_SIGNATURE
from kiroproxy.errors import IncompleteAnswerError, InternalError
from tests.api.answers import HITS, ITEMS, batches_of
from tests.api.anthropic.reader import parse_sse, read_stream

USAGE = Usage(812, 64, 20_000, 3)
CALL: list[AnswerEvent] = [
    (TOOL_START, "t1", "Read"),
    (TOOL_INPUT, '{"p":'),
    (TOOL_INPUT, "1}"),
    (TOOL_END,),
]


def encode(batches: list[list[AnswerEvent]], ending: Ending | None = None) -> bytes:
    encoder = MessagesEncoder("msg_1", "claude-x")
    data = encoder.start(Usage(1_000))
    for batch in batches:
        data += encoder.events(batch)
    return data + encoder.finish(ending or Ending(Stop.END_TURN, USAGE))


def fold(events: list[AnswerEvent], ending: Ending | None = None) -> dict[str, Any]:
    made = MessageFold("msg_1", "claude-x")
    made.events(events)
    document = orjson.loads(made.finish(ending or Ending(Stop.END_TURN, USAGE)))
    assert isinstance(document, dict)
    Message.model_validate(document)
    return document


def test_stream_is_byte_exact() -> None:
    encoder = MessagesEncoder("msg_1", "claude-x")
    assert encoder.start(Usage(10)) == (
        b"event: message_start\n"
        b'data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
        b'"model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,"usage":'
        b'{"input_tokens":10,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
        b'"output_tokens":1}}}\n\n'
    )
    assert encoder.events([(TEXT, "a")]) == (
        b"event: content_block_start\n"
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}\n\n'
    )
    delta = (
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\n"}}\n\n'
    )
    assert encoder.events([(TEXT, "\n"), (TEXT, "\n")]) == delta * 2
    assert encoder.events([]) == b""
    assert encoder.ping() == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert encoder.finish(Ending(Stop.STOP_SEQUENCE, USAGE, "END")) == (
        b"event: content_block_stop\n"
        b'data: {"type":"content_block_stop","index":0}\n\n'
        b"event: message_delta\n"
        b'data: {"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"},'
        b'"usage":{"input_tokens":812,"cache_creation_input_tokens":3,'
        b'"cache_read_input_tokens":20000,"output_tokens":64}}\n\n'
        b"event: message_stop\n"
        b'data: {"type":"message_stop"}\n\n'
    )


def test_stream_of_every_kind_of_block() -> None:
    events: list[AnswerEvent] = [
        (THINKING, "hm"),
        (THINKING, " so"),
        (THINKING_END, "sig"),
        (REDACTED, "b64"),
        (THINKING, ""),
        (THINKING_END, ""),
        (TEXT, "a"),
        *CALL,
        (TOOL_START, "t2", "Now"),
        (TOOL_END,),
        (SEARCH, "srvtoolu_1", "kiro", HITS, ""),
        (SEARCH, "srvtoolu_2", "kiro", [], "down"),
        (TEXT, "b"),
    ]
    got = read_stream(encode([events]))
    results = [
        {
            "type": "web_search_result",
            "title": "Title",
            "url": "https://example.org",
            "encrypted_content": "Words",
            "page_age": "October 8, 2025",
        },
        {
            "type": "web_search_result",
            "title": "B",
            "url": "u",
            "encrypted_content": "",
            "page_age": None,
        },
    ]
    search = {"type": "server_tool_use", "name": "web_search", "input": {"query": "kiro"}}
    failed = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
    assert got.blocks == [
        {"type": "thinking", "thinking": "hm so", "signature": "sig"},
        {"type": "redacted_thinking", "data": "b64"},
        {"type": "thinking", "thinking": "", "signature": PLACEHOLDER_SIGNATURE},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "t1", "name": "Read", "input": {"p": 1}},
        {"type": "tool_use", "id": "t2", "name": "Now", "input": {}},
        {"id": "srvtoolu_1", **search},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": results},
        {"id": "srvtoolu_2", **search},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_2", "content": failed},
        {"type": "text", "text": "b"},
    ]
    assert fold(events)["content"] == got.blocks


def test_batches_change_no_byte_however_they_mix() -> None:
    texts: list[AnswerEvent] = [(TEXT, f"t{n}") for n in range(3)]
    call: list[AnswerEvent] = [(TOOL_START, "i", "f"), (TOOL_INPUT, "{}"), (TOOL_END,)]
    events = [*texts, (THINKING, "a"), (THINKING, "b"), (THINKING_END, "s"), *texts, *call, *texts]
    assert encode([events]) == encode([[event] for event in events])


def test_fragments_are_deltas_one_by_one() -> None:
    got = parse_sse(encode([CALL]))
    pieces = [e["delta"]["partial_json"] for name, e in got if name == "content_block_delta"]
    assert pieces == ['{"p":', "1}"]


@pytest.mark.parametrize("stop", list(Stop))
def test_endings(stop: Stop) -> None:
    ending = Ending(stop, USAGE, "END" if stop is Stop.STOP_SEQUENCE else None)
    got = read_stream(encode([[(TEXT, "a")]], ending))
    assert got.stop == {"stop_reason": stop.value, "stop_sequence": ending.stop_sequence}
    whole = fold([(TEXT, "a")], ending)
    assert (whole["stop_reason"], whole["stop_sequence"]) == tuple(got.stop.values())
    assert whole["usage"] == got.usage


def test_empty_answer_and_search_usage() -> None:
    ending = Ending(Stop.END_TURN, Usage(1, web_searches=1))
    got = read_stream(encode([], ending))
    assert got.blocks == []
    assert got.usage["server_tool_use"] == {"web_search_requests": 1, "web_fetch_requests": 0}
    assert got.usage["output_tokens"] == 1
    assert fold([], ending)["content"] == []


def test_failure_inside_a_call_leaves_it_open() -> None:
    encoder = MessagesEncoder("msg_1", "claude-x")
    data = encoder.start(USAGE) + encoder.events([(TEXT, "a"), *CALL[:2]])
    data += encoder.fail(IncompleteAnswerError("broke off", upstream_request_id="r1"))
    got = read_stream(data)
    assert got.open and not got.ended
    assert got.names[-2:] == ["content_block_delta", "error"]
    assert got.error == {"type": "api_error", "message": "broke off (Kiro request id r1)"}


def test_failure_before_anything() -> None:
    got = read_stream(MessagesEncoder("m", "x").fail(IncompleteAnswerError("no")))
    assert got.names == ["error"]


LEGAL = {
    Block.NONE: {TEXT, THINKING, REDACTED, TOOL_START, SEARCH},
    Block.TEXT: {TEXT, THINKING, REDACTED, TOOL_START, SEARCH},
    Block.THINKING: {THINKING, THINKING_END},
    Block.TOOL: {TOOL_INPUT, TOOL_END},
}
OPENING: dict[Block, list[AnswerEvent]] = {
    Block.NONE: [],
    Block.TEXT: [(TEXT, "a")],
    Block.THINKING: [(THINKING, "a")],
    Block.TOOL: [(TOOL_START, "t", "Read")],
}
SAMPLES: list[AnswerEvent] = [
    (TEXT, "a"),
    (THINKING, "a"),
    (THINKING_END, ""),
    (REDACTED, "b"),
    (TOOL_START, "t", "Read"),
    (TOOL_INPUT, "{}"),
    (TOOL_END,),
    (SEARCH, "s", "q", [], ""),
]


@pytest.mark.parametrize(("block", "event"), list(product(Block, SAMPLES)))
def test_every_state_and_event(block: Block, event: AnswerEvent) -> None:
    assert ((block, event[0]) in _MOVES) == (event[0] in LEGAL[block])
    encoder = MessagesEncoder("m", "x")
    head = encoder.start(USAGE) + encoder.events(OPENING[block])
    if event[0] in LEGAL[block]:
        read_stream(head + encoder.events([event]))
    else:
        with pytest.raises(InternalError):
            encoder.events([event])


@pytest.mark.parametrize("block", [Block.TOOL, Block.THINKING])
def test_no_proper_end_inside_a_block(block: Block) -> None:
    encoder = MessagesEncoder("m", "x")
    encoder.events(OPENING[block])
    whole = MessageFold("m", "x")
    whole.events(OPENING[block])
    for made in (encoder, whole):
        with pytest.raises(InternalError):
            made.finish(Ending(Stop.END_TURN, USAGE))


def test_fold_keeps_the_digits_of_numbers() -> None:
    made = MessageFold("m", "x")
    made.events(
        [(TOOL_START, "t", "W"), (TOOL_INPUT, '{"n": 123456789012345678901.50}'), (TOOL_END,)]
    )
    assert b'"input":{"n": 123456789012345678901.50}' in made.finish(Ending(Stop.TOOL_USE, USAGE))


@settings(max_examples=150)
@given(st.lists(ITEMS, max_size=6), st.data())
def test_any_answer_reads_alike_streamed_and_whole(
    items: list[list[AnswerEvent]], data: st.DataObject
) -> None:
    events = [event for item in items for event in item]
    whole = fold(events)
    stream = encode(data.draw(batches_of(events)))
    assert stream == encode([events]) == encode([[event] for event in events])
    got = read_stream(stream)
    assert got.blocks == whole["content"]
    assert got.names[-2:] == ["message_delta", "message_stop"]
    assert _accumulated(stream)["content"] == _accumulable(whole["content"])
    texts = "".join(event[1] for event in events if event[0] == TEXT)
    assert "".join(block["text"] for block in got.blocks if block["type"] == "text") == texts


def _accumulated(stream: bytes) -> dict[str, Any]:
    """What the official SDK makes of the stream."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for name, event in parse_sse(stream):
        if name != "message_stop":
            snapshot = accumulate_event(
                event=event,  # type: ignore[arg-type]
                current_snapshot=snapshot,
                json_bufs=buffers,
            )
    document = snapshot.to_dict()
    assert isinstance(document, dict)
    return document


def _accumulable(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [dict(block) for block in blocks]
