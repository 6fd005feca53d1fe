"""An independent, strict reader of Messages API streams.

Checks what the strictest clients check: every event's ``event:`` line and required fields (against the
official SDK's own models), consecutive indices, one block open at a time, deltas that fit their block,
one ``message_delta`` and one ``message_stop`` at the end, or an ``error`` as the last event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_DELTAS = {
    "text": {"text_delta"},
    "thinking": {"thinking_delta", "signature_delta"},
    "tool_use": {"input_json_delta"},
    "redacted_thinking": set(),
    "server_tool_use": set(),
    "web_search_tool_result": set(),
}


@dataclass
class Read:
    """What a stream said. ``inputs``: each tool call's JSON text, by index."""

    message: dict[str, Any] = field(default_factory=dict)
    blocks: list[dict[str, Any]] = field(default_factory=list)
    open: bool = False
    inputs: dict[int, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    stop: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    ended: bool = False


def parse_sse(data: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Events of a whole stream; every one has exactly an event and a data line."""
    assert data.endswith(b"\n\n") or not data
    events = []
    for chunk in data.decode().removesuffix("\n\n").split("\n\n") if data else []:
        first, second = chunk.split("\n")
        assert first.startswith("event: ") and second.startswith("data: ")
        document = orjson.loads(second.removeprefix("data: "))
        assert first.removeprefix("event: ") == document["type"]
        events.append((document["type"], document))
    return events


def read_stream(data: bytes) -> Read:
    """Raises AssertionError or ValidationError for anything a strict client would stumble over."""
    got = Read()
    for name, event in parse_sse(data):
        assert not got.ended and got.error is None, f"{name} after the end"
        got.names.append(name)
        if name == "error":
            got.error = event["error"]
        elif name != "ping":
            _EVENT.validate_python(event)
            _STEPS[name](got, event)
    assert got.ended != (got.error is not None) or not (got.ended or got.error)
    return got


def _message_start(got: Read, event: dict[str, Any]) -> None:
    assert not got.message
    got.message = event["message"]
    assert got.message["content"] == [] and got.message["stop_reason"] is None
    assert got.message["type"] == "message" and got.message["role"] == "assistant"


def _block_start(got: Read, event: dict[str, Any]) -> None:
    assert got.message and not got.open and not got.stop
    assert event["index"] == len(got.blocks)
    got.open = True
    block = dict(event["content_block"])
    if block["type"] == "tool_use":
        assert block["input"] == {}
        got.inputs[event["index"]] = ""
    got.blocks.append(block)


def _block_delta(got: Read, event: dict[str, Any]) -> None:
    assert got.open and event["index"] == len(got.blocks) - 1
    block, delta = got.blocks[-1], event["delta"]
    assert delta["type"] in _DELTAS[block["type"]]
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            assert not block["signature"]
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            assert not block["signature"]
            block["signature"] = delta["signature"]
        case "input_json_delta":
            got.inputs[event["index"]] += delta["partial_json"]


def _block_stop(got: Read, event: dict[str, Any]) -> None:
    assert got.open and event["index"] == len(got.blocks) - 1
    got.open = False
    block = got.blocks[-1]
    if block["type"] == "tool_use":
        block["input"] = orjson.loads(got.inputs[event["index"]] or b"{}")
        assert isinstance(block["input"], dict)
    if block["type"] == "thinking":
        assert block["signature"]


def _message_delta(got: Read, event: dict[str, Any]) -> None:
    assert got.message and not got.open and not got.stop
    got.stop = event["delta"]
    got.usage = event["usage"]
    assert got.stop["stop_reason"]


def _message_stop(got: Read, event: dict[str, Any]) -> None:
    assert got.stop
    got.ended = True


_STEPS = {
    "message_start": _message_start,
    "content_block_start": _block_start,
    "content_block_delta": _block_delta,
    "content_block_stop": _block_stop,
    "message_delta": _message_delta,
    "message_stop": _message_stop,
}
