"""The pure way of an answer, as the handlers put it together: body bytes in, a client's bytes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from kiroproxy.api.answer import Answer
from kiroproxy.api.events import AnswerEvent, Usage
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.clock import SystemClock
from kiroproxy.errors import KiroProxyError
from kiroproxy.handlers.answers import Dialect
from kiroproxy.handlers.dialects import CHAT, MESSAGES, RESPONSES
from kiroproxy.relay import Pump, _Enough
from kiroproxy.upstream.body import choose_reader
from tests.api.anthropic.reader import read_stream as read_messages
from tests.api.openai.reader import read_stream as read_chat
from tests.api.openai.responses_reader import read_stream as read_responses
from tests.e2e.speakers import SPEAKERS, Wish
from tests.invariants.scripts import TOOLS, Part, merged

DIALECTS: dict[str, Dialect] = {"messages": MESSAGES, "chat": CHAT, "responses": RESPONSES}
WISH = Wish("go", tools=TOOLS, think=True)
PLAN = AnswerPlan(input_tokens=10, context_window=200_000)


@dataclass
class Said:
    """What a client understood. ``parts``: a call that was not closed is the last and in ``open``.
    Chat Completions has no order between kinds, so that its parts are text, thinking, calls."""

    parts: tuple[Part, ...] = ()
    open: bool = False
    ended: bool = False
    error: str = ""
    usage: dict[str, Any] = field(default_factory=dict)


@dataclass
class Told:
    """``stream``: what went out; empty when nothing had before the failure. ``refused``: the failure, if
    it can still be an answer with a real status. ``whole``: the JSON answer, or None for an error."""

    stream: bytes = b""
    refused: KiroProxyError | None = None
    whole: bytes | None = None


class Line:
    """One answer on its way to a streaming client and to one that waits."""

    def __init__(self, dialect: str) -> None:
        made = DIALECTS[dialect]
        body = orjson.dumps(SPEAKERS[dialect].request(WISH, stream=True))
        turn = made.parse(body, MappingProxyType[str, str]({}).get)
        self._encoder = made.encoder("id_1", turn, 1_700_000_000)
        self._fold = made.fold("id_1", turn, 1_700_000_000)
        self._out = bytearray()
        self._started = False
        self._pump = Pump(Answer(PLAN, lambda: "tooluse_made"), self._deliver, SystemClock())

    def run(self, pieces: list[bytes], pings: frozenset[int] = frozenset()) -> Told:
        """``pieces``: what each read brings. ``pings``: before which of them the client gets a ping."""
        reader = choose_reader("POST", 200, "chunked", None)
        try:
            try:
                for number, piece in enumerate(pieces):
                    if number in pings:
                        self._write(self._encoder.ping())
                    if body := reader.feed(piece):
                        self._pump.feed(body)
                    if reader.done or reader.fault is not None:
                        break
                reader.eof()
            except _Enough:
                pass
            ending = self._pump.finish()
        except KiroProxyError as error:
            if not self._started:
                return Told(refused=error)
            self._write(self._encoder.fail(error))
            return Told(bytes(self._out))
        self._write(self._encoder.finish(ending))
        return Told(bytes(self._out), whole=self._fold.finish(ending))

    def _deliver(self, batch: list[AnswerEvent]) -> None:
        self._write(self._encoder.events(batch))
        self._fold.events(batch)

    def _write(self, data: bytes) -> None:
        if not self._started:
            self._started = True
            self._out += self._encoder.start(Usage(input_tokens=10))
        self._out += data


# -- reading it as a client would


def hear(dialect: str, stream: bytes) -> Said:
    """Raises AssertionError or ValidationError for a stream that is not well formed."""
    return {"messages": _messages, "chat": _chat, "responses": _responses}[dialect](stream)


def hear_whole(dialect: str, body: bytes) -> Said:
    """The same for a JSON answer."""
    value = orjson.loads(body)
    if dialect == "messages":
        return Said(_blocks(value["content"], {}), ended=True, usage=value["usage"])
    if dialect == "chat":
        message = value["choices"][0]["message"]
        thinking, calls = message.get("reasoning_content", ""), message.get("tool_calls", [])
        parts = _by_kind(message["content"] or "", thinking, calls)
        return Said(parts, ended=True, usage=value["usage"])
    assert value["status"] == "completed"
    return Said(_items(value["output"]), ended=True, usage=value["usage"])


def _messages(stream: bytes) -> Said:
    got = read_messages(stream)
    closed = got.blocks[:-1] if got.open else got.blocks
    inputs = {i: got.inputs[i] or "{}" for i, one in enumerate(closed) if i in got.inputs}
    parts = _blocks(got.blocks, {**got.inputs, **inputs})
    error = got.error["type"] if got.error else ""
    return Said(parts, got.open, got.ended, error, got.usage)


def _blocks(blocks: list[dict[str, Any]], inputs: dict[int, str]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for index, block in enumerate(blocks):
        kind = block["type"]
        if kind == "tool_use":
            raw = inputs.get(index, orjson.dumps(block["input"]).decode())
            parts.append(("call", raw, block["name"]))
        else:
            parts.append((kind, block[kind], ""))
    return merged(parts)


def _chat(stream: bytes) -> Said:
    got = read_chat(stream)
    parts = _by_kind(got.text, got.thinking, got.calls)
    error = got.error["type"] if got.error else ""
    return Said(parts, bool(got.error and got.calls), got.done, error, got.usage or {})


def _by_kind(text: str, thinking: str, calls: list[dict[str, Any]]) -> tuple[Part, ...]:
    parts: list[Part] = [("text", text, ""), ("thinking", thinking, "")]
    functions = [call["function"] for call in calls]
    return merged([*parts, *(("call", f["arguments"], f["name"]) for f in functions)])


def _responses(stream: bytes) -> Said:
    got = read_responses(stream)
    parts = list(_items(got.items))
    if got.open is not None:
        kind = got.open["type"]
        name = {"message": "text", "reasoning": "thinking"}.get(kind, "call")
        parts.append((name, got.texts[-1], got.open["name"] if name == "call" else ""))
    error = got.response["error"]["code"] if got.end == "failed" else ""
    usage = got.response["usage"] or {}
    return Said(merged(parts), got.open is not None, got.end == "completed", error, usage)


def _items(items: list[dict[str, Any]]) -> tuple[Part, ...]:
    parts: list[Part] = []
    for item in items:
        if item["type"] == "message":
            parts.append(("text", item["content"][0]["text"], ""))
        elif item["type"] == "reasoning":
            parts.append(("thinking", "".join(p["text"] for p in item["summary"]), ""))
        else:
            parts.append(("call", item["arguments"], item["name"]))
    return merged(parts)


def as_dialect(dialect: str, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The oracle's parts in the order that this dialect can show."""
    if dialect != "chat":
        return parts
    text = "".join(value for kind, value, _ in parts if kind == "text")
    thinking = "".join(value for kind, value, _ in parts if kind == "thinking")
    calls = [part for part in parts if part[0] == "call"]
    return merged([("text", text, ""), ("thinking", thinking, ""), *calls])
