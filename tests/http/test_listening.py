"""Sockets for several processes of one server, which no other server shares."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kiroproxy.cli.workers import Sockets
from kiroproxy.http import listening

pytestmark = pytest.mark.skipif(
    not listening.IS_SPREAD_BY_KERNEL, reason="one set of sockets for all processes"
)


@contextmanager
def sockets(port: int = 0, workers: int = 2) -> Iterator[Sockets]:
    made = Sockets("127.0.0.1", port, workers)
    try:
        yield made
    finally:
        made.keep_only(None)


def test_two_servers_that_start_at_once_do_not_share_a_port() -> None:
    """No worker of the first one listens yet."""
    with sockets() as first:
        with pytest.raises(OSError), sockets(first.addresses[0][1]):
            pass


def test_a_server_that_has_given_all_up_does_not_share_with_who_came_then() -> None:
    with sockets() as first:
        first.give_up(0)
        first.give_up(1)
        with sockets(first.addresses[0][1]) as second:
            with pytest.raises(OSError):
                first.of(1)
            assert second.of(0)


def test_all_workers_are_bound_to_one_address() -> None:
    with sockets(workers=3) as made:
        names = {sock.getsockname() for index in range(3) for sock in made.of(index)}
        assert names == {made.addresses[0]}


def test_a_stopped_servers_port_can_be_had_at_once() -> None:
    """Also while connections of the stopped one linger."""
    with sockets() as made:
        (listener,) = made.of(0)
        client = socket.create_connection(made.addresses[0])
        listener.setblocking(True)
        accepted, _ = listener.accept()
        accepted.close()  # this side waits in TIME_WAIT
        client.close()
    with sockets(made.addresses[0][1]):
        pass
