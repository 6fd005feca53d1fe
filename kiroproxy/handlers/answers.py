"""``POST /v1/messages`` and its likes: one handler for every dialect, both modes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from kiroproxy import logs
from kiroproxy.admission import Admission
from kiroproxy.api.encoder import AnswerFold, StreamEncoder
from kiroproxy.api.events import AnswerEvent, Usage
from kiroproxy.api.tokens import estimate_turn
from kiroproxy.api.turn import Turn
from kiroproxy.errors import InternalError, KiroProxyError
from kiroproxy.handlers.delivery import AnswerHeaders, StreamDelivery, WholeDelivery, recorded
from kiroproxy.handlers.errors import status_of
from kiroproxy.handlers.gate import Gate
from kiroproxy.http import Exchange
from kiroproxy.http.messages import RawHeader, Request, Response
from kiroproxy.http.responses import json_response
from kiroproxy.http.sse import SSEWriter
from kiroproxy.relay import Relay
from kiroproxy.usage import Journal, PromptLog, Trace

_SSE_HEADERS: tuple[RawHeader, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the stream otherwise
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What makes one API different from another. ``encoder`` and ``fold`` take the answer's id (made
    by ``make_id`` from the request's id), so that they stay pure."""

    name: str
    parse: Callable[[bytes, Callable[[str], str | None]], Turn]
    make_id: Callable[[str], str]
    encoder: Callable[[str, Turn], StreamEncoder]
    fold: Callable[[str, Turn], AnswerFold]


class AnswerHandler:
    """Serves one dialect's generation route."""

    def __init__(
        self,
        dialect: Dialect,
        relay: Relay,
        gate: Gate,
        journal: Journal,
        admission: Admission,
        ping_interval_s: float,
        prompts: PromptLog | None = None,
    ) -> None:
        self._dialect = dialect
        self._relay = relay
        self._gate = gate
        self._journal = journal
        self._admission = admission
        self._ping_interval_s = ping_interval_s
        self._prompts = prompts

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
            self._journal.failed(trace, error, status_of(error))
            raise
        except asyncio.CancelledError:
            self._journal.cancelled(trace)
            raise
        except Exception:
            defect = InternalError("An internal error; the log has more.")
            self._journal.failed(trace, defect, status_of(defect))
            raise

    async def _answer(self, request: Request, exchange: Exchange, trace: Trace) -> Response | None:
        said = self._prompts.open(request.id, request.body) if self._prompts else None
        turn = self._dialect.parse(request.body, request.headers.get)
        trace.model, trace.stream = turn.model, turn.stream
        async with self._admission.place():
            if turn.stream:
                await self._stream(request, exchange, turn, trace, said)
                return None
            return await self._whole(request, turn, trace, said)

    async def _stream(
        self,
        request: Request,
        exchange: Exchange,
        turn: Turn,
        trace: Trace,
        said: list[AnswerEvent] | None,
    ) -> None:
        headers = AnswerHeaders(turn, _SSE_HEADERS)
        encoder = self._dialect.encoder(self._dialect.make_id(request.id), turn)
        usage = Usage(input_tokens=estimate_turn(turn))
        sse = SSEWriter(
            exchange,
            headers.items,
            ping=encoder.ping,
            ping_interval_s=self._ping_interval_s,
            on_start=lambda: encoder.start(usage),
        )
        delivery = StreamDelivery(exchange, sse, encoder, headers)
        try:
            async with self._admission.session():
                outcome = await self._relay.answer(turn, recorded(delivery, said), trace)
        except KiroProxyError as error:
            if not sse.started:
                sse.close()
                raise  # nothing has been said yet: a real HTTP status is still possible
            delivery.fail(error)
            self._journal.failed(trace, error, 200)
        except BaseException:
            sse.close()
            raise
        else:
            delivery.finish(outcome.ending)
            self._journal.answered(trace, outcome.ending, outcome.doubtful)

    async def _whole(
        self, request: Request, turn: Turn, trace: Trace, said: list[AnswerEvent] | None
    ) -> Response:
        headers = AnswerHeaders(turn)
        answer_id = self._dialect.make_id(request.id)
        delivery = WholeDelivery(lambda: self._dialect.fold(answer_id, turn), headers)
        async with self._admission.session():
            outcome = await self._relay.answer(turn, recorded(delivery, said), trace)
        response = json_response(200, delivery.finish(outcome.ending), headers.items)
        self._journal.answered(trace, outcome.ending, outcome.doubtful)
        return response
