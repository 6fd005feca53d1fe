"""``POST /v1/messages`` and its likes: one handler for every dialect, both modes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from kiroproxy import logs
from kiroproxy.api.encoder import AnswerFold, StreamEncoder
from kiroproxy.api.events import Usage
from kiroproxy.api.ignored import refuse_ignored
from kiroproxy.api.tokens import estimate_turn
from kiroproxy.api.turn import Turn
from kiroproxy.clock import Clock
from kiroproxy.errors import KiroProxyError
from kiroproxy.handlers.delivery import AnswerHeaders, StreamDelivery, WholeDelivery
from kiroproxy.handlers.gate import Gate
from kiroproxy.http import Exchange
from kiroproxy.http.messages import RawHeader, Request, Response
from kiroproxy.http.responses import json_response
from kiroproxy.http.sse import SSEWriter
from kiroproxy.relay import Outcome
from kiroproxy.structured import Answering

_log = logging.getLogger("kiroproxy.access")


_SSE_HEADERS: tuple[RawHeader, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would collect the stream otherwise
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What makes one API different from another. ``encoder`` and ``fold`` take the answer's id (made
    by ``make_id`` from the request's id) and the time in seconds since the epoch, so that they stay
    pure."""

    name: str
    parse: Callable[[bytes, Callable[[str], str | None]], Turn]
    make_id: Callable[[str], str]
    encoder: Callable[[str, Turn, int], StreamEncoder]
    fold: Callable[[str, Turn, int], AnswerFold]


class AnswerHandler:
    """Serves one dialect's generation route."""

    def __init__(
        self,
        dialect: Dialect,
        relay: Answering,
        gate: Gate,
        clock: Clock,
        ping_interval_s: float,
        *,
        strict: bool = False,
    ) -> None:
        self._dialect = dialect
        self._relay = relay
        self._gate = gate
        self._clock = clock
        self._ping_interval_s = ping_interval_s
        self._strict = strict

    async def __call__(self, request: Request, exchange: Exchange) -> Response | None:
        logs.request_id.set(request.id)  # the handler's task has a context of its own
        self._gate.check(request)
        started_s = self._clock.monotonic()
        turn = self._dialect.parse(request.body, request.headers.get)
        try:
            if self._strict:
                refuse_ignored(turn)
            if turn.stream:
                await self._stream(request, exchange, turn, started_s)
                return None
            return await self._whole(request, turn, started_s)
        except KiroProxyError as error:
            self._log_failure(turn, error, started_s)
            raise

    async def _stream(
        self, request: Request, exchange: Exchange, turn: Turn, started_s: float
    ) -> None:
        headers = AnswerHeaders(turn, _SSE_HEADERS, strict=self._strict)
        encoder = self._dialect.encoder(self._dialect.make_id(request.id), turn, self._now())
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
            outcome = await self._relay.answer(turn, delivery)
        except KiroProxyError as error:
            if not sse.started:
                sse.close()
                raise  # nothing has been said yet: a real HTTP status is still possible
            self._log_failure(turn, error, started_s)
            delivery.fail(error)
        except BaseException:
            sse.close()
            raise
        else:
            delivery.finish(outcome.ending)
            self._log_success(turn, outcome, started_s)

    async def _whole(self, request: Request, turn: Turn, started_s: float) -> Response:
        headers = AnswerHeaders(turn, strict=self._strict)
        answer_id = self._dialect.make_id(request.id)
        created = self._now()
        delivery = WholeDelivery(lambda: self._dialect.fold(answer_id, turn, created), headers)
        outcome = await self._relay.answer(turn, delivery)
        self._log_success(turn, outcome, started_s)
        return json_response(200, delivery.finish(outcome.ending), headers.items)

    def _now(self) -> int:
        return int(self._clock.wall())

    def _log_success(self, turn: Turn, outcome: Outcome, started_s: float) -> None:
        usage = outcome.ending.usage
        _log.info(
            "answered",
            extra={
                "fields": {
                    "dialect": self._dialect.name,
                    "model": turn.model,
                    "stream": turn.stream,
                    "account": outcome.account_id,
                    "stop": outcome.ending.stop.value,
                    "input_tokens": usage.input_tokens,
                    "output_tokens": usage.output_tokens,
                    "usage_source": usage.source.value,
                    "tries": outcome.tries,
                    "first_token_ms": round(outcome.first_event_s * 1000, 1),
                    "response_time_ms": round((self._clock.monotonic() - started_s) * 1000, 1),
                    "note": outcome.doubtful,
                }
            },
        )

    def _log_failure(self, turn: Turn, error: KiroProxyError, started_s: float) -> None:
        _log.warning(
            "failed",
            extra={
                "fields": {
                    "dialect": self._dialect.name,
                    "model": turn.model,
                    "stream": turn.stream,
                    "error": type(error).__name__,
                    "kind": error.kind.value,
                    "detail": error.message,
                    "upstream_request_id": error.upstream_request_id or "",
                    "response_time_ms": round((self._clock.monotonic() - started_s) * 1000, 1),
                }
            },
        )
