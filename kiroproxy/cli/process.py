"""The process of a server: its event loop, memory and descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import gc
import logging
import resource
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor

from kiroproxy.errors import SystemLimitError
from kiroproxy.metrics import Metrics

_DESCRIPTORS = 65_536


_NO_THREAD = "start new thread"  # what Python says where the system starts none


def run_loop(main: Coroutine[object, object, int]) -> int:
    """Run ``main`` on the fastest loop there is; what it returns. Raises SystemLimitError where the system
    starts no threads."""
    runner = asyncio.Runner(loop_factory=_loop_factory())
    try:
        runner.get_loop().set_default_executor(_Executor())
        return runner.run(main)
    except RuntimeError as error:
        if _NO_THREAD not in str(error):
            raise
        raise SystemLimitError(
            "the system starts no more threads, and a server has at least two beside its first; raise "
            "the limit on processes (ulimit -u), on tasks (TasksMax, --pids-limit) or on memory"
        ) from None
    finally:
        _close(runner)


def _close(runner: asyncio.Runner) -> None:
    """The runner waits for the executor's threads in one more thread. They are waited for at the end of the
    program anyway."""
    try:
        runner.close()
    except RuntimeError as error:
        if _NO_THREAD not in str(error):
            raise


class _Executor(ThreadPoolExecutor):
    """For work that blocks. Where the system starts no more threads, it waits for those that are there."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop when the extra is installed; asyncio's own loop otherwise."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def settle() -> None:
    """What is here now stays: keep the collector off it, and let it run less often. Log records are
    spared what none of our lines shows: the place in the code, the thread and the process.

    A request of 1.5 MB makes some 50,000 objects that all die with it; collecting in the middle of
    that costs a tenth of its time.
    """
    logging._srcfile = None  # as the standard library's "Logging HOWTO" has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    _keep_freed_memory()


def allow_descriptors() -> None:
    """Client sockets and upstream sockets each take a descriptor, and many systems start programs with
    no more than 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a limit we may not raise is kept
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def leave_no_core() -> None:
    """No image of the memory is written when the process is killed by a fault: the sign-ins stand in it.
    Whoever wants one raises the limit of the running process (prlimit)."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def _keep_freed_memory() -> None:
    """Let glibc keep what a socket read frees for the next one.

    asyncio reads into a fresh buffer of 256 KiB, which is above glibc's thresholds: each read gave
    the memory back to the kernel and took it again, about one page fault an event. Figures in
    bench/README.md. Other C libraries have no such call and no such habit.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 16 << 20)
        libc.mallopt(_M_MMAP_THRESHOLD, 4 << 20)


Trim = Callable[[], object]


def memory_trimmer() -> Trim:
    """Hands what malloc keeps back to the kernel; does nothing where the C library has no such call."""
    try:
        return functools.partial(ctypes.CDLL(None).malloc_trim, 0)
    except (OSError, AttributeError, TypeError):
        return _nothing


def _nothing() -> None:
    """Where there is nothing to trim."""


async def give_memory_back(metrics: Metrics, trim: Trim, every_s: float = 5.0) -> None:
    """Once nobody is served any more, give back what ``_keep_freed_memory`` has kept for the next read.

    Until cancelled. A trim takes some milliseconds in which nothing else runs: it waits until no answer
    is under way, and there is one for each time of work, not one every ``every_s`` seconds.
    """
    served_before = 0
    while True:
        await asyncio.sleep(every_s)
        served = sum(metrics.total.counts)
        if served != served_before and not metrics.active:
            served_before = served
            gc.collect()
            trim()
