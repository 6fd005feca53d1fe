"""Request heads out, response heads in: plain ones at a glance (plain.py), all others through h11. No I/O.

What we send is checked as strictly as what we receive, so a token with a line break in it can never
become a second header. Bodies do not pass through here: ours goes out as it is behind a
``Content-Length``, the answer's is read by body.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import h11

from kiroproxy.errors import InternalError, PeerProtocolError
from kiroproxy.http.messages import Headers, RawHeader
from kiroproxy.upstream.plain import plain_request, plain_response

MAX_HEAD_BYTES: Final = 64 * 1024
"""One response head. Ours: the service's are under 2 KiB, CDNs in front of it add a few."""

MAX_INFORMATIONAL: Final = 16
"""Answers 1xx before the real one. Ours: nobody sends more than one or two."""

_BODILESS_METHODS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "CONNECT"})


@dataclass(slots=True)
class Head:
    """A final response's head."""

    status: int
    headers: Headers
    http_version: str  # "1.1" or "1.0"

    @property
    def keeps_alive(self) -> bool:
        """Whether the peer means to keep the connection. HTTP/1.0 peers get a new one each time."""
        if self.http_version != "1.1":
            return False
        if self.headers.get("connection") is None:
            return True
        tokens = ",".join(self.headers.get_all("connection")).lower().split(",")
        return "close" not in {token.strip() for token in tokens}


class HeadReader:
    """One exchange's heads: ``request`` to send, then ``feed`` until it returns the answer's.

    Made fresh for each exchange; h11's own keep-alive cycle would want to see the body.
    """

    __slots__ = ("_headers", "_http", "_informational", "_target", "method", "request", "rest")

    def __init__(self, method: str, target: str, headers: list[RawHeader]) -> None:
        """Raises InternalError when a header cannot stand on the wire; the value is not shown."""
        self._http: h11.Connection | None = None
        self._informational = 0
        self._target = target
        self._headers = headers
        self.method = method
        self.rest = b""
        try:
            head = plain_request(method.encode("ascii"), target.encode("ascii"), headers)
            self.request: bytes = self._by_h11()[1] if head is None else head
        except (h11.LocalProtocolError, UnicodeEncodeError):  # its text quotes the value
            raise InternalError("a request to the service has an illegal header") from None

    def feed(self, data: bytes) -> Head | None:
        """The final head once it is whole, ``rest`` then holding what came behind it.

        Raises PeerProtocolError for anything that is not a sane HTTP/1.x head.
        """
        if not data:  # to h11 that would mean EOF
            return None
        http = self._http
        if http is None:
            plain = plain_response(data, MAX_HEAD_BYTES)
            if plain is not None:
                status, headers, end = plain
                self.rest = data[end:]
                return Head(status, Headers.lowered(headers), "1.1")
            http, _ = self._by_h11()
        return self._feed_h11(http, data)

    # -- through h11

    def _by_h11(self) -> tuple[h11.Connection, bytes]:
        """The request's head by h11, which waits for the answer's from here on."""
        self._http = http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        request = h11.Request(method=self.method, target=self._target, headers=self._headers)
        return http, http.send(request) or b""

    def _feed_h11(self, http: h11.Connection, data: bytes) -> Head | None:
        http.receive_data(data)
        try:
            event = self._next_final(http)
        except h11.RemoteProtocolError as error:
            detail = str(error).partition(":")[0]  # behind the colon h11 quotes what came
            raise PeerProtocolError(f"the answer is not valid HTTP/1.1: {detail}") from None
        if event is None:
            return None
        self.rest = http.trailing_data[0]
        version = event.http_version.decode("ascii")
        return Head(event.status_code, Headers(event.headers), version)

    def _next_final(self, http: h11.Connection) -> h11.Response | None:
        while True:
            event = http.next_event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                return None
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                raise PeerProtocolError(f"more than {MAX_INFORMATIONAL} answers 1xx in a row")


def request_headers(
    method: str, host: str, headers: list[RawHeader], body: bytes
) -> list[RawHeader]:
    """``headers`` with what HTTP itself needs: Host first, Content-Length last."""
    sent = [(b"host", host.encode("ascii", "strict")), *headers]
    if body or method not in _BODILESS_METHODS:
        sent.append((b"content-length", b"%d" % len(body)))
    return sent
