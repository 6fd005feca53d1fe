"""A piece of memory that several processes share: each writes its own slot, all read every slot.

Made before the processes are forked. A slot outlives its process, also one that was killed, so its
successor can go on from what stands there. There are no locks: a slot has two pages, the writer fills
the one that is not shown and then turns it over; a checksum tells a reader who was overtaken.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from typing import Final

PAGE_BYTES: Final = 256 * 1024
_HEAD: Final = struct.Struct("<II")  # length and CRC-32 of what follows
_SLOT_BYTES: Final = 8 + 2 * PAGE_BYTES  # one byte says which page is shown; the rest is padding
_TRIES: Final = 5


class Board:
    """``slots`` processes, each with one slot of at most ``PAGE_BYTES`` less a few."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        # Anonymous and shared: children see the same memory. Untouched pages take no room.
        self._memory = mmap.mmap(-1, slots * _SLOT_BYTES)

    def write(self, slot: int, data: bytes) -> bool:
        """Show ``data`` in a slot; one process writes a slot. False: too large, nothing changed."""
        if len(data) > PAGE_BYTES - _HEAD.size:
            return False
        base = slot * _SLOT_BYTES
        hidden = 1 - self._memory[base]
        at = base + 8 + hidden * PAGE_BYTES
        _HEAD.pack_into(self._memory, at, len(data), zlib.crc32(data))
        self._memory[at + _HEAD.size : at + _HEAD.size + len(data)] = data
        self._memory[base] = hidden
        return True

    def read(self, slot: int) -> bytes:
        """What a slot shows; empty when nothing was ever written to it."""
        base = slot * _SLOT_BYTES
        for _ in range(_TRIES):
            at = base + 8 + self._memory[base] * PAGE_BYTES
            length, checksum = _HEAD.unpack_from(self._memory, at)
            if length <= PAGE_BYTES - _HEAD.size:
                data = self._memory[at + _HEAD.size : at + _HEAD.size + length]
                if zlib.crc32(data) == checksum:
                    return data
        return b""
