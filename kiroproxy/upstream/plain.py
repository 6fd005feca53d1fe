"""Heads in their plain form, without h11: one regular expression each way. No I/O.

h11 takes about 50 µs for a head in either direction, five times as long as this. Nearly every head is
plain: a small part of the grammar, without empty or non-ASCII values, folding or odd
white space, and with at most one framing header. What is plain cannot mean anything else to h11; a
test holds the two against each other over heads of every kind (tests/upstream/test_plain.py). What is
not plain, right or wrong, is None here and h11's to judge.

The expressions are linear: what follows a repeated class is never part of it.
"""

from __future__ import annotations

import re
from typing import Final

from kiroproxy.http.messages import RawHeader

_FIELD: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\x21-\x7e]+(?: [\x21-\x7e]+)*\r\n"
_REQUEST: Final = re.compile(
    rb"[A-Z]+ [\x21-\x7e]+ HTTP/1\.1\r\nhost: [\x21-\x7e]+\r\n(?:" + _FIELD + rb")*\r\n"
)
_RESPONSE: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) (?:[\x21-\x7e]+(?: [\x21-\x7e]+)*)?\r\n((?:"
    + _FIELD
    + rb")*)\r\n"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: [0-9]{1,18}\r\n")


def plain_request(method: bytes, target: bytes, headers: list[RawHeader]) -> bytes | None:
    """The head's bytes; None when it is not plain. ``host`` comes first in ``headers``."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join(lines))
    # As many lines as headers: none of them has broken out of its own.
    if _REQUEST.fullmatch(head) is None or head.count(b"\n") != len(lines) + 2:
        return None
    lower = head.lower()
    if lower.count(b"\r\nhost:") != 1 or b"\r\ntransfer-encoding:" in lower:
        return None
    if b"\r\ncontent-length:" in lower and not _has_one_length(lower):
        return None
    return head


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


def _has_one_length(lower: bytes) -> bool:
    return lower.count(b"\r\ncontent-length:") == 1 and _LENGTH.search(lower) is not None
