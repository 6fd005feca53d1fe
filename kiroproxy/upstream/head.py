"""Request heads out, response heads in, both through h11. No I/O.

h11 checks what we send as strictly as what we receive, so a token with a line break in it can never
become a second header. Bodies do not pass through it: ours goes out as it is behind a
``Content-Length``, the answer's is read by body.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import h11

from kiroproxy.errors import InternalError, PeerProtocolError
from kiroproxy.http.messages import Headers, RawHeader

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
        tokens = ",".join(self.headers.get_all("connection")).lower().split(",")
        return "close" not in {token.strip() for token in tokens}

    @property
    def has_two_lengths(self) -> bool:
        """RFC 9112 §6.1: a message with both headers may be an attempt at smuggling."""
        headers = self.headers
        return None not in (headers.get("transfer-encoding"), headers.get("content-length"))


class HeadReader:
    """One exchange's heads: ``request`` to send, then ``feed`` until it returns the answer's.

    Made fresh for each exchange; h11's own keep-alive cycle would want to see the body.
    """

    __slots__ = ("_http", "_informational", "method", "request", "rest")

    def __init__(self, method: str, target: str, headers: list[RawHeader]) -> None:
        """Raises InternalError when a header cannot stand on the wire; the value is not shown."""
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._informational = 0
        self.method = method
        self.rest = b""
        try:
            request = h11.Request(method=method, target=target, headers=headers)
            self.request: bytes = self._http.send(request) or b""
        except (h11.LocalProtocolError, UnicodeEncodeError):  # its text quotes the value
            raise InternalError("a request to the service has an illegal header") from None

    def feed(self, data: bytes) -> Head | None:
        """The final head once it is whole, ``rest`` then holding what came behind it.

        Raises PeerProtocolError for anything that is not a sane HTTP/1.x head.
        """
        if not data:  # to h11 that would mean EOF
            return None
        self._http.receive_data(data)
        try:
            event = self._next_final()
        except h11.RemoteProtocolError as error:
            detail = str(error).partition(":")[0]  # behind the colon h11 quotes what came
            raise PeerProtocolError(f"the answer is not valid HTTP/1.1: {detail}") from None
        if event is None:
            return None
        self.rest = self._http.trailing_data[0]
        version = event.http_version.decode("ascii")
        return Head(event.status_code, Headers(event.headers), version)

    def _next_final(self) -> h11.Response | None:
        while True:
            event = self._http.next_event()
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
