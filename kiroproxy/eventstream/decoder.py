"""Bytes in, whole frames out.

The decoder is READING until the first fault and FAILED from then on; a fault has no way back, because
behind a broken length there is no telling where the next frame starts. Nothing unverified leaves it:
no length counts before its own checksum and its limits hold, no payload is shown before the checksum
of its frame does.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from kiroproxy.errors import (
    EventStreamError,
    FrameLengthError,
    MessageChecksumError,
    PreludeChecksumError,
    TruncatedStreamError,
)
from kiroproxy.eventstream.wire import (
    CHECKSUM,
    CHECKSUM_BYTES,
    MAX_FRAME_BYTES,
    MAX_HEADERS_BYTES,
    OVERHEAD_BYTES,
    PRELUDE,
    PRELUDE_BYTES,
    Frame,
)

#: Verified preludes kept. Streams repeat lengths, so a few hundred catch nearly all; an entry takes
#: about 250 bytes.
MAX_KNOWN_PRELUDES: Final = 512

_unpack_checksum = CHECKSUM.unpack_from

#: Total length, offset of the payload, running checksum over the prelude's 12 bytes.
_Prelude = tuple[int, int, int]


class FrameDecoder:
    """An incremental decoder for one stream. Not for use by two tasks.

    ``fault``: what is wrong with the stream, or None.
    """

    __slots__ = ("_consumed", "_need", "_preludes", "_tail", "fault")

    def __init__(self) -> None:
        self.fault: EventStreamError | None = None
        self._tail = bytearray()  # the beginning of a frame whose end has not come
        self._need = PRELUDE_BYTES  # parsing again is pointless with fewer bytes in the tail
        self._preludes: dict[bytes, _Prelude] = {}
        self._consumed = 0  # bytes of all frames so far: the place of a fault

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame held back."""
        return len(self._tail)

    def feed(self, data: bytes | memoryview) -> list[Frame]:
        """All frames that ``data`` completes.

        ``bytes`` are not copied unless the beginning of a frame was carried over; the payloads
        returned are views into them. Frames in front of a fault are returned and ``fault`` is set; if
        there are none, the fault is raised here. Every later call raises it.
        """
        if self.fault is not None:
            raise self.fault
        if self._tail:
            self._tail += data
            if len(self._tail) < self._need:
                return []
            whole = bytes(self._tail)
            self._tail = bytearray()
        else:
            whole = bytes(data)  # no copy when it is bytes already
        frames: list[Frame] = []
        try:
            self._split(whole, frames)
        except EventStreamError as fault:
            self.fault = fault
            if not frames:
                raise
        return frames

    def finish(self) -> None:
        """The stream has ended. Raises the fault, or TruncatedStreamError inside a frame."""
        if self.fault is None and self._tail:
            self.fault = TruncatedStreamError(
                f"The event stream ended inside a frame: {len(self._tail)} bytes came of at least "
                f"{self._need}."
            )
        if self.fault is not None:
            raise self.fault

    def _split(self, data: bytes, frames: list[Frame]) -> None:
        """Append all whole frames of ``data``, keep the rest.

        Per frame: one dictionary look-up in place of unpacking and checking a prelude that was seen
        before, and checksums over the very slices that are handed out, so nothing is sliced twice.
        The losing variants stand in bench/experiments/frame_splitting.py.
        """
        view = memoryview(data)
        known = self._preludes
        at = 0
        end = len(data)
        need = PRELUDE_BYTES
        while end - at >= PRELUDE_BYTES:
            prelude = data[at : at + PRELUDE_BYTES]
            total, payload_at, checksum = known.get(prelude) or self._check_prelude(prelude, at)
            if end - at < total:
                need = total
                break
            stop = at + total
            headers = data[at + PRELUDE_BYTES : at + payload_at]
            payload = view[at + payload_at : stop - CHECKSUM_BYTES]
            checksum = crc32(payload, crc32(headers, checksum))
            if checksum != _unpack_checksum(data, stop - CHECKSUM_BYTES)[0]:
                raise self._message_fault(checksum, data, at, stop)
            frames.append((headers, payload))
            at = stop
        self._consumed += at
        self._need = need
        if at < end:
            self._tail += view[at:]

    def _check_prelude(self, prelude: bytes, at: int) -> _Prelude:
        """A prelude not seen before: its checksum first, then its lengths."""
        total, header_bytes, expected = PRELUDE.unpack(prelude)
        found = crc32(prelude[: PRELUDE_BYTES - CHECKSUM_BYTES])
        if found != expected:
            raise PreludeChecksumError(
                f"Event stream corrupt at byte {self._consumed + at}: prelude checksum "
                f"0x{expected:08x} expected, 0x{found:08x} computed."
            )
        if (
            not OVERHEAD_BYTES + header_bytes <= total <= MAX_FRAME_BYTES
            or header_bytes > MAX_HEADERS_BYTES
        ):
            raise FrameLengthError(
                f"Event stream frame at byte {self._consumed + at} claims {total} bytes with "
                f"{header_bytes} of headers; limits are {OVERHEAD_BYTES} to {MAX_FRAME_BYTES} "
                f"and {MAX_HEADERS_BYTES}."
            )
        checked = (total, PRELUDE_BYTES + header_bytes, crc32(prelude))
        if len(self._preludes) >= MAX_KNOWN_PRELUDES:
            self._preludes.clear()
        self._preludes[prelude] = checked
        return checked

    def _message_fault(self, found: int, data: bytes, at: int, stop: int) -> MessageChecksumError:
        (expected,) = _unpack_checksum(data, stop - CHECKSUM_BYTES)
        return MessageChecksumError(
            f"Event stream corrupt in the frame at byte {self._consumed + at}: message checksum "
            f"0x{expected:08x} expected, 0x{found:08x} computed."
        )
