"""Body readers: every chunking gives one answer, h11 agrees, nonsense is refused."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.errors import ConnectionLostError, PeerProtocolError
from kiroproxy.upstream import body
from kiroproxy.upstream.body import (
    MAX_KNOWN_SIZES,
    MAX_SIZE_LINE_BYTES,
    MAX_TRAILER_BYTES,
    BodyReader,
    ChunkedReader,
    ContentLengthReader,
    UntilCloseReader,
    choose_reader,
)
from tests.chunking import every_cut, random_chunks

CHUNKED_BODIES = {
    "empty": (b"0\r\n\r\n", b""),
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two chunks": (b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", b"abcdefg"),
    "two digits": (b"10\r\n0123456789abcdef\r\n0\r\n\r\n", b"0123456789abcdef"),
    "upper-case hex": (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "leading zeros": (b"003\r\nabc\r\n000\r\n\r\n", b"abc"),
    "extensions": (b'3;a=b;c="d e"\r\nabc\r\n0;last\r\n\r\n', b"abc"),
    "blank behind the size": (b"3 \r\nabc\r\n0\t\r\n\r\n", b"abc"),
    "trailers": (b"3\r\nabc\r\n0\r\nX-Check: 1\r\nx-more:\r\n\r\n", b"abc"),
    "payload with CRLF": (b"6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
    "size lines of every length": (
        b"00003\r\nabc\r\n3\r\ndef\r\n003\r\nghi\r\n3;x\r\njkl\r\n3\r\nmno\r\n0\r\n\r\n",
        b"abcdefghijklmno",
    ),
}
MALFORMED_CHUNKED = {
    "no digits": b"\r\nabc\r\n",
    "not hex": b"xyz\r\nabc\r\n",
    "sign": b"+3\r\nabc\r\n",
    "prefix": b"0x3\r\nabc\r\n",
    "underscore": b"1_0\r\n0123456789abcdef\r\n",
    "blank between size and extension": b"3 ;a\r\nabc\r\n",
    "leading blank": b" 3\r\nabc\r\n",
    "sixteen digits": b"1000000000000000\r\nabc\r\n",
    "payload longer than said": b"3\r\nabcd\r\n",
    "LF behind the payload": b"3\r\nabc\n0\r\n\r\n",
    "CR and something else behind the payload": b"3\r\nabc\r0\r\n",
    "bare LF behind the size": b"3\nabc",
    "LF in an extension": b"3;a\nb\r\nabc\r\n",
    "trailer without colon": b"0\r\nnonsense\r\n\r\n",
    "trailer with a blank name": b"0\r\n : x\r\n\r\n",
    "trailer with a NUL": b"0\r\na: \x00\r\n\r\n",
    "trailer with a bare LF": b"0\r\na: b\nc: d\r\n\r\n",
}


def feed_all(reader: BodyReader, pieces: list[bytes]) -> bytes:
    return b"".join([reader.feed(piece) for piece in pieces])


def h11_body(stream: bytes) -> tuple[bytes, bool, bytes]:
    """What h11 makes of a chunked stream: body, whether it ended, what is left."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    http.send(h11.EndOfMessage())
    http.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + stream)
    got = b""
    while True:
        event = http.next_event()
        if isinstance(event, h11.Data):
            got += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return got, True, http.trailing_data[0]
        elif not isinstance(event, h11.Response):
            return got, False, b""


@pytest.mark.parametrize("case", CHUNKED_BODIES)
@pytest.mark.parametrize("behind", [b"", b"HTTP/1.1 408"])
def test_chunked_body_in_every_chunking(case: str, behind: bytes) -> None:
    stream, expected = CHUNKED_BODIES[case]
    for pieces in every_cut(stream + behind):
        reader = ChunkedReader()
        assert feed_all(reader, pieces) == expected, pieces
        assert reader.done
        assert reader.rest == behind
        reader.eof()
    assert h11_body(stream + behind) == (expected, True, behind)


@pytest.mark.parametrize("case", CHUNKED_BODIES)
def test_chunked_body_cut_anywhere_is_lost(case: str) -> None:
    stream, expected = CHUNKED_BODIES[case]
    for at in range(len(stream)):
        reader = ChunkedReader()
        assert expected.startswith(reader.feed(stream[:at]))
        assert not reader.done
        with pytest.raises(ConnectionLostError):
            reader.eof()


@pytest.mark.parametrize("case", MALFORMED_CHUNKED)
@pytest.mark.parametrize("before", [b"", b"5\r\nhello\r\n", b"2\r\nhe\r\n3;x\r\nllo\r\n"])
def test_malformed_chunked_body_in_every_chunking(case: str, before: bytes) -> None:
    """Whatever the chunking: what stood before the fault comes out, nothing behind it, no end."""
    payload = b"abc" if "payload" in case else b""
    for pieces in every_cut(before + MALFORMED_CHUNKED[case] + b"3\r\nxyz\r\n0\r\n\r\n"):
        reader = ChunkedReader()
        assert feed_all(reader, pieces) == (b"hello" if before else b"") + payload, pieces
        assert not reader.done
        assert isinstance(reader.fault, PeerProtocolError)
        with pytest.raises(PeerProtocolError):
            reader.eof()


def test_error_does_not_quote_what_came() -> None:
    reader = ChunkedReader()
    assert reader.feed(b'{"accessToken":"hunter2"}\r\n') == b""
    assert "malformed" in str(reader.fault)
    assert "hunter2" not in str(reader.fault)


@pytest.mark.parametrize("endless", [b"0" * 10, b"3;x=" + b"y" * 10, b"0\r\nA: " + b"b" * 10])
def test_endless_line_is_refused_at_its_limit(endless: bytes) -> None:
    reader = ChunkedReader()
    reader.feed(endless[:-1])
    for _ in range(MAX_TRAILER_BYTES):
        reader.feed(endless[-1:])
    assert isinstance(reader.fault, PeerProtocolError)


def test_long_extension_is_refused_also_when_it_comes_whole() -> None:
    reader = ChunkedReader()
    assert reader.feed(b"1;" + b"x" * MAX_SIZE_LINE_BYTES + b"\r\na\r\n") == b""
    assert isinstance(reader.fault, PeerProtocolError)


def test_many_trailers_are_refused_also_when_they_come_whole() -> None:
    reader = ChunkedReader()
    reader.feed(b"0\r\n" + b"a: b\r\n" * (MAX_TRAILER_BYTES // 6 + 1) + b"\r\n")
    assert isinstance(reader.fault, PeerProtocolError)


def test_size_lines_that_are_remembered_are_bounded() -> None:
    reader = ChunkedReader()
    for number in range(MAX_KNOWN_SIZES + 2):
        assert reader.feed(b"1;%x\r\na\r\n" % number) == b"a"
        assert len(body._known_sizes) <= MAX_KNOWN_SIZES
    assert body._known_sizes[b"1;%x\r\n" % number] == 1


def test_one_read_with_many_chunks_gives_one_object() -> None:
    reader = ChunkedReader()
    assert reader.feed(b"3\r\nabc\r\n" * 1000 + b"3\r\nab") == b"abc" * 1000 + b"ab"
    assert reader.feed(b"c\r\n0\r\n\r\n") == b"c"


@settings(max_examples=150, deadline=None)
@given(
    payloads=st.lists(st.binary(min_size=1, max_size=400), max_size=12),
    upper=st.booleans(),
    extension=st.sampled_from([b"", b";a", b";a=b", b" "]),
    trailer=st.sampled_from([b"", b"X-Sum: 1\r\n", b"a:\r\nb: c\r\n"]),
    behind=st.binary(max_size=20),
    seed=st.integers(0, 2**32),
)
def test_chunked_body_agrees_with_h11(
    payloads: list[bytes], upper: bool, extension: bytes, trailer: bytes, behind: bytes, seed: int
) -> None:
    size = b"%X" if upper else b"%x"
    chunks = [size % len(p) + extension + b"\r\n" + p + b"\r\n" for p in payloads]
    stream = b"".join(chunks) + b"0\r\n" + trailer + b"\r\n" + behind
    reader = ChunkedReader()
    got = feed_all(reader, random_chunks(stream, random.Random(seed)))
    assert (got, reader.done, reader.rest) == h11_body(stream)
    assert got == b"".join(payloads)


@settings(max_examples=200, deadline=None)
@given(
    stream=st.lists(
        st.sampled_from(
            [
                b"0",
                b"3",
                b"a",
                b"F",
                b"\r\n",
                b"\n",
                b"\r",
                b";x",
                b" ",
                b"abc",
                b":",
                b"-",
                b"\x00",
            ]
        ),
        max_size=14,
    ).map(b"".join),
    seed=st.integers(0, 2**32),
)
def test_whatever_we_take_as_complete_h11_takes_alike(stream: bytes, seed: int) -> None:
    """Stricter than the oracle is fine, more liberal is not; only documented errors come out."""
    reader = ChunkedReader()
    got = feed_all(reader, random_chunks(stream, random.Random(seed)))
    if reader.done:
        assert h11_body(stream) == (got, True, reader.rest)
    whole = ChunkedReader()
    assert whole.feed(stream) == got
    assert (whole.done, whole.fault is None) == (reader.done, reader.fault is None)


@pytest.mark.parametrize("behind", [b"", b"more"])
def test_sized_body_in_every_chunking(behind: bytes) -> None:
    for pieces in every_cut(b"0123456789" + behind):
        reader = ContentLengthReader(10)
        assert feed_all(reader, pieces) == b"0123456789"
        assert reader.done
        assert reader.rest == behind
        reader.eof()


def test_sized_body_that_is_short_is_lost() -> None:
    reader = ContentLengthReader(10)
    reader.feed(b"012")
    with pytest.raises(ConnectionLostError, match="3 of 10"):
        reader.eof()


def test_sized_body_is_not_copied() -> None:
    data = b"x" * 1000
    assert ContentLengthReader(5000).feed(data) is data


def test_empty_sized_body_is_done_at_once() -> None:
    reader = ContentLengthReader(0)
    assert reader.done
    assert reader.feed(b"x") == b""
    assert reader.rest == b"x"


def test_body_until_close_ends_with_the_connection() -> None:
    reader = UntilCloseReader()
    assert feed_all(reader, [b"ab", b"c"]) == b"abc"
    assert not reader.done
    reader.eof()
    assert reader.done


@pytest.mark.parametrize(
    ("method", "status", "coding", "length", "expected"),
    [
        ("POST", 200, "chunked", None, ChunkedReader),
        ("POST", 200, " Chunked", None, ChunkedReader),
        ("POST", 200, "chunked", "5", ChunkedReader),
        ("POST", 200, None, "5", ContentLengthReader),
        ("POST", 200, None, None, UntilCloseReader),
        ("HEAD", 200, "chunked", None, ContentLengthReader),
        ("HEAD", 200, None, "5", ContentLengthReader),
        ("GET", 204, None, None, ContentLengthReader),
        ("GET", 304, None, "5", ContentLengthReader),
        ("POST", 500, None, "0", ContentLengthReader),
    ],
)
def test_choose_reader(
    method: str, status: int, coding: str | None, length: str | None, expected: type
) -> None:
    reader = choose_reader(method, status, coding, length)
    assert type(reader) is expected
    bodiless = method == "HEAD" or status in (204, 304) or length == "0"
    assert reader.done is bodiless


@pytest.mark.parametrize(
    ("coding", "length"), [("gzip, chunked", None), ("identity", None), (None, "-1"), (None, "٣")]
)
def test_choose_reader_refuses(coding: str | None, length: str | None) -> None:
    with pytest.raises(PeerProtocolError):
        choose_reader("GET", 200, coding, length)


def test_body_module_imports_no_event_loop() -> None:
    tree = ast.parse(Path(body.__file__).read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
        + ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
    }
    assert imported.isdisjoint({"asyncio", "anyio"})
