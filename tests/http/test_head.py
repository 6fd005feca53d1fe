"""Heads: any chunking, and everything that could be read in two ways is refused."""

import pytest

from kiroproxy.errors import Kind, KiroProxyError
from kiroproxy.http.head import CHUNKED, HeadReader, RequestHead
from kiroproxy.http.limits import HttpLimits
from tests.chunking import every_cut

LIMITS = HttpLimits(max_head_bytes=600, max_header_lines=10, max_body_bytes=1000)
HEAD = (
    b"POST /v1/messages?beta=true HTTP/1.1\r\n"
    b"Host: 127.0.0.1:8080\r\n"
    b"X-Api-Key: k\r\n"
    b"Content-Length: 12\r\n"
    b"\r\n"
)


def parse(data: bytes) -> RequestHead:
    found = HeadReader(LIMITS).feed(data)
    assert found is not None
    return found[0]


def test_head_in_every_chunking() -> None:
    for pieces in every_cut(HEAD + b"rest"):
        reader = HeadReader(LIMITS)
        rest = b""
        head = None
        for piece in filter(None, pieces):
            if head is not None:
                rest += piece
            elif (found := reader.feed(piece)) is not None:
                head, rest = found
        assert head is not None
        assert rest == b"rest"
        said = head.framing
        assert (said.method, said.path, said.query) == ("POST", "/v1/messages", "beta=true")
        assert said.headers.get("x-api-key") == "k"
        assert (head.body_bytes, said.keep_alive, said.expects_continue) == (12, True, False)


def test_line_ends_ahead_of_a_head_do_not_count() -> None:
    reader = HeadReader(LIMITS)
    assert reader.feed(b"\r\n") is None
    assert reader.empty
    assert reader.feed(b"\r\n" + HEAD) is not None


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a?b?c", "/a", "b?c"),
        ("http://host:1/a/b?c=d", "/a/b", "c=d"),
        ("http://host", "/", ""),
        ("http://host?x", "/", "x"),
        ("*", "*", ""),
        ("host:443", "/host:443", ""),
        ("//a", "//a", ""),
    ],
)
def test_target_forms(target: str, path: str, query: str) -> None:
    head = parse(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (head.framing.path, head.framing.query) == (path, query)


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\r\n", False),
        ("1.1", "Connection: Keep-Alive, CLOSE\r\n", False),
        ("1.1", "Connection: a\r\nConnection: close\r\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive\r\n", False),
    ],
)
def test_keep_alive(version: str, connection: str, kept: bool) -> None:
    head = parse(f"GET / HTTP/{version}\r\nHost: x\r\n{connection}\r\n".encode())
    assert head.framing.keep_alive is kept


def test_chunked_and_expect() -> None:
    head = parse(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n\r\n"
    )
    assert (head.body_bytes, head.framing.expects_continue) == (CHUNKED, True)


def vector(*lines: bytes, first: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: x", *lines, b"", b""])


MALFORMED = {
    "content-length and chunked": vector(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
    "two content-lengths": vector(b"Content-Length: 3", b"Content-Length: 4"),
    "a list of content-lengths": vector(b"Content-Length: 3, 4"),
    "content-length with a sign": vector(b"Content-Length: +3"),
    "content-length in hex": vector(b"Content-Length: 0x3"),
    "negative content-length": vector(b"Content-Length: -3"),
    "empty content-length": vector(b"Content-Length:"),
    "two transfer-encodings": vector(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "another transfer-encoding": vector(b"Transfer-Encoding: gzip, chunked"),
    "disguised transfer-encoding": vector(b"Transfer-Encoding: \x0bchunked"),
    "transfer-encoding in HTTP/1.0": vector(
        b"Transfer-Encoding: chunked", first=b"POST / HTTP/1.0"
    ),
    "folded line": vector(b"A: b", b" c"),
    "folded line with a tab": vector(b"A: b", b"\tc"),
    "folded first line": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "bare LF": vector(b"A: b\nContent-Length: 3"),
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: x\n\n",
    "bare CR": vector(b"A: b\rContent-Length: 3"),
    "NUL in a value": vector(b"A: b\x00c"),
    "NUL in a name": vector(b"A\x00: b"),
    "space before the colon": vector(b"Content-Length : 3"),
    "no colon": vector(b"A"),
    "no name": vector(b": b"),
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": vector(b"Host: y"),
    "no version": b"GET /\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.1": vector(first=b"GET / HTTP/3.1"),
    "control character in the target": b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_head_is_refused_in_every_chunking(name: str) -> None:
    for pieces in every_cut(MALFORMED[name]):
        reader = HeadReader(LIMITS)
        with pytest.raises(KiroProxyError) as caught:
            for piece in filter(None, pieces):
                reader.feed(piece)
        assert caught.value.kind is Kind.INVALID_REQUEST


def test_refusal_does_not_show_the_line() -> None:
    with pytest.raises(KiroProxyError) as caught:
        HeadReader(LIMITS).feed(vector(b"x-api-key\x00: secret-key"))
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        vector(b"A: " + b"b" * 700),
        b"GET /" + b"a" * 700,  # no end in sight
        vector(*[b"A: b"] * 11),
    ],
)
def test_large_head_is_refused(data: bytes) -> None:
    for pieces in ([data], [data[at : at + 50] for at in range(0, len(data), 50)]):
        reader = HeadReader(LIMITS)
        with pytest.raises(KiroProxyError) as caught:
            for piece in pieces:
                reader.feed(piece)
        assert caught.value.kind is Kind.HEADERS_TOO_LARGE


def test_same_content_length_twice_is_one() -> None:
    for _ in range(2):  # the second time the head is known
        for size in (3, 0, 4):
            line = b"Content-Length: %d" % size
            assert parse(vector(line, line)).body_bytes == size


def test_two_content_lengths_are_refused_beside_known_heads() -> None:
    for _ in range(2):
        assert parse(vector(b"Content-Length: 0")).body_bytes == 0
        for lines in [(b"0", b"3"), (b"3", b"0"), (b"3", b"4")]:
            with pytest.raises(KiroProxyError) as caught:
                parse(vector(*[b"Content-Length: " + line for line in lines]))
            assert caught.value.kind is Kind.INVALID_REQUEST


def test_large_body_is_a_problem_not_a_malformed_head() -> None:
    head = parse(vector(b"Content-Length: 1001"))
    assert head.problem is not None
    assert head.problem.kind is Kind.TOO_LARGE
    assert parse(vector(b"Content-Length: 1000")).problem is None


@pytest.mark.parametrize("coding", [b"gzip", b"br, identity", b"zstd"])
def test_compressed_body_is_a_problem(coding: bytes) -> None:
    head = parse(vector(b"Content-Length: 5", b"Content-Encoding: " + coding))
    assert head.problem is not None
    assert "compressed" in head.problem.message


def test_identity_and_bodiless_codings_are_fine() -> None:
    assert parse(vector(b"Content-Length: 5", b"Content-Encoding: identity")).problem is None
    assert parse(vector(b"Content-Encoding: gzip")).problem is None


def test_a_head_seen_before_keeps_nothing_of_its_length() -> None:
    lengths = [12, 0, 999, 12]
    heads = [parse(HEAD.replace(b"Length: 12", b"Length: %d" % length)) for length in lengths]
    assert [head.body_bytes for head in heads] == lengths
    assert all(head.problem is None for head in heads)
    too_long = parse(HEAD.replace(b"Length: 12", b"Length: 1001"))
    assert too_long.problem is not None
    assert too_long.problem.kind is Kind.TOO_LARGE
    assert parse(HEAD).problem is None


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", b"Content-Length: 0"),
        (b"Content-Length: 0", b"Content-Length: 5"),
        (b"content-length: 5", b"CONTENT-LENGTH: 0"),
        (b"Content-Length: 5", b"Content-Length:0"),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    ],
)
def test_no_second_length_hides_behind_a_remembered_one(lines: tuple[bytes, bytes]) -> None:
    parse(vector(lines[0]))
    for _ in range(2):
        with pytest.raises(KiroProxyError):
            HeadReader(LIMITS).feed(vector(*lines))


def test_equal_lengths_said_twice_are_one() -> None:
    assert parse(vector(b"Content-Length: 5", b"Content-Length: 5")).body_bytes == 5
    assert parse(vector(b"Content-Length: 5", b"Content-Length: 5")).body_bytes == 5


def test_handlers_see_no_length_line() -> None:
    """The length is the body's own; a header that many requests share cannot say it."""
    headers = parse(HEAD).framing.headers
    assert headers.get("content-length") is None
    assert headers is parse(HEAD.replace(b"Length: 12", b"Length: 13")).framing.headers
