"""Heads in their plain form, without h11: one regular expression each way. No I/O.

h11 takes about 50 µs for a head in either direction, five times as long as this. Nearly every head is
plain: a small part of the grammar, without empty or non-ASCII values, folding or odd
white space, and with at most one framing header. What is plain cannot mean anything else to h11; a
test holds the two against each other over heads of every kind (tests/upstream/test_plain.py). What is
not plain, right or wrong, is None here and h11's to judge.

The expressions are linear: what follows a repeated class is never part of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Final

from kiroproxy.http.messages import RawHeader

_FIELD: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\x21-\x7e]+(?: [\x21-\x7e]+)*\r\n"
# Lines that say neither where a request goes nor where it ends.
_OTHERS: Final = rb"(?:(?!(?i:host|content-length|transfer-encoding):)" + _FIELD + rb")*"
_START: Final = re.compile(rb"[A-Z]+ [\x21-\x7e]+ HTTP/1\.1\r\nhost: [\x21-\x7e]+\r\n" + _OTHERS)
_END: Final = re.compile(_OTHERS + rb"(?:content-length: [0-9]{1,18}\r\n)?")
_RESPONSE: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) (?:[\x21-\x7e]+(?: [\x21-\x7e]+)*)?\r\n((?:"
    + _FIELD
    + rb")*)\r\n"
)

#: The last of our headers are those that no two requests have in common: two ids and the length.
_CHANGING: Final = 3
MAX_KNOWN_STARTS: Final = 256


def plain_request(method: bytes, target: bytes, headers: list[RawHeader]) -> bytes | None:
    """The head's bytes; None when it is not plain. ``host`` comes first in ``headers``, and a length
    last."""
    start = _known_start(method, target, tuple(headers[:-_CHANGING]))
    end = _lines(headers[-_CHANGING:])
    if start is None or end is None or _END.fullmatch(end) is None:
        return None
    return b"%b%b\r\n" % (start, end)


def _start(method: bytes, target: bytes, headers: tuple[RawHeader, ...]) -> bytes | None:
    lines = _lines(headers)
    start = b"%b %b HTTP/1.1\r\n%b" % (method, target, lines or b"")
    return start if lines and _START.fullmatch(start) else None


_known_start = functools.lru_cache(maxsize=MAX_KNOWN_STARTS)(_start)
"""An account's requests are the same but for the last lines until its token is renewed."""


def _lines(headers: Sequence[RawHeader]) -> bytes | None:
    """As many lines as headers; None when one of them breaks out of its own."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return lines if lines.count(b"\n") == len(headers) else None


def plain_response(data: bytes, max_bytes: int) -> tuple[int, list[RawHeader], int] | None:
    """Status, headers with lower-case names, and where the body begins; None when the head is not
    plain or not whole. Heads of 1xx are not plain."""
    match = _RESPONSE.match(data, 0, max_bytes)
    if match is None:
        return None
    end = match.end()
    headers: list[RawHeader] = []
    framings = 0
    for line in match[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        name = name.lower()
        if name == b"content-length":
            framings += 1
            if not value.isdigit() or len(value) > 18:
                return None
        elif name == b"transfer-encoding":
            framings += 1
            if value != b"chunked":
                return None
        headers.append((name, value))
    return (int(match[1]), headers, end) if framings <= 1 else None
