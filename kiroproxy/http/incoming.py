"""One request on its way in: its head, who sent it, its body and the time that may take.

No socket, no state and no answer: connection.py feeds it and acts on what it says. Whatever error is
raised or returned here is the refusal the client gets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kiroproxy.errors import Kind, KiroProxyError, RequestError
from kiroproxy.http.body import BodyReader, ChunkedBody, SizedBody, too_large
from kiroproxy.http.guests import Guest
from kiroproxy.http.head import CHUNKED, HeadReader, RequestHead, whole_head
from kiroproxy.http.messages import Headers, Request
from kiroproxy.http.router import Check, Match
from kiroproxy.http.shared import Shared
from kiroproxy.ids import make_ordered

_NO_MATCH: Final = Match()
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_RETRY_AFTER_S: Final = 5.0


def _crowded() -> RequestError:
    return RequestError(
        "the server holds as much of requests as it may at present; try again",
        kind=Kind.OVERLOADED,
        retry_after_s=_RETRY_AFTER_S,
    )


class Incoming:
    """Made when the first bytes come, dropped when the answer is out. In this order: ``read_head`` until
    it is whole, ``admit``, then ``whole_body``, or ``expect_body`` and ``read_body`` until it is."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_body_from_s",
        "_held_bytes",
        "_reader",
        "_shared",
        "head",
        "match",
    )

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._reader: HeadReader | None = None  # of a head that comes in pieces
        self.head: RequestHead | None = None
        self.match = _NO_MATCH
        self._body: BodyReader | None = None
        self._held_bytes = 0  # in memory

    @property
    def begun(self) -> bool:
        """Something of it has come; line ends ahead of it do not count."""
        return self.head is not None or (self._reader is not None and not self._reader.empty)

    def read_head(self, data: bytes, *, is_known: bool) -> tuple[RequestHead, bytes] | None:
        """The head and the bytes behind it, or None while it goes on. Raises KiroProxyError."""
        found = whole_head(data, self._shared.limits) if self._reader is None else None
        if found is None:
            if self._reader is None:
                self._reader = HeadReader(self._shared.limits)
            found = self._reader.feed(data)
            if found is None:
                if not self._reader.empty:
                    self.hold(len(data), is_known=is_known)
                return None
            self._reader = None  # and the bytes it gathered
        self.head = found[0]
        said = self.head.framing
        self.match = self._shared.router.match(said.method, said.path, said.headers)
        return found

    def admit(
        self, head: RequestHead, guest: Guest, peer: str, here_bytes: int
    ) -> KiroProxyError | None:
        """Why not to go on behind the head; ``here_bytes`` of what follows have come already. What the
        route does not let in, but is here as a whole, becomes a match without a handler."""
        check = self.match.check
        if check is None:
            return head.problem
        is_whole = head.is_whole(here_bytes)
        # Of a request that is here as a whole the route is asked once a connection: its handler asks too.
        if is_whole and guest.is_known:
            return head.problem
        denied = self._maybe_denied(check, guest, peer)
        if denied is not None:
            if not is_whole:
                return denied
            self.match = replace(self.match, handler=None, error=denied)
        return head.problem

    def _maybe_denied(self, check: Check, guest: Guest, peer: str) -> KiroProxyError | None:
        """Why the route does not let the request in: asked before a body is waited for and kept."""
        try:
            check(self.request(b"", peer))
        except KiroProxyError as error:
            return error
        self._shared.guests.know(guest)
        return None

    def expect_body(self, head: RequestHead) -> KiroProxyError | None:
        """The body comes from now on, or why it shall not."""
        keeps = self._keeps_body(head)
        most_bytes = self._most_bytes(keeps=keeps)
        if head.body_bytes > most_bytes:
            return self.match.error or too_large(most_bytes)
        self._body = (
            ChunkedBody(most_bytes, keeps=keeps)
            if head.body_bytes == CHUNKED
            else SizedBody(head.body_bytes, keeps=keeps)
        )
        self._body_bytes = 0  # that have come, and since when
        self._body_from_s = self._shared.loop.time()
        return None

    def whole_body(self, head: RequestHead, data: bytes) -> bytes:
        """In place of what is above and below, when all of it is in ``data``. Raises KiroProxyError."""
        size_bytes = head.body_bytes
        if size_bytes == 0:
            return b""
        keeps = self._keeps_body(head)
        most_bytes = self._most_bytes(keeps=keeps)
        if size_bytes > most_bytes:
            raise too_large(most_bytes)
        if not keeps:
            return b""
        self.hold(size_bytes, is_known=True)
        return data[:size_bytes]

    def _keeps_body(self, head: RequestHead) -> bool:
        return self.match.handler is not None and head.framing.method in _WITH_BODY

    def _most_bytes(self, *, keeps: bool) -> int:
        limits = self._shared.limits
        return limits.max_body_bytes if keeps else limits.max_dropped_bytes

    def read_body(self, data: bytes) -> bytes | None:
        """The bytes behind the body, or None while it goes on. Raises KiroProxyError."""
        body = self._body
        if body is None:
            return data
        if body.keeps:  # whose body is kept has shown the key, where a route has a check
            self.hold(len(data), is_known=True)
        rest = body.feed(data)
        if rest is None:
            self._body_bytes += len(data)
        return rest

    def take_body(self) -> bytes:
        """The whole body; once, after its end."""
        body, self._body = self._body, None
        return body.take() if body is not None else b""

    def body_patience_s(self) -> float:
        """The next piece has its time, and all of them together have no more than their number allows."""
        limits = self._shared.limits
        spent_s = self._shared.loop.time() - self._body_from_s
        ahead_s = self._body_bytes / limits.body_rate_bytes_s - spent_s
        return max(0.0, limits.body_timeout_s + min(0.0, ahead_s))

    def request(self, body: bytes, peer: str) -> Request:
        """For the handler, or for the one who words a refusal: of what did not parse it has but an id."""
        request_id = f"req_{make_ordered()}"
        if self.head is None:
            return Request("", "", "", Headers(), b"", request_id, peer)
        return self.head.to_request(body, request_id, peer)

    def drop(self) -> None:
        """Give back what was held."""
        self._shared.guests.give(self._held_bytes)
        self._held_bytes = 0

    def hold(self, size_bytes: int, *, is_known: bool) -> None:
        """So many bytes more in memory until ``drop``. Raises RequestError."""
        if not self._shared.guests.take(size_bytes, is_known=is_known):
            raise _crowded()
        self._held_bytes += size_bytes
