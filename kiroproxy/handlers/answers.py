"""``POST /v1/messages`` and its likes: one handler for every dialect, both modes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kiroproxy import logs
from kiroproxy.admission import Admission
from kiroproxy.api.complexity import is_complex
from kiroproxy.api.density import Hold
from kiroproxy.api.encoder import AnswerFold, StreamEncoder
from kiroproxy.api.events import AnswerEvent, Usage
from kiroproxy.api.ignored import refuse_ignored
from kiroproxy.api.tokens import estimate_turn
from kiroproxy.api.turn import Turn
from kiroproxy.clock import Clock
from kiroproxy.config import Limits
from kiroproxy.errors import InternalError, KiroProxyError, let_go
from kiroproxy.handlers.delivery import (
    AnswerHeaders,
    HeldStreamDelivery,
    StreamDelivery,
    WholeDelivery,
    recorded,
)
from kiroproxy.handlers.errors import status_of
from kiroproxy.handlers.finishing import Finisher
from kiroproxy.handlers.gate import Gate
from kiroproxy.handlers.system_prompt import SystemPrompt
from kiroproxy.http import Exchange
from kiroproxy.http.messages import RawHeader, Request, Response
from kiroproxy.http.responses import json_response
from kiroproxy.http.sse import SSEWriter
from kiroproxy.relay import Answering
from kiroproxy.usage import Journal, PromptLog, Trace

SSE_HEADERS: tuple[RawHeader, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the stream otherwise
)
_DEFECT: Final = "An internal error; the log has more."


@dataclass(frozen=True, slots=True)
class Dialect:
    """What makes one API different from another. ``encoder`` and ``fold`` take the answer's id (made
    by ``make_id`` from the request's id) and the time in seconds since the epoch, so that they stay
    pure."""

    name: str
    parse: Callable[[bytes, Callable[[str], str | None], Hold], Turn]
    make_id: Callable[[str], str]
    encoder: Callable[[str, Turn, int], StreamEncoder]
    fold: Callable[[str, Turn, int], AnswerFold]


@dataclass(slots=True)
class Serving:
    """What the handlers of all dialects work with; they look at it anew with each request, and a reload
    replaces what it holds. ``strict``: fields without effect are a 400. ``whole_streams``: a streamed
    answer is sent whole, when it is complete. ``limits``: of one answer's time."""

    relay: Answering
    gate: Gate
    journal: Journal
    admission: Admission
    finisher: Finisher
    clock: Clock
    ping_interval_s: float
    system_prompt: SystemPrompt
    limits: Limits = field(default_factory=Limits)
    strict: bool = False
    whole_streams: bool = False
    prompts: PromptLog | None = None


class AnswerHandler:
    """Serves one dialect's generation route. ``read`` takes the parser's place where a request's text
    does not say everything."""

    def __init__(
        self,
        dialect: Dialect,
        serving: Serving,
        read: Callable[[Request, Hold], Awaitable[Turn]] | None = None,
    ) -> None:
        self._dialect = dialect
        self._read = read
        self._serving = serving
        self._relay = serving.relay
        self._gate = serving.gate
        self._journal = serving.journal
        self._admission = serving.admission
        self._finisher = serving.finisher
        self._clock = serving.clock
        self._prompts = serving.prompts

    async def __call__(self, request: Request, exchange: Exchange) -> Response | None:
        logs.request_id.set(request.id)  # the handler's task has a context of its own
        try:
            self._gate.check(request)
        except KiroProxyError as error:
            self._journal.refused(error)
            raise
        trace = self._journal.open(
            request.id, self._dialect.name, request.headers.get("user-agent")
        )
        try:
            return await self._answer(request, exchange, trace)
        except KiroProxyError as error:
            self._journal.failed(trace, error, status_of(request, error))
            raise
        except asyncio.CancelledError:
            self._journal.cancelled(trace)
            raise
        except Exception:
            defect = InternalError(_DEFECT)
            self._journal.failed(trace, defect, status_of(request, defect))
            raise

    async def _answer(self, request: Request, exchange: Exchange, trace: Trace) -> Response | None:
        said = self._prompts.open(request.id, request.body) if self._prompts else None
        if self._read is not None:
            turn = await self._read(request, exchange.hold)
        else:
            turn = self._dialect.parse(request.body, request.headers.get, exchange.hold)
        trace.model, trace.stream = turn.model, turn.stream
        if self._serving.strict:
            refuse_ignored(turn)
        await self._serving.system_prompt.apply(turn)
        if not self._admission.take():
            await self._admission.queue()
        try:
            if turn.unfinished:
                await self._finisher.finish(turn)
            if turn.stream:
                await self._stream(request, exchange, turn, trace, said)
                return None
            return await self._whole(request, turn, trace, said)
        finally:
            self._admission.leave()

    async def _stream(
        self,
        request: Request,
        exchange: Exchange,
        turn: Turn,
        trace: Trace,
        said: list[AnswerEvent] | None,
    ) -> None:
        headers = AnswerHeaders(turn, SSE_HEADERS, strict=self._serving.strict)
        encoder = self._dialect.encoder(self._dialect.make_id(request.id), turn, self._now())
        usage = Usage(input_tokens=estimate_turn(turn))
        sse = SSEWriter(
            exchange,
            headers.items,
            ping=encoder.ping,
            ping_interval_s=self._serving.ping_interval_s,
            on_start=lambda: encoder.start(usage),
            alarms=self._admission.alarms,
        )
        delivery = StreamDelivery(exchange, sse, encoder, headers)
        held = HeldStreamDelivery(delivery) if self._serving.whole_streams else None
        try:
            with self._admission.session(*self._limit(turn)):
                outcome = await self._relay.answer(turn, recorded(held or delivery, said), trace)
            if held is not None:
                held.release()
            delivery.finish(outcome.ending)
        except KiroProxyError as error:
            if not sse.started:
                sse.close()
                raise  # nothing has been said yet: a real HTTP status is still possible
            delivery.fail(error)
            self._journal.failed(trace, error, 200)
            let_go(error)
        except Exception:  # a defect of ours: the client is told, too, before it goes to the log
            if sse.started:
                delivery.fail(InternalError(_DEFECT))
            sse.close()
            raise
        except BaseException:
            sse.close()
            raise
        else:
            self._journal.answered(trace, outcome.ending, outcome.doubtful)

    async def _whole(
        self, request: Request, turn: Turn, trace: Trace, said: list[AnswerEvent] | None
    ) -> Response:
        headers = AnswerHeaders(turn, strict=self._serving.strict)
        answer_id = self._dialect.make_id(request.id)
        delivery = WholeDelivery(partial(self._dialect.fold, answer_id, turn, self._now()), headers)
        with self._admission.session(*self._limit(turn)):
            outcome = await self._relay.answer(turn, recorded(delivery, said), trace)
        response = json_response(200, delivery.finish(outcome.ending), headers.items)
        self._journal.answered(trace, outcome.ending, outcome.doubtful)
        return response

    def _limit(self, turn: Turn) -> tuple[float, str]:
        """How many seconds the whole answer may take, and the setting that says so."""
        limits = self._serving.limits
        if turn.stream:
            return limits.stream_s, "STREAM_REQUEST_TIMEOUT_MINUTES"
        if is_complex(turn):
            return limits.complex_s, "REQUEST_TIMEOUT_MINUTES"
        return limits.simple_s, "SIMPLE_REQUEST_TIMEOUT_MINUTES"

    def _now(self) -> int:
        return int(self._clock.wall())
