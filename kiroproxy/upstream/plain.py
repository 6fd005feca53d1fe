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
from collections.abc import Iterable
from typing import Final, NamedTuple

from kiroproxy.http.messages import RawHeader

_FIELD: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\x21-\x7e]+(?: [\x21-\x7e]+)*\r\n"
_ASKING: Final = re.compile(rb"[A-Z]+ [\x21-\x7e]+ HTTP/1\.1\r\n")
_HOST: Final = re.compile(rb"host: [\x21-\x7e]+\r\n")
_FIELDS: Final = re.compile(rb"(?:" + _FIELD + rb")*")
_RESPONSE: Final = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) (?:[\x21-\x7e]+(?: [\x21-\x7e]+)*)?\r\n((?:"
    + _FIELD
    + rb")*)\r\n"
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: [0-9]{1,18}\r\n")


#: The last of our headers are those that no two requests have in common: two ids and the length.
_CHANGING: Final = 3
MAX_KNOWN_BLOCKS: Final = 256


class _Block(NamedTuple):
    """Plain header lines that stand together, and how many of them say where a request goes and ends."""

    lines: bytes
    has_host_first: bool
    hosts: int
    lengths: int


def plain_request(method: bytes, target: bytes, headers: list[RawHeader]) -> bytes | None:
    """The head's bytes; None when it is not plain. ``host`` comes first in ``headers``."""
    asking = b"%b %b HTTP/1.1\r\n" % (method, target)
    first = _known_block(tuple(headers[:-_CHANGING]))
    last = _block(headers[-_CHANGING:])
    if _ASKING.fullmatch(asking) is None or first is None or last is None:
        return None
    has_host_first = first.has_host_first if first.lines else last.has_host_first
    if not has_host_first or first.hosts + last.hosts != 1 or first.lengths + last.lengths > 1:
        return None
    return b"%b%b%b\r\n" % (asking, first.lines, last.lines)


def _block(headers: Iterable[RawHeader]) -> _Block | None:
    lines = [b"%b: %b\r\n" % header for header in headers]
    block = b"".join(lines)
    # As many lines as headers: none of them has broken out of its own.
    if _FIELDS.fullmatch(block) is None or block.count(b"\n") != len(lines):
        return None
    lower = b"\r\n" + block.lower()
    lengths = lower.count(b"\r\ncontent-length:")
    if b"\r\ntransfer-encoding:" in lower or lengths > 1:
        return None
    if lengths and _LENGTH.search(lower) is None:
        return None
    return _Block(block, _HOST.match(block) is not None, lower.count(b"\r\nhost:"), lengths)


_known_block = functools.lru_cache(maxsize=MAX_KNOWN_BLOCKS)(_block)
"""Of an account's requests all lines but the last are the same until its token is renewed."""


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
