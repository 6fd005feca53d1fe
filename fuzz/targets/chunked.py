"""Bodies of messages: chunked ones from the service and from clients, sized ones, in every chunking.

Two readers that were written apart must agree on what a chunked body is, limits aside.
"""

from __future__ import annotations

from fuzz.source import Source, pieces
from kiroproxy.errors import PeerProtocolError, RequestError, TransportError
from kiroproxy.http.body import ChunkedBody, SizedBody
from kiroproxy.upstream.body import ChunkedReader, choose_reader

_LIMIT = 100_000


def target(data: bytes) -> None:
    source = Source(data)
    kind = source.byte()
    cuts = source.block()
    if kind % 4 == 3:
        _chosen(source, cuts)
        return
    stream = source.rest()
    cut = pieces(stream, Source(cuts))
    if kind % 4 == 0:
        assert _upstream(cut) == _upstream([stream])
    elif kind % 4 == 1:
        assert _client(cut) == _client([stream])
    else:
        upstream, client = _upstream([stream]), _client([stream])
        assert upstream == client or None in (upstream, client)
        size = len(stream) * kind // 256
        assert _sized(cut, size) == (stream[:size], stream[size:])


def _upstream(chunks: list[bytes]) -> tuple[bytes, bytes] | None:
    """Body and what is behind it; None when it is refused or cut."""
    reader = ChunkedReader()
    body = b""
    try:
        for chunk in chunks:
            if reader.done:
                reader.rest += chunk
            else:
                body += reader.feed(chunk)
        reader.eof()
    except TransportError:
        return None
    return body, reader.rest


def _client(chunks: list[bytes]) -> tuple[bytes, bytes] | None:
    reader = ChunkedBody(_LIMIT)
    rest: bytes | None = None
    try:
        for chunk in chunks:
            rest = reader.feed(chunk) if rest is None else rest + chunk
    except RequestError:
        return None
    if rest is None:
        return None
    body = reader.take()
    assert len(body) <= _LIMIT
    return body, rest


def _sized(chunks: list[bytes], size: int) -> tuple[bytes, bytes]:
    reader = SizedBody(size)
    rest: bytes | None = None if size else b""
    for chunk in chunks:
        rest = reader.feed(chunk) if rest is None else rest + chunk
    return reader.take(), rest or b""


def _chosen(source: Source, cuts: bytes) -> None:
    method = source.choice(("GET", "POST", "HEAD"))
    status = source.choice((200, 204, 304, 403, 500))
    coding = source.block().decode("latin-1") if source.byte() & 1 else None
    length = source.block().decode("latin-1") if source.byte() & 1 else None
    stream = source.rest()
    try:
        reader = choose_reader(method, status, coding, length)
    except PeerProtocolError:
        return
    body = b""
    try:
        for chunk in pieces(stream, Source(cuts)):
            if not reader.done:
                body += reader.feed(chunk)
        reader.eof()
    except TransportError:
        return
    assert len(body) <= len(stream)


def seeds() -> list[bytes]:
    bodies = [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nx: y\r\n\r\nbehind",
        b"00a \t;x\r\n0123456789\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"fffffffff\r\nhello",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"0\r\nno colon\r\n\r\n",
    ]
    chosen = [b"\x01\x00\x01\x07chunked\x00", b"\x00\x02\x00\x01\x025 ", b"\x02\x00\x00\x01\x013"]
    return [
        *(bytes([kind, 3, 1, 2, 5]) + body for kind in (0x80, 0x41, 0x32) for body in bodies),
        *(b"\x03\x01\x02" + head + bodies[0] for head in chosen),
    ]
