"""Frames of generateAssistantResponse as values.

Each kind of frame has one parser, found by (message type, event type) in a table; which one depends on
the header block alone, and all streams repeat the same few blocks, so the block is the key of small
caches: of what its headers say and of its parser, for the whole program, and of parsers that count, for
one stream. Events are tuples, first item one of the numbers:

| event | items |
|---|---|
| TEXT | text, and the model's id where the service names it |
| TOOL | id or None, name or None, input (str, dict or None; numbers as written), stop |
| REASONING | text, signature, redacted content (base64); each may be None |
| METADATA | token usage (dict or None), stop reason or None, the whole payload |
| METERING | usage (float or None), unit |
| CONTEXT | percentage of the model's window |
| MESSAGE_META | conversation id, utterance id; each may be None |
| REFERENCE | list of code references |
| FAULT | an UpstreamError, ready to raise; nothing comes after it |
| OTHER | event type: of no meaning to an answer, or unknown |

The list of events is the official client's model of the response stream, and what proxies observed
beyond it: contextUsageEvent, reasoningEvent, the two model-unavailable events, metricsEvent.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

from kiroproxy.errors import EventStreamError, UpstreamError
from kiroproxy.eventstream import Frame, HeaderValue, parse_headers
from kiroproxy.kiro.halves import HalfPairs, repaired
from kiroproxy.kiro.numbers import holds_doubtful, load_as_written
from kiroproxy.kiro.replies import classify_frame

TEXT: Final = 0
TOOL: Final = 1
REASONING: Final = 2
METADATA: Final = 3
METERING: Final = 4
CONTEXT: Final = 5
MESSAGE_META: Final = 6
REFERENCE: Final = 7
FAULT: Final = 8
OTHER: Final = 9

KiroEvent = tuple[Any, ...]
#: Payload in, event out. Raises UpstreamError.
_Parser = Callable[[memoryview | bytes], KiroEvent]

#: Real streams have four or five different blocks of about 100 bytes; beyond these bounds a block is
#: parsed each time.
MAX_CACHED_BLOCKS: Final = 64
MAX_CACHED_BLOCK_BYTES: Final = 1_024
#: Names counted one by one, and how much of a name is kept: both come from outside.
MAX_UNKNOWN_NAMES: Final = 32
MAX_NAME_CHARS: Final = 64
MORE_UNKNOWN: Final = "more"

_loads = orjson.loads


class _Kind(NamedTuple):
    """``name``: of the event, the exception or the error. ``message``: of an error."""

    message_type: str
    name: str
    message: str


_NAME_HEADERS: Final = {
    "event": ":event-type",
    "exception": ":exception-type",
    "error": ":error-code",
}


_known_parsers: Final[dict[bytes, _Parser]] = {}
"""Header block → parser, for all streams."""


class _HalfPair(Exception):
    """A payload is no strict JSON; perhaps for half a surrogate pair, or for a number beyond all floats.
    Never leaves this module."""


class EventParser:
    """The parser of one stream. ``unknown``: names of events nobody told us about, with counts."""

    __slots__ = ("_halves", "_parsers", "unknown")

    def __init__(self) -> None:
        self.unknown: dict[str, int] = {}
        self._parsers: dict[bytes, _Parser] = {}
        self._halves: HalfPairs | None = None  # from the first half of a pair on

    def parse(self, frames: list[Frame]) -> list[KiroEvent]:
        """One event per frame, in order. Never raises: an exception frame, or one that does not hold
        what its type promises, becomes a FAULT, and the frames behind it are dropped."""
        if self._halves is not None:
            return self._parse_halves(frames, self._halves)
        known = _known_parsers
        events: list[KiroEvent] = []
        try:
            if len(frames) == 1 and known.get(frames[0][0]) is _parse_text:  # at a model's pace
                return [_parse_text(frames[0][1])]
            for headers, payload in frames:
                parser = known.get(headers) or self._parsers.get(headers) or self._learn(headers)
                events.append(parser(payload))
        except UpstreamError as fault:
            events.append((FAULT, fault.with_traceback(None)))  # whose frames hold the list
        except _HalfPair:
            self._halves = HalfPairs()
            events += self._parse_halves(frames[len(events) :], self._halves)
        return events

    def _parse_halves(self, frames: list[Frame], halves: HalfPairs) -> list[KiroEvent]:
        """As ``parse``, for a stream that has cut a character in two. What is kept back of one event comes
        with a later one, or as one of its own."""
        known = _known_parsers
        events: list[KiroEvent] = []
        try:
            for headers, payload in frames:
                parser = known.get(headers) or self._parsers.get(headers) or self._learn(headers)
                events += _mended(parser, payload, halves)
        except UpstreamError as fault:
            events.append((FAULT, fault.with_traceback(None)))
        return events

    def _learn(self, block: bytes) -> _Parser:
        short = len(block) <= MAX_CACHED_BLOCK_BYTES
        kind = _remembered_kind(block) if short else _kind(block)
        parser = self._choose(kind)
        # Parsers out of the table are everybody's; one that counts is this stream's own.
        parsers = _known_parsers if PARSERS.get(kind.name) is parser else self._parsers
        if short:
            if len(parsers) >= MAX_CACHED_BLOCKS:
                parsers.clear()
            parsers[block] = parser
        return parser

    def _choose(self, kind: _Kind) -> _Parser:
        if kind.message_type == "event":
            return PARSERS.get(kind.name) or self._counter(kind.name or "(no event type)")
        if kind.message_type in ("exception", "error"):
            return _refusal(kind.name, kind.message)
        return self._counter(f"(message type {kind.message_type})")

    def _counter(self, name: str) -> _Parser:
        name = name[:MAX_NAME_CHARS]

        def count(_payload: memoryview | bytes) -> KiroEvent:
            full = len(self.unknown) >= MAX_UNKNOWN_NAMES and name not in self.unknown
            key = MORE_UNKNOWN if full else name
            self.unknown[key] = self.unknown.get(key, 0) + 1
            return (OTHER, name)

        return count


def _kind(block: bytes) -> _Kind:
    """What the headers of a block say. Raises EventStreamError."""
    headers = parse_headers(block)
    message_type = _text_header(headers, ":message-type") or _implied_type(headers)
    name = _text_header(headers, _NAME_HEADERS.get(message_type, ":event-type"))
    return _Kind(message_type, name, _text_header(headers, ":error-message"))


_remembered_kind = functools.lru_cache(maxsize=MAX_CACHED_BLOCKS)(_kind)


def _text_header(headers: dict[str, HeaderValue], name: str) -> str:
    """Empty if missing: no header we read may be anything but a string."""
    value = headers.get(name, "")
    if not isinstance(value, str):
        raise EventStreamError(f"The service sent a frame whose header {name} is not a string.")
    return value


def _implied_type(headers: dict[str, HeaderValue]) -> str:
    """Without ``:message-type`` the other headers tell; a bare block is an event's."""
    if ":exception-type" in headers:
        return "exception"
    return "error" if ":error-code" in headers else "event"


def _refusal(name: str, message: str = "") -> _Parser:
    def refuse(payload: memoryview | bytes) -> KiroEvent:
        raise classify_frame(name, bytes(payload), message)

    return refuse


def _ignored(event_type: str) -> _Parser:
    event = (OTHER, event_type)

    def ignore(_payload: memoryview | bytes) -> KiroEvent:
        return event

    return ignore


# -- payloads ---------------------------------------------------------------------------------------


def _parse_text(payload: memoryview | bytes) -> KiroEvent:
    """The one parser that runs for nearly every frame: no calls but one on the usual path."""
    try:
        fields = _loads(payload)
        text = fields["content"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        fields = _fields(payload)
        text = _maybe_text(fields, "content") or ""
    if type(text) is not str:
        text = _maybe_text(fields, "content") or ""
    if "modelId" in fields:
        return (TEXT, text, _maybe_text(fields, "modelId"))
    return (TEXT, text)


def _parse_tool(payload: memoryview | bytes, as_written: dict[str, Any] | None = None) -> KiroEvent:
    """``as_written``: the payload, read already."""
    fields = _fields(payload) if as_written is None else as_written
    input_ = fields.get("input")
    if input_ is not None and not isinstance(input_, str | dict):
        raise _unexpected("input", "text or an object", input_)
    if type(input_) is dict and holds_doubtful(input_):
        try:
            input_ = load_as_written(payload)["input"]
        except RecursionError:
            pass  # so deep an input is refused where the call is put together
    call_id = _maybe_text(fields, "toolUseId")
    return (TOOL, call_id, _maybe_text(fields, "name"), input_, fields.get("stop") is True)


def _parse_any_tool(payload: memoryview | bytes) -> KiroEvent:
    """As ``_parse_tool``, for a payload of whole characters which the fast reader may refuse nevertheless:
    for a number beyond all floats. Raises ValueError for what is no JSON."""
    try:
        return _parse_tool(payload)
    except _HalfPair:
        return _parse_tool(payload, _object(load_as_written(payload)))


def _parse_reasoning(payload: memoryview | bytes) -> KiroEvent:
    """``content`` in place of ``text`` is what one proxy saw in ``reasoningEvent``."""
    fields = _fields(payload)
    text = _maybe_text(fields, "text")
    if text is None:
        text = _maybe_text(fields, "content")
    signature = _maybe_text(fields, "signature")
    return (REASONING, text, signature, _maybe_text(fields, "redactedContent"))


def _parse_metadata(payload: memoryview | bytes) -> KiroEvent:
    """The reason's spelling varies between reports; its value is read by the answer's side."""
    fields = _fields(payload)
    usage = fields.get("tokenUsage")
    if usage is not None and not isinstance(usage, dict):
        raise _unexpected("tokenUsage", "an object", usage)
    reason = None
    for name in ("stopReason", "stop_reason", "finishReason"):
        reason = reason or _maybe_text(fields, name)
    return (METADATA, usage, reason, fields)


def _parse_metering(payload: memoryview | bytes) -> KiroEvent:
    fields = _fields(payload)
    return (METERING, _maybe_number(fields, "usage"), _maybe_text(fields, "unit") or "")


def _parse_context(payload: memoryview | bytes) -> KiroEvent:
    percentage = _maybe_number(_fields(payload), "contextUsagePercentage")
    return (OTHER, "contextUsageEvent") if percentage is None else (CONTEXT, percentage)


def _parse_message_meta(payload: memoryview | bytes) -> KiroEvent:
    fields = _fields(payload)
    conversation_id = _maybe_text(fields, "conversationId")
    return (MESSAGE_META, conversation_id, _maybe_text(fields, "utteranceId"))


def _parse_reference(payload: memoryview | bytes) -> KiroEvent:
    references = _fields(payload).get("references")
    return (REFERENCE, references if isinstance(references, list) else [])


def _fields(payload: memoryview | bytes) -> dict[str, Any]:
    try:
        fields = _loads(payload)
    except orjson.JSONDecodeError:
        raise _HalfPair from None
    return fields if type(fields) is dict else _object(fields)


def _object(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise EventStreamError(
        f"The service sent an event whose payload is {_json_name(value)}, not an object."
    )


def _mended(parser: _Parser, payload: memoryview | bytes, halves: HalfPairs) -> list[KiroEvent]:
    """The events of a frame, and of what was kept back before it. Raises UpstreamError."""
    text = _TEXTS.get(parser)
    try:
        if text is not None and halves.waiting:
            return halves.read(payload, *text)
        try:
            event = parser(payload)
        except _HalfPair:
            if text is not None:
                return halves.read(payload, *text)
            event = parser(repaired(payload))
        return [event] if event[0] == OTHER else [*halves.give_up(), event]
    except (_HalfPair, ValueError, RecursionError):
        raise EventStreamError(
            f"The service sent an event whose payload of {len(payload)} bytes is not JSON."
        ) from None


def _maybe_text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise _unexpected(name, "text", value)


def _maybe_number(fields: dict[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _unexpected(name, "a number", value)


def _unexpected(name: str, expected: str, value: object) -> EventStreamError:
    return EventStreamError(
        f"The service sent an event whose field {name!r} is {_json_name(value)}, not {expected}."
    )


_JSON_NAMES: Final[dict[type, str]] = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    orjson.Fragment: "a number",
    str: "text",
    list: "an array",
    dict: "an object",
}


def _json_name(value: object) -> str:
    """What a value is, never the value itself: it may be the user's text."""
    return _JSON_NAMES.get(type(value), "null")


#: Where the parsers of content find text that may go on in the next event, and who parses it mended.
_TEXTS: Final[dict[_Parser, tuple[tuple[str, ...], _Parser]]] = {
    _parse_text: (("content",), _parse_text),
    _parse_tool: (("input",), _parse_any_tool),
    _parse_reasoning: (("text", "content"), _parse_reasoning),
}

#: By event type, for message type ``event``.
PARSERS: Final[dict[str, _Parser]] = (
    {
        "assistantResponseEvent": _parse_text,
        "codeEvent": _parse_text,
        "toolUseEvent": _parse_tool,
        "reasoningContentEvent": _parse_reasoning,
        "reasoningEvent": _parse_reasoning,
        "metadataEvent": _parse_metadata,
        "meteringEvent": _parse_metering,
        "contextUsageEvent": _parse_context,
        "messageMetadataEvent": _parse_message_meta,
        "codeReferenceEvent": _parse_reference,
    }
    | {
        name: _refusal(name)
        for name in (
            "invalidStateEvent",
            "modelTemporarilyUnavailableEvent",
            "modelUnavailableEvent",
        )
    }
    | {
        name: _ignored(name)
        for name in (
            "initial-response",  # opens a stream of the JSON 1.0 binding
            "citationEvent",
            "dryRunSucceedEvent",
            "followupPromptEvent",
            "intentsEvent",
            "interactionComponentsEvent",
            "metricsEvent",
            "supplementaryWebLinksEvent",
            "toolResultEvent",
        )
    }
)
