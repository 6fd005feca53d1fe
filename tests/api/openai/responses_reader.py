"""An independent, strict reader of Responses API streams.

Checks what the strictest clients check: ``event:`` lines, sequence numbers without gaps, every event
against the official SDK's own models, items opened, filled and closed in order, deltas that add up to the
``…done`` texts, annotations told one by one, and an ``output`` at the end that is the items that were
closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
Json = dict[str, Any]

# Item type → what its deltas and the event that ends them are called, and where the text stands.
_TEXTS = {
    "message": ("output_text", "text"),
    "reasoning": ("reasoning_summary_text", "text"),
    "function_call": ("function_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
}
_PARTS = {
    "message": ("content_part", "content_index"),
    "reasoning": ("reasoning_summary_part", "summary_index"),
}
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_FIRST = ("response.created", "response.in_progress")


@dataclass
class Read:
    """What a stream said. ``texts``: the deltas of each item, joined."""

    response: Json = field(default_factory=dict)
    items: list[Json] = field(default_factory=list)
    open: Json | None = None
    part_open: bool = False
    texts: list[str] = field(default_factory=list)
    annotations: list[list[Json]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    end: str = ""


def parse_sse(data: bytes) -> list[tuple[str, Json]]:
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
    for number, (name, event) in enumerate(parse_sse(data)):
        assert event["sequence_number"] == number
        assert not got.end, f"{name} after the end"
        _EVENT.validate_python(_with_known_code(event))
        if number < len(_FIRST):
            assert name == _FIRST[number]
        got.names.append(name)
        _step(got, name.removeprefix("response."), event)
    return got


def _with_known_code(event: Json) -> Json:
    """Codex knows more error codes than the SDK's model lists; the SDK itself does not look."""
    error = event.get("response", {}).get("error")
    if not error:
        return event
    return {**event, "response": {**event["response"], "error": {**error, "code": "server_error"}}}


def _step(got: Read, name: str, event: Json) -> None:
    if name in ("created", "in_progress"):
        got.response = event["response"]
        assert got.response["status"] == "in_progress"
        assert got.response["output"] == []
    elif f"response.{name}" in _ENDS:
        _end(got, event)
    elif name == "output_item.added":
        assert got.open is None
        assert event["output_index"] == len(got.items)
        got.open = event["item"]
        got.texts.append("")
        got.annotations.append([])
    elif name == "output_item.done":
        _closed(got, event)
    else:
        _inside(got, name, event)


def _inside(got: Read, name: str, event: Json) -> None:
    assert got.open is not None
    assert (event["item_id"], event["output_index"]) == (got.open["id"], len(got.items))
    kind = got.open["type"]
    if kind in _PARTS:
        part, index = _PARTS[kind]
        assert event[index] == 0
        if name in (f"{part}.added", f"{part}.done"):
            assert got.part_open == name.endswith("done")
            got.part_open = name.endswith("added")
            assert event["part"]["text"] == got.texts[-1]
            return
        assert got.part_open
    if kind == "web_search_call":
        return
    text, key = _TEXTS[kind]
    if name == "output_text.annotation.added":
        assert event["annotation_index"] == len(got.annotations[-1])
        got.annotations[-1].append(event["annotation"])
        return
    if name == f"{text}.delta":
        assert event["delta"]
        got.texts[-1] += event["delta"]
    else:
        assert name == f"{text}.done"
        assert event[key] == got.texts[-1]


def _closed(got: Read, event: Json) -> None:
    assert got.open is not None
    assert not got.part_open
    item = event["item"]
    assert event["output_index"] == len(got.items)
    assert (item["id"], item["type"]) == (got.open["id"], got.open["type"])
    if item["type"] == "message":
        (part,) = item["content"]
        assert part["text"] == got.texts[-1]
        assert part["annotations"] == got.annotations[-1]
    elif item["type"] == "reasoning":
        assert "".join(part["text"] for part in item["summary"]) == got.texts[-1]
    elif item["type"] in _TEXTS:
        assert item[_TEXTS[item["type"]][1]] == got.texts[-1]
    if item["type"] == "function_call":
        assert isinstance(orjson.loads(item["arguments"]), dict)
    got.open = None
    got.items.append(item)


def _end(got: Read, event: Json) -> None:
    name = event["type"]
    got.end = name.removeprefix("response.")
    got.response = event["response"]
    assert got.response["status"] == got.end
    assert got.response["output"] == got.items
    if got.end == "failed":
        assert got.response["error"]["message"]
        return
    assert got.open is None
    usage = got.response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
