"""This process's own figures, by the names every Prometheus client library uses."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kiroproxy.metrics import Exposition

_STARTED_EPOCH_S: Final = time.time()  # of the first process, where there are workers
_SELF: Final = Path("/proc/self")


_FAMILIES: Final = (
    ("process_cpu_seconds_total", "counter", "User and system CPU time."),
    ("process_start_time_seconds", "gauge", "When the process started."),
    ("process_resident_memory_bytes", "gauge", "Resident memory."),
    ("process_open_fds", "gauge", "Open file descriptors."),
    ("process_max_fds", "gauge", "Limit of open file descriptors."),
)


def own_process() -> dict[str, float]:
    """This process's figures by name. What the system does not tell is left out."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    figures = {
        "process_cpu_seconds_total": usage.ru_utime + usage.ru_stime,
        "process_start_time_seconds": _STARTED_EPOCH_S,
        "process_resident_memory_bytes": _resident_bytes(),
        "process_open_fds": _open_files(),
        "process_max_fds": float(soft),
    }
    return {name: value for name, value in figures.items() if value is not None}


def add_processes(text: Exposition, workers: Mapping[str, Mapping[str, float]]) -> None:
    """``workers``: name → figures; each gets its name as a label unless that is empty."""
    for name, kind, meaning in _FAMILIES:
        samples = [
            ((("worker", worker),) if worker else (), figures[name])
            for worker, figures in workers.items()
            if name in figures
        ]
        text.family(name, kind, meaning, samples)


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
