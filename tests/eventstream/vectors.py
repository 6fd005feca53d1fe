"""Frames byte by byte, written down independently of the encoder, and an encoder made of struct and
zlib alone to make more of them."""

from __future__ import annotations

import struct
import zlib
from uuid import UUID

from kiroproxy.eventstream.wire import HeaderValue, Int8, Int16, Int32, Int64, Timestamp

# fmt: off
SMALLEST = bytes.fromhex(
    "00000010"  # 16 bytes in all
    "00000000"  # no headers
    "05c248eb"  # checksum of the eight bytes above
    "7d98c8ff"  # checksum of the twelve bytes above
)
TEXT = bytes.fromhex(
    "0000007c" "0000005c" "3bddcf78"
    "0b" "3a6576656e742d74797065"          # :event-type
    "07" "0016" "617373697374616e74526573706f6e73654576656e74"  # assistantResponseEvent
    "0d" "3a636f6e74656e742d74797065"      # :content-type
    "07" "0010" "6170706c69636174696f6e2f6a736f6e"              # application/json
    "0d" "3a6d6573736167652d74797065"      # :message-type
    "07" "0005" "6576656e74"               # event
    "7b22636f6e74656e74223a224869227d"     # {"content":"Hi"}
    "b02babdc"
)
TOOL_USE = bytes.fromhex(
    "000000a5" "00000052" "5880ff57"
    "0b" "3a6576656e742d74797065"
    "07" "000c" "746f6f6c5573654576656e74"  # toolUseEvent
    "0d" "3a636f6e74656e742d74797065" "07" "0010" "6170706c69636174696f6e2f6a736f6e"
    "0d" "3a6d6573736167652d74797065" "07" "0005" "6576656e74"
    # {"name":"Read","toolUseId":"tooluse_1","input":"{\"p","stop":false}
    "7b226e616d65223a2252656164222c22746f6f6c5573654964223a22746f6f6c757365"
    "5f31222c22696e707574223a227b5c2270222c2273746f70223a66616c73657d"
    "9c6ec7a8"
)
EXCEPTION = bytes.fromhex(
    "00000091" "00000061" "b3f18007"
    "0f" "3a657863657074696f6e2d74797065"   # :exception-type
    "07" "0013" "5468726f74746c696e67457863657074696f6e"  # ThrottlingException
    "0d" "3a636f6e74656e742d74797065" "07" "0010" "6170706c69636174696f6e2f6a736f6e"
    "0d" "3a6d6573736167652d74797065" "07" "0009" "657863657074696f6e"
    "7b226d657373616765223a22736c6f77222c22726561736f6e223a6e756c6c7d"
    "f77c642d"
)
ERROR = bytes.fromhex(
    "00000058" "00000048" "154692c1"
    "0d" "3a6d6573736167652d74797065" "07" "0005" "6572726f72"
    "0b" "3a6572726f722d636f6465" "07" "000d" "496e7465726e616c4572726f72"
    "0e" "3a6572726f722d6d657373616765" "07" "0004" "626f6f6d"
    "961cb456"
)
ALL_TYPES = bytes.fromhex(
    "0000005e" "0000004d" "ea6c93ee"
    "0174" "00"                       # t: true
    "0166" "01"                       # f: false
    "0162" "02" "fe"                  # b: int8 -2
    "0173" "03" "012c"                # s: int16 300
    "0169" "04" "ffffffff"            # i: int32 -1
    "016c" "05" "0000010000000000"    # l: int64 2**40
    "0179" "06" "0002" "0102"         # y: bytes
    "017a" "07" "0002" "6869"         # z: "hi"
    "0164" "08" "0000018bcfe56800"    # d: 1700000000000 ms
    "0175" "09" "000102030405060708090a0b0c0d0e0f"  # u: uuid
    "78"                              # payload x
    "178bcada"
)
PLAIN_EVENT = bytes.fromhex(
    "00000028" "00000016" "60470efd"
    "0d" "3a6d6573736167652d74797065" "07" "0005" "6576656e74"
    "7b7d"
    "b7184afc"
)
# fmt: on
#: One changed payload byte in PLAIN_EVENT; the stored checksum stays.
PLAIN_EVENT_DAMAGED = PLAIN_EVENT[:34] + b"\x7a" + PLAIN_EVENT[35:]

JSON = "application/json"
Decoded = tuple[dict[str, HeaderValue], bytes]

POSITIVE: dict[str, tuple[bytes, Decoded]] = {
    "smallest": (SMALLEST, ({}, b"")),
    "text": (
        TEXT,
        (
            {
                ":event-type": "assistantResponseEvent",
                ":content-type": JSON,
                ":message-type": "event",
            },
            b'{"content":"Hi"}',
        ),
    ),
    "tool use": (
        TOOL_USE,
        (
            {":event-type": "toolUseEvent", ":content-type": JSON, ":message-type": "event"},
            b'{"name":"Read","toolUseId":"tooluse_1","input":"{\\"p","stop":false}',
        ),
    ),
    "exception": (
        EXCEPTION,
        (
            {
                ":exception-type": "ThrottlingException",
                ":content-type": JSON,
                ":message-type": "exception",
            },
            b'{"message":"slow","reason":null}',
        ),
    ),
    "error": (
        ERROR,
        (
            {":message-type": "error", ":error-code": "InternalError", ":error-message": "boom"},
            b"",
        ),
    ),
    "all header types": (
        ALL_TYPES,
        (
            {
                "t": True,
                "f": False,
                "b": Int8(-2),
                "s": Int16(300),
                "i": Int32(-1),
                "l": Int64(2**40),
                "y": b"\x01\x02",
                "z": "hi",
                "d": Timestamp(1_700_000_000_000),
                "u": UUID(bytes=bytes(range(16))),
            },
            b"x",
        ),
    ),
    "plain event": (PLAIN_EVENT, ({":message-type": "event"}, b"{}")),
}

STREAM = b"".join(frame for frame, _ in POSITIVE.values())
STREAM_DECODED = [decoded for _, decoded in POSITIVE.values()]


def raw_frame(
    block: bytes, payload: bytes, *, total: int | None = None, header_bytes: int | None = None
) -> bytes:
    """A frame with right checksums and, if asked for, wrong lengths."""
    lengths = struct.pack(
        ">II",
        16 + len(block) + len(payload) if total is None else total,
        len(block) if header_bytes is None else header_bytes,
    )
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + block + payload
    return body + struct.pack(">I", zlib.crc32(body))


def raw_string_header(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", 7, len(value)) + value
