"""One exchange on a leased connection, from the written request to the end of the answer.

::

    HEAD ──final head──▶ BODY ──end of message──▶ ENDED, connection finished (idle again) or closed
      │                   │
      └───────────────────┴── error, timeout, close(), cancellation ──▶ ENDED, connection closed

Push, not pull: ``received`` runs inside the transport's data_received and hands a read's body bytes
to the sink in one plain call. The task in ``pipe`` sleeps on one future for the whole body, so a
read costs no task switch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kiroproxy.alarms import Alarms
from kiroproxy.errors import (
    ConnectionLostError,
    InternalError,
    PeerProtocolError,
    StaleConnectionError,
    TransportError,
)
from kiroproxy.http.messages import Headers
from kiroproxy.upstream.body import BodyReader, choose_reader
from kiroproxy.upstream.connection import Connection
from kiroproxy.upstream.head import HeadReader
from kiroproxy.upstream.timeouts import Timeouts, Watch

HELD_BYTES: Final = 256 * 1024
"""Body bytes kept before anybody asks for them; then the socket is paused. One asyncio read."""

Sink = Callable[[bytes], None]
_NO_HEADERS: Final = Headers()


class UpstreamResponse:
    """A response whose head is known and whose body is read once, by ``pipe`` or ``read``.

    ``status`` and ``headers`` are the final response's (1xx are skipped). The connection goes back
    to the pool by itself when the message is complete; who does not want all of it calls
    ``close()``.
    """

    def __init__(
        self,
        connection: Connection,
        head_reader: HeadReader,
        timeouts: Timeouts,
        started_at_s: float,
        monotonic: Callable[[], float],
        release: Callable[[Connection], None],
        alarms: Alarms,
    ) -> None:
        self.status = 0
        self.headers = _NO_HEADERS
        self._connection = connection
        self._head_reader = head_reader
        self._reader: BodyReader | None = None
        self._keeps_alive = False
        self._bytes_came = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._sink: Sink | None = None
        self._taken = False
        self._paused = False
        self._ended = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._monotonic = monotonic
        self._release = release
        host = connection.origin.host
        self._watch = Watch(timeouts, host, started_at_s, monotonic, self._fail, alarms)

    # -- for the client

    @property
    def is_reused(self) -> bool:
        """Whether its connection had carried another one before; asked while this one has it."""
        return self._connection.reused

    def begin(self, request: list[bytes], *, is_checked: bool = False) -> None:
        """Write the request. Raises StaleConnectionError when the peer is gone already."""
        self._connection.begin(request, self, is_checked=is_checked)
        self._watch.start()

    async def head_arrived(self) -> None:
        """Wait for the final head. Raises TransportError."""
        if self._reader is None and not self._ended:
            await self._wait()
        if self._reader is None:
            self._raise_error()

    # -- for the caller

    async def pipe(self, sink: Sink) -> None:
        """Hand the body to ``sink``: what is here already at once, then each read in one call.

        Returns at the end of the message, or after ``close()``. Raises TransportError when the
        message is cut or a clock runs out; everything that came before has been handed over by
        then. An exception of the sink's closes the connection and comes out unchanged. Cancelling
        closes the connection at once. The sink owns the bytes it is given.
        """
        if self._taken:
            raise InternalError("the body of a response was asked for twice")
        self._taken = True
        self._hand_over_held(sink)
        if not self._ended:
            self._sink = sink
            self._let_flow()
            await self._wait()
        self._raise_error()

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body. Raises PeerProtocolError over ``limit_bytes``, else as ``pipe``."""
        parts: list[bytes] = []
        left = limit_bytes

        def collect(data: bytes) -> None:
            nonlocal left
            left -= len(data)
            if left < 0:
                raise PeerProtocolError(f"{self._host} answered with over {limit_bytes} bytes")
            parts.append(data)

        await self.pipe(collect)
        return b"".join(parts)

    def pause(self) -> None:
        """No more reads from the socket until ``resume()``; the idle clock stands still."""
        self._paused = True
        self._stop_flow()

    def resume(self) -> None:
        self._paused = False
        if self._sink is not None:
            self._let_flow()

    def close(self) -> None:
        """Abandon the rest. Idempotent; the connection is closed unless the message is complete."""
        if self._ended:
            return
        if self._reader is not None and self._reader.done:
            self._complete()
        else:
            self._end()
            self._connection.abort()

    # -- for the connection

    def received(self, data: bytes) -> None:
        """One socket read: the one call between the transport and the sink."""
        reader = self._reader
        try:
            if reader is None:
                reader = self._take_head(data)
                if reader is None:
                    return
                data = self._head_reader.rest
                if not data and not reader.done:
                    return
            else:
                self._watch.last_read_at_s = self._monotonic()
            body = reader.feed(data)
            if body:
                if self._sink is None:
                    self._hold(body)
                else:
                    self._sink(body)
        except BaseException as error:  # also the sink's: it belongs to the task in pipe()
            self._fail(error)
            return
        if reader.fault is not None:
            self._fail(self._named(reader.fault))
        elif reader.done:
            self._complete()

    def lost(self, cause: Exception | None) -> None:
        """The connection ended under us: the body's proper end only for one without a length."""
        if self._ended:
            return
        try:
            if self._reader is None:
                raise self._lost_before_head()
            if cause is not None:
                raise ConnectionLostError("the connection broke off")
            self._reader.eof()
        except TransportError as error:
            self._fail(self._named(error))
        else:
            self._keeps_alive = False
            self._complete()

    # -- inside

    @property
    def _host(self) -> str:
        return self._connection.origin.host

    def _take_head(self, data: bytes) -> BodyReader | None:
        self._bytes_came = True
        head = self._head_reader.feed(data)
        if head is None:
            return None
        coding = head.headers.get("transfer-encoding")
        length = head.headers.get("content-length")
        method = self._head_reader.method
        self._reader = reader = choose_reader(method, head.status, coding, length)
        self.status, self.headers = head.status, head.headers
        # RFC 9112 §6.1: a message with both headers may be an attempt at smuggling.
        self._keeps_alive = head.keeps_alive and None in (coding, length)
        self._watch.head_came()
        self._wake()
        return reader

    def _hold(self, body: bytes) -> None:
        self._held.append(body)
        self._held_bytes += len(body)
        if self._held_bytes >= HELD_BYTES:
            self._stop_flow()

    def _hand_over_held(self, sink: Sink) -> None:
        held, self._held = b"".join(self._held), []
        if held:
            try:
                sink(held)
            except BaseException:
                self.close()
                raise

    def _stop_flow(self) -> None:
        if not self._ended:
            self._connection.pause_reading()
            self._watch.pause()

    def _let_flow(self) -> None:
        if not self._ended and not self._paused:
            self._watch.resume()
            self._connection.resume_reading()

    def _lost_before_head(self) -> TransportError:
        """Stale only if the service cannot have the whole request; see client.py for why."""
        connection = self._connection
        if connection.reused and connection.unsent and not self._bytes_came:
            return StaleConnectionError("an idle connection was closed")
        return ConnectionLostError("the connection was closed before an answer came")

    def _named(self, error: TransportError) -> TransportError:
        return type(error)(f"{self._host}: {error}")

    def _complete(self) -> None:
        """The message is whole: what is left of the connection goes back to the pool."""
        if self._ended:
            return
        self._end()
        reader, connection = self._reader, self._connection
        clean = reader is not None and not reader.rest and not connection.unsent
        if clean and self._keeps_alive:
            connection.finish()
            self._release(connection)
        else:
            connection.abort()

    def _fail(self, error: BaseException) -> None:
        if not self._ended:
            self._error = error
            self._end()
            self._connection.abort()

    def _raise_error(self) -> None:
        """What ended the message, if it was no proper end. It is not kept: its traceback will hold this."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error

    def _end(self) -> None:
        self._ended = True
        self._sink = None
        self._watch.stop()
        self._wake()

    async def _wait(self) -> None:
        """Sleep until woken; cancellation closes the connection before it goes on."""
        self._waiter = self._connection.loop.create_future()
        try:
            await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __repr__(self) -> str:
        return f"<UpstreamResponse {self.status} from {self._host}>"
