"""Files that hold secrets: private folders, whole-or-nothing writes, a lock between processes.

Everything here blocks and is called from a worker thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from kiroproxy.ids import random_bytes
from kiroproxy.private import PRIVATE_FOLDER, make_folders
from kiroproxy.regular import read_regular

PRIVATE_FILE: Final = 0o600
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
LEFTOVER_S: Final = 600.0  # nobody writes a file for so long


def make_private_folder(path: Path) -> None:
    """The folder, for this user only, as are those above it that are missing. Raises OSError."""
    make_folders(path)
    if path.stat().st_mode & 0o077:
        path.chmod(PRIVATE_FOLDER)


def claim_folder(path: Path) -> bool:
    """The state folder, for this user only where that can be had; False when others can write into it:
    a folder of many (``/tmp``) or of another owner is left as it is."""
    try:
        if path.exists() and path.stat().st_mode & stat.S_ISVTX:
            return False
        make_private_folder(path)
    except OSError:
        try:
            return not path.stat().st_mode & 0o022
        except OSError:
            return True  # it is not there
    return True


def read_json(path: Path, most_bytes: int = MAX_FILE_BYTES) -> Any:
    """The file as JSON. Raises OSError, or ValueError (no regular file, too big, empty, not UTF-8, not
    JSON) without content."""
    data = read_regular(path, most_bytes)
    if not data.strip():
        raise ValueError("is empty")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def write_json(path: Path, value: Any) -> None:
    """As ``write_bytes``."""
    write_bytes(path, json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n")


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the file as a whole, 0600: whoever reads, or a crash, sees the old or the new one.

    A link is followed, not replaced. Raises OSError; the old file then stands.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{random_bytes()[:4].hex()}.tmp")
    fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)
    remove_leftovers(target, LEFTOVER_S)


def remove_leftovers(path: Path, older_than_s: float = 0.0) -> None:
    """Delete what writers of this file have left that were killed in the middle: it holds secrets."""
    target = Path(os.path.realpath(path))
    with contextlib.suppress(OSError):
        for entry in target.parent.iterdir():
            if entry.name.startswith(f".{target.name}.") and entry.name.endswith(".tmp"):
                if time.time() - entry.stat().st_mtime >= older_than_s:
                    entry.unlink()


def _sync_folder(path: Path) -> None:
    """Make the rename itself durable; some file systems refuse, which costs only durability."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class FileLock:
    """An advisory lock between processes, and between two holders in one process.

    It is taken on a file of its own beside ``path``, since ``path`` is replaced while it is held.
    The lock file stays: removing it would let two holders lock two different files. The kernel
    frees the lock when its holder dies.
    """

    def __init__(self, path: Path) -> None:
        target = Path(os.path.realpath(path))
        self.path = target.with_name(f"{target.name}.lock")
        self._fd: int | None = None
        self._released = False
        self._guard = threading.Lock()

    def try_acquire(self) -> bool:
        """Take the lock if it is free. Raises OSError when the lock file cannot be made."""
        flags = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self.path, flags, PRIVATE_FILE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        with self._guard:
            if self._released:  # whoever wanted it was cancelled while the worker thread ran
                os.close(fd)
                return False
            self._fd = fd
        return True

    def release(self) -> None:
        """Free the lock, for good: also one that a worker thread is about to take."""
        with self._guard:
            self._released = True
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """The lock for a short, purely local piece of work: waiting for it is fine."""
    lock = FileLock(path)
    fd = os.open(lock.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def update_json(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Read, change and replace a private JSON object under its lock. A broken file counts as empty.

    Raises OSError.
    """
    make_private_folder(path.parent)
    with _held(path):
        before = maybe_read_object(path)
        after = change(dict(before))
        if after != before:
            write_json(path, after)


def maybe_read_object(path: Path) -> dict[str, Any]:
    """The JSON object in the file; empty when it is missing or broken."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
