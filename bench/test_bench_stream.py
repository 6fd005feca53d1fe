"""Upstream frames to SSE bytes: every step between two sockets but the sockets."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from bench.workloads import ending_stream, reads, small_stream, small_texts, text_frame
from kiroproxy.api.answer import Answer
from kiroproxy.api.anthropic.stream import MessagesEncoder
from kiroproxy.api.encoder import StreamEncoder
from kiroproxy.api.events import Usage
from kiroproxy.api.openai import ChatEncoder, ResponsesEncoder
from kiroproxy.api.openai.chat_wire import ChatStyle
from kiroproxy.api.openai.responses_style import ResponsesStyle
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.eventstream import FrameDecoder
from kiroproxy.eventstream.encoder import encode_event
from kiroproxy.kiro.events import EventParser

pytestmark = pytest.mark.benchmark(timer=time.process_time, group="stream: frames to SSE")

PLAIN = AnswerPlan(input_tokens=100, context_window=200_000, max_tokens=1_000_000)
BUSY = AnswerPlan(
    input_tokens=100,
    context_window=200_000,
    max_tokens=1_000_000,
    split_thinking=True,
    stop_sequences=("</stop>", "\n\nHuman:"),
)
TEXTS = small_texts()
SMALL = reads(small_stream() + ending_stream())
NAMED = reads(
    b"".join(
        encode_event("assistantResponseEvent", orjson.dumps({"content": text, "modelId": "auto"}))
        for text in TEXTS
    )
    + ending_stream()
)
ALONE = [text_frame(text) for text in TEXTS] + [ending_stream()]
TOOL = reads(
    b"".join(
        encode_event(
            "toolUseEvent",
            orjson.dumps({"toolUseId": "tooluse_1", "name": "Write", "input": fragment}),
        )
        for fragment in ['{"text":"', *TEXTS, '"}']
    )
    + encode_event("toolUseEvent", b'{"toolUseId":"tooluse_1","name":"Write","stop":true}')
    + ending_stream()
)

_DELTA = re.compile(rb'^data: ({"type":"content_block_delta".*})$', re.MULTILINE)


MODEL = "claude-sonnet-4-5"
CREATED_S = 1_700_000_000


def messages() -> StreamEncoder:
    return MessagesEncoder("msg_bench", MODEL)


def chat() -> StreamEncoder:
    return ChatEncoder("chatcmpl-bench", MODEL, CREATED_S, ChatStyle(include_usage=True))


def responses() -> StreamEncoder:
    return ResponsesEncoder("resp_bench", MODEL, CREATED_S, ResponsesStyle())


def relay(
    pieces: list[bytes], plan: AnswerPlan, encoding: Callable[[], StreamEncoder] = messages
) -> list[bytes]:
    """What relay.Pump and the delivery do per read, without the sockets."""
    decoder, parser = FrameDecoder(), EventParser()
    answer, encoder = Answer(plan), encoding()
    written = [encoder.start(Usage(plan.input_tokens))]
    for piece in pieces:
        frames = decoder.feed(piece)
        if frames:
            batch = answer.feed(parser.parse(frames))
            if batch:
                written.append(encoder.events(batch))
    decoder.finish()
    batch, ending = answer.finish()
    written += [encoder.events(batch), encoder.finish(ending)]
    return written


def check(written: list[bytes], field: str, expected: list[str]) -> None:
    data = b"".join(written)
    deltas = [orjson.loads(one)["delta"] for one in _DELTA.findall(data)]
    assert [delta[field] for delta in deltas] == expected
    assert data.endswith(b'data: {"type":"message_stop"}\n\n')


def test_stream_small_events(benchmark: Any) -> None:
    check(benchmark(relay, SMALL, PLAIN), "text", TEXTS)


def test_stream_small_events_naming_their_model(benchmark: Any) -> None:
    check(benchmark(relay, NAMED, PLAIN), "text", TEXTS)


def test_stream_one_event_a_read(benchmark: Any) -> None:
    check(benchmark(relay, ALONE, PLAIN), "text", TEXTS)


def test_stream_tool_input(benchmark: Any) -> None:
    check(benchmark(relay, TOOL, PLAIN), "partial_json", ['{"text":"', *TEXTS, '"}'])


def test_stream_with_thinking_tags_and_stop_sequences(benchmark: Any) -> None:
    written = benchmark(relay, SMALL, BUSY)
    deltas = [orjson.loads(one)["delta"] for one in _DELTA.findall(b"".join(written))]
    assert "".join(delta["text"] for delta in deltas) == "".join(TEXTS)


def datas(written: list[bytes]) -> list[Any]:
    """The JSON of every data line but ``[DONE]``."""
    lines = re.findall(rb"^data: ({.*})$", b"".join(written), re.MULTILINE)
    return [orjson.loads(line) for line in lines]


def check_chat(written: list[bytes], said: Callable[[Any], Any], expected: list[str]) -> None:
    deltas = [one["choices"][0]["delta"] for one in datas(written) if one["choices"]]
    assert [said(delta) for delta in deltas if said(delta)] == expected
    assert written[-1].endswith(b"data: [DONE]\n\n")


def check_responses(written: list[bytes], kind: str, expected: list[str]) -> None:
    events = datas(written)
    assert [event["delta"] for event in events if event["type"] == kind] == expected
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"


@pytest.mark.parametrize("pieces", [SMALL, ALONE], ids=["small_events", "one_event_a_read"])
def test_stream_as_chat(benchmark: Any, pieces: list[bytes]) -> None:
    check_chat(benchmark(relay, pieces, PLAIN, chat), lambda delta: delta.get("content"), TEXTS)


def test_stream_tool_input_as_chat(benchmark: Any) -> None:
    def arguments(delta: Any) -> Any:
        return "".join(call["function"]["arguments"] for call in delta.get("tool_calls", ()))

    written = benchmark(relay, TOOL, PLAIN, chat)
    check_chat(written, arguments, ['{"text":"', *TEXTS, '"}'])


@pytest.mark.parametrize("pieces", [SMALL, ALONE], ids=["small_events", "one_event_a_read"])
def test_stream_as_responses(benchmark: Any, pieces: list[bytes]) -> None:
    written = benchmark(relay, pieces, PLAIN, responses)
    check_responses(written, "response.output_text.delta", TEXTS)


def test_stream_tool_input_as_responses(benchmark: Any) -> None:
    written = benchmark(relay, TOOL, PLAIN, responses)
    kind = "response.function_call_arguments.delta"
    check_responses(written, kind, ['{"text":"', *TEXTS, '"}'])
