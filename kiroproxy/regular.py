"""Opening files that somebody else may have put there: regular ones, and nothing else."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

NOT_REGULAR: Final = "is not a regular file"
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_regular(path: Path) -> BinaryIO:
    """The file for reading; a link is followed. Raises OSError, or ValueError when it is a pipe, a socket
    or a device: opening one may wait for ever or do something, and reading one may never end."""
    _check(os.stat(path).st_mode)  # before it is opened: for some devices that is an order
    fd = os.open(path, _FLAGS)
    try:
        _check(os.fstat(fd).st_mode)  # again, if somebody has put another in its place
        return os.fdopen(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def _check(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise ValueError(NOT_REGULAR)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """All of a file. Raises as ``open_regular``, and ValueError when it is bigger than ``most_bytes``."""
    with open_regular(path) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"is bigger than {most_bytes} bytes")
    return data
