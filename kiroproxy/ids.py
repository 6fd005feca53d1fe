"""Random names for requests and calls, and UUIDs as text.

A request takes several, and each look at the kernel's random numbers is a system call, so they are fetched
for many at a time. For names alone: keys and tokens come from ``secrets``.
"""

from __future__ import annotations

import os
import time
from typing import Final

_PIECE_BYTES: Final = 16
_PIECES: Final = 256  # fetched at a time: the kernel's 4 KiB

_pieces: list[bytes] = []  # only popped and extended, so that no thread gets what another has


def random_bytes() -> bytes:
    """16 bytes that nobody else gets."""
    try:
        return _pieces.pop()
    except IndexError:
        data = os.urandom(_PIECE_BYTES * _PIECES)
        pieces = [data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES)]
        mine = pieces.pop()
        _pieces.extend(pieces)
        return mine


def fraction() -> float:
    """At least 0 and less than 1, to spread what would otherwise come at once. The ``random`` module would
    take 0.2 MB of an idle server for it."""
    return int.from_bytes(random_bytes()[:6], "big") / (1 << 48)


def make_ordered() -> str:
    """24 hex digits that begin with the time in milliseconds: the ledger's index of them grows at its end,
    where random ones would change a page of it for nearly every row."""
    return (int(time.time() * 1000).to_bytes(6, "big") + random_bytes()[:6]).hex()


def make_uuid() -> str:
    """A random UUID (version 4)."""
    return uuid_of(random_bytes())


def uuid_of(data: bytes) -> str:
    """16 bytes as the text of a UUID, version 4: as ``uuid.UUID`` writes it, in a fifth of its time."""
    digits = data.hex()
    variant = "89ab"[data[8] >> 4 & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_pieces.clear)
