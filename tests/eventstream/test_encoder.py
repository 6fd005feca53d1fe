"""encode_frame: the vectors byte for byte, botocore reads what it writes, limits."""

from __future__ import annotations

from uuid import UUID

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.errors import FrameLengthError, HeaderError
from kiroproxy.eventstream import FrameDecoder, parse_headers
from kiroproxy.eventstream.encoder import encode_error, encode_event, encode_exception, encode_frame
from kiroproxy.eventstream.wire import (
    MAX_FRAME_BYTES,
    HeaderValue,
    Int8,
    Int16,
    Int32,
    Int64,
    Timestamp,
)
from tests.eventstream.vectors import ERROR, EXCEPTION, POSITIVE, TEXT, TOOL_USE


@pytest.mark.parametrize(("frame", "decoded"), POSITIVE.values(), ids=POSITIVE.keys())
def test_vector(frame: bytes, decoded: tuple[dict[str, HeaderValue], bytes]) -> None:
    assert encode_frame(*decoded) == frame


def test_helpers_write_the_services_own_header_order() -> None:
    assert encode_event("assistantResponseEvent", b'{"content":"Hi"}') == TEXT
    assert encode_event("toolUseEvent", POSITIVE["tool use"][1][1]) == TOOL_USE
    assert encode_exception("ThrottlingException", POSITIVE["exception"][1][1]) == EXCEPTION
    assert encode_error("InternalError", "boom") == ERROR


def _numbers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


_VALUES: st.SearchStrategy[HeaderValue] = st.one_of(
    st.booleans(),
    _numbers(8).map(Int8),
    _numbers(16).map(Int16),
    _numbers(32).map(Int32),
    _numbers(64).map(Int64),
    _numbers(64).map(Timestamp),
    st.binary(max_size=200),
    st.text(max_size=200),
    st.uuids(),
)
_HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=60).filter(lambda name: len(name.encode()) <= 255),
    _VALUES,
    max_size=8,
)


@given(_HEADERS, st.binary(max_size=500))
@settings(max_examples=150, deadline=None)
def test_round_trip(headers: dict[str, HeaderValue], payload: bytes) -> None:
    decoder = FrameDecoder()
    (frame,) = decoder.feed(encode_frame(headers, payload))
    decoder.finish()
    back = parse_headers(frame[0])
    assert list(back.items()) == list(headers.items())
    assert [type(value) for value in back.values()] == [type(value) for value in headers.values()]
    assert bytes(frame[1]) == payload


@given(st.lists(st.tuples(_HEADERS, st.binary(max_size=200)), max_size=5))
@settings(max_examples=100, deadline=None)
def test_botocore_reads_what_we_write(frames: list[tuple[dict[str, HeaderValue], bytes]]) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(encode_frame(*frame) for frame in frames))
    read = [(message.headers, message.payload) for message in buffer]
    expected = [
        (
            {
                name: value.bytes if isinstance(value, UUID) else value
                for name, value in headers.items()
            },
            payload,
        )
        for headers, payload in frames
    ]
    assert read == expected


BAD_HEADERS: dict[str, tuple[dict[str, HeaderValue], str]] = {
    "empty name": ({"": 1}, "1 to 255 bytes, this one 0"),
    "long name": ({"n" * 256: 1}, "1 to 255 bytes, this one 256"),
    "long name in bytes": ({"ä" * 128: 1}, "1 to 255 bytes, this one 256"),
    "long string": ({"a": "v" * 32_768}, "at most 32767 bytes"),
    "long bytes": ({"a": bytes(32_768)}, "at most 32767 bytes"),
    "int8 too big": ({"a": Int8(128)}, "128 does not fit into 1 bytes"),
    "int too big": ({"a": 2**63}, "does not fit into 8 bytes"),
    "half a surrogate pair": ({"a": "\ud83d"}, "surrogate"),
}


@pytest.mark.parametrize(("headers", "message"), BAD_HEADERS.values(), ids=BAD_HEADERS.keys())
def test_header_that_cannot_travel(headers: dict[str, HeaderValue], message: str) -> None:
    with pytest.raises(HeaderError, match=message):
        encode_frame(headers, b"")


def test_plain_int_travels_in_eight_bytes() -> None:
    assert encode_frame({"a": 5}, b"") == encode_frame({"a": Int64(5)}, b"")


def test_frame_over_the_limit() -> None:
    with pytest.raises(FrameLengthError, match=str(MAX_FRAME_BYTES)):
        encode_frame({}, bytes(MAX_FRAME_BYTES - 15))


def test_header_block_over_the_limit() -> None:
    headers: dict[str, HeaderValue] = {f"h{number}": "v" * 32_767 for number in range(5)}
    with pytest.raises(FrameLengthError):
        encode_frame(headers, b"")
