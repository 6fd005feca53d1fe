"""Standard streams that are closed, full or read by nobody."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Final, TextIO

_FULL: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})


def open_closed() -> None:
    """Closed ones lead nowhere from now on. Else the next socket or file would get such a number, and
    Python has no object to write to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the lowest free number is the right one, in this order
            fd = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))


def is_about_output(error: OSError) -> bool:
    """Whether it comes of writing to a stream, and not of a file with a name."""
    return error.errno in _FULL and error.filename is None


def give_up(stream: TextIO) -> None:
    """What is still to be written goes nowhere: Python would try again at its end, and complain."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
