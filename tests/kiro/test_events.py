"""EventParser: every official event, tolerance, refusals, bounds, and no way to make it raise."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.errors import EventStreamError, HeaderError, UpstreamRefusedError
from kiroproxy.eventstream import FrameDecoder
from kiroproxy.eventstream.encoder import encode_error, encode_event, encode_exception, encode_frame
from kiroproxy.kiro.events import (
    CONTEXT,
    FAULT,
    MAX_CACHED_BLOCKS,
    MAX_UNKNOWN_NAMES,
    MESSAGE_META,
    METADATA,
    METERING,
    MORE_UNKNOWN,
    OTHER,
    PARSERS,
    REASONING,
    REFERENCE,
    TEXT,
    TOOL,
    EventParser,
    KiroEvent,
)
from tests.chunking import every_cut


def parse(*frames: bytes) -> list[KiroEvent]:
    return EventParser().parse(FrameDecoder().feed(b"".join(frames)))


def parse_one(event_type: str, payload: object) -> KiroEvent:
    (event,) = parse(encode_event(event_type, orjson.dumps(payload)))
    return event


REFERENCES = [{"licenseName": "MIT", "repository": "x/y", "url": "https://x.example/y"}]
TOKENS = {"uncachedInputTokens": 812, "outputTokens": 64, "totalTokens": 876}

EVENTS: dict[str, tuple[str, object, KiroEvent]] = {
    "text": ("assistantResponseEvent", {"content": "Hel"}, (TEXT, "Hel")),
    "text with model": (
        "assistantResponseEvent",
        {"content": "Hel", "modelId": "claude-sonnet-4.5"},
        (TEXT, "Hel", "claude-sonnet-4.5"),
    ),
    "text without content": ("assistantResponseEvent", {}, (TEXT, "")),
    "text of null": ("assistantResponseEvent", {"content": None}, (TEXT, "")),
    "text only names the model": (
        "assistantResponseEvent",
        {"modelId": "auto"},
        (TEXT, "", "auto"),
    ),
    "code is text": ("codeEvent", {"content": "print(1)"}, (TEXT, "print(1)")),
    "tool opens": (
        "toolUseEvent",
        {"toolUseId": "tooluse_a1", "name": "Read"},
        (TOOL, "tooluse_a1", "Read", None, False),
    ),
    "tool input": (
        "toolUseEvent",
        {"toolUseId": "tooluse_a1", "name": "Read", "input": '{"pa'},
        (TOOL, "tooluse_a1", "Read", '{"pa', False),
    ),
    "tool input as object": (
        "toolUseEvent",
        {"name": "Read", "input": {"path": "x"}},
        (TOOL, None, "Read", {"path": "x"}, False),
    ),
    "tool stops": (
        "toolUseEvent",
        {"toolUseId": "tooluse_a1", "name": "Read", "stop": True},
        (TOOL, "tooluse_a1", "Read", None, True),
    ),
    "tool says it does not stop": (
        "toolUseEvent",
        {"stop": False},
        (TOOL, None, None, None, False),
    ),
    "reasoning": ("reasoningContentEvent", {"text": "Let me"}, (REASONING, "Let me", None, None)),
    "reasoning signature": (
        "reasoningContentEvent",
        {"signature": "EqQB"},
        (REASONING, None, "EqQB", None),
    ),
    "reasoning redacted": (
        "reasoningContentEvent",
        {"redactedContent": "AAEC"},
        (REASONING, None, None, "AAEC"),
    ),
    "other reasoning": ("reasoningEvent", {"content": "Hm"}, (REASONING, "Hm", None, None)),
    "other reasoning with text": ("reasoningEvent", {"text": "Hm"}, (REASONING, "Hm", None, None)),
    "metadata": (
        "metadataEvent",
        {"tokenUsage": TOKENS, "stopReason": "END_TURN"},
        (METADATA, TOKENS, "END_TURN", {"tokenUsage": TOKENS, "stopReason": "END_TURN"}),
    ),
    "metadata snake case": (
        "metadataEvent",
        {"stop_reason": "tool_use"},
        (METADATA, None, "tool_use", {"stop_reason": "tool_use"}),
    ),
    "metadata finish reason": (
        "metadataEvent",
        {"stopReason": None, "finishReason": "MAX_TOKENS"},
        (METADATA, None, "MAX_TOKENS", {"stopReason": None, "finishReason": "MAX_TOKENS"}),
    ),
    "metadata empty": ("metadataEvent", {}, (METADATA, None, None, {})),
    "metering": (
        "meteringEvent",
        {"usage": 0.0897, "unit": "credit", "unitPlural": "credits"},
        (METERING, 0.0897, "credit"),
    ),
    "metering without numbers": ("meteringEvent", {}, (METERING, None, "")),
    "context": ("contextUsageEvent", {"contextUsagePercentage": 10.867}, (CONTEXT, 10.867)),
    "context whole number": ("contextUsageEvent", {"contextUsagePercentage": 7}, (CONTEXT, 7.0)),
    "context without number": ("contextUsageEvent", {}, (OTHER, "contextUsageEvent")),
    "message metadata": (
        "messageMetadataEvent",
        {"conversationId": "c", "utteranceId": "u"},
        (MESSAGE_META, "c", "u"),
    ),
    "message metadata empty": ("messageMetadataEvent", {}, (MESSAGE_META, None, None)),
    "code reference": ("codeReferenceEvent", {"references": REFERENCES}, (REFERENCE, REFERENCES)),
    "code reference empty": ("codeReferenceEvent", {}, (REFERENCE, [])),
    "initial response": ("initial-response", {"conversationId": "c"}, (OTHER, "initial-response")),
    "citation": ("citationEvent", {"citationText": "x"}, (OTHER, "citationEvent")),
    "web links": (
        "supplementaryWebLinksEvent",
        {"supplementaryWebLinks": []},
        (OTHER, "supplementaryWebLinksEvent"),
    ),
    "follow-up": ("followupPromptEvent", {}, (OTHER, "followupPromptEvent")),
    "tool result": ("toolResultEvent", {"toolResult": {}}, (OTHER, "toolResultEvent")),
    "intents": ("intentsEvent", {"intents": {}}, (OTHER, "intentsEvent")),
    "interaction": ("interactionComponentsEvent", {}, (OTHER, "interactionComponentsEvent")),
    "dry run": ("dryRunSucceedEvent", {}, (OTHER, "dryRunSucceedEvent")),
    "metrics": ("metricsEvent", {}, (OTHER, "metricsEvent")),
}


@pytest.mark.parametrize(("event_type", "payload", "expected"), EVENTS.values(), ids=EVENTS.keys())
def test_event(event_type: str, payload: object, expected: KiroEvent) -> None:
    parser = EventParser()
    frames = FrameDecoder().feed(encode_event(event_type, orjson.dumps(payload)))
    for _ in range(2):  # the second time from the cache
        (event,) = parser.parse(frames)
        assert event == expected
    assert parser.unknown == {}


def test_every_event_of_the_table_is_tested() -> None:
    refusing = {
        "invalidStateEvent",
        "modelTemporarilyUnavailableEvent",
        "modelUnavailableEvent",
    }
    assert {event_type for event_type, _, _ in EVENTS.values()} | refusing == set(PARSERS)


def test_ignored_event_without_payload() -> None:
    assert parse(encode_event("initial-response", b"")) == [(OTHER, "initial-response")]


def test_missing_message_type_is_an_event() -> None:
    frame = encode_frame({":event-type": "assistantResponseEvent"}, b'{"content":"x"}')
    assert parse(frame) == [(TEXT, "x")]


# -- unknown ----------------------------------------------------------------------------------------


def test_unknown_events_are_counted_and_pass() -> None:
    parser = EventParser()
    frames = FrameDecoder().feed(
        encode_event("newEvent", b"not json")
        + encode_event("assistantResponseEvent", b'{"content":"x"}')
        + encode_event("newEvent", b"")
        + encode_frame({":message-type": "event"}, b"")
        + encode_frame({":message-type": "note"}, b"")
    )
    events = parser.parse(frames)
    assert events[:3] == [(OTHER, "newEvent"), (TEXT, "x"), (OTHER, "newEvent")]
    assert parser.unknown == {"newEvent": 2, "(no event type)": 1, "(message type note)": 1}


def test_unknown_names_and_cached_blocks_are_bounded() -> None:
    parser = EventParser()
    data = b"".join(encode_event(f"e{number}" + "x" * 500, b"") for number in range(200))
    frames = FrameDecoder().feed(data)
    for _ in range(2):
        assert len(parser.parse(frames)) == 200
    assert len(parser.unknown) == MAX_UNKNOWN_NAMES + 1
    assert parser.unknown[MORE_UNKNOWN] == 2 * (200 - MAX_UNKNOWN_NAMES)
    assert sum(parser.unknown.values()) == 400
    assert max(map(len, parser.unknown)) <= 64


def test_a_full_cache_still_parses() -> None:
    parser = EventParser()
    filling = b"".join(encode_event(f"e{number}", b"") for number in range(MAX_CACHED_BLOCKS))
    parser.parse(FrameDecoder().feed(filling))
    frames = FrameDecoder().feed(encode_event("assistantResponseEvent", b'{"content":"x"}') * 2)
    assert parser.parse(frames) == [(TEXT, "x")] * 2


# -- refusals ---------------------------------------------------------------------------------------

THROTTLED = orjson.dumps({"message": "slow down", "reason": "USER_REQUEST_RATE_EXCEEDED"})

REFUSALS: dict[str, tuple[bytes, str, str]] = {
    "exception": (
        encode_exception("ThrottlingException", THROTTLED),
        "ThrottlingException",
        "slow down",
    ),
    "exception without message type": (
        encode_frame({":exception-type": "ThrottlingException"}, THROTTLED),
        "ThrottlingException",
        "slow down",
    ),
    "exception named in the payload only": (
        encode_frame(
            {":message-type": "exception"},
            b'{"__type":"com.amazon.x#ValidationException","message":"bad"}',
        ),
        "ValidationException",
        "bad",
    ),
    "exception without payload": (
        encode_exception("internalServerException", b""),
        "internalServerException",
        "",
    ),
    "error": (encode_error("InternalError", "boom"), "InternalError", "boom"),
    "error without message type": (
        encode_frame({":error-code": "InternalError", ":error-message": "boom"}, b""),
        "InternalError",
        "boom",
    ),
    "invalid state": (
        encode_event("invalidStateEvent", b'{"reason":"STALE_CONVERSATION","message":"stale"}'),
        "invalidStateEvent",
        "stale",
    ),
    "model unavailable": (
        encode_event("modelTemporarilyUnavailableEvent", b'{"message":"busy"}'),
        "modelTemporarilyUnavailableEvent",
        "busy",
    ),
    "model unavailable, short name": (
        encode_event("modelUnavailableEvent", b'{"message":"busy"}'),
        "modelUnavailableEvent",
        "busy",
    ),
}


@pytest.mark.parametrize(("frame", "name", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusal(frame: bytes, name: str, words: str) -> None:
    text = encode_event("assistantResponseEvent", b'{"content":"x"}')
    first, (number, error) = parse(text, frame, text)
    assert first == (TEXT, "x")
    assert number == FAULT
    assert isinstance(error, UpstreamRefusedError)
    assert error.name == name
    assert error.status == 0
    assert words in error.message


# -- frames that do not hold what they promise -------------------------------------------------------

BAD_PAYLOADS: dict[str, tuple[str, bytes, str]] = {
    "not json": ("assistantResponseEvent", b'{"content":', "11 bytes is not JSON"),
    "empty": ("assistantResponseEvent", b"", "0 bytes is not JSON"),
    "not utf-8": ("assistantResponseEvent", b'{"content":"\xff"}', "not JSON"),
    "not a number either": ("meteringEvent", b'{"usage":NaN}', "not JSON"),
    "deep": ("assistantResponseEvent", b"[" * 100_000, "not JSON"),
    "array": ("assistantResponseEvent", b"[]", "is an array, not an object"),
    "null": ("toolUseEvent", b"null", "is null, not an object"),
    "text": ("assistantResponseEvent", b'"content"', "is text, not an object"),
    "content a number": ("assistantResponseEvent", b'{"content":1}', "'content' is a number"),
    "model id an object": (
        "assistantResponseEvent",
        b'{"content":"","modelId":{}}',
        "'modelId' is an object, not text",
    ),
    "tool input a list": ("toolUseEvent", b'{"input":[1]}', "'input' is an array"),
    "tool id a number": ("toolUseEvent", b'{"toolUseId":1}', "'toolUseId' is a number"),
    "usage text": ("meteringEvent", b'{"usage":"1"}', "'usage' is text, not a number"),
    "percentage true": (
        "contextUsageEvent",
        b'{"contextUsagePercentage":true}',
        "is a truth value, not a number",
    ),
    "token usage a list": ("metadataEvent", b'{"tokenUsage":[]}', "'tokenUsage' is an array"),
}


@pytest.mark.parametrize(
    ("event_type", "payload", "message"), BAD_PAYLOADS.values(), ids=BAD_PAYLOADS.keys()
)
def test_bad_payload(event_type: str, payload: bytes, message: str) -> None:
    ((number, error),) = parse(encode_event(event_type, payload))
    assert number == FAULT
    assert type(error) is EventStreamError
    assert message in error.message


def test_bad_payload_is_not_quoted() -> None:
    ((_, error),) = parse(encode_event("toolUseEvent", b'{"input":["private words"]}'))
    assert "private" not in str(error)


EXACT: dict[str, str] = {
    "more than 64 bits": '{"id":123456789012345678901234567890}',
    "as many digits as nobody counts": '{"id":1' + "0" * 300 + "}",
    "spelling": '{"a":1.10,"b":1e2,"c":0.1000000000000000055511151231257827}',
    "inside": '{"a":[{"b":{"c":[1,-0.50]}}],"d":7,"e":true}',
    "no floats": '{"a":18446744073709551615,"b":-9223372036854775808}',
    "beyond all floats": '{"a":1e400,"b":[-1E+999],"c":1.10,"d":1}',
    "whole and beyond all floats": '{"id":1' + "0" * 309 + "}",
    "more digits than Python reads": '{"id":' + "7" * 5_000 + "}",
    "nothing, with a sign": '{"a":-0,"b":[0,false,-0.0]}',
}


@pytest.mark.parametrize("written", EXACT.values(), ids=EXACT.keys())
def test_tool_input_as_object_keeps_its_numbers(written: str) -> None:
    payload = f'{{"toolUseId":"a","name":"W", "input": {written},"stop":true}}'
    ((number, *head, value, stop),) = parse(encode_event("toolUseEvent", payload.encode()))
    assert (number, head, stop) == (TOOL, ["a", "W"], True)
    assert orjson.dumps(value).decode() == written


@pytest.mark.parametrize("written", EXACT.values(), ids=EXACT.keys())
@pytest.mark.parametrize("halves", [["\\ud83d"], ["\\ud83d", "\\ude00"]], ids=["one", "both"])
def test_a_character_cut_in_two_costs_no_number_its_spelling(
    halves: list[str], written: str
) -> None:
    payload = f'{{"toolUseId":"a","name":"W","input":{written},"stop":true}}'
    sent = [*map(text, halves), ("toolUseEvent", payload)]
    *_, (number, *head, value, stop) = parse(*(encode_event(t, p.encode()) for t, p in sent))
    assert (number, head, stop) == (TOOL, ["a", "W"], True)
    assert orjson.dumps(value).decode() == written


# What is sent, and what is read: half a pair stands in the same payload.
BROKEN_INPUTS: dict[str, tuple[str, str]] = {
    "spelling": ('{"a":1.10,"s":"\\ud83d"}', '{"a":1.10,"s":"\ufffd"}'),
    "beyond all floats": ('{"s":"\\ude00","a":1e400}', '{"s":"\ufffd","a":1e400}'),
    "in front": ('{"a":1e400,"s":"\\ud83d!"}', '{"a":1e400,"s":"\ufffd!"}'),
    "beside what is none": (
        r'{"a":1e400,"s":"\ud83d\\ud83d\ud83d\ude00\"\n"}',
        '{"a":1e400,"s":"\ufffd' + r"\\ud83d" + "\U0001f600" + r'\"\n"}',
    ),
}


@pytest.mark.parametrize("sent", BROKEN_INPUTS)
def test_half_a_pair_inside_costs_no_number_its_spelling(sent: str) -> None:
    written, expected = BROKEN_INPUTS[sent]
    payload = f'{{"toolUseId":"a","name":"W","input":{written}}}'
    ((number, _, _, value, _),) = parse(encode_event("toolUseEvent", payload.encode()))
    assert (number, orjson.dumps(value).decode()) == (TOOL, expected)


def test_halves_meet_beside_a_number_beyond_all_floats() -> None:
    first = '{"toolUseId":"a","input":"x\\ud83d","n":1e400}'
    second = '{"toolUseId":"a","input":"\\ude00y","n":1' + "0" * 5_000 + "}"
    events = parse(*(encode_event("toolUseEvent", sent.encode()) for sent in (first, second)))
    assert events == [(TOOL, "a", None, "x", False), (TOOL, "a", None, "\U0001f600y", False)]


BAD_TOOLS: dict[str, tuple[str, str]] = {
    "no number": ('{"input":{"a":1e400,"b":NaN}}', "is not JSON"),
    "infinity": ('{"input":{"a":-Infinity}}', "is not JSON"),
    "cut short": ('{"input":{"a":1e400}', "is not JSON"),
    "an id beyond all floats": ('{"toolUseId":1e400}', "'toolUseId' is a number, not text"),
    "an input beyond all floats": ('{"input":1e400}', "'input' is a number, not text or an object"),
    "a list": ("[1e400]", "an array, not an object"),
    "nested too deeply": ('{"input":{"a":1e400,"b":' + "[" * 100_000, "is not JSON"),
}


@pytest.mark.parametrize(("payload", "message"), BAD_TOOLS.values(), ids=BAD_TOOLS.keys())
def test_bad_tool_event_with_what_the_fast_reader_refuses(payload: str, message: str) -> None:
    ((number, error),) = parse(encode_event("toolUseEvent", payload.encode()))
    assert (number, type(error)) == (FAULT, EventStreamError)
    assert message in error.message


def test_tool_input_as_object_nested_beyond_the_slow_reader() -> None:
    inner = "[" * 900 + "1.5" + "]" * 900
    payload = f'{{"name":"W","input":{{"a":{inner}}}}}'
    ((number, _, _, value, _),) = parse(encode_event("toolUseEvent", payload.encode()))
    assert (number, list(value)) == (TOOL, ["a"])


def test_bad_header_block() -> None:
    block_of_type_10 = (b"\x01a\x0a", memoryview(b"{}"))
    ((number, error),) = EventParser().parse([block_of_type_10])
    assert number == FAULT
    assert isinstance(error, HeaderError)


def test_event_type_that_is_no_string() -> None:
    ((number, error),) = parse(encode_frame({":event-type": 5}, b"{}"))
    assert number == FAULT
    assert ":event-type is not a string" in error.message


def test_half_a_surrogate_pair_costs_one_character() -> None:
    payload = b'{"content":"a\\ud83db \\ud83d\\ude00 \\\\ud83d"}'
    assert parse(encode_event("assistantResponseEvent", payload)) == [
        (TEXT, "a\ufffdb \U0001f600 \\ud83d")
    ]


def text(escaped: str) -> tuple[str, str]:
    return ("assistantResponseEvent", f'{{"content":"{escaped}"}}')


def tool(escaped: str, call_id: str = "a") -> tuple[str, str]:
    return ("toolUseEvent", f'{{"toolUseId":"{call_id}","name":"W","input":"{escaped}"}}')


# fmt: off
# What is sent, and what is read: halves that meet are one character, others are one each.
HALVES: dict[str, tuple[list[tuple[str, str]], list[Any]]] = {
    "text": (
        [text("a\\ud83d"), text("\\ude00b"), text("c")],
        [(TEXT, "a"), (TEXT, "\U0001f600b"), (TEXT, "c")],
    ),
    "nothing but halves": (
        [text("\\ud83d"), text("\\ude00\\ud83d"), text("\\ude00")],
        [(TEXT, ""), (TEXT, "\U0001f600"), (TEXT, "\U0001f600")],
    ),
    "something of no meaning between": (
        [text("\\ud83d"), ("citationEvent", ""), ("newEvent", "\\"), text(""), text("\\ude00")],
        [(TEXT, ""), (OTHER, "citationEvent"), (OTHER, "newEvent"), (TEXT, "\ufffd"), (TEXT, ""),
         (TEXT, "\ufffd")],
    ),
    "what follows is something else": (
        [text("\\ud83d"), text("x\\ude00"), text("\\ud83d"), ("metadataEvent", "{}")],
        [(TEXT, ""), (TEXT, "\ufffdx\ufffd"), (TEXT, ""), (TEXT, "\ufffd"),
         (METADATA, None, None, {})],
    ),
    "a tool's input": (
        [tool(r'{\"t\":\"\ud83d'), tool(r'\ude00\"}')],
        [(TOOL, "a", "W", '{"t":"', False), (TOOL, "a", "W", '\U0001f600"}', False)],
    ),
    "another tool's input": (
        [tool("\\ud83d"), tool("\\ude00", "b")],
        [(TOOL, "a", "W", "", False), (TOOL, "a", "W", "\ufffd", False),
         (TOOL, "b", "W", "\ufffd", False)],
    ),
    "the tool stops": (
        [tool("\\ud83d"), ("toolUseEvent", '{"toolUseId":"a","stop":true}')],
        [(TOOL, "a", "W", "", False), (TOOL, "a", "W", "\ufffd", False), (TOOL, "a", None, None, True)],
    ),
    "thinking": (
        [("reasoningContentEvent", '{"text":"\\ud83d"}'), ("reasoningEvent", '{"text":"\\ude00"}')],
        [(REASONING, "", None, None), (REASONING, "\U0001f600", None, None)],
    ),
    "not where text stands": (
        [text("\\ud83d"), ("messageMetadataEvent", '{"conversationId":"\\ud83d"}')],
        [(TEXT, ""), (TEXT, "\ufffd"), (MESSAGE_META, "\ufffd", None)],
    ),
}
# fmt: on


@pytest.mark.parametrize("case", HALVES)
def test_characters_that_the_service_cut_in_two(case: str) -> None:
    sent, expected = HALVES[case]
    data = b"".join(encode_event(name, payload.encode()) for name, payload in sent)
    for pieces in every_cut(data):
        decoder, parser = FrameDecoder(), EventParser()
        assert [e for piece in pieces for e in parser.parse(decoder.feed(piece))] == expected


def test_halves_as_bytes() -> None:
    high, low = b"\xed\xa0\xbd", b"\xed\xb8\x80"
    events = parse(
        encode_event("assistantResponseEvent", b'{"content":"a' + high + b'"}'),
        encode_event("assistantResponseEvent", b'{"content":"' + low + b'b"}'),
    )
    assert events == [(TEXT, "a"), (TEXT, "\U0001f600b")]
    events = parse(encode_event("messageMetadataEvent", b'{"conversationId":"' + high + b'c"}'))
    assert events == [(MESSAGE_META, "\ufffdc", None)]


def test_no_json_behind_half_a_pair_is_a_fault() -> None:
    first = encode_event("assistantResponseEvent", b'{"content":"\\ud83d"}')
    for payload in (b'{"content":"\\ud83d","x":NaN}', b"[1]", b'"\\ud83d"', b"\xff", b"[" * 5_000):
        event, fault = parse(first, encode_event("assistantResponseEvent", payload))
        assert (event, fault[0]) == ((TEXT, ""), FAULT)


# -- properties -------------------------------------------------------------------------------------


def test_same_events_in_every_chunking() -> None:
    data = b"".join(
        encode_event(event_type, orjson.dumps(payload))
        for event_type, payload, _ in EVENTS.values()
    )
    expected = [event for _, _, event in EVENTS.values()]
    for pieces in every_cut(data):
        decoder, parser = FrameDecoder(), EventParser()
        events = [event for piece in pieces for event in parser.parse(decoder.feed(piece))]
        assert events == expected


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
_FIELDS = st.sampled_from(
    "content modelId toolUseId name input stop text signature redactedContent tokenUsage stopReason "
    "usage unit contextUsagePercentage conversationId utteranceId references message reason".split()
)
_PAYLOADS = (
    st.dictionaries(_FIELDS, _JSON, max_size=5).map(orjson.dumps)
    | _JSON.map(orjson.dumps)
    | st.binary(max_size=30)
)
_FRAMES = st.builds(encode_event, st.sampled_from(sorted(PARSERS)), _PAYLOADS) | st.builds(
    encode_exception, st.text(max_size=10), _PAYLOADS
)


@given(st.lists(_FRAMES, max_size=6))
@settings(max_examples=200, deadline=None)
def test_parse_never_raises_and_ends_with_its_fault(frames: list[bytes]) -> None:
    events = parse(*frames)
    numbers = [event[0] for event in events]
    assert FAULT not in numbers[:-1]
    if FAULT not in numbers:
        assert len(events) == len(frames)
    for event in events:
        if event[0] == TEXT:
            assert type(event[1]) is str


PAYLOADS = [b'{"content":"a"}', b'{"content":"a","modelId":"m"}', b'{"content":""}', b"{}"]
BROKEN = [b"[]", b"{", b'{"content":7}', b"\xff", b'{"content":"a","modelId":7}']


@pytest.mark.parametrize("payload", PAYLOADS + BROKEN)
def test_a_frame_alone_is_read_like_one_among_others(payload: bytes) -> None:
    first = encode_event("assistantResponseEvent", b'{"content":"first"}')
    frame = encode_event("assistantResponseEvent", payload)
    parser, decoder = EventParser(), FrameDecoder()
    _, among = parser.parse(decoder.feed(first + frame))  # the header block is known from here on
    (alone,) = parser.parse(decoder.feed(frame))
    assert alone[0] == among[0] == (FAULT if payload in BROKEN else TEXT)
    assert [str(part) for part in alone] == [str(part) for part in among]
