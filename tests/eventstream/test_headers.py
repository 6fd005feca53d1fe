"""parse_headers: what the vectors do not reach."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.errors import HeaderError
from kiroproxy.eventstream import parse_headers
from kiroproxy.eventstream.wire import Int8, Timestamp
from tests.eventstream.vectors import ALL_TYPES, POSITIVE, raw_string_header

NEGATIVE = {
    "unknown type": (b"\x01a\x0a", "unknown value type 10"),
    "type missing": (b"\x01a", "runs over the end"),
    "name cut": (b"\x05abc", "runs over the end"),
    "empty name": (b"\x00\x00", "empty name"),
    "name not utf-8": (b"\x01\xff\x00", "not UTF-8"),
    "string not utf-8": (b"\x01a\x07\x00\x01\xff", "not UTF-8"),
    "string length cut": (b"\x01a\x07\x00", "runs over the end"),
    "string cut": (b"\x01a\x07\x00\x05abcd", "5 bytes wanted at byte 5 of 9"),
    "bytes cut": (b"\x01a\x06\x00\x02a", "runs over the end"),
    "value too long": (b"\x01a\x06\x80\x00" + bytes(32_768), "32768 bytes is over the limit"),
    "int8 cut": (b"\x01a\x02", "runs over the end"),
    "int16 cut": (b"\x01a\x03\x00", "runs over the end"),
    "int32 cut": (b"\x01a\x04\x00\x00\x00", "runs over the end"),
    "int64 cut": (b"\x01a\x05" + bytes(7), "runs over the end"),
    "timestamp cut": (b"\x01a\x08" + bytes(7), "runs over the end"),
    "uuid cut": (b"\x01a\x09" + bytes(15), "runs over the end"),
    "same name twice": (b"\x01a\x00\x01a\x01", "comes twice"),
}


@pytest.mark.parametrize(("block", "message"), NEGATIVE.values(), ids=NEGATIVE.keys())
def test_bad_block(block: bytes, message: str) -> None:
    with pytest.raises(HeaderError, match=message):
        parse_headers(block)


@pytest.mark.parametrize("view", [bytes, memoryview])
def test_values_keep_their_types(view: type) -> None:
    headers = parse_headers(view(ALL_TYPES[12:-5]))
    expected = POSITIVE["all header types"][1][0]
    assert headers == expected
    assert {name: type(value) for name, value in headers.items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_extreme_numbers() -> None:
    headers = parse_headers(b"\x01a\x02\x80" + b"\x01t\x08\x80" + bytes(7))
    assert headers == {"a": Int8(-128), "t": Timestamp(-(2**63))}


def test_longest_name_and_value() -> None:
    name, value = b"n" * 255, b"v" * 32_767
    assert parse_headers(raw_string_header(name, value)) == {name.decode(): value.decode()}


def test_every_prefix_of_a_block_is_refused_or_a_whole_header_list() -> None:
    block = ALL_TYPES[12:-5]
    whole = parse_headers(block)
    for at in range(len(block)):
        try:
            headers = parse_headers(block[:at])
        except HeaderError:
            continue
        assert headers == {name: whole[name] for name in headers}
        assert list(headers) == list(whole)[: len(headers)]


@given(st.binary(max_size=120))
@settings(max_examples=200, deadline=None)
def test_arbitrary_blocks_raise_header_error_only(block: bytes) -> None:
    try:
        headers = parse_headers(block)
    except HeaderError:
        return
    assert bool(headers) == bool(block)
