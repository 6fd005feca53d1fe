"""This process's own figures, by the names every Prometheus client library uses."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Final

from kiroproxy.metrics import Exposition

_STARTED_EPOCH_S: Final = time.time()
_SELF: Final = Path("/proc/self")


def add_process(text: Exposition) -> None:
    """What the system does not tell is left out."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    text.single(
        "process_cpu_seconds_total",
        "counter",
        "User and system CPU time.",
        usage.ru_utime + usage.ru_stime,
    )
    text.single(
        "process_start_time_seconds", "gauge", "When the process started.", _STARTED_EPOCH_S
    )
    text.single("process_resident_memory_bytes", "gauge", "Resident memory.", _resident_bytes())
    text.single("process_open_fds", "gauge", "Open file descriptors.", _open_files())
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    text.single("process_max_fds", "gauge", "Limit of open file descriptors.", soft)


def _resident_bytes() -> float | None:
    try:
        pages = int((_SELF / "statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _open_files() -> float | None:
    try:
        return len(os.listdir(_SELF / "fd"))
    except OSError:
        return None
