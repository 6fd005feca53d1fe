"""Every way bytes may arrive: incremental code must give one answer for all of them."""

from __future__ import annotations

import random
from collections.abc import Iterator

#: Above this many bytes single cuts are sampled, or a test over a long stream would take minutes.
ALL_CUTS_UP_TO = 2_048
SAMPLED_CUTS = 256
RANDOM_CHUNKINGS = 8


def every_cut(data: bytes, *, seed: int = 20_240_501) -> Iterator[list[bytes]]:
    """Chunkings of ``data``; the pieces of each, joined, are ``data`` again.

    In order: whole, cut in two at every point (also with an empty half), one byte at a time, then
    seeded random chunkings with pieces of very different sizes, empty ones among them.
    """
    yield [data]
    for at in _cut_points(len(data), seed):
        yield [data[:at], data[at:]]
    yield [data[at : at + 1] for at in range(len(data))]
    for number in range(RANDOM_CHUNKINGS):
        yield random_chunks(data, random.Random(seed + number))


def random_chunks(data: bytes, source: random.Random) -> list[bytes]:
    """One chunking whose piece sizes span three orders of magnitude."""
    pieces = []
    at = 0
    while at < len(data):
        size = source.choice((0, 1, 2, 3, 7, 16, 50, 333, 1_460))
        pieces.append(data[at : at + size])
        at += size
    return pieces


def _cut_points(length: int, seed: int) -> list[int]:
    if length <= ALL_CUTS_UP_TO:
        return list(range(length + 1))
    return sorted(random.Random(seed).sample(range(length + 1), SAMPLED_CUTS))
