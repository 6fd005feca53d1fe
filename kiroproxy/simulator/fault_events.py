"""Faults that change which events are sent; frames and connection stay sound.

Each change takes the events and the fault's parameters; the table's comments name the parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from kiroproxy.simulator.answer import (
    CONTENT_EVENTS,
    CONTEXT,
    ENDING_EVENTS,
    METADATA,
    METERING,
    REASONING,
    TEXT,
    TOOL,
    Event,
)
from kiroproxy.simulator.params import Params
from kiroproxy.simulator.scripts import ERROR, EXCEPTION

Change = Callable[[list[Event], Params], list[Event]]

_MESSAGES = {
    "ThrottlingException": "Too many requests, please wait before trying again.",
    "ContentLengthExceededException": "Input is too long.",
    "InternalServerException": "An unexpected error occurred.",
    "ServiceUnavailableException": "Service is temporarily unavailable.",
    "ValidationException": "Improperly formed request.",
}


def _exception(events: list[Event], params: Params) -> list[Event]:
    name = params.get("name", "ThrottlingException")
    payload = {
        "message": _MESSAGES.get(name, "Something went wrong."),
        "reason": params.get("reason"),
    }
    return [*events[: _after(params, 0)], (EXCEPTION + name, payload)]


def _error_frame(events: list[Event], params: Params) -> list[Event]:
    code = params.get("code", "InternalError")
    return [*events[: _after(params, 0)], (ERROR + code, {"message": "The stream failed."})]


def _invalid_state(events: list[Event], params: Params) -> list[Event]:
    payload = {
        "reason": params.get("reason", "INVALID_TASK_ASSIST_PLAN"),
        "message": "The conversation is in an invalid state.",
    }
    return [*events[: _after(params, 0)], ("invalidStateEvent", payload)]


def _model_unavailable(events: list[Event], params: Params) -> list[Event]:
    payload = {"message": "The model is busy.", "recommendedModel": "auto"}
    return [*events[: _after(params, 0)], ("modelTemporarilyUnavailableEvent", payload)]


def _truncated_tool(events: list[Event], params: Params) -> list[Event]:
    """Half of the last call's fragments, then the end; ``ending=1`` keeps the closing events."""
    inputs = [at for at, event in enumerate(events) if event[0] == TOOL and "input" in event[1]]
    if not inputs:
        return events
    cut = inputs[len(inputs) // 2]
    ending = [event for event in events if event[0] in ENDING_EVENTS]
    return [*events[:cut], *(ending if params.get("ending") == "1" else [])]


def _no_tool_stop(events: list[Event], params: Params) -> list[Event]:
    return [event for event in events if not (event[0] == TOOL and event[1].get("stop"))]


def _whole_inputs(events: list[Event], shape: Callable[[Event, Any], list[Event]]) -> list[Event]:
    """Replace each call's fragments by what ``shape(first event, whole input)`` makes of them."""
    out: list[Event] = []
    written: dict[str, str] = {}
    for event in events:
        if event[0] != TOOL:
            out.append(event)
            continue
        id_ = event[1]["toolUseId"]
        written[id_] = written.get(id_, "") + event[1].get("input", "")
        if event[1].get("stop"):
            out += shape(event, json.loads(written[id_] or "{}"))
    return out


def _head(event: Event) -> dict[str, Any]:
    return {"toolUseId": event[1]["toolUseId"], "name": event[1]["name"]}


def _object_input(events: list[Event], params: Params) -> list[Event]:
    """The input comes as one object."""
    return _whole_inputs(
        events,
        lambda event, value: [
            (TOOL, _head(event)),
            (TOOL, {**_head(event), "input": value}),
            event,
        ],
    )


def _growing_input(events: list[Event], params: Params) -> list[Event]:
    """Objects that grow, each a full replacement of the one before."""

    def shape(event: Event, value: dict[str, Any]) -> list[Event]:
        names = list(value)
        steps = [{name: value[name] for name in names[: at + 1]} for at in range(len(names))]
        return [(TOOL, _head(event)), *((TOOL, {**_head(event), "input": s}) for s in steps), event]

    return _whole_inputs(events, shape)


def _empty_object_first(events: list[Event], params: Params) -> list[Event]:
    """The first event of a call carries ``{}``; the fragments follow as usual."""
    return [
        (TOOL, {**event[1], "input": {}}) if event[0] == TOOL and len(event[1]) == 2 else event
        for event in events
    ]


def _no_tool_ids(events: list[Event], params: Params) -> list[Event]:
    """After the first event of a call, neither id nor name."""
    out: list[Event] = []
    for kind, payload in events:
        if kind == TOOL and len(payload) > 2:
            payload = {key: payload[key] for key in payload.keys() - {"toolUseId", "name"}}
        out.append((kind, payload))
    return out


def _late_tool_id(events: list[Event], params: Params) -> list[Event]:
    """The first event of a call has a name only; the id comes with the fragments."""
    return [
        (TOOL, {"name": event[1]["name"]}) if event[0] == TOOL and len(event[1]) == 2 else event
        for event in events
    ]


def _interleaved(events: list[Event], params: Params) -> list[Event]:
    """The events of all calls in turn."""
    calls: dict[str, list[Event]] = {}
    for event in events:
        if event[0] == TOOL:
            calls.setdefault(event[1]["toolUseId"], []).append(event)
    mixed = [event for row in zip_longest(*calls.values()) for event in row if event is not None]
    before = [event for event in events if event[0] != TOOL and event[0] not in ENDING_EVENTS]
    return [*before, *mixed, *(event for event in events if event[0] in ENDING_EVENTS)]


def _without(*kinds: str) -> Change:
    def change(events: list[Event], params: Params) -> list[Event]:
        return [event for event in events if event[0] not in kinds]

    return change


def _context_first(events: list[Event], params: Params) -> list[Event]:
    """contextUsageEvent before any content, as one capture had it."""
    context = [event for event in events if event[0] == CONTEXT]
    return context + [event for event in events if event[0] != CONTEXT]


def _unknown_events(events: list[Event], params: Params) -> list[Event]:
    """Types nobody knows, and known ones that mean nothing here, between all others."""
    strange: list[Event] = [
        ("somethingNewEvent", {"a": [1, {"b": None}]}),
        ("metricsEvent", {}),
        ("followupPromptEvent", {"followupPrompt": {"content": "More?"}}),
        ("supplementaryWebLinksEvent", {"supplementaryWebLinks": []}),
        ("intentsEvent", {"intents": {}}),
        ("assistantResponseEvent", {}),
        ("citationEvent", {"target": {"location": 1}, "citationLink": "https://example.com"}),
    ]
    mixed: list[Event] = []
    for at, event in enumerate(events):
        mixed += [strange[at % len(strange)], event]
    return mixed + strange


def _code_references(events: list[Event], params: Params) -> list[Event]:
    reference = {
        "licenseName": "MIT",
        "repository": "example/project",
        "url": "https://example.com/project",
        "recommendationContentSpan": {"start": 0, "end": 10},
    }
    at = _after(params, 2)
    return [*events[:at], ("codeReferenceEvent", {"references": [reference]}), *events[at:]]


def _token_usage(events: list[Event], params: Params) -> list[Event]:
    """metadataEvent with token counts: uncached, output, read and write by parameter."""
    usage = {
        "uncachedInputTokens": params.count("uncached", 812),
        "outputTokens": params.count("output", 64),
        "cacheReadInputTokens": params.count("read", 20000),
        "cacheWriteInputTokens": params.count("write", 0),
    }
    usage["totalTokens"] = sum(usage.values())
    reason = next((payload["stopReason"] for kind, payload in events if kind == METADATA), None)
    payload: dict[str, Any] = {"tokenUsage": usage}
    if reason is not None:
        payload["stopReason"] = reason
    return [*(event for event in events if event[0] != METADATA), (METADATA, payload)]


def _after(params: Params, default: int) -> int:
    return params.count("after", default)


CHANGES: dict[str, Change] = {
    "exception": _exception,  # name=ThrottlingException reason= after=0 (first frame)
    "error_frame": _error_frame,  # code=InternalError after=0
    "invalid_state": _invalid_state,  # reason= after=0
    "model_unavailable": _model_unavailable,  # after=0
    "truncated_tool": _truncated_tool,  # ending=1: with the closing events
    "no_tool_stop": _no_tool_stop,
    "object_input": _object_input,
    "growing_input": _growing_input,
    "empty_object_first": _empty_object_first,
    "no_tool_ids": _no_tool_ids,
    "late_tool_id": _late_tool_id,
    "interleaved": _interleaved,
    "no_metadata": _without(METADATA),
    "no_metering": _without(METERING),
    "context_only": _without(METADATA, METERING),
    "no_ending": _without(*ENDING_EVENTS),
    "context_first": _context_first,
    "unknown_events": _unknown_events,
    "code_references": _code_references,  # after=2
    "token_usage": _token_usage,  # uncached=812 output=64 read=20000 write=0
    "reasoning_only": _without(TEXT, TOOL, METADATA),
    "no_content": _without(*CONTENT_EVENTS),
    "no_reasoning": _without(REASONING),
}
