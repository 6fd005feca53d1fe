"""The short way for heads against h11: whatever it takes, h11 reads the same way or writes the same."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kiroproxy.errors import PeerProtocolError
from kiroproxy.http.messages import Headers, RawHeader
from kiroproxy.upstream import plain
from kiroproxy.upstream.head import MAX_HEAD_BYTES, Head, HeadReader
from kiroproxy.upstream.plain import (
    MAX_KNOWN_LINE_BYTES,
    MAX_KNOWN_LINES,
    plain_request,
    plain_response,
)
from tests.chunking import every_cut

PLAIN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
    b"transfer-encoding: chunked\r\nX-Amzn-RequestId: 5b2a-11\r\nx: a b c\r\n\r\n"
)


def by_h11(data: bytes) -> tuple[int, list[RawHeader], bytes] | str | None:
    """Status, headers and rest; None: more is needed; a text: refused."""
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    http.send(h11.Request(method="GET", target="/", headers=[(b"host", b"h")]))
    http.receive_data(data)
    try:
        event = http.next_event()
        while isinstance(event, h11.InformationalResponse):
            event = http.next_event()
    except h11.RemoteProtocolError as error:
        return str(error)
    if not isinstance(event, h11.Response):
        return None
    return event.status_code, list(event.headers), http.trailing_data[0]


# Pieces of heads, right and wrong, so that most of what is put together is nearly a head.
NAMES = st.sampled_from(
    [
        b"content-length",
        b"Content-Length",
        b"transfer-encoding",
        b"x-a",
        b"date",
        b"connection",
        b"",
        b"x y",
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            b"5",
            b"05",
            b"+5",
            b"5, 5",
            b"chunked",
            b"Chunked",
            b"gzip",
            b"a b",
            b" a",
            b"a ",
            b"a  b",
            b"",
            b"a\tb",
            b"\xe9",
            b"\x00",
            b"a\rb",
            b"a\nb",
            b"close",
            b"9" * 19,
            b"a\r\n b",
        ]
    ),
    st.binary(max_size=6),
)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])
LINES = st.tuples(NAMES, st.sampled_from([b": ", b": ", b":", b" :", b":\t"]), VALUES, ENDS).map(
    b"".join
)
STATUS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 429 Too  Many",
        b"HTTP/1.1 600 x",
        b"http/1.1 200 OK",
        b"HTTP/1.1 500 \xe9",
        b"HTTP/1.1  200 OK",
    ]
)
RESPONSES = st.tuples(
    STATUS,
    ENDS,
    st.lists(LINES, max_size=4).map(b"".join),
    ENDS,
    st.sampled_from([b"", b"rest", b"\r\n"]),
).map(b"".join)


@given(RESPONSES)
@example(PLAIN)
@example(PLAIN + b"5\r\nhello\r\n")
def test_a_plain_answer_is_what_h11_reads(data: bytes) -> None:
    found = plain_response(data, MAX_HEAD_BYTES)
    if found is not None:
        status, headers, end = found
        assert by_h11(data) == (status, headers, data[end:])
        assert plain_response(data, MAX_HEAD_BYTES) == found  # by its lines, seen before


@given(RESPONSES)
def test_the_reader_gives_what_h11_gives(data: bytes) -> None:
    expected = by_h11(data)
    reader = HeadReader("GET", "/", [(b"host", b"h")])
    try:
        head = reader.feed(data)
    except PeerProtocolError:
        assert isinstance(expected, str)
        return
    if head is None:
        assert expected is None
    else:
        assert (head.status, list(head.headers), reader.rest) == expected


def test_a_head_in_every_chunking() -> None:
    whole = HeadReader("GET", "/", [(b"host", b"h")]).feed(PLAIN)
    assert isinstance(whole, Head)
    for pieces in every_cut(PLAIN + b"rest"):
        reader = HeadReader("GET", "/", [(b"host", b"h")])
        head, rest = None, b""
        for piece in filter(None, pieces):
            if head is not None:
                rest += piece
            elif (head := reader.feed(piece)) is not None:
                rest = reader.rest
        assert head is not None
        assert (head.status, list(head.headers), rest) == (200, list(whole.headers), b"rest")


@pytest.mark.parametrize("data", [PLAIN, PLAIN + b"x", b"HTTP/1.1 503 \r\ndate: x\r\n\r\n"])
def test_usual_answers_are_plain(data: bytes) -> None:
    assert plain_response(data, MAX_HEAD_BYTES) is not None


def test_lines_that_are_remembered_are_bounded() -> None:
    for number in range(MAX_KNOWN_LINES + 2):
        line = b"x-id: %d" % number
        assert plain_response(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % line, MAX_HEAD_BYTES) is not None
        assert len(plain._known_lines) <= MAX_KNOWN_LINES
    long = b"x: " + b"y" * MAX_KNOWN_LINE_BYTES + b"\r\n"
    assert plain_response(b"HTTP/1.1 200 OK\r\n%b\r\n" % long, MAX_HEAD_BYTES) is not None
    assert long not in plain._known_lines
    assert b"x-id: %d\r\n" % number in plain._known_lines


def test_a_head_over_the_limit_is_not_plain() -> None:
    assert plain_response(PLAIN, len(PLAIN) - 1) is None
    assert plain_response(PLAIN, len(PLAIN)) is not None


# -- requests ------------------------------------------------------------------------------------------


def sent_by_h11(method: bytes, target: bytes, headers: list[RawHeader]) -> bytes | None:
    try:
        request = h11.Request(method=method, target=target, headers=headers)
        return h11.Connection(h11.CLIENT).send(request)
    except h11.LocalProtocolError:
        return None


FIELDS = st.tuples(
    st.one_of(NAMES, st.sampled_from([b"host", b"expect"]), st.binary(max_size=3)), VALUES
)


@given(
    st.sampled_from([b"POST", b"GET", b"post", b"", b"A B"]),
    st.sampled_from([b"/", b"/a?b=c", b"*", b"/a b", b"/\xe9", b"", b"/\r\nx: y", b"http://h/"]),
    st.lists(FIELDS, max_size=4),
)
@example(b"POST", b"/", [(b"x", b"y\r\nz: w")])
@example(b"POST", b"/", [(b"x", b"y"), (b"Host", b"h")])
@example(b"POST", b"/", [(b"content-length", b"5"), (b"content-length", b"6")])
def test_a_plain_request_is_what_h11_writes(
    method: bytes, target: bytes, fields: list[RawHeader]
) -> None:
    headers = [(b"host", b"example.com"), *fields]
    sent = plain_request(method, target, headers)
    if sent is not None:
        assert sent == sent_by_h11(method, target, headers)


def test_the_usual_request_is_plain() -> None:
    headers = [
        (b"host", b"q.us-east-1.amazonaws.com"),
        (b"authorization", b"Bearer aoaAAAA/+=:x"),
        (b"user-agent", b"aws-sdk-js/1.0 ua/2.1 os/linux md/nodejs#20"),
        (b"amz-sdk-request", b"attempt=1; max=6"),
        (b"content-length", b"120"),
    ]
    assert plain_request(b"POST", b"/generate", headers) == sent_by_h11(
        b"POST", b"/generate", headers
    )


def test_look_up_is_the_first_of_equal_names() -> None:
    headers = Headers.lowered([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")])
    assert (headers.get("A"), headers.get_all("a"), headers.get("c")) == ("1", ["1", "3"], None)
