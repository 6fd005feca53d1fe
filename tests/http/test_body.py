"""Bodies in any chunking; h11 is the second opinion on chunks."""

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.errors import Kind, RequestError
from kiroproxy.http.body import SMALL_READ_BYTES, BodyReader, ChunkedBody, SizedBody
from tests.chunking import every_cut

CHUNKED = (
    b"5\r\nhello\r\n"
    b"1;name=value\r\n \r\n"  # with an extension
    b"00B \r\nworld again\r\n"
    b"0\r\n"
    b"Trailer: read over\r\n"
    b"\r\n"
)
CHUNKED_BODY = b"hello world again"


def read(body: BodyReader, pieces: list[bytes]) -> tuple[bytes, bytes] | None:
    """Body and what stands behind it; None when it is not over."""
    rest = None
    for piece in filter(None, pieces):
        rest = body.feed(piece) if rest is None else rest + piece
    return None if rest is None else (body.take(), rest)


def test_sized_body_in_every_chunking() -> None:
    for pieces in every_cut(b"0123456789next"):
        assert read(SizedBody(10), pieces) == (b"0123456789", b"next")


def test_sized_body_is_not_over_one_byte_early() -> None:
    assert read(SizedBody(10), [b"012345678"]) is None


def test_large_and_small_reads_keep_their_order() -> None:
    pieces = [b"a", b"b" * SMALL_READ_BYTES, b"c", b"d", b"e" * (SMALL_READ_BYTES + 1), b"f"]
    whole = b"".join(pieces)
    assert read(SizedBody(len(whole)), pieces) == (whole, b"")


def test_one_large_read_is_handed_over_without_a_copy() -> None:
    data = bytes(SMALL_READ_BYTES)
    body = SizedBody(len(data))
    assert body.feed(data) == b""
    assert body.take() is data


def test_chunked_body_in_every_chunking() -> None:
    for pieces in every_cut(CHUNKED + b"next"):
        assert read(ChunkedBody(100), pieces) == (CHUNKED_BODY, b"next")


MALFORMED = {
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "not hex": b"5g\r\nhello\r\n0\r\n\r\n",
    "prefixed": b"0x5\r\nhello\r\n0\r\n\r\n",
    "signed": b"+5\r\nhello\r\n0\r\n\r\n",
    "space ahead": b" 5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"1_0\r\nhello\r\n0\r\n\r\n",
    "too many digits": b"000000005\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "longer than it says": b"4\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "NUL in the extension": b"5;\x00\r\nhello\r\n0\r\n\r\n",
    "trailer without a colon": b"0\r\nnonsense\r\n\r\n",
    "endless size line": b"5;" + b"a" * 300,
    "no line end behind the data": b"5\r\nhello0\r\n\r\n",
    "endless extensions": (b"1;" + b"a" * 250 + b"\r\nx\r\n") * 40,
    "endless trailer": b"0\r\n" + b"A: b\r\n" * 2000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_chunks_are_refused(name: str) -> None:
    data = MALFORMED[name]
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        with pytest.raises(RequestError) as caught:
            read(ChunkedBody(100), pieces)
        assert caught.value.kind is Kind.INVALID_REQUEST


def test_chunked_body_over_the_limit_is_refused_before_it_comes() -> None:
    body = ChunkedBody(10)
    assert body.feed(b"a\r\n0123456789\r\n") is None
    with pytest.raises(RequestError) as caught:
        body.feed(b"1\r\n")
    assert caught.value.kind is Kind.TOO_LARGE


@settings(max_examples=100, deadline=None)
@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    cuts=st.lists(st.integers(1, 30), max_size=30),
)
def test_chunked_body_agrees_with_h11(chunks: list[bytes], cuts: list[int]) -> None:
    sender = h11.Connection(h11.CLIENT)
    sender.send(
        h11.Request(
            method="POST", target="/", headers=[("host", "x"), ("transfer-encoding", "chunked")]
        )
    )
    wire = b"".join(sender.send(h11.Data(data=chunk)) for chunk in chunks)
    wire += sender.send(h11.EndOfMessage())
    pieces = []
    for cut in cuts:
        pieces.append(wire[:cut])
        wire = wire[cut:]
    assert read(ChunkedBody(1000), [*pieces, wire]) == (b"".join(chunks), b"")
