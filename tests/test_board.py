"""Memory shared by processes: what a slot shows, who overtakes whom, what a death leaves."""

from __future__ import annotations

import os
import signal

from kiroproxy.board import PAGE_BYTES, Board


def test_a_slot_shows_what_was_written_last() -> None:
    board = Board(2)
    assert board.read(1) == b""
    for data in (b"one", b"a longer second", b"", b"x" * (PAGE_BYTES - 8)):
        assert board.write(1, data)
        assert board.read(1) == data
    assert board.read(0) == b""


def test_what_is_too_large_changes_nothing() -> None:
    board = Board(1)
    board.write(0, b"small")
    assert not board.write(0, b"x" * PAGE_BYTES)
    assert board.read(0) == b"small"


def test_a_killed_process_leaves_its_slot_whole_while_others_read() -> None:
    board = Board(1)
    pid = os.fork()
    if pid == 0:
        size = 0
        while True:
            size = (size + 997) % 60_000
            board.write(0, bytes([size % 251]) * (size + 1))
    while not board.read(0):
        pass
    try:
        for _ in range(2000):
            data = board.read(0)
            assert len(set(data)) <= 1, "a torn page was shown"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    data = board.read(0)
    assert data and data[0] == (len(data) - 1) % 251
