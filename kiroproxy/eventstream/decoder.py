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

#: Verified heads kept, for all streams together, as every stream has the same. A head differs with the
#: event's type and its payload's length, so a few hundred catch nearly all; an entry takes 500 bytes.
MAX_KNOWN_HEADS: Final = 2_048
MAX_KNOWN_HEAD_BYTES: Final = 1_024

#: Of an event with a piece of text: most answers begin with one. Only the first guess of what to look for.
TEXT_HEAD_BYTES: Final = 104

_unpack_checksum = CHECKSUM.unpack_from
_unpack_prelude = PRELUDE.unpack_from

#: Of a frame: its length, offset of the payload, header block, checksum over all before the payload.
_Head = tuple[int, int, bytes, int]

#: By prelude and header block: what a head means depends on its bytes alone.
_known_heads: Final[dict[bytes, _Head]] = {}


class FrameDecoder:
    """An incremental decoder for one stream. Not for use by two tasks.

    ``fault``: what is wrong with the stream, or None.
    """

    __slots__ = ("_consumed", "_head_bytes", "_need", "_tail", "fault")

    def __init__(self) -> None:
        self.fault: EventStreamError | None = None
        self._tail = bytearray()  # the beginning of a frame whose end has not come
        self._need = PRELUDE_BYTES  # parsing again is pointless with fewer bytes in the tail
        self._head_bytes = TEXT_HEAD_BYTES  # of the latest frame, and probably of the next
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
            whole = data if type(data) is bytes else bytes(data)
            head = _known_heads.get(whole[: self._head_bytes])
            if head is not None and head[0] == len(whole):
                # A frame alone, as at a model's pace: nothing has to be put together for it.
                total, head_bytes, headers, checksum = head
                payload = memoryview(whole)[head_bytes:-CHECKSUM_BYTES]
                (expected,) = _unpack_checksum(whole, total - CHECKSUM_BYTES)
                if crc32(payload, checksum) == expected:
                    self._consumed += total
                    return [(headers, payload)]
        frames: list[Frame] = []
        try:
            self._split(whole, frames)
        except EventStreamError as fault:
            self.fault = fault.with_traceback(None)  # whose frames hold this decoder
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

        Three quarters of a small frame are prelude and headers, the same for every frame of one type
        and length. So what was once verified is found again by its very bytes, checksum included,
        and only the payload is summed up. Which bytes to look for is a guess: a head as long as the
        one before. The losing variants stand in bench/experiments/frame_splitting.py.
        """
        view = memoryview(data)
        known = _known_heads
        head_bytes = self._head_bytes
        at = 0
        end = len(data)
        need = PRELUDE_BYTES
        while end - at >= PRELUDE_BYTES:
            head = known.get(data[at : at + head_bytes])
            if head is None:  # the next guess is the length that it claims
                head_bytes = PRELUDE_BYTES + _unpack_prelude(data, at)[1]
                head = known.get(data[at : at + head_bytes]) or self._check_head(data, at)
            total, head_bytes, headers, checksum = head
            if end - at < total:
                need = total
                break
            stop = at + total
            payload = view[at + head_bytes : stop - CHECKSUM_BYTES]
            checksum = crc32(payload, checksum)
            if checksum != _unpack_checksum(data, stop - CHECKSUM_BYTES)[0]:
                raise self._message_fault(checksum, data, at, stop)
            frames.append((headers, payload))
            at = stop
        self._head_bytes = head_bytes
        self._consumed += at
        self._need = need
        if at < end:
            self._tail += view[at:]

    def _check_head(self, data: bytes, at: int) -> _Head:
        """A head that is not as long as the one before, or not seen before, or not whole yet.

        The prelude's checksum comes first, then its lengths, then anything that depends on them.
        """
        prelude = data[at : at + PRELUDE_BYTES]
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
        head_bytes = PRELUDE_BYTES + header_bytes
        if len(data) - at < total:
            return (total, head_bytes, b"", 0)  # its length is all that can be used
        return self._remember(data[at : at + head_bytes], total)

    def _remember(self, block: bytes, total: int) -> _Head:
        """The entry of a whole head; ``block`` is its prelude and headers."""
        head = _known_heads.get(block)
        if head is None:
            head = (total, len(block), block[PRELUDE_BYTES:], crc32(block))
            if len(block) <= MAX_KNOWN_HEAD_BYTES:
                if len(_known_heads) >= MAX_KNOWN_HEADS:
                    _known_heads.clear()
                _known_heads[block] = head
        return head

    def _message_fault(self, found: int, data: bytes, at: int, stop: int) -> MessageChecksumError:
        (expected,) = _unpack_checksum(data, stop - CHECKSUM_BYTES)
        return MessageChecksumError(
            f"Event stream corrupt in the frame at byte {self._consumed + at}: message checksum "
            f"0x{expected:08x} expected, 0x{found:08x} computed."
        )
