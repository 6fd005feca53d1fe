"""Every limit the server holds its clients to, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Sizes in bytes, times in seconds; the units stand in the names."""

    max_head_bytes: int = 64 * KIB
    """Request line and headers. Node allows 16 KiB, Apache 8 KiB a line; beta lists grow. Else 431."""
    max_header_lines: int = 200
    """Header fields of one request. Apache and h2o allow 100. Else 431."""
    max_body_bytes: int = 32 * MIB
    """One request's body; Anthropic's own limit for Messages is 32 MB. Else 413."""
    max_dropped_bytes: int = 64 * KIB
    """A body that nobody reads (a GET's, an unknown route's) is read over up to this, so that the
    connection can stay; a longer one ends it."""
    max_held_bytes: int = 1024 * MIB
    """All requests together: unfinished heads, bodies until they are answered, what came ahead. Else
    529 (503)."""
    max_connections: int = 20_000
    """In all. Beyond it the one that has waited longest makes room, see guests.py."""
    max_strangers_per_address: int = 256
    """Connections of one address (IPv6: one /64) that have not shown the key, this machine's apart."""
    max_ahead_bytes: int = 64 * KIB
    """Bytes taken ahead of the request that is being answered (pipelining) before reading stops."""
    write_high_bytes: int = 64 * KIB
    """Unsent bytes of one client above which whoever produces them is paused."""
    write_low_bytes: int = 16 * KIB
    """Unsent bytes below which it goes on."""
    head_timeout_s: float = 30 * SECONDS
    """From the first byte of a head to its last. Else 408."""
    body_timeout_s: float = 60 * SECONDS
    """From one piece of a body to the next, and the time a body has beyond ``body_rate_bytes_s``. Else
    408."""
    body_rate_bytes_s: int = 4 * KIB
    """What a body has to come at on average. A phone on a bad line sends ten times as much."""
    idle_timeout_s: float = 300 * SECONDS
    """Between requests. Longer than clients keep idle connections, so that they hang up first."""
    write_stall_s: float = 120 * SECONDS
    """How long a client with unsent bytes may take none of them before it is cut off, and the
    time it has beyond ``read_rate_bytes_s``."""
    read_rate_bytes_s: int = 4 * KIB
    """What a client has to take on average while ``write_high_bytes`` wait for it, and a quarter of it
    over all such times. A model's stream is faster, and whoever takes that long to get from the high
    mark to the low one reads nothing."""
    linger_s: float = 2 * SECONDS
    """After an answer to a request that was not read to its end, what still comes is read and dropped
    until nothing came for this long. Closing at once would make TCP reset the connection, and the
    answer would be lost."""
    linger_total_s: float = 30 * SECONDS
    """The same, however much comes."""
    linger_bytes: int = 64 * MIB
    """What is read and dropped in that time; behind it the connection is cut."""
    backlog: int = 1024
    """Connections that may wait for accept()."""
