"""Values in, frames out: for the simulator, tests and benchmarks. The proxy itself only decodes."""

from __future__ import annotations

from collections.abc import Mapping
from struct import error as StructError
from uuid import UUID
from zlib import crc32

from kiroproxy.errors import FrameLengthError, HeaderError
from kiroproxy.eventstream.wire import (
    CHECKSUM,
    INTEGERS,
    MAX_FRAME_BYTES,
    MAX_HEADER_NAME_BYTES,
    MAX_HEADER_VALUE_BYTES,
    MAX_HEADERS_BYTES,
    OVERHEAD_BYTES,
    PRELUDE,
    VALUE_LENGTH,
    HeaderType,
    HeaderValue,
    Int64,
)

_LAYOUT_BY_CLASS = {class_: (type_, layout) for class_, type_, layout in INTEGERS}
_JSON = "application/json"


def encode_frame(headers: Mapping[str, HeaderValue], payload: bytes) -> bytes:
    """One frame with ``headers`` in their order. Raises HeaderError or FrameLengthError."""
    block = b"".join(_encode_header(name, value) for name, value in headers.items())
    total = OVERHEAD_BYTES + len(block) + len(payload)
    if len(block) > MAX_HEADERS_BYTES or total > MAX_FRAME_BYTES:
        raise FrameLengthError(
            f"A frame of {total} bytes with {len(block)} bytes of headers is over the limits of "
            f"{MAX_FRAME_BYTES} and {MAX_HEADERS_BYTES}."
        )
    lengths = PRELUDE.pack(total, len(block), 0)[:8]
    body = b"".join((lengths, CHECKSUM.pack(crc32(lengths)), block, payload))
    return body + CHECKSUM.pack(crc32(body))


def encode_event(event_type: str, payload: bytes) -> bytes:
    """An event with a JSON payload, its headers in the order the service sends them."""
    return encode_frame(
        {":event-type": event_type, ":content-type": _JSON, ":message-type": "event"}, payload
    )


def encode_exception(name: str, payload: bytes) -> bytes:
    """A modelled error inside the stream, such as ThrottlingException."""
    return encode_frame(
        {":exception-type": name, ":content-type": _JSON, ":message-type": "exception"}, payload
    )


def encode_error(code: str, message: str) -> bytes:
    """An unmodelled error: everything stands in the headers."""
    return encode_frame(
        {":message-type": "error", ":error-code": code, ":error-message": message}, b""
    )


def _encode_header(name: str, value: HeaderValue) -> bytes:
    encoded = _utf8(name, name)
    if not 1 <= len(encoded) <= MAX_HEADER_NAME_BYTES:
        raise HeaderError(
            f"A header name takes 1 to {MAX_HEADER_NAME_BYTES} bytes, this one {len(encoded)}."
        )
    return bytes((len(encoded),)) + encoded + _encode_value(name, value)


def _encode_value(name: str, value: HeaderValue) -> bytes:
    if isinstance(value, bool):
        return bytes((HeaderType.TRUE if value else HeaderType.FALSE,))
    if isinstance(value, int):
        return _encode_integer(name, value)
    if isinstance(value, UUID):
        return bytes((HeaderType.UUID,)) + value.bytes
    if isinstance(value, str):
        return _encode_sized(name, HeaderType.STRING, _utf8(name, value))
    return _encode_sized(name, HeaderType.BYTES, value)


def _encode_integer(name: str, value: int) -> bytes:
    type_, layout = _LAYOUT_BY_CLASS.get(type(value), _LAYOUT_BY_CLASS[Int64])
    try:
        return bytes((type_,)) + layout.pack(value)
    except StructError:
        raise HeaderError(
            f"Header {name!r}: {value} does not fit into {layout.size} bytes."
        ) from None


def _encode_sized(name: str, type_: HeaderType, value: bytes) -> bytes:
    if len(value) > MAX_HEADER_VALUE_BYTES:
        raise HeaderError(
            f"Header {name!r}: a value takes at most {MAX_HEADER_VALUE_BYTES} bytes, "
            f"this one {len(value)}."
        )
    return bytes((type_,)) + VALUE_LENGTH.pack(len(value)) + value


def _utf8(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise HeaderError(f"Header {name!r} holds half a surrogate pair.") from None
