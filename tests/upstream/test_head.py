"""Heads: limits, 1xx, nonsense; secrets stay out of errors."""

from __future__ import annotations

import pytest

from kiroproxy.errors import InternalError, PeerProtocolError
from kiroproxy.upstream.head import MAX_HEAD_BYTES, Head, HeadReader, request_headers
from tests.chunking import every_cut

HEADERS = [(b"host", b"example.com")]

ANSWERS = {
    "plain": (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 200, "1.1"),
    "no reason": (b"HTTP/1.1 403 \r\nA: b\r\n\r\n", 403, "1.1"),
    "1.0": (b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n", 200, "1.0"),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n", 200, "1.1"),
    "after 103": (
        b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\nHTTP/1.1 429 Slow down\r\nA: b\r\n\r\n",
        429,
        "1.1",
    ),
}
GARBAGE = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "header without colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n",
    "endless 1xx": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
}


def feed_all(pieces: list[bytes]) -> tuple[Head | None, bytes]:
    """The head, and all that came behind it."""
    reader = HeadReader("POST", "/", HEADERS)
    for number, piece in enumerate(pieces):
        head = reader.feed(piece)
        if head is not None:
            return head, reader.rest + b"".join(pieces[number + 1 :])
    return None, b""


@pytest.mark.parametrize("case", ANSWERS)
def test_head_in_every_chunking(case: str) -> None:
    stream, status, version = ANSWERS[case]
    for pieces in every_cut(stream + b"behind"):
        head, rest = feed_all(pieces)
        assert head is not None
        assert (head.status, head.http_version, rest) == (status, version, b"behind")
        assert head.headers.raw == [(b"a", b"b")]


@pytest.mark.parametrize("case", ANSWERS)
def test_head_cut_anywhere_is_not_there_yet(case: str) -> None:
    stream = ANSWERS[case][0]
    assert all(feed_all([stream[:at]])[0] is None for at in range(len(stream)))


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_is_a_protocol_error(case: str) -> None:
    with pytest.raises(PeerProtocolError):
        feed_all([GARBAGE[case]])


def test_error_does_not_quote_what_came() -> None:
    with pytest.raises(PeerProtocolError, match=r"illegal status line$"):
        feed_all([b'{"accessToken":"hunter2"}\r\n\r\n'])


def test_endless_head_is_refused_at_the_limit() -> None:
    reader = HeadReader("GET", "/", HEADERS)
    line = b"X-Filler: " + b"y" * 1000 + b"\r\n"
    reader.feed(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(PeerProtocolError):
        for _ in range(MAX_HEAD_BYTES // len(line) + 1):
            reader.feed(line)


def test_request_bytes() -> None:
    headers = request_headers("POST", "example.com", [(b"X-Custom", b"1")], b"{}")
    assert HeadReader("POST", "/a?b=c", headers).request == (
        b"POST /a?b=c HTTP/1.1\r\nhost: example.com\r\nX-Custom: 1\r\ncontent-length: 2\r\n\r\n"
    )


@pytest.mark.parametrize(("method", "expected"), [("POST", True), ("GET", False), ("HEAD", False)])
def test_empty_body_has_a_length_only_where_one_is_expected(method: str, expected: bool) -> None:
    names = [name for name, _ in request_headers(method, "example.com", [], b"")]
    assert (b"content-length" in names) is expected


@pytest.mark.parametrize("value", [b"Bearer hunter2\r\nx: y", b"hunter2\n", b"hunter2\x00"])
def test_illegal_header_value_is_refused_and_not_shown(value: bytes) -> None:
    with pytest.raises(InternalError) as caught:
        HeadReader("GET", "/", [*HEADERS, (b"authorization", value)])
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("version", "connection", "expected"),
    [
        ("1.1", [], True),
        ("1.1", [b"keep-alive"], True),
        ("1.1", [b"Close"], False),
        ("1.1", [b"x-hop, close"], False),
        ("1.1", [b"x-hop", b"close"], False),
        ("1.1", [b"closet"], True),
        ("1.0", [], False),
        ("1.0", [b"keep-alive"], False),
    ],
)
def test_keeps_alive(version: str, connection: list[bytes], expected: bool) -> None:
    lines = b"".join(b"Connection: %b\r\n" % value for value in connection)
    head, _ = feed_all([b"HTTP/%b 200 OK\r\n%b\r\n" % (version.encode(), lines)])
    assert head is not None
    assert head.keeps_alive is expected
