"""A frame's header block as a dictionary. Off the hot path: blocks repeat, and readers cache them."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final
from uuid import UUID

from kiroproxy.errors import HeaderError
from kiroproxy.eventstream.wire import (
    INTEGERS,
    MAX_HEADER_VALUE_BYTES,
    UUID_BYTES,
    VALUE_LENGTH,
    HeaderType,
    HeaderValue,
)

#: Block and offset in, value and the offset behind it out.
_Reader = Callable[[bytes, int], tuple[HeaderValue, int]]


def parse_headers(block: bytes | memoryview) -> dict[str, HeaderValue]:
    """Names and values of one block.

    Values: bool, ``wire.Int8`` to ``Int64`` and ``Timestamp`` (all ints), bytes, str, UUID. Raises
    HeaderError for a block that does not parse to its last byte, for an empty name and for a name that
    comes twice (the specification forbids both).
    """
    data = bytes(block)
    headers: dict[str, HeaderValue] = {}
    at = 0
    while at < len(data):
        name, at = _read_name(data, at)
        if name in headers:
            raise HeaderError(f"Header {name!r} comes twice in one frame.")
        type_, at = _take(data, at, 1)
        reader = _READERS.get(type_[0])
        if reader is None:
            raise HeaderError(f"Header {name!r} has the unknown value type {type_[0]}.")
        headers[name], at = reader(data, at)
    return headers


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    name, stop = _take(data, at + 1, data[at])
    if not name:
        raise HeaderError(f"The header at byte {at} of its block has an empty name.")
    return _decode(name), stop


def _take(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    """``size`` bytes from ``at``, all of them or HeaderError."""
    stop = at + size
    if stop > len(data):
        raise HeaderError(
            f"A header runs over the end of its block: {size} bytes wanted at byte {at} of {len(data)}."
        )
    return data[at:stop], stop


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise HeaderError("A header holds text that is not UTF-8.") from None


def _read_true(_data: bytes, at: int) -> tuple[bool, int]:
    return True, at


def _read_false(_data: bytes, at: int) -> tuple[bool, int]:
    return False, at


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    prefix, at = _take(data, at, VALUE_LENGTH.size)
    (size,) = VALUE_LENGTH.unpack(prefix)
    if size > MAX_HEADER_VALUE_BYTES:
        raise HeaderError(
            f"A header value of {size} bytes is over the limit of {MAX_HEADER_VALUE_BYTES}."
        )
    return _take(data, at, size)


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    value, stop = _read_bytes(data, at)
    return _decode(value), stop


def _read_uuid(data: bytes, at: int) -> tuple[UUID, int]:
    value, stop = _take(data, at, UUID_BYTES)
    return UUID(bytes=value), stop


def _integer_reader(class_: type[int], layout: Struct) -> _Reader:
    def read(data: bytes, at: int) -> tuple[int, int]:
        value, stop = _take(data, at, layout.size)
        return class_(layout.unpack(value)[0]), stop

    return read


_READERS: Final[dict[int, _Reader]] = {
    HeaderType.TRUE: _read_true,
    HeaderType.FALSE: _read_false,
    HeaderType.BYTES: _read_bytes,
    HeaderType.STRING: _read_string,
    HeaderType.UUID: _read_uuid,
    **{type_: _integer_reader(class_, layout) for class_, type_, layout in INTEGERS},
}
