"""Event streams: bytes → frames → headers → the service's events, whole and in pieces.

The first byte chooses between bytes as they are and frames with right checksums around what follows,
since no fuzzer finds a CRC-32 by itself.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from fuzz.samples import EVENTS
from fuzz.source import Source, as_json, pieces
from kiroproxy.errors import EventStreamError, HeaderError, UpstreamError
from kiroproxy.eventstream import FrameDecoder, parse_headers
from kiroproxy.kiro.events import FAULT, EventParser

_Read = tuple[list[tuple[bytes, bytes]], type | None]


def target(data: bytes) -> None:
    source = Source(data)
    kind = source.byte()
    cuts = Source(source.block())
    stream = source.rest() if kind & 1 else b"".join(_frames(source))
    whole = _read([stream])
    assert _read(pieces(stream, cuts)) == whole
    for block, payload in whole[0]:
        try:
            headers = parse_headers(block)
        except HeaderError:
            continue
        assert all(headers)
        assert payload is not None
    _parse(whole[0])


def _frames(source: Source) -> Iterator[bytes]:
    while source.left:
        yield frame(source.block(), source.block())


def frame(block: bytes, payload: bytes) -> bytes:
    """A frame around a header block and a payload, made without the program's own encoder."""
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    head = lengths + struct.pack(">I", zlib.crc32(lengths)) + block + payload
    return head + struct.pack(">I", zlib.crc32(head))


def header(name: str, value: str) -> bytes:
    """One header of type string."""
    text = value.encode()
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(text)) + text


def _read(chunks: list[bytes]) -> _Read:
    """Frames, and the class of the fault; ``finish`` included."""
    decoder = FrameDecoder()
    found: list[tuple[bytes, bytes]] = []
    try:
        for chunk in chunks:
            found += [(block, bytes(payload)) for block, payload in decoder.feed(chunk)]
        decoder.finish()
    except EventStreamError as error:
        assert decoder.fault is error
        return found, type(error)
    return found, None


def _parse(frames: list[tuple[bytes, bytes]]) -> None:
    try:
        events = EventParser().parse([(block, memoryview(payload)) for block, payload in frames])
    except UpstreamError:
        return
    for place, event in enumerate(events):
        if event[0] == FAULT:
            assert isinstance(event[1], UpstreamError)
            assert place == len(events) - 1


def seeds() -> list[bytes]:
    blocks = [
        (header(":event-type", name) + header(":message-type", "event"), as_json(payload))
        for name, payload in EVENTS
    ]
    refusal = b'{"message":"slow","reason":null}'
    blocks += [
        (header(":exception-type", "ThrottlingException") + header(":message-type", "exception"),
         refusal),
        (header(":message-type", "error") + header(":error-code", "InternalError"), b""),
        (b"\x01t\x00\x01f\x01\x01b\x02\x80\x01s\x03\x80\x00\x01i\x04\x80\x00\x00\x00", b"x"),
        (b"\x01l\x05" + bytes(8) + b"\x01y\x06\x00\x02ab\x01d\x08" + bytes(8) + b"\x01u\x09" + bytes(16),
         b""),
    ]  # fmt: skip
    built = [bytes([len(b)]) + b + bytes([len(p)]) + p for b, p in blocks]
    streams = [frame(b, p) for b, p in blocks]
    return [
        *(b"\x00\x02\x05\x01" + item for item in built),
        *(b"\x01\x02\x07\x0d" + item for item in streams),
        b"\x00\x00" + b"".join(built[:4]),
        b"\x01\x00" + b"".join(streams[:4]),
        b"\x01\x01\x03" + streams[0][:-1] + b"\x00",
    ]
