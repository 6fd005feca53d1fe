"""Heads in their plain form, without h11: regular expressions, and bytes seen before. No I/O.

h11 takes about 50 µs for a head in either direction, five times as long as this. Nearly every head is
plain: a small part of the grammar, without empty or non-ASCII values, folding or odd
white space, and with at most one framing header. What is plain cannot mean anything else to h11; a
test holds the two against each other over heads of every kind (tests/upstream/test_plain.py). What is
not plain, right or wrong, is None here and h11's to judge.

The expressions are linear: what follows a repeated class is never part of it, or it gives nothing back.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from kiroproxy.http.messages import RawHeader

_FIELD: Final = rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x21-\x7e][\x20-\x7e]*+(?<! ))\r\n"
# Lines that say neither where a request goes nor where it ends.
_OTHER: Final = rb"(?!(?i:host|content-length|transfer-encoding):)" + _FIELD
_START: Final = re.compile(
    rb"[A-Z]+ [\x21-\x7e]+ HTTP/1\.1\r\nhost: [\x21-\x7e]+\r\n(?:" + _OTHER + rb")*"
)
_OTHER_LINE: Final = re.compile(_OTHER)
_STATUS: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) (?:[\x21-\x7e]+(?: [\x21-\x7e]+)*)?\r\n")
_LINE: Final = re.compile(_FIELD)

_FRAMINGS: Final = frozenset({b"content-length", b"transfer-encoding"})

#: Plain lines of answers, for all of them together: all but an id and the time stand in each.
_known_lines: Final[dict[bytes, RawHeader]] = {}
MAX_KNOWN_LINES: Final = 512
MAX_KNOWN_LINE_BYTES: Final = 256

#: The last of our headers are those that no two requests have in common: two ids and the length.
_CHANGING: Final = 3
MAX_KNOWN_STARTS: Final = 256


def plain_request(method: bytes, target: bytes, headers: list[RawHeader]) -> bytes | None:
    """The head's bytes; None when it is not plain. ``host`` comes first in ``headers``, and a length
    last."""
    start = _known_start(method, target, tuple(headers[:-_CHANGING]))
    if start is None:
        return None
    parts = [start]
    *others, last = headers[-_CHANGING:]
    if last[0] == b"content-length" and last[1].isdigit() and len(last[1]) <= 18:
        end = b"content-length: %b\r\n\r\n" % last[1]
    else:
        others.append(last)
        end = b"\r\n"
    for header in others:
        line = b"%b: %b\r\n" % header
        if _OTHER_LINE.fullmatch(line) is None:
            return None
        parts.append(line)
    parts.append(end)
    return b"".join(parts)


def _start(method: bytes, target: bytes, headers: tuple[RawHeader, ...]) -> bytes | None:
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers):  # one of them breaks out of its line
        return None
    start = b"%b %b HTTP/1.1\r\n%b" % (method, target, lines)
    return start if lines and _START.fullmatch(start) else None


_known_start = functools.lru_cache(maxsize=MAX_KNOWN_STARTS)(_start)
"""An account's requests are the same but for the last lines until its token is renewed."""


def plain_response(data: bytes, max_bytes: int) -> tuple[int, list[RawHeader], int] | None:
    """Status, headers with lower-case names, and where the body begins; None when the head is not
    plain or not whole. Heads of 1xx are not plain."""
    end = data.find(b"\r\n\r\n", 0, max_bytes)
    if end < 0:
        return None
    lines = data[: end + 2].splitlines(keepends=True)
    first = lines[0]
    status = (_known_status if len(first) <= MAX_KNOWN_LINE_BYTES else _status)(first)
    headers: list[RawHeader] = []
    known = _known_lines
    framings = 0
    for line in lines[1:]:
        header = known.get(line) or _read_line(line)
        if header is None:
            return None
        headers.append(header)
        if header[0] in _FRAMINGS:
            framings += 1
    return (status, headers, end + 4) if status and framings <= 1 else None


def _status(line: bytes) -> int:
    """0 when the line is not plain."""
    match = _STATUS.fullmatch(line)
    return 0 if match is None else int(match[1])


_known_status = functools.lru_cache(maxsize=64)(_status)


def _read_line(line: bytes) -> RawHeader | None:
    """A header with its name in lower case; None when it is not plain."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    name, value = match[1].lower(), match[2]
    if name == b"content-length" and (not value.isdigit() or len(value) > 18):
        return None
    if name == b"transfer-encoding" and value != b"chunked":
        return None
    if len(line) <= MAX_KNOWN_LINE_BYTES:
        if len(_known_lines) >= MAX_KNOWN_LINES:
            _known_lines.clear()
        _known_lines[line] = name, value
    return name, value
