"""Heads of the service's answers, 1xx ones in front of them, in every chunking; the heads that we send."""

from __future__ import annotations

from typing import Any

from fuzz.source import Source, pieces
from kiroproxy.errors import InternalError, PeerProtocolError
from kiroproxy.upstream.body import choose_reader
from kiroproxy.upstream.head import HeadReader, request_headers

_LINE = b"\r\n"


def target(data: bytes) -> None:
    source = Source(data)
    if source.byte() % 4 == 3:
        _sent(source)
        return
    cuts = source.block()
    stream = source.rest()
    whole = _read([stream])
    parts = _read(pieces(stream, Source(cuts)))
    if whole is None or parts is None or "refused" in (whole[0], parts[0]):
        return  # what is behind a head may be refused sooner or later
    assert whole == parts


def _read(chunks: list[bytes]) -> tuple[Any, ...] | None:
    reader = HeadReader("POST", "/", [(b"host", b"a")])
    for place, chunk in enumerate(chunks):
        try:
            head = reader.feed(chunk)
        except PeerProtocolError:
            return ("refused",)
        if head is None:
            continue
        behind = bytes(reader.rest) + b"".join(chunks[place + 1 :])
        length, coding = head.headers.get("content-length"), head.headers.get("transfer-encoding")
        try:
            choose_reader("POST", head.status, coding, length)
        except PeerProtocolError:
            return ("refused",)
        assert 200 <= head.status <= 999
        return (head.status, head.headers.raw, head.http_version, head.keeps_alive, behind)
    return None


def _sent(source: Source) -> None:
    """No name, value or target can become a second line."""
    method = source.block().decode("latin-1")
    target_ = source.block().decode("latin-1")
    given = []
    while source.left:
        given.append((source.block(), source.block()))
    body = b"{}" if source.byte() & 1 else b""
    try:
        request = HeadReader(method, target_, request_headers(method, "a.b", given, body)).request
    except InternalError:
        return
    assert request.count(_LINE) == len(request_headers(method, "a.b", given, body)) + 2
    assert request.count(b"\n") == request.count(_LINE) == request.count(b"\r")


def seeds() -> list[bytes]:
    heads = [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\n",
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nx-amzn-RequestId: a\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 20 + b"HTTP/1.1 200 OK\r\n\r\n",
    ]
    sent = [
        b"\x03\x04POST\x01/\x06accept\x03*/*\x0dauthorization\x08Bearer a",
        b"\x03\x04POST\x05/a\r\nb\x01x\x04a\r\nb",
        b"\x03\x03GET\x03/a?\x04x-y:\x01z\x00\x00",
    ]
    return [
        *(b"\x00\x00" + head for head in heads),
        *(b"\x00\x02\x09\x01" + head for head in heads),
        *sent,
    ]
