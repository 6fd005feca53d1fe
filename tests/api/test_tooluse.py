"""Tool calls from events in every shape live streams were seen to have."""

from __future__ import annotations

from itertools import count
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orjson import Fragment

from kiroproxy.api import tooluse
from kiroproxy.api.events import TOOL_END, TOOL_INPUT, TOOL_START, AnswerEvent
from kiroproxy.api.tooluse import ToolAssembler
from kiroproxy.errors import IncompleteAnswerError
from kiroproxy.eventstream import FrameDecoder
from kiroproxy.eventstream.encoder import encode_event
from kiroproxy.kiro.events import TOOL, EventParser
from tests.api.cuts import merged

Event = tuple[str | None, str | None, str | dict[str, Any] | None, bool]


def assemble(events: list[Event], *, end: bool = True) -> list[AnswerEvent]:
    out: list[AnswerEvent] = []
    numbers = count(1)
    tools = ToolAssembler({"short": "the_long_name"}, lambda: f"made_{next(numbers)}")
    for event in events:
        tools.feed(*event, out)
    if end:
        tools.settle(out, at_end=True)
        assert not tools.busy
        assert tools.ended == sum(event[0] == TOOL_END for event in out)
    return out


def call(call_id: str, name: str, *fragments: str) -> list[AnswerEvent]:
    inputs = [(TOOL_INPUT, fragment) for fragment in fragments]
    return [(TOOL_START, call_id, name), *inputs, (TOOL_END,)]


# fmt: off
GOOD: dict[str, tuple[list[Event], list[AnswerEvent]]] = {
    "as documented": (
        [("a", "Read", None, False), ("a", "Read", '{"p":', False), ("a", "Read", '"x"}', False),
         ("a", "Read", None, True)],
        call("a", "Read", '{"p":', '"x"}'),
    ),
    "no fragments": ([("a", "Now", None, False), ("a", "Now", None, True)], call("a", "Now")),
    "whitespace for an input": (
        [("a", "Now", " ", False), ("a", "Now", None, True)], call("a", "Now")),
    "whitespace in front of an input": (
        [("a", "Read", "\r\n", False), ("a", None, '{"p":1}', True)], call("a", "Read", '{"p":1}')),
    "all in one": ([("a", "Read", '{"p":1}', True)], call("a", "Read", '{"p":1}')),
    "renamed": ([("a", "short", "{}", True)], call("a", "the_long_name")),
    "an empty object first": (
        [("a", "Read", {}, False), ("a", None, '{"p":1}', False), ("a", None, None, True)],
        call("a", "Read", '{"p":1}'),
    ),
    "an empty object as text first": (
        [("a", "Read", "{}", False), ("a", None, '{"p"', False), ("a", None, ":1}", True)],
        call("a", "Read", '{"p"', ":1}"),
    ),
    "an empty object as text, then whitespace": (
        [("a", "Now", "{}", False), ("a", None, "\n", True)], call("a", "Now")),
    "an empty object all along": ([("a", "Now", {}, False), ("a", None, {}, True)], call("a", "Now")),
    "an object": ([("a", "Read", {"p": 1}, True)], call("a", "Read", '{"p":1}')),
    "a growing object": (
        [("a", "W", {"p": "x"}, False), ("a", "W", {"p": "xy", "t": ["1"]}, False),
         ("a", "W", {"p": "xy", "t": ["1", "2"]}, False), ("a", "W", {}, True)],
        call("a", "W", '{"p":"xy","t":["1","2"]}'),
    ),
    "the same object twice": (
        [("a", "W", {"p": 1}, False), ("a", "W", {"p": 1}, True)], call("a", "W", '{"p":1}')),
    "a growing object with numbers as they were written": (
        [("a", "W", {"p": 1}, False), ("a", "W", {"p": Fragment("1"), "q": Fragment("1.10")}, False),
         ("a", "W", {"p": Fragment("1"), "q": Fragment("1.10"), "r": Fragment("1E400")}, True)],
        call("a", "W", '{"p":1,"q":1.10,"r":1E400}'),
    ),
    "a growing object whose numbers are spelled anew": (
        [("a", "W", {"p": Fragment("1.5"), "q": 1, "r": 1e2, "s": Fragment("-0")}, False),
         ("a", "W", {"p": Fragment("1.50"), "q": Fragment("1.0"), "r": Fragment("100"), "s": 0}, True)],
        call("a", "W", '{"p":1.50,"q":1.0,"r":100,"s":0}'),
    ),
    "a growing object with a number of many digits, spelled anew": (
        [("a", "W", {"p": Fragment("123456789012345678901234567890")}, False),
         ("a", "W", {"p": 1.2345678901234568e29}, True)],
        call("a", "W", '{"p":1.2345678901234568e+29}'),
    ),
    "without an id after the first event": (
        [("a", "Read", None, False), (None, None, '{"p":1}', False), (None, None, None, True)],
        call("a", "Read", '{"p":1}'),
    ),
    "the id comes late": (
        [(None, "Read", '{"p"', False), ("a", "Read", ":1}", False), ("a", None, None, True)],
        call("a", "Read", '{"p"', ":1}"),
    ),
    "never an id": (
        [(None, "Read", '{"p":1}', True), (None, "Grep", "{}", False), (None, None, None, True)],
        call("made_1", "Read", '{"p":1}') + call("made_2", "Grep"),
    ),
    "two of one name, never an id": (
        [(None, "Read", '{"p":1}', True), (None, "Read", '{"p":2}', True)],
        call("made_1", "Read", '{"p":1}') + call("made_2", "Read", '{"p":2}'),
    ),
    "the name comes late": (
        [("a", None, '{"p":1}', False), ("a", "Read", None, True)], call("a", "Read", '{"p":1}')),
    "interleaved": (
        [("a", "Read", '{"p"', False), ("b", "Grep", '{"q"', False), ("a", None, ":1}", False),
         ("b", None, ":2}", True), ("c", "Now", None, True), ("a", None, None, True)],
        call("a", "Read", '{"p"', ":1}") + call("b", "Grep", '{"q"', ":2}") + call("c", "Now"),
    ),
    "no stop": (
        [("a", "Read", '{"p":1}', False), ("b", "Grep", '{"q":2}', False)],
        call("a", "Read", '{"p":1}') + call("b", "Grep", '{"q":2}'),
    ),
    "an object and no stop": ([("a", "Read", {"p": 1}, False)], call("a", "Read", '{"p":1}')),
    "stopped twice": (
        [("a", "Read", '{"p":1}', True), ("a", "Read", None, True), (None, None, None, True)],
        call("a", "Read", '{"p":1}'),
    ),
    "stopped twice, by its name alone": (
        [("a", "Read", '{"p":1}', True), (None, "Read", None, True), (None, "Read", {}, True)],
        call("a", "Read", '{"p":1}'),
    ),
    "stopped twice, never an id": (
        [(None, "Now", None, False), (None, "Now", None, True), (None, "Now", None, True)],
        call("made_1", "Now"),
    ),
    "a stop that belongs to nothing": ([(None, None, None, True)], []),
    "half a surrogate pair as an escape": (
        [("a", "W", '{"t":"\\ud83d', False), ("a", None, '"}', True)],
        call("a", "W", '{"t":"\\ud83d', '"}'),
    ),
    "a number beyond all floats": (
        [("a", "W", '{"n":-1e999}', True)], call("a", "W", '{"n":-1e999}')),
    "cut inside an escape": (
        [("a", "W", '{"t":"\\', False), ("a", None, 'u00', False), ("a", None, 'e9"}', True)],
        call("a", "W", '{"t":"\\', "u00", 'e9"}'),
    ),
}

BAD: dict[str, list[Event]] = {
    "cut short, stopped": [("a", "W", '{"p":', False), ("a", None, None, True)],
    "cut short, at the end": [("a", "W", '{"p":', False)],
    "nothing but its name": [("a", "W", None, False)],
    "an empty object and no stop": [("a", "W", {}, False)],
    "an empty object as text and no stop": [("a", "W", "{}", False)],
    "not an object": [("a", "W", "[1]", True)],
    "no number": [("a", "W", '{"p":"\\ud83d","q":NaN}', True)],
    "half a pair, cut short": [("a", "W", '{"p":"\\ud83d"', True)],
    "two objects": [("a", "W", '{"p":1}{"q":2}', True)],
    "objects that contradict": [("a", "W", {"p": 1}, False), ("a", "W", {"p": 2}, True)],
    "numbers that contradict": [
        ("a", "W", {"p": Fragment("1.5")}, False), ("a", "W", {"p": Fragment("1.51")}, True)],
    "ids that contradict": [
        ("a", "W", {"p": 2**62}, False), ("a", "W", {"p": 2**62 + 1}, True)],
    "ids beyond 64 bits that contradict": [
        ("a", "W", {"p": Fragment("9" * 30)}, False), ("a", "W", {"p": Fragment("-" + "9" * 30)}, True)],
    "the last digit of an id": [
        ("a", "W", {"p": Fragment("9" * 30)}, False), ("a", "W", {"p": Fragment("9" * 29 + "8")}, True)],
    "numbers beyond all floats that contradict": [
        ("a", "W", {"p": Fragment("1e400")}, False), ("a", "W", {"p": Fragment("1e500")}, True)],
    "a number, then its text": [("a", "W", {"p": 1}, False), ("a", "W", {"p": "1"}, True)],
    "a number, then null": [("a", "W", {"p": Fragment("1")}, False), ("a", "W", {"p": None}, True)],
    "an object, then a list": [("a", "W", {"p": {}}, False), ("a", "W", {"p": []}, True)],
    "true is not 1": [("a", "W", {"p": 1}, False), ("a", "W", {"p": True}, True)],
    "text, then an object": [("a", "W", '{"p":', False), ("a", "W", {"p": 1}, True)],
    "an object, then text": [("a", "W", {"p": 1}, False), ("a", "W", '{"p":1}', True)],
    "on and on after its end": [("a", "W", '{"p":1}', True), ("a", "W", "x", False)],
    "no name": [("a", None, '{"p":1}', True)],
    "no name at the end": [("a", None, '{"p":1}', False)],
    "neither id nor name": [(None, None, '{"p":1}', False)],
    "the second of two": [("a", "W", '{"p":1}', True), ("b", "W", '{"p"', False)],
}
# fmt: on


@pytest.mark.parametrize("case", GOOD)
def test_call_is_put_together(case: str) -> None:
    events, expected = GOOD[case]
    assert assemble(events) == expected


def test_an_object_that_grows_around_a_character_cut_in_two() -> None:
    tool = '{"toolUseId":"a","name":"W","input":'
    sent = (
        ("toolUseEvent", tool + '{"p":1.10}}'),
        ("reasoningContentEvent", '{"text":"\\ud83d"}'),
        ("toolUseEvent", tool + '{"p":1.10,"q":2},"stop":true}'),
    )
    parser, decoder = EventParser(), FrameDecoder()
    frames = (encode_event(event_type, payload.encode()) for event_type, payload in sent)
    events = [event for frame in frames for event in parser.parse(decoder.feed(frame))]
    inputs: list[Event] = [(e[1], e[2], e[3], e[4]) for e in events if e[0] == TOOL]
    assert assemble(inputs) == call("a", "W", '{"p":1.10,"q":2}')


@pytest.mark.parametrize("case", BAD)
def test_broken_call_is_never_shown_as_whole(case: str) -> None:
    out: list[AnswerEvent] = []
    tools = ToolAssembler({}, lambda: "made")
    with pytest.raises(IncompleteAnswerError) as caught:
        for event in BAD[case]:
            tools.feed(*event, out)
        tools.settle(out, at_end=True)
    ended = [event for event in out if event[0] == TOOL_END]
    assert len(ended) == (case in ("the second of two", "on and on after its end"))
    assert '"p"' not in caught.value.message


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    assert isinstance(value, dict)
    return value


def test_input_that_no_dialect_could_write_is_refused() -> None:
    for good in (100, 230):
        expected = orjson.dumps(nested(good)).decode()
        for value in (nested(good), expected):
            assert merged(assemble([("a", "f", value, True)])) == call("a", "f", expected)
    for levels in (253, 900):
        text = '{"a":' * levels + "1" + "}" * levels
        for value in (orjson.loads(text), text):
            with pytest.raises(IncompleteAnswerError, match="nested too deeply"):
                assemble([("a", "f", value, True)])


def test_fragments_stream_as_they_come() -> None:
    out: list[AnswerEvent] = []
    tools = ToolAssembler({}, lambda: "made")
    tools.feed("a", "Read", None, False, out)
    assert out == [(TOOL_START, "a", "Read")]
    tools.feed("a", "Read", '{"p":', False, out)
    assert out[1:] == [(TOOL_INPUT, '{"p":')]
    assert tools.busy


def test_settle_ends_only_what_is_whole() -> None:
    out: list[AnswerEvent] = []
    tools = ToolAssembler({}, lambda: "made")
    tools.feed("a", "Read", '{"p":', False, out)
    tools.settle(out)
    assert tools.busy
    tools.feed("a", None, "1}", False, out)
    tools.settle(out)
    assert not tools.busy and out[-1] == (TOOL_END,)


def test_limits() -> None:
    tools = ToolAssembler({}, lambda: "made")
    with pytest.raises(IncompleteAnswerError, match="more than"):
        for number in range(tooluse.MAX_CALLS + 1):
            tools.feed(str(number), "W", "{}", True, [])
    tools = ToolAssembler({}, lambda: "made")
    with pytest.raises(IncompleteAnswerError, match="larger"):
        for _ in range(33):
            tools.feed("a", "W", "x" * (1 << 20), False, [])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
INPUTS = st.dictionaries(st.text(max_size=5), JSON_VALUES, min_size=1, max_size=3)


@settings(max_examples=100)
@given(st.lists(INPUTS, min_size=1, max_size=3), st.randoms(use_true_random=False), st.booleans())
def test_interleaved_calls_come_out_one_by_one(
    inputs: list[dict[str, Any]], source: Any, stops: bool
) -> None:
    queues: list[list[Event]] = []
    for number, value in enumerate(inputs):
        text = orjson.dumps(value).decode()
        cuts = sorted(source.randrange(len(text) + 1) for _ in range(3))
        name = f"tool{number}"
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        first: list[Event] = [(str(number), name, None, False)]
        last: list[Event] = [(str(number), name, None, True)] if stops else []
        queues.append(first + [(str(number), name, piece, False) for piece in pieces] + last)
    events = []
    while any(queues):
        queue = source.choice([queue for queue in queues if queue])
        events.append(queue.pop(0))
    out = merged(assemble(events))
    assert [event[0] for event in out] == [TOOL_START, TOOL_INPUT, TOOL_END] * len(inputs)
    got = {
        event[1]: orjson.loads(out[at + 1][1]) for at, event in enumerate(out) if len(event) == 3
    }
    assert got == {str(number): value for number, value in enumerate(inputs)}
