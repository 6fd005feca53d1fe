"""Heads of clients' requests, and the body that each announces, in every chunking."""

from __future__ import annotations

from typing import Any

import h11

from fuzz.source import Source, pieces
from kiroproxy.errors import RequestError
from kiroproxy.http.body import ChunkedBody, SizedBody
from kiroproxy.http.head import CHUNKED, HeadReader
from kiroproxy.http.limits import HttpLimits

_LIMITS = HttpLimits(max_head_bytes=2_000, max_header_lines=20, max_body_bytes=4_000)


def target(data: bytes) -> None:
    source = Source(data)
    cuts = source.block()
    stream = source.rest()
    whole = _read([stream])
    parts = _read(pieces(stream, Source(cuts)))
    if whole is not None and whole[0] == "refused":
        assert parts is None or parts[0] == "refused" or len(stream) > _LIMITS.max_head_bytes
    elif whole is not None:
        assert parts == whole
        _agrees_with_h11(stream, whole)


def _read(chunks: list[bytes]) -> tuple[Any, ...] | None:
    """What one message says; None when it is not whole."""
    reader = HeadReader(_LIMITS)
    body: SizedBody | ChunkedBody | None = None
    head: Any = None
    rest: bytes | None = None
    try:
        for chunk in chunks:
            if rest is not None:
                rest += chunk
            elif body is not None:
                rest = body.feed(chunk)
            else:
                found = reader.feed(chunk)
                if found is None:
                    continue
                head, behind = found
                if head.problem is not None:
                    return ("problem", head.problem.kind, str(head.problem))
                body = _body(head)
                rest = behind if head.body_bytes == 0 else body.feed(behind)
    except RequestError as error:
        return ("refused", error.kind)
    if head is None or rest is None or body is None:
        return None
    request = head.to_request(body.take(), "req_0", "")
    return ("request", request.method, request.path, request.query, request.headers.raw,
            request.http_version, head.framing.keep_alive, head.framing.expects_continue,
            request.body, rest)  # fmt: skip


def _body(head: Any) -> SizedBody | ChunkedBody:
    if head.body_bytes == CHUNKED:
        return ChunkedBody(_LIMITS.max_body_bytes)
    return SizedBody(head.body_bytes)


def _agrees_with_h11(stream: bytes, read: tuple[Any, ...]) -> None:
    """Where we take a message as whole, h11 sees the same body: nothing for smugglers."""
    if read[0] != "request":
        return
    peer = h11.Connection(h11.SERVER, max_incomplete_event_size=8_000)
    peer.receive_data(stream.lstrip(b"\r\n"))  # h11 takes one empty line, we take any
    body, began = b"", False
    while True:
        try:
            event = peer.next_event()
        except h11.RemoteProtocolError:
            assert began
            return  # it looks into the trailer fields that we drop
        if isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            began = isinstance(event, h11.Request)
            assert began, event
    assert body == read[8]
    behind = peer.trailing_data[0]
    assert bytes(behind) == read[9]


def seeds() -> list[bytes]:
    heads = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /v1/messages?beta=true HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}GET",
        b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nab",
        b"GET http://a.b/c?d HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\nHost: a\n\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n"
        b"Content-Length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\na",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\nHost : a\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 30 + b"\r\n",
    ]
    return [*(b"\x00" + head for head in heads), *(b"\x03\x01\x0a\x05" + head for head in heads)]
