"""Kiro's events in, the neutral answer out: order, completeness, numbers, in every batching."""

from __future__ import annotations

import random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.api.answer import MAX_WAITING_EVENTS, Answer, make_tool_id
from kiroproxy.api.events import (
    REDACTED,
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_INPUT,
    TOOL_START,
    AnswerEvent,
    Ending,
    Source,
    Stop,
    Usage,
)
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.errors import IncompleteAnswerError, Kind
from kiroproxy.kiro import events as kiro
from kiroproxy.kiro.events import KiroEvent
from kiroproxy.kiro.replies import classify_frame
from tests.api.cuts import every_text_cut, merged

PLAN = AnswerPlan(input_tokens=1_000, context_window=200_000)
TAGS = PLAN._replace(split_thinking=True)
END: KiroEvent = (kiro.METADATA, None, "END_TURN", {})
METERING: KiroEvent = (kiro.METERING, 0.1, "credit")
CONTEXT: KiroEvent = (kiro.CONTEXT, 10.0)


def text(value: str) -> KiroEvent:
    return (kiro.TEXT, value)


def tool(call_id: str, name: str | None, value: Any = None, stop: bool = False) -> KiroEvent:
    return (kiro.TOOL, call_id, name, value, stop)


def thinking(value: str | None = None, signature: str | None = None) -> KiroEvent:
    return (kiro.REASONING, value, signature, None)


def run(
    events: list[KiroEvent], plan: AnswerPlan = PLAN, *, size: int = 10**6
) -> tuple[list[AnswerEvent], Ending]:
    """Feed in batches of ``size``; raises what the relay would raise."""
    answer = Answer(plan, lambda: "made")
    out: list[AnswerEvent] = []
    for at in range(0, len(events), size):
        out += answer.feed(events[at : at + size])
        if answer.fault is not None:
            raise answer.fault
        if answer.done:
            break
    rest, ending = answer.finish()
    return merged(out + rest), ending


def check_order(events: list[AnswerEvent]) -> None:
    """What encoders rely on."""
    opened = None
    for event in events:
        if opened == TOOL_START:
            assert event[0] in (TOOL_INPUT, TOOL_END)
        elif opened == THINKING:
            assert event[0] in (THINKING, THINKING_END)
        else:
            assert event[0] not in (TOOL_INPUT, TOOL_END, THINKING_END)
        if event[0] in (TOOL_START, THINKING):
            opened = event[0]
        elif event[0] in (TOOL_END, THINKING_END):
            opened = None
    assert opened is None


def test_plain_text_passes_as_it_comes() -> None:
    answer = Answer(PLAN)
    assert answer.feed([]) == []
    assert not answer.content_seen
    batch: list[KiroEvent] = [(kiro.TEXT, "a", "claude"), text(""), text("b")]
    assert answer.feed(batch) == [(TEXT, "a"), (TEXT, "b")]
    assert answer.content_seen
    assert answer.feed([text("c"), END, METERING]) == [(TEXT, "c")]
    rest, ending = answer.finish()
    assert rest == []
    assert ending == Ending(Stop.END_TURN, Usage(1_000, 1, credits=0.1))
    assert answer.doubtful == ""


CALL = [
    tool("t1", "Read"),
    tool("t1", "Read", '{"p":'),
    tool("t1", None, "1}"),
    tool("t1", None, stop=True),
]
CALL_OUT: list[AnswerEvent] = [(TOOL_START, "t1", "Read"), (TOOL_INPUT, '{"p":1}'), (TOOL_END,)]

# plan, events → answer, stop
WHOLE: dict[str, tuple[AnswerPlan, list[KiroEvent], list[AnswerEvent], Stop]] = {
    "text": (PLAN, [text("Hi"), END], [(TEXT, "Hi")], Stop.END_TURN),
    "without metadata": (PLAN, [text("Hi"), CONTEXT, METERING], [(TEXT, "Hi")], Stop.END_TURN),
    "in another order": (PLAN, [CONTEXT, METERING, text("Hi")], [(TEXT, "Hi")], Stop.END_TURN),
    "noise": (
        PLAN,
        [(kiro.MESSAGE_META, "c", "u"), text("Hi"), (kiro.OTHER, "x"), (kiro.REFERENCE, []), END],
        [(TEXT, "Hi")],
        Stop.END_TURN,
    ),
    "empty but ended": (PLAN, [END], [], Stop.END_TURN),
    "tool": (PLAN, [*CALL, END], CALL_OUT, Stop.TOOL_USE),
    "text, tool, text": (
        PLAN, [text("a"), *CALL, text("b"), METERING],
        [(TEXT, "a"), *CALL_OUT, (TEXT, "b")], Stop.TOOL_USE,
    ),
    "text before an unstopped call": (
        PLAN, [text("a"), *CALL[:3], text("b"), METERING],
        [(TEXT, "a"), *CALL_OUT, (TEXT, "b")], Stop.TOOL_USE,
    ),
    "text inside a call waits": (
        PLAN, [*CALL[:2], text("b"), thinking("c"), *CALL[2:]],
        [*CALL_OUT, (TEXT, "b"), (THINKING, "c"), (THINKING_END, "")], Stop.TOOL_USE,
    ),
    "native thinking": (
        PLAN,
        [thinking("a"), thinking("b"), thinking(None, "si"), thinking(None, "g"), text("Hi"), END],
        [(THINKING, "ab"), (THINKING_END, "sig"), (TEXT, "Hi")],
        Stop.END_TURN,
    ),
    "two native blocks": (
        PLAN, [thinking("a"), thinking(None, "s1"), thinking("b"), thinking(None, "s2"), *CALL],
        [(THINKING, "a"), (THINKING_END, "s1"), (THINKING, "b"), (THINKING_END, "s2"), *CALL_OUT],
        Stop.TOOL_USE,
    ),
    "only a signature": (
        PLAN, [thinking(None, "s"), text("Hi"), END],
        [(THINKING, ""), (THINKING_END, "s"), (TEXT, "Hi")], Stop.END_TURN,
    ),
    "redacted": (
        PLAN, [thinking("a"), (kiro.REASONING, None, None, "b64"), text("Hi"), END],
        [(THINKING, "a"), (THINKING_END, ""), (REDACTED, "b64"), (TEXT, "Hi")], Stop.END_TURN,
    ),
    "native thinking that is not shown": (
        PLAN._replace(show_thinking=False),
        [thinking("a"), thinking(None, "s"), (kiro.REASONING, None, None, "b"), text("Hi"), END],
        [(TEXT, "Hi")], Stop.END_TURN,
    ),
    "tags": (
        TAGS, [text("<thinking>a</thinking>\n\nHi"), END],
        [(THINKING, "a"), (THINKING_END, ""), (TEXT, "Hi")], Stop.END_TURN,
    ),
    "tags that are not shown": (
        TAGS._replace(show_thinking=False), [text("<thinking>a</thinking>\n\nHi"), END],
        [(TEXT, "Hi")], Stop.END_TURN,
    ),
    "tags nobody asked for": (
        PLAN, [text("<thinking>a</thinking>\n\nHi"), END],
        [(TEXT, "<thinking>a</thinking>\n\nHi")], Stop.END_TURN,
    ),
    "tags after native thinking are text": (
        TAGS, [thinking("a"), text("<thinking>b</thinking>\n\nHi"), END],
        [(THINKING, "a"), (THINKING_END, ""), (TEXT, "<thinking>b</thinking>\n\nHi")], Stop.END_TURN,
    ),
    "a call closes the thinking": (
        TAGS, [text("<thinking>a"), *CALL], [(THINKING, "a"), (THINKING_END, ""), *CALL_OUT],
        Stop.TOOL_USE,
    ),
    "whitespace before a call": (TAGS, [text("\n\n"), *CALL], CALL_OUT, Stop.TOOL_USE),
    "held text goes before the call": (
        TAGS._replace(stop_sequences=("STOP",)), [text("a<"), text("ST"), *CALL, text("<thinking>")],
        [(TEXT, "a<ST"), *CALL_OUT, (TEXT, "<thinking>")], Stop.TOOL_USE,
    ),
    "empty tags": (
        TAGS, [text("<thinking></thinking>\n\nHi"), END], [(TEXT, "Hi")], Stop.END_TURN,
    ),
    "fence": (
        PLAN._replace(strip_fence=True), [text('```json\n{"a":1}\n```'), END],
        [(TEXT, '{"a":1}')], Stop.END_TURN,
    ),
    "fence after thinking": (
        TAGS._replace(strip_fence=True), [text("<thinking>a</thinking>\n\n```\n{}\n```"), END],
        [(THINKING, "a"), (THINKING_END, ""), (TEXT, "{}")], Stop.END_TURN,
    ),
    "stop sequence": (
        PLAN._replace(stop_sequences=("END",)), [text("abc END def"), END],
        [(TEXT, "abc ")], Stop.STOP_SEQUENCE,
    ),
    "stop sequence in thinking means nothing": (
        TAGS._replace(stop_sequences=("END",)), [text("<thinking>END</thinking>\n\nHi"), END],
        [(THINKING, "END"), (THINKING_END, ""), (TEXT, "Hi")], Stop.END_TURN,
    ),
    "max_tokens": (
        PLAN._replace(max_tokens=2), [text("12345"), text("6789"), END],
        [(TEXT, "12345678")], Stop.MAX_TOKENS,
    ),
    "max_tokens exactly": (
        PLAN._replace(max_tokens=2), [text("12345678"), END], [(TEXT, "12345678")], Stop.END_TURN,
    ),
    "max_tokens in thinking": (
        TAGS._replace(max_tokens=2), [text("<thinking>123456789"), END],
        [(THINKING, "12345678"), (THINKING_END, "")], Stop.MAX_TOKENS,
    ),
    "max_tokens before the stop sequence": (
        PLAN._replace(max_tokens=1, stop_sequences=("X",)), [text("12345X"), END],
        [(TEXT, "1234")], Stop.MAX_TOKENS,
    ),
    "max_tokens never cuts a call": (
        PLAN._replace(max_tokens=1), [text("ab"), *CALL, END], [(TEXT, "ab"), *CALL_OUT],
        Stop.TOOL_USE,
    ),
    "a call, then max_tokens": (
        PLAN._replace(max_tokens=1), [*CALL, text("abcdef"), END], [*CALL_OUT, (TEXT, "abcd")],
        Stop.TOOL_USE,
    ),
    "upstream's max_tokens": (
        PLAN, [text("a"), (kiro.METADATA, None, "MAX_TOKENS", {})], [(TEXT, "a")], Stop.MAX_TOKENS,
    ),
    "length exception": (
        PLAN._replace(stop_sequences=("XY",)),
        [text("aX"), (kiro.FAULT, classify_frame("ContentLengthExceededException", b"{}"))],
        [(TEXT, "aX")], Stop.MAX_TOKENS,
    ),
    "full window": (PLAN, [text("a"), (kiro.CONTEXT, 100.2)], [(TEXT, "a")], Stop.CONTEXT_WINDOW),
    "mapped name": (
        PLAN._replace(tool_names={"Read": "mcp__files__read"}), CALL,
        [(TOOL_START, "t1", "mcp__files__read"), *CALL_OUT[1:]], Stop.TOOL_USE,
    ),
}  # fmt: skip


SEVERAL = [text(f"word{n} ") for n in range(12)]


@pytest.mark.parametrize(
    "events",
    [
        [*SEVERAL, END, METERING],
        [CONTEXT, *SEVERAL, METERING, *SEVERAL, END],
        [*SEVERAL, text(""), *SEVERAL, END],
        [*SEVERAL, *CALL, *SEVERAL, END],
        [thinking("hm"), *SEVERAL, thinking("so"), END],
        [*SEVERAL, (kiro.OTHER, "x"), *SEVERAL, METERING],
    ],
)
@pytest.mark.parametrize(
    "plan",
    [PLAN, TAGS, PLAN._replace(max_tokens=30), PLAN._replace(max_tokens=7, stop_sequences=("d9",))],
)
def test_runs_of_text_among_others_are_the_same_event_by_event(
    events: list[KiroEvent], plan: AnswerPlan
) -> None:
    assert run(events, plan) == run(events, plan, size=1)


@pytest.mark.parametrize("case", WHOLE)
def test_whole_answer_in_every_batching(case: str) -> None:
    plan, events, expected, stop = WHOLE[case]
    usages = []
    for size in (10**6, 1, 2):
        out, ending = run(events, plan, size=size)
        check_order(out)
        assert (out, ending.stop) == (expected, stop)
        usages.append(ending.usage)
    assert usages[0] == usages[1] == usages[2]


@pytest.mark.parametrize(
    "plan",
    [
        TAGS,
        TAGS._replace(stop_sequences=("jumps over", "\n\nHuman:"), strip_fence=True),
        TAGS._replace(max_tokens=8, stop_sequences=("lazy",)),
    ],
)
def test_text_in_every_chunking(plan: AnswerPlan) -> None:
    whole = " <thinking>\nthe fox…</thinking>\n\n```\nThe fox jumps over\nlazy dogs\n```"
    expected = run([text(whole), END], plan)
    for pieces in every_text_cut(whole):
        events = [text(piece) for piece in pieces]
        assert run([*events, END], plan, size=1) == expected


INCOMPLETE: dict[str, tuple[list[KiroEvent], str]] = {
    "nothing": ([], "empty"),
    "only numbers": ([CONTEXT, METERING], "empty"),
    "text alone": ([text("Hi")], "broke off"),
    "thinking alone": ([thinking("a"), METERING], "after its thinking"),
    "cut call": ([*CALL[:2], METERING, END], "inside the tool call of Read"),
    "cut call, stopped": ([*CALL[:2], tool("t1", None, stop=True), END], "cut short"),
    "cut call, length exception": (
        [*CALL[:2], (kiro.FAULT, classify_frame("ContentLengthExceededException", b"{}"))],
        "inside the tool call",
    ),
    "cut second call": ([*CALL, tool("t2", "Edit", '{"a'), END], "inside the tool call of Edit"),
    "announced call": ([text("a"), (kiro.METADATA, None, "TOOL_USE", {})], "none came"),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_incomplete_answer_is_an_error(case: str) -> None:
    events, message = INCOMPLETE[case]
    for size in (10**6, 1):
        with pytest.raises(IncompleteAnswerError, match=message):
            run(events, size=size)


def test_fault_comes_with_what_was_good_before() -> None:
    error = classify_frame("ThrottlingException", b'{"message":"slow"}')
    answer = Answer(PLAN)
    assert answer.feed([text("a"), (kiro.FAULT, error), text("b")]) == [(TEXT, "a")]
    assert answer.fault is error
    assert answer.feed([text("c")]) == []


def test_broken_call_comes_with_what_was_good_before() -> None:
    answer = Answer(PLAN)
    out = answer.feed([text("a"), *CALL, tool("t2", "Edit", "{"), tool("t2", None, "[", True)])
    assert merged(out) == [
        (TEXT, "a"),
        *CALL_OUT,
        (TOOL_START, "t2", "Edit"),
        (TOOL_INPUT, "{["),
    ]
    assert isinstance(answer.fault, IncompleteAnswerError)


def test_length_exception_before_any_content_is_a_refusal() -> None:
    error = classify_frame("ContentLengthExceededException", b"{}")
    answer = Answer(PLAN)
    assert answer.feed([(kiro.FAULT, error)]) == []
    assert answer.fault is error
    assert error.kind is Kind.PROMPT_TOO_LONG


def test_local_stop_ends_the_reading() -> None:
    answer = Answer(PLAN._replace(stop_sequences=("END",)))
    assert answer.feed([text("a END b"), text("c")]) == [(TEXT, "a ")]
    assert answer.done
    assert answer.feed([text("d")]) == []
    assert answer.finish() == ([], Ending(Stop.STOP_SEQUENCE, Usage(1_000, 1), "END"))


def test_doubtful_answer_is_told() -> None:
    answer = Answer(PLAN)
    answer.feed([text("a"), CONTEXT])
    answer.finish()
    assert "without" in answer.doubtful


def test_held_text_beyond_the_limit_ends_before_the_call() -> None:
    plan = PLAN._replace(max_tokens=1, stop_sequences=("abcdefgh",))
    for event in (CALL[0], thinking("a")):
        out, ending = run([text("abcdef"), event], plan, size=1)
        assert (out, ending.stop) == ([(TEXT, "abcd")], Stop.MAX_TOKENS)


def test_nothing_is_released_after_a_local_stop() -> None:
    waiting = [*CALL[:2], text("aXb"), text("c"), *CALL[2:]]
    out, ending = run(waiting, PLAN._replace(stop_sequences=("X",)))
    assert (out, ending.stop) == ([*CALL_OUT, (TEXT, "a")], Stop.TOOL_USE)


def test_thinking_after_the_limit_is_not_split_further() -> None:
    plan = TAGS._replace(max_tokens=1)
    out, ending = run([text("<thinking>abcdef</thinking>\n\nHi"), END], plan)
    assert (out, ending.stop) == ([(THINKING, "abcd"), (THINKING_END, "")], Stop.MAX_TOKENS)


def test_text_behind_a_call_that_never_ends_is_bounded() -> None:
    answer = Answer(PLAN)
    answer.feed(CALL[:2])
    answer.feed([text("a")] * (MAX_WAITING_EVENTS + 1))
    assert isinstance(answer.fault, IncompleteAnswerError)


def test_made_tool_ids_are_in_the_services_form() -> None:
    made = {make_tool_id() for _ in range(100)}
    assert len(made) == 100
    assert all(len(name) == len("tooluse_") + 22 for name in made)


def test_usage_counts_all_kinds_of_output() -> None:
    _, ending = run([thinking("12345678"), text("1234"), *CALL, END])
    # 8 + 4 characters, "Read" and its input are 4 + 7, and a call's framing
    assert ending.usage.output_tokens == (8 + 4 + 4 + 7 + 3) // 4 + 10
    _, hidden = run([thinking("12345678"), text("1234"), END], PLAN._replace(show_thinking=False))
    assert hidden.usage.output_tokens == 3


def test_usage_context_before_the_answer_does_not_include_it() -> None:
    long = "abcd" * 100
    _, before = run([CONTEXT, text(long), METERING])
    _, after = run([text(long), CONTEXT, METERING])
    assert before.usage.input_tokens == 20_000
    assert after.usage.input_tokens == 19_900
    assert before.usage.source is after.usage.source is Source.DERIVED


EVENTS = st.one_of(
    st.text("<thinkg>/\n `{}aX", max_size=8).map(text),
    st.sampled_from(["<thinking>", "</thinking>\n\n", "```json\n", "STOP"]).map(text),
    st.sampled_from(["a", "b"]).map(thinking),
    st.just(thinking(None, "sig")),
    st.just((kiro.REASONING, None, None, "b64")),
    st.sampled_from([END, METERING, CONTEXT]),
    st.tuples(
        st.just(kiro.TOOL),
        st.sampled_from(["t1", "t2", None]),
        st.sampled_from(["Read", None]),
        st.sampled_from([None, "{}", '{"a":', "1}", {}, {"a": 1}]),
        st.booleans(),
    ),
)
PLANS = st.builds(
    AnswerPlan,
    st.just(10),
    st.just(1000),
    split_thinking=st.booleans(),
    show_thinking=st.booleans(),
    stop_sequences=st.sampled_from([(), ("STOP", "X")]),
    max_tokens=st.sampled_from([None, 1, 5, 1000]),
    strip_fence=st.booleans(),
)


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=15), PLANS, st.integers(0, 2**32))
def test_any_events_in_any_batching_give_one_answer(
    events: list[KiroEvent], plan: AnswerPlan, seed: int
) -> None:
    def outcome(sizes: list[int]) -> object:
        answer = Answer(plan, lambda: "made")
        out: list[AnswerEvent] = []
        at = 0
        for size in sizes:
            out += answer.feed(events[at : at + size])
            at += size
        if answer.fault is not None:
            return merged(out), answer.fault.message
        try:
            rest, ending = answer.finish()
        except IncompleteAnswerError as error:
            return merged(out), error.message
        out += rest
        check_order(out)
        calls = [event for event in merged(out) if event[0] == TOOL_INPUT]
        assert all(isinstance(orjson.loads(event[1]), dict) for event in calls)
        assert (ending.stop is Stop.TOOL_USE) == any(event[0] == TOOL_END for event in out)
        return merged(out), ending

    source = random.Random(seed)
    sizes = [source.randrange(4) for _ in range(len(events))] + [len(events)]
    assert outcome([len(events)]) == outcome([1] * len(events)) == outcome(sizes)


ONE_CALL = PLAN._replace(single_call=True)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_only_the_first_call_is_passed_on_when_one_is_wanted(size: int) -> None:
    events = [
        text("a"),
        tool("t1", "Read", '{"p":'),
        tool("t2", "Now", "{}"),  # interleaved
        tool("t1", "Read", "1}", stop=True),
        tool("t2", "Now", None, stop=True),
        tool("t3", "Read", '{"p":2}', stop=True),
        (kiro.METADATA, None, "TOOL_USE", {}),
        METERING,
    ]
    out, ending = run(events, ONE_CALL, size=size)
    assert out == [
        (TEXT, "a"),
        (TOOL_START, "t1", "Read"),
        (TOOL_INPUT, '{"p":1}'),
        (TOOL_END,),
    ]
    assert ending.stop is Stop.TOOL_USE
    assert ending.usage.credits == 0.1  # the end of the stream was still read
    assert len([e for e in run(events)[0] if e[0] == TOOL_START]) == 3


def test_one_call_without_stop_is_whole_when_its_json_is() -> None:
    events = [tool("t1", "Read", "{}"), text("b"), tool("t2", "Now", "{}"), END]
    out, _ = run([tool("t1", "Read", '{"p":1}'), *events[1:]], ONE_CALL)
    assert [event[0] for event in out] == [TOOL_START, TOOL_INPUT, TOOL_END, TEXT]


@pytest.mark.parametrize("plan", [PLAN, PLAN._replace(show_thinking=False)])
def test_reasoning_tokens_are_counted_shown_or_not(plan: AnswerPlan) -> None:
    _, ending = run([thinking("12345678"), text("1234"), END], plan)
    assert (ending.usage.reasoning_tokens, ending.usage.output_tokens) == (2, 3)
    _, tagged = run(
        [text("<thinking>12345678</thinking>\n\n1234"), END], plan._replace(split_thinking=True)
    )
    assert tagged.usage.reasoning_tokens == 2
    assert run([text("a"), END])[1].usage.reasoning_tokens == 0


def test_reasoning_tokens_never_exceed_the_reported_output() -> None:
    usage = {"uncachedInputTokens": 5, "outputTokens": 3}
    _, ending = run([thinking("x" * 400), text("a"), (kiro.METADATA, usage, "END_TURN", {})])
    assert (ending.usage.reasoning_tokens, ending.usage.output_tokens) == (3, 3)
