"""Running one handler, and turning whatever comes out of it into exactly one answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from kiroproxy.errors import InternalError, KiroProxyError, let_go
from kiroproxy.http.exchange import Exchange
from kiroproxy.http.messages import Request, Response
from kiroproxy.http.router import Handler

_log = logging.getLogger("kiroproxy.http")

ErrorRenderer = Callable[[Request, KiroProxyError], Response]
"""Of a request whose head did not parse, only ``id`` and ``peer`` are known; the rest is empty."""


class Answerer:
    """Holds the application's way of rendering errors."""

    __slots__ = ("_render",)

    def __init__(self, render: ErrorRenderer) -> None:
        self._render = render

    async def run(self, handler: Handler, request: Request, exchange: Exchange) -> None:
        """The body of one request's task. Raises only CancelledError."""
        try:
            response = await handler(request, exchange)
            if response is not None:
                exchange.send(response)
            elif not exchange.finished:
                raise InternalError("a handler returned without an answer")
        except asyncio.CancelledError:
            exchange.abort()
            raise
        except InternalError as error:
            self._defect(request, exchange, error)
        except KiroProxyError as error:
            self._failed(request, exchange, error)
            let_go(error)
        except Exception as error:
            self._defect(request, exchange, error)

    def refuse(
        self,
        request: Request,
        exchange: Exchange,
        error: KiroProxyError,
        extra_lines: bytes = b"",
    ) -> None:
        """Answer with ``error``. Never raises: a renderer that fails costs the answer its body."""
        try:
            exchange.send(self._render(request, error), extra_lines)
        except Exception:
            _log.exception("an error could not be rendered")
            if not exchange.started:
                exchange.send(Response(500))

    def _failed(self, request: Request, exchange: Exchange, error: KiroProxyError) -> None:
        if not exchange.started:
            self.refuse(request, exchange, error)
        elif not exchange.finished:
            _log.warning("answer cut short: %s", error.message, extra=log_fields(request))
            exchange.abort()

    def _defect(self, request: Request, exchange: Exchange, error: Exception) -> None:
        """The traceback is for the log, the client gets no details."""
        _log.error("unhandled error in a request", exc_info=error, extra=log_fields(request))
        if not exchange.started:
            self.refuse(request, exchange, InternalError("internal error; the log says more"))
        else:
            exchange.abort()


def log_fields(request: Request) -> dict[str, dict[str, str]]:
    """What finds the request in the log; the query stays out, it may hold a key."""
    return {"fields": {"request_id": request.id, "method": request.method, "path": request.path}}
