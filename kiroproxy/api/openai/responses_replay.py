"""A kept response as the events that once brought it, with each content in one delta.

The events are numbered anew, without gaps: ``starting_after`` counts these numbers. The last event, which
holds everything, always comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kiroproxy.api.checks import load_exactly
from kiroproxy.api.openai.responses_output import IN_PROGRESS, Event, Json
from kiroproxy.api.openai.responses_stream import sse

_NO_END: Final[Json] = {
    "status": IN_PROGRESS,
    "output": [],
    "usage": None,
    "incomplete_details": None,
}
_NO_ACTION: Final[Json] = {
    "type": "exec",
    "command": [],
    "env": {},
    "timeout_ms": None,
    "user": None,
    "working_directory": None,
}
# How an item stands in ``output_item.added``, before its content.
_EMPTY: Final[dict[str, Json]] = {
    "message": {"status": IN_PROGRESS, "content": []},
    "local_shell_call": {"status": IN_PROGRESS, "action": _NO_ACTION},
    "tool_search_call": {"status": IN_PROGRESS, "arguments": {}},
    "function_call": {"status": IN_PROGRESS, "arguments": ""},
    "custom_tool_call": {"status": IN_PROGRESS, "input": ""},
    "compaction": {"encrypted_content": ""},
}


def replay(body: bytes, after: int = -1) -> bytes:
    """The stream of the response object ``body``, from the event behind number ``after`` on."""
    events = list(_events(load_exactly(body)))
    last = len(events) - 1
    return b"".join(
        sse(name, number, fields)
        for number, (name, fields) in enumerate(events)
        if number > after or number == last
    )


def _events(response: Json) -> Iterator[Event]:
    for name in ("response.created", "response.in_progress"):
        yield name, {"response": {**response, **_NO_END}}
    for index, item in enumerate(response["output"]):
        at = {"item_id": item.get("id"), "output_index": index}
        yield "response.output_item.added", {"output_index": index, "item": _first(item)}
        own = _OWN.get(item["type"])
        if own is not None:
            yield from own(item, at)
        yield "response.output_item.done", {"output_index": index, "item": item}
    yield f"response.{response['status']}", {"response": response}


def _first(item: Json) -> Json:
    if item["type"] == "reasoning":  # it has no status, and its seal comes last
        return {"id": item["id"], "type": "reasoning", "summary": []}
    return {**item, **_EMPTY.get(item["type"], {"status": IN_PROGRESS})}


def _message(item: Json, at: Json) -> Iterator[Event]:
    for index, part in enumerate(item["content"]):
        here = {**at, "content_index": index}
        yield (
            "response.content_part.added",
            {**here, "part": {**part, "text": "", "annotations": []}},
        )
        if part["text"]:
            yield "response.output_text.delta", {**here, "delta": part["text"], "logprobs": []}
        for number, annotation in enumerate(part["annotations"]):
            fields = {**here, "annotation_index": number, "annotation": annotation}
            yield "response.output_text.annotation.added", fields
        yield "response.output_text.done", {**here, "text": part["text"], "logprobs": []}
        yield "response.content_part.done", {**here, "part": part}


def _reasoning(item: Json, at: Json) -> Iterator[Event]:
    for index, part in enumerate(item["summary"]):
        here = {**at, "summary_index": index}
        name = "response.reasoning_summary"
        yield f"{name}_part.added", {**here, "part": {**part, "text": ""}}
        yield f"{name}_text.delta", {**here, "delta": part["text"]}
        yield f"{name}_text.done", {**here, "text": part["text"]}
        yield f"{name}_part.done", {**here, "part": part}


def _function_call(item: Json, at: Json) -> Iterator[Event]:
    given = item["arguments"]
    yield "response.function_call_arguments.delta", {**at, "delta": given}
    fields = {**at, "name": item["name"], "arguments": given}
    yield "response.function_call_arguments.done", fields


def _custom_call(item: Json, at: Json) -> Iterator[Event]:
    if item["input"]:
        yield "response.custom_tool_call_input.delta", {**at, "delta": item["input"]}
    yield "response.custom_tool_call_input.done", {**at, "input": item["input"]}


def _web_search(item: Json, at: Json) -> Iterator[Event]:
    steps = ["in_progress", "searching"] + ["completed"] * (item["status"] != "failed")
    for step in steps:
        yield f"response.web_search_call.{step}", at


_OWN: Final[dict[str, Callable[[Json, Json], Iterator[Event]]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "custom_tool_call": _custom_call,
    "web_search_call": _web_search,
}
