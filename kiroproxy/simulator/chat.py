"""GenerateAssistantResponse: check the request, let the model answer, play the stream."""

from __future__ import annotations

import asyncio
import math
import uuid
from typing import Any

import orjson

from kiroproxy.http import Exchange
from kiroproxy.simulator import refusals
from kiroproxy.simulator.answer import (
    INITIAL,
    MESSAGE_META,
    Answer,
    Event,
    content_events,
    credits_for,
    ending_events,
)
from kiroproxy.simulator.catalogue import DEFAULT_MODEL_ID, by_id
from kiroproxy.simulator.checker import check_rules, check_shape
from kiroproxy.simulator.faults import WRONG_TYPE, change_events, change_steps
from kiroproxy.simulator.gate import (
    JSON_10,
    JSON_REST,
    Call,
    Operation,
    Outcome,
    request_id,
    with_fault,
)
from kiroproxy.simulator.model import respond
from kiroproxy.simulator.refusals import Refusal
from kiroproxy.simulator.rules_content import CHARS_PER_TOKEN, count_tokens
from kiroproxy.simulator.scripts import Cut, Hang, Send, Step, Wait, script
from kiroproxy.simulator.view import View, open_view

EVENT_STREAM = b"application/vnd.amazon.eventstream"
AUTO_CHOICE = "claude-sonnet-4.5"  # what ``auto`` turns out to be
_HALF_CHUNK = b"400\r\n" + b"\0" * 64  # announces 1024 bytes, brings 64


async def generate(call: Call) -> Outcome:
    """Check, answer, stream. A fault ordered by the prompt is drawn after the checks."""
    opened = _open(call)
    if isinstance(opened, Refusal):
        return opened
    answer = respond(opened)
    fault = call.fault
    if fault is None and answer.fault is not None:
        conversation = opened.state["conversationId"]
        fault = call.world.faults.by_directive(answer.fault, conversation)
        if fault is not None:
            return await with_fault(call, fault, lambda faulty: _stream(faulty, opened, answer))
    return await _stream(call, opened, answer)


def _open(call: Call) -> View | Refusal:
    """The request as a view, or why it is refused."""
    wanted = JSON_10 if call.typed else JSON_REST
    if call.entry.headers.get("content-type", "").partition(";")[0].strip() != wanted:
        return refusals.MEDIA_TYPE
    try:
        parsed: Any = orjson.loads(call.request.body)
    except orjson.JSONDecodeError:
        return refusals.IMPROPER
    call.entry.json = parsed
    call.entry.violations = check_shape(parsed)
    if call.entry.violations:
        return call.entry.violations[0].refusal
    account, settings = call.signed_in, call.world.settings
    caller = account.caller(arn_required=settings.arn_required)
    header = call.entry.headers.get("x-amzn-kiro-profile-arn")
    view = open_view(parsed, by_id(call.world.models_of(account)), caller, header)
    if settings.check:
        call.entry.violations = check_rules(view)
    if call.entry.violations:
        return call.entry.violations[0].refusal
    return refusals.MONTHLY if account.exhausted else view


async def _stream(call: Call, view: View, answer: Answer) -> Outcome:
    world, fault = call.world, call.fault
    if world.settings.latency_s:
        await world.clock.sleep(world.settings.latency_s)
    events = change_events(fault, _events(call, view, answer))
    pace_s = world.settings.pace_s if answer.pace_s is None else answer.pace_s
    steps = change_steps(fault, script(events, pace_s))
    wrong = fault is not None and fault.name == WRONG_TYPE
    headers = [(b"content-type", b"text/plain" if wrong else EVENT_STREAM), request_id()]
    call.exchange.start(200, headers)
    call.entry.status = 200
    world.open_streams += 1
    try:
        await play(call, steps)
    finally:
        world.open_streams -= 1
    return None


def _events(call: Call, view: View, answer: Answer) -> list[Event]:
    """The whole stream, before any fault."""
    conversation = view.state["conversationId"]
    model_id = AUTO_CHOICE if view.model_id == DEFAULT_MODEL_ID else view.model_id
    events: list[Event] = [(INITIAL, {"conversationId": conversation})] if call.typed else []
    events.append(
        (MESSAGE_META, {"conversationId": conversation, "utteranceId": str(uuid.uuid4())})
    )
    events += content_events(answer, model_id)
    sent, made = count_tokens(view), math.ceil(answer.chars / CHARS_PER_TOKEN)
    model = view.model
    window, rate = (model.max_input_tokens, model.rate) if model else (200_000, 1.0)
    call.signed_in.credits_used += credits_for(sent + made, rate)
    ending = call.signed_in.ending
    return events + ending_events(ending, answer.stop_reason, sent, made, window, rate)


async def play(call: Call, steps: list[Step]) -> None:
    """Send the steps; end the body properly unless they say otherwise."""
    exchange, clock = call.exchange, call.world.clock
    gate = _Flow(exchange)
    batch = _Batch(exchange, call.world.settings.batch_bytes)
    for step in steps:
        match step:
            case Send(data):
                if batch.add(data):
                    await gate.open()
            case Wait(seconds):
                batch.flush()
                await gate.open()
                await clock.sleep(seconds)
            case Hang():
                batch.flush()
                await asyncio.Event().wait()
            case Cut(mid_chunk, reset):
                batch.flush()
                cut(exchange, mid_chunk=mid_chunk, reset=reset)
                return
    batch.flush()
    exchange.end()


def cut(exchange: Exchange, *, mid_chunk: bool, reset: bool = False) -> None:
    """Close the connection without the end of the body."""
    if mid_chunk:
        # A server that behaves has no method for this, so it goes past Exchange's framing.
        exchange._write(_HALF_CHUNK)
    if reset:
        exchange._line.cut(reset=True)  # the same
    exchange.abort()


class _Flow:
    """Waits while the client's socket buffer is full."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._resumed = asyncio.Event()
        exchange.set_flow_callbacks(self._resumed.clear, self._resumed.set)

    async def open(self) -> None:
        """Give other streams a turn; return when there is room."""
        if self._exchange.write_paused:
            self._resumed.clear()
            await self._resumed.wait()
        else:
            await asyncio.sleep(0)


class _Batch:
    """Joins frames to fewer writes, as a busy service and the network would."""

    def __init__(self, exchange: Exchange, limit_bytes: int) -> None:
        self._exchange = exchange
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> bool:
        """Take one frame; True when a write was made."""
        self._parts.append(data)
        self._size += len(data)
        if self._size < self._limit_bytes:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Write what is there, in one chunk."""
        if self._parts:
            self._exchange.write(b"".join(self._parts))
            self._parts.clear()
            self._size = 0


CHAT = Operation("chat", generate)
