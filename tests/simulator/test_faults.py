"""Faults as data: what they make of events and steps, and in which order they are drawn."""

from __future__ import annotations

import botocore.eventstream
import orjson
import pytest

from kiroproxy.simulator import fault_bytes, fault_events
from kiroproxy.simulator.answer import (
    METADATA,
    METERING,
    TEXT,
    TOOL,
    Answer,
    Call,
    Ending,
    Event,
    content_events,
    ending_events,
)
from kiroproxy.simulator.faults import (
    NAMES,
    Faults,
    change_events,
    change_steps,
    make_fault,
    parse_fault,
    reply_of,
)
from kiroproxy.simulator.params import Params
from kiroproxy.simulator.scripts import Cut, Hang, Send, Step, Wait, encode, script


def events() -> list[Event]:
    answer = Answer("Two calls.", calls=[Call("a", "A", {"x": "1" * 30}), Call("b", "B", {"y": 2})])
    return [
        *content_events(answer, "m"),
        *ending_events(Ending(), "TOOL_USE", 100, 20, 1000, 1.0),
    ]


def changed(name: str, /, **params: str) -> list[Event]:
    return fault_events.CHANGES[name](events(), Params(params))


def tool_payloads(found: list[Event]) -> list[dict[str, object]]:
    return [payload for kind, payload in found if kind == TOOL]


def steps(count: int = 6) -> list[Step]:
    return script([(TEXT, {"content": str(n), "modelId": "m"}) for n in range(count)], 0)


def bent(name: str, /, **params: str) -> list[Step]:
    return fault_bytes.CHANGES[name](steps(), Params(params))


def test_every_event_encodes_for_every_fault() -> None:
    for name in fault_events.CHANGES:
        stream = b"".join(encode(event) for event in changed(name))
        buffer = botocore.eventstream.EventStreamBuffer()
        buffer.add_data(stream)
        assert sum(1 for _ in buffer) == len(changed(name))


def test_exception_comes_first_or_later() -> None:
    assert changed("exception") == [
        (
            "exception:ThrottlingException",
            {"message": "Too many requests, please wait before trying again.", "reason": None},
        )
    ]
    later = changed("exception", name="ContentLengthExceededException", after="2")
    assert len(later) == 3
    assert later[-1][0] == "exception:ContentLengthExceededException"


def test_truncated_tool_never_stops() -> None:
    payloads = tool_payloads(changed("truncated_tool"))
    assert payloads and not any(
        payload.get("toolUseId") == "b" and payload.get("stop") for payload in payloads
    )
    assert changed("truncated_tool")[-1][0] == TOOL
    assert changed("truncated_tool", ending="1")[-1][0] == METERING


def test_object_input_is_whole() -> None:
    inputs = [p["input"] for p in tool_payloads(changed("object_input")) if "input" in p]
    assert inputs == [{"x": "1" * 30}, {"y": 2}]


def test_growing_input_replaces() -> None:
    call = [*content_events(Answer(calls=[Call("a", "A", {"x": 1, "y": 2})]), "m")]
    grown = fault_events.CHANGES["growing_input"](call, Params())
    assert [p["input"] for p in tool_payloads(grown) if "input" in p] == [
        {"x": 1},
        {"x": 1, "y": 2},
    ]


def test_empty_object_first_keeps_the_fragments() -> None:
    payloads = tool_payloads(changed("empty_object_first"))
    assert payloads[0]["input"] == {}
    assert isinstance(payloads[1]["input"], str)


def test_ids_go_missing() -> None:
    payloads = tool_payloads(changed("no_tool_ids"))
    assert [("toolUseId" in payload) for payload in payloads].count(True) == 2
    late = tool_payloads(changed("late_tool_id"))
    assert late[0] == {"name": "A"}
    assert late[1]["toolUseId"] == "a"


def test_interleaved_keeps_every_event() -> None:
    payloads = tool_payloads(changed("interleaved"))
    assert [payload["toolUseId"] for payload in payloads[:4]] == ["a", "b", "a", "b"]
    assert len(changed("interleaved")) == len(events())


def test_endings_go_missing() -> None:
    assert METADATA not in {kind for kind, _ in changed("no_metadata")}
    assert {kind for kind, _ in changed("context_only")} >= {"contextUsageEvent"}
    assert METERING not in {kind for kind, _ in changed("context_only")}
    assert {kind for kind, _ in changed("no_ending")} == {TEXT, TOOL}
    assert changed("context_first")[0][0] == "contextUsageEvent"


def test_token_usage_adds_up() -> None:
    kind, payload = changed("token_usage", uncached="10", output="5", read="3", write="2")[-1]
    assert kind == METADATA
    assert payload["tokenUsage"]["totalTokens"] == 20
    assert payload["stopReason"] == "TOOL_USE"


@pytest.mark.parametrize(
    ("name", "sent", "last"),
    [
        ("cut", 2, Cut()),
        ("cut_mid_chunk", 2, Cut(True)),
        ("reset", 2, Cut(reset=True)),
        ("stall", 2, Hang()),
    ],
)
def test_break_after_some_frames(name: str, sent: int, last: Step) -> None:
    assert bent(name, after="2") == [*steps()[:sent], last]


def test_early_ends() -> None:
    assert bent("eof", after="2") == steps()[:2]
    assert bent("nothing") == []
    *whole, half = bent("eof_mid_frame", after="2")
    full = steps()[2]
    assert whole == steps()[:2]
    assert isinstance(half, Send) and isinstance(full, Send)
    assert full.data.startswith(half.data) and 0 < len(half.data) < len(full.data)


def test_stall_may_end() -> None:
    assert bent("stall", after="1", seconds="0.5") == [steps()[0], Wait(0.5), *steps()[1:]]


def test_corrupt_flips_one_bit() -> None:
    (different,) = [
        (a.data, b.data)
        for a, b in zip(steps(), bent("corrupt", after="1", at="0"), strict=True)
        if isinstance(a, Send) and isinstance(b, Send) and a != b
    ]
    assert int.from_bytes(different[0], "big") ^ int.from_bytes(different[1], "big") == (
        1 << 8 * (len(different[0]) - 1)
    )


def test_slow_drip_keeps_the_bytes() -> None:
    slow = bent("slow_drip", bytes="7", seconds="0")
    assert b"".join(s.data for s in slow if isinstance(s, Send)) == b"".join(
        s.data for s in steps() if isinstance(s, Send)
    )
    assert sum(isinstance(s, Wait) for s in slow) == sum(isinstance(s, Send) for s in slow)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_fault_takes_nonsense_parameters(name: str) -> None:
    params = {"after": "x", "seconds": "y", "bytes": "0", "at": "9999", "status": "?"}
    fault = make_fault(name, Params(params))
    reply_of(fault)
    bent_events = change_events(fault, events())
    change_steps(fault, script(bent_events, 0.1))


def test_unknown_fault() -> None:
    assert parse_fault("nonsense") is None
    assert parse_fault("") is None
    with pytest.raises(KeyError, match="known are"):
        Faults().next("nonsense")


def test_faults_are_drawn_in_order_and_used_up() -> None:
    faults = Faults()
    faults.next("rate", times=2, account="idc")
    faults.next("internal", route="refresh")
    assert faults.draw("chat", "social") is None
    assert [faults.draw("chat", "idc") is not None for _ in range(3)] == [True, True, False]
    drawn = faults.draw("refresh", "social")
    assert drawn is not None and drawn.name == "internal"
    assert faults.pending == 0


def test_always_lasts_until_cleared() -> None:
    faults = Faults()
    faults.always("stall")
    assert all(faults.draw("chat", None) for _ in range(5))
    faults.clear()
    assert faults.draw("chat", None) is None


def test_directive_counts_per_conversation() -> None:
    faults = Faults()
    first = [faults.by_directive("cut times=1", "a") is not None for _ in range(2)]
    assert first == [True, False]
    assert faults.by_directive("cut times=1", "b") is not None
    assert all(faults.by_directive("cut", "a") for _ in range(3))


def test_retry_after_goes_with_any_refusal() -> None:
    reply = reply_of(make_fault("rate", Params(retry_after="7")))
    assert reply is not None and reply.headers == ((b"retry-after", b"7"),)


def test_pace_waits_before_content_only() -> None:
    paced = script(events(), 0.5)
    ending = paced[-3:]
    assert all(isinstance(step, Send) for step in ending)
    assert sum(isinstance(step, Wait) for step in paced) == len(events()) - 3


def test_text_events_without_model_id_encode() -> None:
    frame = encode((TEXT, {}))
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(frame)
    (event,) = list(buffer)
    assert orjson.loads(event.payload) == {}
