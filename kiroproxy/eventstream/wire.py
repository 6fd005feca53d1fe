"""The layout of ``application/vnd.amazon.eventstream``, its limits, and the types of header values.

::

    0        4         8          12               12+H                       T-4        T
    | T: u32 | H: u32  | CRC(0..8)| headers, H bytes| payload, T-H-16 bytes    | CRC(0..T-4) |

All integers are big-endian. Both checksums are CRC-32/ISO-HDLC (``zlib.crc32``) and start from 0; the
second runs over everything before it, the first checksum included. A header is
``name length u8 · name utf-8 · type u8 · value``.

Source: "Amazon event stream specification" in the Smithy documentation, and the agreement of
aws-c-event-stream, botocore and smithy-python wherever that text is silent.
"""

from __future__ import annotations

import enum
from struct import Struct
from typing import Final
from uuid import UUID

KIBIBYTE: Final = 1_024
MEBIBYTE: Final = 1_024 * KIBIBYTE

#: T, H and their checksum.
PRELUDE: Final = Struct(">III")
PRELUDE_BYTES: Final = PRELUDE.size
CHECKSUM: Final = Struct(">I")
CHECKSUM_BYTES: Final = CHECKSUM.size
#: What a frame without headers and payload measures; fixed by the wire.
OVERHEAD_BYTES: Final = PRELUDE_BYTES + CHECKSUM_BYTES

#: Our choice. smithy-python refuses messages above 16 MiB, botocore payloads above 24 MiB,
#: aws-c-event-stream messages above 24 MiB; frames seen from this service stay below 10 KB.
MAX_FRAME_BYTES: Final = 16 * MEBIBYTE
#: All three implementations, and the specification's text, agree on 128 KiB.
MAX_HEADERS_BYTES: Final = 128 * KIBIBYTE
#: The wire's: a length in one byte.
MAX_HEADER_NAME_BYTES: Final = 255
#: The specification's: the length field could hold twice as much.
MAX_HEADER_VALUE_BYTES: Final = 32_767


class HeaderType(enum.IntEnum):
    """The byte after a header's name."""

    TRUE = 0
    FALSE = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    BYTES = 6
    STRING = 7
    TIMESTAMP = 8
    UUID = 9


class Int8(int):
    """An int that travels as one byte."""


class Int16(int):
    """An int that travels as two bytes."""


class Int32(int):
    """An int that travels as four bytes."""


class Int64(int):
    """An int that travels as eight bytes; a plain int does too."""


class Timestamp(int):
    """Milliseconds since the epoch. Not a datetime, which cannot hold every value of the wire."""


HeaderValue = bool | int | bytes | str | UUID

#: Numbers of a fixed width: class, wire type, layout of the value.
INTEGERS: Final[tuple[tuple[type[int], HeaderType, Struct], ...]] = (
    (Int8, HeaderType.INT8, Struct(">b")),
    (Int16, HeaderType.INT16, Struct(">h")),
    (Int32, HeaderType.INT32, Struct(">i")),
    (Int64, HeaderType.INT64, Struct(">q")),
    (Timestamp, HeaderType.TIMESTAMP, Struct(">q")),
)
#: The length before a value of type BYTES or STRING.
VALUE_LENGTH: Final = Struct(">H")
UUID_BYTES: Final = 16

#: A header block and a payload. The block serves as a dictionary key: equal blocks of a stream are mostly
#: one object. The payload is a slice of the bytes that were fed, and keeps them alive.
Frame = tuple[bytes, memoryview]
