"""Listening sockets, for one process or for several that serve one address."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Sequence

from kiroproxy.net import lookup_name

IS_SPREAD_BY_KERNEL = sys.platform == "linux"
"""Whether SO_REUSEPORT spreads connections over the sockets of one address. Elsewhere the last one bound
may get them all, so there all processes accept from one socket."""

BACKLOG = 1024
"""Connections that may wait until somebody accepts them."""

Address = tuple[str, int]


def bind(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    """One listening socket for each address of ``host``, as asyncio makes them. ``shared``: others may
    be bound to the same addresses (SO_REUSEPORT). Port 0 takes a free one. Raises OSError."""
    name = lookup_name(host) or None
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    unknown: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                unknown = error  # "localhost" is ::1 too, where the kernel knows no IPv6
                continue
            sockets.append(sock)
            _prepare(sock, family, shared=shared)
            sock.bind(address)
    except BaseException:
        close(sockets)
        raise
    if unknown is not None and not sockets:
        raise unknown
    return sockets


def bind_alone(host: str, port: int) -> list[socket.socket]:
    """As ``bind``, shared, and listening. As long as one of them is there, nobody gets the addresses by
    this function, nor by ``bind`` without sharing. Raises OSError when somebody has them."""
    # Bound alone they could be had by two who both do not listen yet (SO_REUSEADDR), bound with
    # SO_REUSEPORT by every program of this user. Only a listener that does not share is alone.
    first = bind(host, port, shared=False)
    made: list[socket.socket] = []
    try:
        for sock in first:
            sock.listen(BACKLOG)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made += bind(*address_of(sock), shared=True)
        for sock in made:
            sock.listen(BACKLOG)
    except BaseException:
        close(made)
        raise
    finally:
        close(first)
    return made


def close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.close()


def address_of(sock: socket.socket) -> Address:
    """Host and port it is bound to."""
    host, port = sock.getsockname()[:2]
    return host, port


def _prepare(sock: socket.socket, family: int, *, shared: bool) -> None:
    sock.setblocking(False)
    if os.name == "posix":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
