"""An answer as data: events with their payloads, before anything is encoded.

An ``Event`` is ``(event type, payload)``; the pieces below are the service's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import orjson

from kiroproxy.simulator.catalogue import JsonObject

Event = tuple[str, JsonObject]

TEXT = "assistantResponseEvent"
TOOL = "toolUseEvent"
REASONING = "reasoningContentEvent"
METADATA = "metadataEvent"
METERING = "meteringEvent"
CONTEXT = "contextUsageEvent"
MESSAGE_META = "messageMetadataEvent"
INITIAL = "initial-response"

CONTENT_EVENTS = frozenset({TEXT, TOOL, REASONING})
ENDING_EVENTS = frozenset({METADATA, METERING, CONTEXT})

FRAGMENT_CHARS = 12  # of a tool's input
_DELTA = re.compile(r"\s*\S{1,8}|\s+")


@dataclass(slots=True)
class Call:
    """One tool call of the answer."""

    id: str
    name: str
    input: JsonObject


@dataclass(slots=True)
class Answer:
    """What the model wants to say, in this order: reasoning, text, calls.

    ``signature`` goes with native reasoning; without it ``reasoning`` is written as tagged text.
    ``redacted`` replaces the reasoning's text. ``stop_reason`` is the service's word.
    ``fault``: the directive's words, when the prompt asks for a broken answer.
    """

    text: str = ""
    reasoning: str = ""
    signature: str | None = None
    redacted: str | None = None
    calls: list[Call] = field(default_factory=list)
    stop_reason: str = "END_TURN"
    pace_s: float | None = None
    fault: str | None = None

    @property
    def chars(self) -> int:
        """Characters of output, for the token estimate."""
        inputs = sum(len(orjson.dumps(call.input)) for call in self.calls)
        return len(self.text) + len(self.reasoning) + inputs


def deltas(text: str) -> list[str]:
    """``text`` in small pieces that join to it again."""
    return _DELTA.findall(text)


def content_events(answer: Answer, model_id: str) -> list[Event]:
    """Reasoning, text and calls as events."""
    events = _reasoning_events(answer)
    text = answer.text
    if answer.reasoning and not events:
        text = f"<thinking>\n{answer.reasoning}</thinking>\n\n{text}"
    events += [(TEXT, {"content": piece, "modelId": model_id}) for piece in deltas(text)]
    for call in answer.calls:
        events += tool_events(call)
    return events


def tool_events(call: Call) -> list[Event]:
    """Name first, then the input's JSON in fragments, then the stop."""
    head = {"toolUseId": call.id, "name": call.name}
    written = orjson.dumps(call.input).decode() if call.input else ""
    fragments = [written[at : at + FRAGMENT_CHARS] for at in range(0, len(written), FRAGMENT_CHARS)]
    return [
        (TOOL, dict(head)),
        *((TOOL, {**head, "input": fragment}) for fragment in fragments),
        (TOOL, {**head, "stop": True}),
    ]


def _reasoning_events(answer: Answer) -> list[Event]:
    if answer.redacted is not None:
        return [(REASONING, {"redactedContent": answer.redacted})]
    if answer.signature is None:
        return []
    half = len(answer.signature) // 2  # signatures arrive in fragments, too
    return [
        *((REASONING, {"text": piece}) for piece in deltas(answer.reasoning)),
        (REASONING, {"signature": answer.signature[:half]}),
        (REASONING, {"signature": answer.signature[half:]}),
    ]


@dataclass(frozen=True, slots=True)
class Ending:
    """Which closing events an account's streams have. IdC sign-ins get no metadataEvent."""

    metadata: bool = True
    token_usage: bool = False
    context: bool = True
    metering: bool = True


def ending_events(
    ending: Ending,
    stop_reason: str,
    input_tokens: int,
    output_tokens: int,
    window: int,
    rate: float,
) -> list[Event]:
    """The closing events, in the order seen live: metadata, context usage, metering."""
    total = input_tokens + output_tokens
    events: list[Event] = []
    if ending.metadata:
        metadata: JsonObject = {"stopReason": stop_reason}
        if ending.token_usage:
            metadata["tokenUsage"] = {
                "uncachedInputTokens": input_tokens,
                "outputTokens": output_tokens,
                "totalTokens": total,
                "cacheReadInputTokens": 0,
                "cacheWriteInputTokens": 0,
            }
        events.append((METADATA, metadata))
    if ending.context:
        events.append((CONTEXT, {"contextUsagePercentage": round(100 * total / window, 4)}))
    if ending.metering:
        events.append((METERING, metering(credits_for(total, rate))))
    return events


def credits_for(tokens: int, rate: float) -> float:
    """Credits of one call: believable, nothing more."""
    return round(rate * (0.02 + tokens / 200_000), 6)


def metering(amount: float) -> JsonObject:
    """A meteringEvent's payload."""
    return {"usage": amount, "unit": "credit", "unitPlural": "credits"}
