"""Streams as data: what to send, when to wait, where to break off."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import orjson

from kiroproxy.eventstream.encoder import encode_error, encode_event, encode_exception
from kiroproxy.simulator.answer import CONTENT_EVENTS, TEXT, Event

EXCEPTION = "exception:"  # event type of an exception frame: this prefix and the exception's name
ERROR = "error:"  # the same for an error frame and its code


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes for the body, normally one frame."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing more comes, the connection stays open until the client leaves."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed without the end of the body; ``mid_chunk``: inside a chunk; ``reset``: by a
    TCP reset, which may overtake what was sent."""

    mid_chunk: bool = False
    reset: bool = False


Step = Send | Wait | Hang | Cut


def encode(event: Event) -> bytes:
    """One frame; exception and error frames are marked by their type's prefix."""
    kind, payload = event
    if kind == TEXT and len(payload) == 2:
        return _text_frame(payload["content"], payload["modelId"])
    if kind.startswith(EXCEPTION):
        return encode_exception(kind.removeprefix(EXCEPTION), orjson.dumps(payload))
    if kind.startswith(ERROR):
        return encode_error(kind.removeprefix(ERROR), str(payload["message"]))
    return encode_event(kind, orjson.dumps(payload))


@lru_cache(maxsize=4096)
def _text_frame(content: str, model_id: str) -> bytes:
    """Text deltas repeat a lot; long answers at full speed would spend their time here."""
    return encode_event(TEXT, orjson.dumps({"content": content, "modelId": model_id}))


def script(events: list[Event], pace_s: float) -> list[Step]:
    """Events as steps, with a pause before each content event when there is a pace."""
    steps: list[Step] = []
    for event in events:
        if pace_s > 0 and event[0] in CONTENT_EVENTS:
            steps.append(Wait(pace_s))
        steps.append(Send(encode(event)))
    return steps
