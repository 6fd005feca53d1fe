"""A log whose reader stops: nothing waits for it, and what is missing is told."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kiroproxy import pipes
from kiroproxy.pipes import MAX_HELD_BYTES, PipeHandler, PolledSink, make_sink
from tests.threads import no_threads

LINE = "x" * 999


class Ends:
    """``fd``: where the log goes. ``read``: takes what has come, waiting for at least a byte."""

    def __init__(self, fd: int, reading: int) -> None:
        self.fd = fd
        self.reading = reading

    def read(self) -> bytes:
        return os.read(self.reading, 1 << 20)

    def read_until(self, end: bytes) -> bytes:
        """The test's own timeout is the limit."""
        got = b""
        while not got.endswith(end):
            got += self.read()
        return got

    def close(self) -> None:
        os.close(self.reading)


def a_pipe() -> Ends:
    reading, writing = os.pipe()
    return Ends(writing, reading)


def a_socket() -> Ends:
    one, other = socket.socketpair()
    return Ends(one.detach(), other.detach())


KINDS: dict[str, Callable[[], Ends]] = {"pipe": a_pipe, "polled pipe": a_pipe, "socket": a_socket}


@pytest.fixture(params=KINDS)
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    made = KINDS[request.param]()
    yield made
    os.close(made.fd)


@pytest.fixture
def handler(ends: Ends, request: pytest.FixtureRequest) -> Iterator[PipeHandler]:
    polled = "polled" in request.node.name
    sink = PolledSink(os.dup(ends.fd)) if polled else make_sink(ends.fd)
    assert sink is not None
    made = PipeHandler(sink, errors.append)
    errors.clear()
    yield made
    made.close()


errors: list[OSError] = []


def say(handler: PipeHandler, text: str) -> None:
    handler.handle(logging.LogRecord("kiroproxy.x", logging.INFO, "", 0, text, None, None))


def test_line_is_out_when_it_is_said(ends: Ends, handler: PipeHandler) -> None:
    say(handler, "Grüße \ud83d")
    assert ends.read() == "Grüße ?\n".encode()


def test_lines_wait_for_their_reader_and_keep_their_order(ends: Ends, handler: PipeHandler) -> None:
    for number in range(800):  # nobody reads: this would wait for ever
        say(handler, f"{number:03} {LINE}")
    got = ends.read_until(f"799 {LINE}\n".encode())  # and nothing more needs to be said
    assert got == b"".join(f"{number:03} {LINE}\n".encode() for number in range(800))
    say(handler, "behind")
    assert ends.read() == b"behind\n"


def test_without_a_thread_the_next_line_takes_along_what_waits(
    ends: Ends, handler: PipeHandler
) -> None:
    with no_threads():
        for number in range(800):
            say(handler, f"{number:03} {LINE}")
        got = b""
        while not got.endswith(f"799 {LINE}\n".encode()):
            got += ends.read()
            say(handler, "more")  # nobody else writes what waits
            got = got.replace(b"more\n", b"")
    assert got == b"".join(f"{number:03} {LINE}\n".encode() for number in range(800))


def test_what_is_lost_is_counted_where_it_is_missing(ends: Ends, handler: PipeHandler) -> None:
    number = 2 * MAX_HELD_BYTES // 1000
    for _ in range(number):
        say(handler, LINE)
    *came, last = ends.read_until(b"the log\n").decode().splitlines()
    assert set(came) == {LINE}
    assert last == f"{number - len(came)} lines are missing here: nobody read the log"
    assert len(came) * 1000 >= MAX_HELD_BYTES - 1000
    say(handler, "behind")
    assert ends.read() == b"behind\n"


def test_line_of_any_length_is_whole(ends: Ends, handler: PipeHandler) -> None:
    say(handler, "y" * 3 * MAX_HELD_BYTES)
    assert ends.read_until(b"\n") == b"y" * 3 * MAX_HELD_BYTES + b"\n"


def test_what_waited_at_a_fork_is_not_the_childs(ends: Ends, handler: PipeHandler) -> None:
    for _ in range(800):
        say(handler, LINE)
    child = os.fork()
    if not child:
        say(handler, "y" * 2_000)  # there is no thread here
        handler.acquire()
        os._exit(0 if handler._held and b"x" not in b"".join(handler._held) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_reader_that_has_gone_is_complained_of(ends: Ends, handler: PipeHandler) -> None:
    ends.close()
    say(handler, "to nobody")
    assert [error.errno for error in errors] == [errno.EPIPE]


def test_reader_that_goes_while_lines_wait(ends: Ends, handler: PipeHandler) -> None:
    for _ in range(800):
        say(handler, LINE)
    ends.close()
    handler.close()
    assert errors and {error.errno for error in errors} <= {errno.EPIPE, errno.ECONNRESET}


def test_closing_waits_for_nobody(ends: Ends, handler: PipeHandler) -> None:
    for _ in range(800):
        say(handler, LINE)
    handler.close()
    assert ends.read()


def test_late_line_goes_to_nobody_else(ends: Ends, handler: PipeHandler, tmp_path: Path) -> None:
    """A record may be under way in another thread while a reload closes the handler."""
    handler.close()
    files = [open(tmp_path / f"file-{number}", "wb") for number in range(16)]
    say(handler, "late")
    for file in files:
        file.close()
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b""}
    assert not errors


def test_flags_of_a_pipe_that_others_write_to_stay(ends: Ends, handler: PipeHandler) -> None:
    say(handler, "hello")
    assert os.get_blocking(ends.fd)
    assert fcntl.fcntl(ends.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_files_and_devices_are_left_to_others(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file, open(os.devnull, "w") as nowhere:
        assert pipes.make_sink(file.fileno()) is None
        assert pipes.make_sink(nowhere.fileno()) is None
