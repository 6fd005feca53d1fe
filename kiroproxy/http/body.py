"""Request bodies: collecting them, with or without chunks (RFC 9112 §6, §7.1). No I/O.

A body reader's ``feed`` takes the bytes of one read and returns None while the body goes on, or the
bytes that stand behind its end. ``take`` then hands over the whole body. Bodies do not go through
h11: it copies every byte four times where once or twice will do (bench/test_bench_http.py has both).
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from kiroproxy.errors import Kind, RequestError

#: Reads smaller than this are gathered in a bytearray, so that a body that comes byte by byte does
#: not become millions of objects. Larger ones are kept as they are: one copy in all, at the end.
SMALL_READ_BYTES: Final = 16 * 1024
MAX_CHUNK_LINE_BYTES: Final = 256
"""A chunk's size line; extensions are read over. Ours: nobody is known to send any."""
MAX_TRAILER_BYTES: Final = 8 * 1024
"""Trailer fields are read over, and so are chunk extensions; both together. Ours."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\x00\r\n]*)?")
_TRAILER_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00\r\n]*")


class BodyReader(Protocol):
    """The two framings look alike to the connection."""

    keeps: bool
    """False: the bytes are dropped, ``take`` gives none."""

    def feed(self, data: bytes) -> bytes | None:
        """None: more to come. Else the bytes behind the end. Raises RequestError."""

    def take(self) -> bytes:
        """The whole body; once, after its end."""


class _Pieces:
    """Pieces of a body, joined once."""

    __slots__ = ("_pieces", "_small")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray] = []
        self._small: bytearray | None = None

    def add(self, data: bytes) -> None:
        if len(data) >= SMALL_READ_BYTES:
            self._pieces.append(data)
            self._small = None
            return
        if self._small is None:
            self._small = bytearray()
            self._pieces.append(self._small)
        self._small += data

    def take(self) -> bytes:
        pieces, self._pieces, self._small = self._pieces, [], None
        return b"".join(pieces)


class _Dropped(_Pieces):
    """A body that nobody wants."""

    __slots__ = ()

    def add(self, data: bytes) -> None:
        pass


class SizedBody:
    """``Content-Length``: counts down."""

    __slots__ = ("_missing", "_pieces", "keeps")

    def __init__(self, length: int, *, keeps: bool = True) -> None:
        self._missing = length
        self._pieces = _Pieces() if keeps else _Dropped()
        self.keeps = keeps

    def feed(self, data: bytes) -> bytes | None:
        missing = self._missing - len(data)
        if missing > 0:
            self._missing = missing
            self._pieces.add(data)
            return None
        end = self._missing
        self._missing = 0
        self._pieces.add(data if missing == 0 else data[:end])
        return data[end:]

    def take(self) -> bytes:
        return self._pieces.take()


class ChunkedBody:
    """``Transfer-Encoding: chunked``, read strictly: lines end in CRLF, sizes are bare hex digits.

    ``SIZE -> DATA -> DATA_END -> SIZE …``; a size of zero leads to the trailer and its empty line.
    ``_step`` holds the bound method of the present state. Each takes the unread bytes and returns
    the position behind what it used, or -1 when it needs more.
    """

    __slots__ = (
        "_extra_bytes",
        "_left",
        "_max_bytes",
        "_missing",
        "_pieces",
        "_step",
        "_total",
        "keeps",
    )

    def __init__(self, max_bytes: int, *, keeps: bool = True) -> None:
        """Raises RequestError (TOO_LARGE) from ``feed`` once the body is over ``max_bytes``."""
        self._max_bytes = max_bytes
        self._missing = 0  # of the present chunk
        self._total = 0
        self._extra_bytes = 0  # of extensions and trailer fields
        self._left = b""  # an unfinished line of an earlier read
        self._pieces = _Pieces() if keeps else _Dropped()
        self.keeps = keeps
        self._step: ChunkStep | None = _read_size

    def feed(self, data: bytes) -> bytes | None:
        if self._left:
            data = self._left + data
            self._left = b""
        at = 0
        while self._step is not None:
            next_at = self._step(self, data, at)
            if next_at < 0:
                self._left = data[at:]
                return None
            at = next_at
        return data[at:]

    def take(self) -> bytes:
        return self._pieces.take()


class ChunkStep(Protocol):
    """One state of ChunkedBody."""

    def __call__(self, body: ChunkedBody, data: bytes, at: int, /) -> int:
        """The position behind what was used, -1 when more bytes are needed."""


def _line_end(data: bytes, at: int, limit: int) -> int:
    """Position of the CRLF that ends the line at ``at``; -1 when it has not come yet."""
    end = data.find(b"\r\n", at)
    if (end if end >= 0 else len(data)) - at > limit:
        raise RequestError(f"the chunked body has a line of more than {limit} bytes")
    return end


def _read_size(body: ChunkedBody, data: bytes, at: int) -> int:
    end = _line_end(data, at, MAX_CHUNK_LINE_BYTES)
    if end < 0:
        return -1
    match = _CHUNK_LINE.fullmatch(data, at, end)
    if match is None:
        raise RequestError("the chunked body is malformed: expected a chunk size in hex digits")
    size = int(match[1], 16)
    body._extra_bytes += end - at - len(match[1])
    if body._extra_bytes > MAX_TRAILER_BYTES:
        raise RequestError(f"the chunked body has over {MAX_TRAILER_BYTES} bytes of extensions")
    body._missing = size
    body._total += size
    if body._total > body._max_bytes:
        raise too_large(body._max_bytes)
    body._step = _read_data if size else _read_trailer
    return end + 2


def _read_data(body: ChunkedBody, data: bytes, at: int) -> int:
    piece = data[at : at + body._missing]
    if not piece:
        return -1
    body._pieces.add(piece)
    body._missing -= len(piece)
    if not body._missing:
        body._step = _read_data_end
    return at + len(piece)


def _read_data_end(body: ChunkedBody, data: bytes, at: int) -> int:
    end = data[at : at + 2]
    if end == b"\r\n":
        body._step = _read_size
        return at + 2
    if end in (b"", b"\r"):
        return -1
    raise RequestError("the chunked body is malformed: a chunk is longer than its size says")


def _read_trailer(body: ChunkedBody, data: bytes, at: int) -> int:
    end = _line_end(data, at, MAX_TRAILER_BYTES - body._extra_bytes)
    if end < 0:
        return -1
    if end == at:
        body._step = None
    elif _TRAILER_FIELD.fullmatch(data, at, end) is None:
        raise RequestError("the chunked body has a malformed trailer")
    body._extra_bytes += end + 2 - at
    return end + 2


def too_large(limit_bytes: int) -> RequestError:
    """The refusal of a body over the limit."""
    return RequestError(f"the request body is larger than {limit_bytes} bytes", kind=Kind.TOO_LARGE)
