"""Answers as bytes: prebuilt status lines, a date that is formatted once a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

from kiroproxy.errors import InternalError
from kiroproxy.http.messages import RawHeader, Response

#: 529 is Anthropic's, and no standard's.
REASONS: Final[dict[int, str]] = {
    **{status.value: status.phrase for status in HTTPStatus},
    529: "Overloaded",
}
_STATUS_LINES: Final = {
    status: f"HTTP/1.1 {status} {reason}\r\n".encode("ascii") for status, reason in REASONS.items()
}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

#: Statuses whose answers never have a body (RFC 9110 §6.4.1).
BODILESS: Final = frozenset({204, 304})

#: Ours to say: framing, date and the request's id are not a handler's business.
_OURS: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"date",
        b"request-id",
        b"transfer-encoding",
        b"x-request-id",
    }
)


def json_response(status: int, body: bytes, headers: Iterable[RawHeader] = ()) -> Response:
    """A whole JSON answer."""
    return Response(status, body, [(b"content-type", b"application/json"), *headers])


class DateLine:
    """The ``date`` header line, formatted anew only when the second has changed."""

    __slots__ = ("_line", "_second", "_wall")

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._second = -1
        self._line = b""

    def current(self) -> bytes:
        """``b"date: …\\r\\n"`` of this second."""
        second = int(self._wall())
        if second != self._second:
            self._second = second
            self._line = b"date: %b\r\n" % _http_date(second)
        return self._line


_DAYS: Final = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def _http_date(second: int) -> bytes:
    """RFC 9110 §5.6.7, as ``email.utils.formatdate`` has it; that would bring half a megabyte along, and
    ``strftime`` the words of a locale."""
    at = time.gmtime(second)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        _DAYS[at.tm_wday], at.tm_mday, _MONTHS[at.tm_mon - 1], at.tm_year,
        at.tm_hour, at.tm_min, at.tm_sec,
    )  # fmt: skip


def _line(name: bytes, value: bytes) -> bytes:
    if name.lower() in _OURS:
        return b""
    line = b"%b: %b\r\n" % (name, value)
    if line.count(b"\n") != 1 or line.count(b"\r") != 1 or b"\0" in line:
        raise InternalError("a response header holds a line break or NUL")
    return line


MAX_KNOWN: Final = 256
MAX_KNOWN_BYTES: Final = 1024
"""Bounds of what is remembered; parts of it come from clients."""
_known_lines: Final[dict[tuple[int, tuple[RawHeader, ...]], bytes]] = {}


def _lines(status: int, headers: tuple[RawHeader, ...]) -> bytes:
    """Status line and header lines. Most answers have the same few, so they are found as a whole."""
    known = _known_lines.get((status, headers))
    if known is not None:
        return known
    first = _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status
    lines = first + b"".join(_line(name, value) for name, value in headers)
    if len(lines) <= MAX_KNOWN_BYTES:
        if len(_known_lines) >= MAX_KNOWN:
            _known_lines.clear()
        _known_lines[status, headers] = lines
    return lines


def encode_head(status: int, headers: Iterable[RawHeader], *prebuilt: bytes) -> bytes:
    """Status line, ``headers`` except those that are ours to say, then the ``prebuilt`` lines as
    they are.

    Raises InternalError when a header would break out of its line; its value is not shown, for it
    may be a secret.
    """
    return b"".join((_lines(status, tuple(headers)), *prebuilt, b"\r\n"))
