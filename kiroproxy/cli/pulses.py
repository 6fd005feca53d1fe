"""Whether the event loops of workers still turn: each worker counts, its parent looks.

The counts stand in memory that all share, so that neither ever waits for the other. The parent counts
its own looks, not time: after a pause of the whole machine, or of all processes, its clock may have run on
while no worker could, and however late it wakes, it looks once.
"""

from __future__ import annotations

import asyncio
import mmap
from dataclasses import dataclass
from typing import Final

LOOKS: Final = 12
"""So many in a row without a beat mean that a loop stands still."""


class Pulses:
    """Made before the processes are forked. ``hang_s``: how long a loop may stand still; more than 0."""

    def __init__(self, workers: int, hang_s: float) -> None:
        self.hang_s = hang_s
        self.every_s = hang_s / LOOKS
        self._memory = mmap.mmap(-1, workers)  # a byte each, which no reader finds half written

    def beat(self, index: int) -> None:
        self._memory[index] = (self._memory[index] + 1) % 256

    def count(self, index: int) -> int:
        return self._memory[index]

    def keep(self, index: int) -> None:
        """Let the running loop beat from now on, to its end."""
        self.beat(index)
        asyncio.get_running_loop().call_later(self.every_s, self.keep, index)


@dataclass(slots=True)
class Watch:
    """A parent's looks at one worker."""

    count: int = -1
    silent: int = 0

    def is_still(self, count: int) -> bool:
        """Whether it has stood still for long, by one more look; once, then it is looked at anew."""
        is_new = count != self.count
        self.count = count
        self.silent = 0 if is_new else self.silent + 1
        if self.silent < LOOKS:
            return False
        self.silent = 0
        return True
