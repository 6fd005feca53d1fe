"""Answers of the service as data: what is said, how it is sent, and what a client must hear of it.

``Script.heard`` is the oracle: it is computed from what was said and never from what was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from hypothesis import strategies as st

from kiroproxy.eventstream.encoder import encode_event, encode_exception

Part = tuple[str, str, str]
"""``("text", words, "")``, ``("thinking", words, "")`` or ``("call", its JSON, the tool's name)``."""

TOOLS = ("Read", "Bash")
CONTENT_EVENTS = ("assistantResponseEvent", "reasoningContentEvent", "toolUseEvent")


@dataclass(frozen=True)
class Script:
    """``events``: (type, payload) in the order of sending, without the end. ``heard``: the parts of a
    whole answer, neighbours of one kind as one. ``ending``: the closing events."""

    events: tuple[tuple[str, dict[str, Any]], ...]
    heard: tuple[Part, ...]
    ending: tuple[tuple[str, dict[str, Any]], ...]

    def frames(self) -> list[bytes]:
        """One frame for each event."""
        every = (*self.events, *self.ending)
        return [encode_event(name, orjson.dumps(payload)) for name, payload in every]

    @property
    def calls(self) -> int:
        return sum(part[0] == "call" for part in self.heard)


def merged(parts: list[Part]) -> tuple[Part, ...]:
    """Neighbouring text, and neighbouring thinking, as one: no chunking may change that."""
    out: list[Part] = []
    for kind, value, name in parts:
        if out and kind != "call" and out[-1][0] == kind:
            out[-1] = (kind, out[-1][1] + value, "")
        elif value or kind == "call":
            out.append((kind, value, name))
    return tuple(out)


# -- what is said, and the ways to send it

_WORDS = st.one_of(
    st.text(min_size=1, max_size=8),
    st.sampled_from(
        [
            "data: x\n\n",
            "\r\n",
            "\u2028",
            "event: error",
            "[DONE]",
            "\U0001f600",
            "<thinking>",
            "```",
        ]
    ),
)
_PIECES = st.lists(_WORDS, min_size=1, max_size=4)
_VALUES = st.dictionaries(
    st.text(max_size=4), st.integers(-9, 9) | st.text(max_size=6) | st.none(), max_size=3
)


@st.composite
def _said(draw: st.DrawFn) -> tuple[list[tuple[str, dict[str, Any]]], list[Part]]:
    """One thing: its events and its parts."""
    kind = draw(st.sampled_from(["text", "text", "thinking", "call", "calls"]))
    if kind == "text":
        pieces = draw(_PIECES)
        return [(CONTENT_EVENTS[0], {"content": p}) for p in pieces], [
            ("text", "".join(pieces), "")
        ]
    if kind == "thinking":
        pieces = draw(_PIECES)
        events: list[tuple[str, dict[str, Any]]]
        events = [(CONTENT_EVENTS[1], {"text": p}) for p in pieces]
        if signature := draw(st.sampled_from(["", "c2lnbmF0dXJl"])):
            events.append((CONTENT_EVENTS[1], {"signature": signature}))
        return events, [("thinking", "".join(pieces), "")]
    count = 1 if kind == "call" else 2
    sent, parts = [], []
    for _ in range(count):
        one, part = draw(_call())
        sent.append(one)
        parts.append(part)
    return _mixed(sent, draw(st.booleans())), parts


def _mixed(
    sent: list[list[tuple[str, dict[str, Any]]]], in_turn: bool
) -> list[tuple[str, dict[str, Any]]]:
    """The events of several calls one after another, or in turn."""
    if not in_turn:
        return [event for one in sent for event in one]
    longest = max(map(len, sent))
    return [one[at] for at in range(longest) for one in sent if at < len(one)]


@st.composite
def _call(draw: st.DrawFn) -> tuple[list[tuple[str, dict[str, Any]]], Part]:
    name = draw(st.sampled_from(TOOLS))
    value = draw(_VALUES)
    raw = orjson.dumps(value).decode()
    head = {"toolUseId": f"tooluse_{draw(st.uuids()).hex[:22]}", "name": name}
    events: list[tuple[str, dict[str, Any]]] = [(CONTENT_EVENTS[2], dict(head))]
    cuts = sorted(draw(st.lists(st.integers(0, len(raw)), max_size=4)))
    for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        events.append((CONTENT_EVENTS[2], {**head, "input": raw[a:b]}))
    events.append((CONTENT_EVENTS[2], {**head, "stop": True}))
    return events, ("call", raw, name)


_METERING = ("meteringEvent", {"usage": 0.01, "unit": "credit", "unitPlural": "credits"})
_CONTEXT = ("contextUsageEvent", {"contextUsagePercentage": 1.5})


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Whole answers of every shape."""
    events: list[tuple[str, dict[str, Any]]] = []
    parts: list[Part] = []
    for one, part in draw(st.lists(_said(), min_size=1, max_size=5)):
        events += one
        parts += part
    heard = merged(parts)
    reason = "TOOL_USE" if any(part[0] == "call" for part in heard) else "END_TURN"
    stop: tuple[str, dict[str, Any]] = ("metadataEvent", {"stopReason": reason})
    ending: tuple[tuple[str, dict[str, Any]], ...] = draw(
        st.sampled_from([(_METERING, _CONTEXT, stop), (stop, _METERING), (stop,)])
    )
    return Script(tuple(events), heard, ending)


# -- what happens to it on the way


@dataclass(frozen=True)
class Fault:
    """``name``, and where, as a share of what there is to break."""

    name: str = "none"
    share: float = 0.0
    flip: int = 1
    noise: bytes = b""

    def at(self, length: int) -> int:
        return min(int(self.share * length), length - 1)


FAULTS = st.builds(
    Fault,
    st.sampled_from(
        ["none", "cut", "end", "frame", "chunk", "noise", "exception", "drop", "again"]
    ),
    st.floats(0, 1),
    st.integers(1, 255),
    st.binary(min_size=1, max_size=20),
)


@dataclass(frozen=True)
class Wire:
    """What comes over the line. ``sure``: no proper end may be made of it."""

    data: bytes
    sure: bool


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def broken(script: Script, fault: Fault) -> Wire:
    """The HTTP body, chunk by chunk, as the fault leaves it."""
    frames = script.frames()
    at = fault.at(len(frames))
    match fault.name:
        case "end":  # a proper end of the body, but too early
            stream = b"".join(frames)
            return Wire(chunk(stream[: max(1, fault.at(len(stream)))]) + END, sure=False)
        case "frame":  # one byte of a frame
            stream = bytearray(b"".join(frames))
            stream[fault.at(len(stream))] ^= fault.flip
            return Wire(chunk(bytes(stream)) + END, sure=True)
        case "noise":  # bytes that are no frame
            frames.insert(at, fault.noise)
            return Wire(b"".join(map(chunk, frames)) + END, sure=True)
        case "exception":
            frames[at:] = [encode_exception("InternalServerException", b'{"message":"no"}')]
            return Wire(b"".join(map(chunk, frames)) + END, sure=True)
        case "drop":  # the tail of a frame is missing, and the next one follows
            frames[at] = frames[at][:-1]
            return Wire(b"".join(map(chunk, frames)) + END, sure=True)
        case "cut":
            data = b"".join(map(chunk, frames)) + END
            return Wire(data[: fault.at(len(data))], sure=True)
        case "chunk":  # one byte of the HTTP framing or of what is in it
            data = bytearray(b"".join(map(chunk, frames)) + END)
            data[fault.at(len(data))] ^= fault.flip
            return Wire(bytes(data), sure=False)
    return Wire(b"".join(map(chunk, frames)) + END, sure=False)
