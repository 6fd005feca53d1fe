"""Sockets that listen, as the event loop would make them."""

from __future__ import annotations

import errno
import socket

import pytest

from kiroproxy.http import listening


def test_a_name_is_bound_at_each_of_its_addresses() -> None:
    sockets = listening.bind("localhost", 0, shared=False)
    try:
        hosts = [listening.address_of(sock)[0] for sock in sockets]
        assert "127.0.0.1" in hosts
        assert len(hosts) == len(set(hosts))
        assert all(listening.address_of(sock)[1] > 0 for sock in sockets)
        assert not any(sock.getblocking() for sock in sockets)
    finally:
        listening.close(sockets)


def test_no_host_is_every_address() -> None:
    sockets = listening.bind("", 0, shared=False)
    try:
        assert "0.0.0.0" in [listening.address_of(sock)[0] for sock in sockets]
    finally:
        listening.close(sockets)


def test_a_taken_port_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(OSError) as caught:
            listening.bind("127.0.0.1", other.getsockname()[1], shared=False)
    assert caught.value.errno == errno.EADDRINUSE


def test_a_name_that_is_none_is_an_error() -> None:
    with pytest.raises(OSError, match="not known"):
        listening.bind("nowhere.invalid", 0, shared=False)
