"""Request heads: collecting the bytes, h11 for the grammar, our own stricter rules on top. No I/O.

A client's heads are the same from request to request but for the body's length, so what h11 and the
rules made of a head is remembered by its very bytes, the digits of its one ``Content-Length`` taken
out: h11 judges each head once. Nothing is assumed of a head that has not been judged.

h11 is lenient where RFC 9112 lets a recipient choose. We choose the strict reading wherever two
recipients could read one stream differently, for that is how requests are smuggled past a front end:
bare LF as a line end, folded header lines, and both framings on one message are refused.
"""

from __future__ import annotations

import functools
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
_LENGTH_LINE: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ([0-9]{1,15})\r\n")
MAX_KNOWN_HEADS: Final = 256
MAX_KNOWN_HEAD_BYTES: Final = 8 * 1024
"""Bounds of what is remembered, over all connections: 4 MB at the worst, in bytes and as text."""
_FRAMING_NAMES: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"content-encoding", b"connection", b"expect"}
)


@dataclass(frozen=True, slots=True)
class Framing:
    """What a head says but for its length; requests that say the same share it."""

    method: str
    path: str
    query: str
    headers: Headers
    """Without the length."""
    http_version: str
    is_chunked: bool
    length: int
    keep_alive: bool
    expects_continue: bool
    codings: bytes
    """Names of content codings that would have to be undone."""


@dataclass(slots=True)
class RequestHead:
    """A parsed head. ``body_bytes`` is the announced length, or CHUNKED."""

    framing: Framing
    body_bytes: int
    problem: KiroProxyError | None = None
    """Well-formed, but nothing we serve; the answer can still be in the route's dialect."""

    def is_whole(self, here_bytes: int) -> bool:
        """Whether the body is here with so many bytes behind the head; unsure with chunks, so False."""
        return self.body_bytes != CHUNKED and self.body_bytes <= here_bytes

    def to_request(self, body: bytes, request_id: str, peer: str) -> Request:
        """What the handler sees."""
        said = self.framing
        return Request(
            said.method,
            said.path,
            said.query,
            said.headers,
            body,
            request_id,
            peer,
            said.http_version,
        )


def whole_head(data: bytes, limits: HttpLimits) -> tuple[RequestHead, bytes] | None:
    """The head that ``data`` begins with and the bytes behind it, or None when it does not end there.
    Raises RequestError. The usual case: one read, and nothing to gather."""
    data = data.lstrip(b"\r\n")
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    end += len(_HEAD_END)
    return _parse(data[:end], limits), data[end:]


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
            found = whole_head(data, self._limits)
            if found is not None:
                return found
            data = data.lstrip(b"\r\n")
        self._buffer += data
        end = self._buffer.find(_HEAD_END, self._searched)
        if end < 0:
            self._check_unfinished()
            return None
        whole = bytes(self._buffer)
        return _parse(whole[: end + 4], self._limits), whole[end + 4 :]

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


def _parse(head: bytes, limits: HttpLimits) -> RequestHead:
    if len(head) > limits.max_head_bytes or head.count(b"\n") - 2 > limits.max_header_lines:
        raise _too_large(limits)
    if len(head) > MAX_KNOWN_HEAD_BYTES:
        framing = _judge(head)
        return _to_head(framing, framing.length, limits)
    length = _LENGTH_LINE.search(head)
    if length is not None:
        at, end = length.span(1)
        lengthless = _known_lengthless(head[:at] + b"0" + head[end:])
        if lengthless is not None:
            return _to_head(lengthless, int(length[1]), limits)
    framing = _known(head)
    return _to_head(framing, framing.length, limits)


def _judge_lengthless(head: bytes) -> Framing | None:
    """Of a head whose length was taken out. None: there is more than one, so that its digits matter."""
    return _judge(head) if head.lower().count(b"content-length") == 1 else None


def _judge(head: bytes) -> Framing:
    """Raises RequestError."""
    if head.count(b"\n") != head.count(b"\r\n"):
        raise _bare_lf()
    if b"\r\n " in head or b"\r\n\t" in head:
        raise RequestError("folded header lines are not allowed (RFC 9112 §5.2)")
    return _to_framing(_grammar(head))


# Errors are not remembered. Heads that never had a length are a GET's and the like: fewer are worth it.
_known_lengthless = functools.lru_cache(maxsize=MAX_KNOWN_HEADS // 4 * 3)(_judge_lengthless)
_known = functools.lru_cache(maxsize=MAX_KNOWN_HEADS // 4)(_judge)


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


def _to_framing(event: h11.Request) -> Framing:
    # raw_items() is a plain list; iterating over h11's Headers makes two calls per line
    lines = [(name.lower(), value) for name, value in event.headers.raw_items()]
    fields: dict[bytes, bytes] = {}
    for name, value in lines:
        if name in _FRAMING_NAMES:
            fields[name] = fields[name] + b"," + value if name in fields else value
    version = event.http_version.decode("ascii")
    path, _, query = _target(event.target).partition("?")
    body_bytes = _body_bytes(fields, version)
    codings = _tokens(fields.get(b"content-encoding", b"")) - {b"identity"}
    return Framing(
        method=event.method.decode("ascii"),
        path=path,
        query=query,
        headers=Headers.lowered([line for line in lines if line[0] != b"content-length"]),
        http_version=version,
        is_chunked=body_bytes == CHUNKED,
        length=body_bytes,
        keep_alive=version == "1.1" and b"close" not in _tokens(fields.get(b"connection", b"")),
        expects_continue=version == "1.1" and fields.get(b"expect", b"").lower() == b"100-continue",
        codings=b", ".join(sorted(codings)),
    )


def _to_head(framing: Framing, length: int, limits: HttpLimits) -> RequestHead:
    """``framing`` with the length of this very request."""
    body_bytes = CHUNKED if framing.is_chunked else length
    head = RequestHead(framing, body_bytes)
    if body_bytes > limits.max_body_bytes or framing.codings:
        head.problem = _problem(framing.codings, body_bytes, limits)
    return head


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


def _problem(codings: bytes, body_bytes: int, limits: HttpLimits) -> KiroProxyError | None:
    if body_bytes > limits.max_body_bytes:
        return RequestError(
            f"the request body has {body_bytes} bytes; the limit is {limits.max_body_bytes}",
            kind=Kind.TOO_LARGE,
        )
    if codings and body_bytes != 0:
        return RequestError(
            "compressed request bodies are not supported "
            f"(Content-Encoding: {codings.decode('latin-1')[:40]!r}); send the body as it is"
        )
    return None


def _tokens(value: bytes) -> set[bytes]:
    return (
        {token.strip().lower() for token in value.split(b",") if token.strip()} if value else set()
    )


def _too_large(limits: HttpLimits) -> RequestError:
    return RequestError(
        f"the request's headers are larger than {limits.max_head_bytes} bytes "
        f"or more than {limits.max_header_lines}",
        kind=Kind.HEADERS_TOO_LARGE,
    )


def _bare_lf() -> RequestError:
    return RequestError("malformed HTTP request: header lines must end in CR LF")
