"""Heads on the way out."""

from email.utils import formatdate

import pytest

from kiroproxy.errors import InternalError
from kiroproxy.http.responses import (
    MAX_KNOWN,
    MAX_KNOWN_BYTES,
    DateLine,
    encode_head,
    json_response,
)


def test_head_has_status_headers_and_prebuilt_lines() -> None:
    head = encode_head(200, [(b"x-a", b"1"), (b"X-B", b"2")], b"x-c: 3\r\n", b"")
    assert head == b"HTTP/1.1 200 OK\r\nx-a: 1\r\nX-B: 2\r\nx-c: 3\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "line"),
    [(529, b"HTTP/1.1 529 Overloaded"), (404, b"HTTP/1.1 404 Not Found"), (599, b"HTTP/1.1 599 ")],
)
def test_status_lines(status: int, line: bytes) -> None:
    assert encode_head(status, []).startswith(line)


@pytest.mark.parametrize(
    "name", [b"Content-Length", b"transfer-encoding", b"Connection", b"date", b"request-id"]
)
def test_headers_that_are_ours_to_say_are_dropped(name: bytes) -> None:
    assert encode_head(204, [(name, b"1")]) == b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b", b"a\r\n"])
def test_response_splitting_is_a_defect_and_shows_nothing(value: bytes) -> None:
    with pytest.raises(InternalError) as caught:
        encode_head(200, [(b"x", value)])
    assert caught.value.message == "a response header holds a line break or NUL"
    with pytest.raises(InternalError):
        encode_head(200, [(value, b"x")])


def test_heads_are_right_however_many_there_were() -> None:
    for _ in range(2):
        for number in range(MAX_KNOWN + 50):
            value = b"%d" % number + b"v" * (MAX_KNOWN_BYTES if number % 2 else 0)
            line = b"x: %b\r\n" % value
            assert encode_head(200, [(b"x", value)], b"") == b"HTTP/1.1 200 OK\r\n%b\r\n" % line
            assert encode_head(404, [(b"x", value)], b"").endswith(b" Not Found\r\n%b\r\n" % line)


def test_date_changes_with_the_second_only() -> None:
    now = [0.0]
    date = DateLine(lambda: now[0])
    first = date.current()
    assert first == b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    now[0] = 0.9
    assert date.current() is first
    now[0] = 1.0
    assert date.current() == b"date: Thu, 01 Jan 1970 00:00:01 GMT\r\n"


def test_json_response() -> None:
    response = json_response(201, b"{}", [(b"x-a", b"1")])
    assert (response.status, response.body) == (201, b"{}")
    assert response.headers == [(b"content-type", b"application/json"), (b"x-a", b"1")]


def test_date_is_the_standard_librarys() -> None:
    for second in [0, 951_782_399, 951_782_400, *range(1_700_000_000, 1_800_000_000, 2_345_677)]:
        line = DateLine(lambda second=second: float(second)).current()  # type: ignore[misc]
        assert line == b"date: %b\r\n" % formatdate(second, usegmt=True).encode()
