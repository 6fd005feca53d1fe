"""Request heads: collecting the bytes, h11 for the grammar, our own stricter rules on top. No I/O.

h11 is lenient where RFC 9112 lets a recipient choose. We choose the strict reading wherever two
recipients could read one stream differently, for that is how requests are smuggled past a front end:
bare LF as a line end, folded header lines, and both framings on one message are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import h11

from kiroproxy.errors import Kind, KiroProxyError, RequestError
from kiroproxy.http.limits import HttpLimits
from kiroproxy.http.messages import Headers, Request

CHUNKED: Final = -1
"""``RequestHead.body_bytes`` of a body that says its length as it goes."""

_BARE_LF = re.compile(rb"(?<!\r)\n")
_SCHEME_AND_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_HEAD_END: Final = b"\r\n\r\n"
_FRAMING_NAMES: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"content-encoding", b"connection", b"expect"}
)


@dataclass(slots=True)
class RequestHead:
    """A parsed head. ``body_bytes`` is the announced length, or CHUNKED."""

    method: str
    path: str
    query: str
    headers: Headers
    http_version: str
    body_bytes: int
    keep_alive: bool
    expects_continue: bool
    problem: KiroProxyError | None = None
    """Well-formed, but nothing we serve; the answer can still be in the route's dialect."""

    def to_request(self, body: bytes, request_id: str, peer: str) -> Request:
        """What the handler sees."""
        return Request(
            self.method,
            self.path,
            self.query,
            self.headers,
            body,
            request_id,
            peer,
            self.http_version,
        )


class HeadReader:
    """Gathers one head from any chunking. Make a new one per request; it keeps nothing else."""

    __slots__ = ("_buffer", "_limits", "_searched")

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0

    @property
    def empty(self) -> bool:
        """Nothing of a head has come; line ends ahead of one do not count (RFC 9112 §2.2)."""
        return not self._buffer

    def feed(self, data: bytes) -> tuple[RequestHead, bytes] | None:
        """The head and the bytes behind it, or None for more. Raises RequestError; it is final then."""
        if not self._buffer:
            data = data.lstrip(b"\r\n")
            end = data.find(_HEAD_END)
            if end >= 0:  # the usual case: one read, no copying together
                return self._parse(data[: end + 4]), data[end + 4 :]
        self._buffer += data
        end = self._buffer.find(_HEAD_END, self._searched)
        if end < 0:
            self._check_unfinished()
            return None
        whole = bytes(self._buffer)
        return self._parse(whole[: end + 4]), whole[end + 4 :]

    def _check_unfinished(self) -> None:
        """Refuse now what cannot become a head, instead of waiting for its end."""
        buffer = self._buffer
        if len(buffer) > self._limits.max_head_bytes:
            raise _too_large(self._limits)
        if buffer and buffer[0] < 0x21:  # a TLS handshake starts with 0x16
            raise RequestError("this is not an HTTP request (is the client using https?)")
        if _BARE_LF.search(buffer, max(self._searched - 1, 0)):
            raise _bare_lf()
        self._searched = max(len(buffer) - 3, 0)

    def _parse(self, head: bytes) -> RequestHead:
        lines = head.count(b"\n")
        if len(head) > self._limits.max_head_bytes or lines - 2 > self._limits.max_header_lines:
            raise _too_large(self._limits)
        if lines != head.count(b"\r\n"):
            raise _bare_lf()
        if b"\r\n " in head or b"\r\n\t" in head:
            raise RequestError("folded header lines are not allowed (RFC 9112 §5.2)")
        return _to_head(_grammar(head), self._limits)


def _grammar(head: bytes) -> h11.Request:
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head))
    parser.receive_data(head)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        # h11's words quote the line at fault, and a header line may hold a key
        raise RequestError(f"malformed HTTP request: {_without_quote(str(error))}") from None
    if not isinstance(event, h11.Request):
        raise RequestError("malformed HTTP request")
    return event


def _without_quote(message: str) -> str:
    return message.partition(": bytearray(")[0].partition(": b")[0]


def _to_head(event: h11.Request, limits: HttpLimits) -> RequestHead:
    headers = Headers()
    # raw_items() is a plain list; iterating over h11's Headers makes two calls per line
    headers.raw = [(name.lower(), value) for name, value in event.headers.raw_items()]
    fields: dict[bytes, bytes] = {}
    for name, value in headers.raw:
        if name in _FRAMING_NAMES:
            fields[name] = fields[name] + b"," + value if name in fields else value
    version = event.http_version.decode("ascii")
    path, _, query = _target(event.target).partition("?")
    body_bytes = _body_bytes(fields, version)
    return RequestHead(
        method=event.method.decode("ascii"),
        path=path,
        query=query,
        headers=headers,
        http_version=version,
        body_bytes=body_bytes,
        keep_alive=version == "1.1" and b"close" not in _tokens(fields.get(b"connection", b"")),
        expects_continue=version == "1.1" and fields.get(b"expect", b"").lower() == b"100-continue",
        problem=_problem(fields, body_bytes, limits),
    )


def _target(target: bytes) -> str:
    """The target as path and query; the absolute form loses scheme and host (RFC 9112 §3.2.2)."""
    text = target.decode("latin-1")
    if text.startswith("/"):
        return text
    rest = _SCHEME_AND_HOST.sub("", text, count=1)
    return rest if rest.startswith("/") or rest == "*" else "/" + rest


def _body_bytes(fields: dict[bytes, bytes], version: str) -> int:
    if version not in ("1.0", "1.1"):
        raise RequestError(f"HTTP/{version} is not spoken here; use HTTP/1.1")
    if b"transfer-encoding" not in fields:
        return int(fields.get(b"content-length", b"0").partition(b",")[0])
    if b"content-length" in fields:
        raise RequestError("Content-Length and Transfer-Encoding exclude each other")
    if version == "1.0":
        raise RequestError("Transfer-Encoding is not part of HTTP/1.0")
    return CHUNKED


def _problem(
    fields: dict[bytes, bytes], body_bytes: int, limits: HttpLimits
) -> KiroProxyError | None:
    if body_bytes > limits.max_body_bytes:
        return RequestError(
            f"the request body has {body_bytes} bytes; the limit is {limits.max_body_bytes}",
            kind=Kind.TOO_LARGE,
        )
    codings = _tokens(fields.get(b"content-encoding", b"")) - {b"identity"}
    if codings and body_bytes != 0:
        names = b", ".join(sorted(codings)).decode("latin-1")
        return RequestError(
            f"compressed request bodies are not supported (Content-Encoding: {names[:40]!r}); "
            "send the body as it is"
        )
    return None


def _tokens(value: bytes) -> set[bytes]:
    return {token.strip().lower() for token in value.split(b",") if token.strip()} if value else set()


def _too_large(limits: HttpLimits) -> RequestError:
    return RequestError(
        f"the request's headers are larger than {limits.max_head_bytes} bytes "
        f"or more than {limits.max_header_lines}",
        kind=Kind.HEADERS_TOO_LARGE,
    )


def _bare_lf() -> RequestError:
    return RequestError("malformed HTTP request: header lines must end in CR LF")
