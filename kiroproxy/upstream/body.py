"""Readers for the three ways HTTP/1.1 delimits a body (RFC 9112 §6 and §7). No I/O, no clocks.

::

    CHUNKED          SIZE ──size line──▶ DATA ──last byte──▶ DATA_END ──CRLF──▶ SIZE
                       └──"0"──▶ TRAILER ──empty line──▶ DONE
                     anything else, anywhere ──▶ BROKEN, for good
    CONTENT-LENGTH   counts down to zero; zero is DONE from the start
    UNTIL CLOSE      never DONE by itself: the end of the connection is the end of the body

``feed`` takes the bytes of one socket read and returns the body bytes in it, joined to one object,
so whatever stands behind is called once per read and not once per chunk. Framing that breaks is told
in ``fault``, once all that stood before it has been returned: nothing is lost with the bytes that came
in the same read, and what comes out is the same however the bytes were split. A chunk costs about 0.7 µs
when a read holds many of them, a tenth of what ``h11.Connection.next_event`` needs in the same run
(bench/test_bench_body.py).

Stricter than RFC 9112 asks of a recipient: lines end in CRLF, never in a bare LF, and a chunk size
is bare hex digits. Two readings of one stream are how requests get smuggled, and the service sends
nothing else. Chunk extensions are skipped, trailer fields are checked and dropped.
"""

from __future__ import annotations

import enum
import re
from typing import Final, Protocol

from kiroproxy.errors import ConnectionLostError, PeerProtocolError

MAX_SIZE_LINE_BYTES: Final = 1024
"""A chunk's size line with its extensions. Ours: the RFC only says that there must be a limit."""

MAX_TRAILER_BYTES: Final = 16 * 1024
"""The whole trailer section. Ours; the same figure h11 uses for a head by default."""

_CRLF: Final = b"\r\n"
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*|;[^\x00-\x08\x0a-\x1f\x7f]*)")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00\r\n]*")


class BodyReader(Protocol):
    """What the connection asks of a reader."""

    done: bool
    """The message is complete."""
    rest: bytes
    """Once done: what came behind the message. Anything at all means that the peer is confused."""
    fault: PeerProtocolError | None
    """The framing is broken: never done, and no body behind it. Look after each ``feed``."""

    def feed(self, data: bytes) -> bytes:
        """The body bytes of one read, up to a fault; ``b""`` for none.

        ``data`` may be returned itself; it is never changed or kept.
        """

    def eof(self) -> None:
        """The connection ended. Raises ConnectionLostError unless that is this body's proper end, and
        the fault if there was one."""


def _parse_size(line: bytes) -> int:
    """The chunk size in a size line (its CRLF taken off)."""
    match = _SIZE_LINE.fullmatch(line)
    if match is None or len(line) > MAX_SIZE_LINE_BYTES:
        raise _malformed("expected a chunk size in hex digits")
    return int(match[1], 16)


class _KnownSizes(dict[bytes, int]):
    """Chunk sizes by their size lines, since sizes repeat: a look-up costs a fifth of the match. Bounded in
    entries here and in bytes per entry by MAX_SIZE_LINE_BYTES."""

    def __missing__(self, line: bytes) -> int:
        size = _parse_size(line)
        if len(self) >= _MAX_KNOWN_SIZES:
            self.clear()
        self[line] = size
        return size


_MAX_KNOWN_SIZES: Final = 4_096
_known_sizes: Final = _KnownSizes()


class _Part(enum.Enum):
    """Which part of a chunked body comes next."""

    SIZE = enum.auto()
    DATA = enum.auto()
    DATA_END = enum.auto()
    TRAILER = enum.auto()
    DONE = enum.auto()
    BROKEN = enum.auto()


_SIZE: Final = _Part.SIZE  # before Python 3.12 to name a member costs 0.15 µs


class ChunkedReader:
    """``Transfer-Encoding: chunked``.

    Only a cut size line, CRLF or trailer is carried over to the next read; payload never is.
    """

    __slots__ = ("_carry", "_left", "_part", "_trailer_bytes", "done", "fault", "rest")

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self.fault: PeerProtocolError | None = None
        self._part: _Part = _SIZE
        self._left = 0  # payload bytes of the current chunk still to come
        self._carry = b""
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        if self._carry:
            data = self._carry + data
            self._carry = b""
        elif self._part is _SIZE:
            # One whole chunk: at a model's pace nearly every read is that.
            line_end = data.find(_CRLF)
            if line_end > 0:
                try:
                    size = _known_sizes[data[:line_end]]
                except PeerProtocolError as error:
                    self._break(error)
                    return b""
                if size and line_end + size + 4 == len(data) and data[-2:] == _CRLF:
                    return data[line_end + 2 : -2]
        pieces: list[bytes] = []
        try:
            self._take(data, pieces)
        except PeerProtocolError as error:
            self._break(error)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _break(self, error: PeerProtocolError) -> None:
        self._part = _Part.BROKEN
        self.fault = error.with_traceback(None)  # whose frames would hold what was read

    def eof(self) -> None:
        if self.fault is not None:
            raise self.fault
        if not self.done:
            raise ConnectionLostError("the connection ended before the last chunk")

    def _take(self, data: bytes, pieces: list[bytes]) -> None:
        at = 0 if self._part is _SIZE else self._resume(data, pieces)
        if self._part is _SIZE:
            at = self._take_chunks(data, at, pieces)
        if self._part is _Part.TRAILER:
            at = self._take_trailer(data, at)
        if self.done:
            self.rest += data[at:]
        elif self._part is not _Part.BROKEN:
            self._carry = data[at:]

    def _take_chunks(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take whole chunks from ``at`` on, and the start of one that is cut.

        The hot loop: no state is stored and nothing is called for a chunk that is whole but the
        cached size look-up.
        """
        find, end, known = data.find, len(data), _known_sizes
        while at < end:
            line_end = find(_CRLF, at)
            if line_end < 0:
                self._check_pending(data, at)
                return at
            size = known[data[at:line_end]]
            at = line_end + 2
            if size == 0:
                if data.startswith(_CRLF, at):  # no trailer, as nearly always
                    self._part, self.done = _Part.DONE, True
                    return at + 2
                self._part = _Part.TRAILER
                return at
            stop = at + size
            if stop + 2 > end:
                self._left, self._part = size, _Part.DATA
                return self._resume(data, pieces, at)
            pieces.append(data[at:stop])
            if data[stop : stop + 2] != _CRLF:
                raise _malformed("expected CRLF behind a chunk")
            at = stop + 2
        return at

    def _resume(self, data: bytes, pieces: list[bytes], at: int = 0) -> int:
        """Go on inside a cut chunk: the rest of its payload, then its CRLF."""
        if self._part is _Part.DATA:
            piece = data[at : at + self._left]
            if piece:
                pieces.append(piece)
            at += len(piece)
            self._left -= len(piece)
            if self._left:
                return at
            self._part = _Part.DATA_END
        if self._part is _Part.DATA_END:
            found = data[at : at + 2]
            if found == _CRLF:
                self._part = _SIZE
                return at + 2
            if not _CRLF.startswith(found):
                raise _malformed("expected CRLF behind a chunk")
        return at

    def _take_trailer(self, data: bytes, at: int) -> int:
        """Take trailer lines up to the empty one."""
        while (line_end := data.find(_CRLF, at)) >= 0:
            line = data[at:line_end]
            self._count_trailer(line_end + 2 - at)
            at = line_end + 2
            if not line:
                self._part, self.done = _Part.DONE, True
                return at
            if _TRAILER_LINE.fullmatch(line) is None:
                raise _malformed("expected a trailer field behind the last chunk")
        if self._trailer_bytes + len(data) - at > MAX_TRAILER_BYTES:
            self._count_trailer(len(data) - at)
        return at

    def _count_trailer(self, size: int) -> None:
        self._trailer_bytes += size
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise _malformed(f"the trailer section is over {MAX_TRAILER_BYTES} bytes")

    @staticmethod
    def _check_pending(data: bytes, at: int) -> None:
        """Refuse a size line that cannot become right, instead of waiting for its end."""
        if data.find(b"\n", at) >= 0:
            raise _malformed("expected CRLF behind a chunk size, got a bare LF")
        if len(data) - at > MAX_SIZE_LINE_BYTES:
            raise _malformed(f"a chunk's size line is over {MAX_SIZE_LINE_BYTES} bytes")


def _malformed(detail: str) -> PeerProtocolError:
    """Nothing of what came is quoted: where framing is off, any byte may be part of a token."""
    return PeerProtocolError(f"the body of the service's answer is malformed: {detail}")


class ContentLengthReader:
    """``Content-Length: n``; also, with 0, every message that has no body."""

    __slots__ = ("_left", "_length", "done", "fault", "rest")

    def __init__(self, length: int) -> None:
        self._length = self._left = length
        self.done = length == 0
        self.rest = b""
        self.fault: PeerProtocolError | None = None  # too few or too many are no matter of framing

    def feed(self, data: bytes) -> bytes:
        body = data[
            : self._left
        ]  # the very same object unless the message ends in the middle of it
        self._left -= len(body)
        if self._left == 0:
            self.done = True
            self.rest += data[len(body) :]
        return body

    def eof(self) -> None:
        if not self.done:
            got = self._length - self._left
            raise ConnectionLostError(f"the connection ended after {got} of {self._length} bytes")


class UntilCloseReader:
    """No length anywhere: the body ends with the connection.

    HTTP cannot tell a whole body from a cut one here; whoever reads it has to.
    """

    __slots__ = ("done", "fault", "rest")

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self.fault: PeerProtocolError | None = None

    def feed(self, data: bytes) -> bytes:
        return data

    def eof(self) -> None:
        self.done = True


def choose_reader(
    method: str, status: int, transfer_encoding: str | None, content_length: str | None
) -> BodyReader:
    """The reader for a final response's body, by RFC 9112 §6.3; raises PeerProtocolError.

    Both values as they stand in the head; h11 has already refused contradicting lengths.
    """
    if method == "HEAD" or status in (204, 304):
        return ContentLengthReader(0)
    if transfer_encoding is not None:
        if transfer_encoding.strip().lower() != "chunked":
            raise _malformed(f"unknown Transfer-Encoding {transfer_encoding[:40]!r}")
        return ChunkedReader()
    if content_length is not None:
        if not content_length.isascii() or not content_length.isdigit():
            raise _malformed(f"Content-Length {content_length[:40]!r} is not a number")
        return ContentLengthReader(int(content_length))
    return UntilCloseReader()
