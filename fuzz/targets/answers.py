"""Events of the service → the neutral answer → streams and whole bodies of every dialect.

Frames are cut into reads as the input says; text, order and end must not depend on it.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from fuzz import samples
from fuzz.source import Source, as_json, edited
from fuzz.targets.frames import header
from kiroproxy.api.answer import Answer
from kiroproxy.api.events import (
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_INPUT,
    TOOL_START,
    AnswerEvent,
    Ending,
    Usage,
)
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.api.turn import Message, Text, Turn
from kiroproxy.errors import UpstreamError
from kiroproxy.eventstream import Frame
from kiroproxy.handlers.dialects import CHAT, MESSAGES, RESPONSES
from kiroproxy.kiro.events import EventParser

_ID = "req_" + "0" * 24
_TURN = Turn("m", [Message("user", [Text("x")])])
_BLOCKS = {
    name: header(":event-type", name) + header(":message-type", "event")
    for name, _ in samples.EVENTS
}
_END = re.compile(rb"message_stop|\[DONE\]|response\.(completed|incomplete)\"")


def target(data: bytes) -> None:
    source = Source(data)
    plan = _plan(source)
    reads: list[list[Frame]] = [[]]
    while source.left:
        move = source.byte()
        name, payload = samples.EVENTS[move % len(samples.EVENTS)]
        if move & 0x40:
            payload = edited(payload, Source(source.block()))
        reads[-1].append((_BLOCKS[name], memoryview(as_json(payload))))
        if move & 0x80:
            reads.append([])
    cut = _run(plan, reads)
    frames = [frame for read in reads for frame in read]
    whole = _run(plan, [frames])
    single = _run(plan, [[frame] for frame in frames])
    assert _said(cut[0]) == _said(whole[0]) == _said(single[0])
    assert type(cut[1]) is type(whole[1]) is type(single[1])
    _check_order(cut[0], cut[1])
    _encode(cut)


def _plan(source: Source) -> AnswerPlan:
    flags = source.byte()
    return AnswerPlan(
        input_tokens=100,
        context_window=(0, 200_000)[flags & 1],
        split_thinking=bool(flags & 2),
        show_thinking=not flags & 4,
        tool_names={"Read": "mcp.read"} if flags & 8 else {},
        stop_sequences=("STOP", "i <") if flags & 16 else (),
        max_tokens=source.byte() if flags & 32 else None,
        strip_fence=bool(flags & 64),
        single_call=bool(flags & 128),
    )


def _run(
    plan: AnswerPlan, reads: list[list[Frame]]
) -> tuple[list[AnswerEvent], Ending | UpstreamError]:
    """Events, and the end or the fault; as ``relay.Pump`` does it."""
    answer = Answer(plan, make_id=lambda: "tooluse_made")
    parser = EventParser()
    out: list[AnswerEvent] = []
    try:
        for read in reads:
            out += answer.feed(parser.parse(read))
            if answer.fault is not None:
                return out, answer.fault
            if answer.done:
                break
        batch, ending = answer.finish()
    except UpstreamError as error:
        return out, error
    return out + batch, ending


def _said(events: list[AnswerEvent]) -> list[tuple[Any, ...]]:
    """Neighbours of a kind joined."""
    merged: list[tuple[Any, ...]] = []
    for event in events:
        if merged and event[0] in (TEXT, THINKING, TOOL_INPUT) and merged[-1][0] == event[0]:
            merged[-1] = (event[0], merged[-1][1] + event[1])
        else:
            merged.append(tuple(event))
    return merged


def _check_order(events: list[AnswerEvent], end: Ending | UpstreamError) -> None:
    inside = None
    for event in events:
        kind = event[0]
        if inside == "tool":
            assert kind in (TOOL_INPUT, TOOL_END), events
        elif inside == "thinking":
            assert kind in (THINKING, THINKING_END), events
        else:
            assert kind not in (TOOL_INPUT, TOOL_END), events
        if kind in (TOOL_START, THINKING):
            inside = "tool" if kind == TOOL_START else "thinking"
        elif kind in (TOOL_END, THINKING_END):
            inside = None
    assert inside is None or isinstance(end, UpstreamError), events


def _encode(said: tuple[list[AnswerEvent], Ending | UpstreamError]) -> None:
    events, end = said
    for dialect in (MESSAGES, CHAT, RESPONSES):
        encoder = dialect.encoder(dialect.make_id(_ID), _TURN, 0)
        stream = encoder.start(Usage(1)) + encoder.events(events)
        if isinstance(end, UpstreamError):
            stream += encoder.fail(end)
            assert not _END.search(_types(stream)), stream
        else:
            stream += encoder.finish(end)
            assert len(_END.findall(_types(stream))) == 1, stream
            fold = dialect.fold(dialect.make_id(_ID), _TURN, 0)
            fold.events(events)
            assert isinstance(orjson.loads(fold.finish(end)), dict)
        for line in stream.decode().split("\n"):
            if line.startswith("data: ") and line != "data: [DONE]":
                orjson.loads(line[6:])


def _types(stream: bytes) -> bytes:
    """What says which events came, without their content."""
    names = []
    for block in stream.split(b"\n\n"):
        if block == b"data: [DONE]":
            names.append(b"[DONE]")
        elif block.startswith(b"event: "):
            names.append(block[7:].split(b"\n")[0] + b'"')
    return b"\n".join(names)


def seeds() -> list[bytes]:
    every = bytes(range(len(samples.EVENTS)))
    found = [bytes([flags]) + every for flags in (0, 2, 6, 8, 16, 64, 128, 255)]
    found += [bytes([2, number, 0xC1, 3, 3, 6, 1, 13]) for number in range(len(every))]
    found += [
        b"\x02" + bytes([0x80 | 1, 0x80 | 3, 0x80 | 4, 0x80 | 5, 6, 13]),
        b"\x20\x05" + bytes([0, 0, 1, 8, 9, 0]),
        b"\x00" + bytes([8, 9, 8, 10, 3, 4, 0, 5, 6, 7, 13]),
        b"\x00" + bytes([0x40 | 0, 9, 1, 6, 8]) + b"<thinking>"[:8] + bytes([13]),
        b"\x00" + bytes([3, 4]),
        b"\x00" + bytes([0x44, 3, 1, 0, 20, 6, 13]),
    ]
    return found
