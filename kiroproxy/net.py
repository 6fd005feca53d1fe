"""What both sides of the program need to know about TCP sockets on asyncio."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable


def _nothing() -> None:
    """The callback of an exchange that does not care."""


class FlowControl:
    """Reading and writing of one transport, each paused or not.

    The protocol forwards ``pause_writing`` and ``resume_writing``; whoever produces the bytes is told
    by callbacks. Pausing what is paused, and resuming what is not, does nothing.
    """

    __slots__ = ("_on_pause", "_on_resume", "_transport", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._on_pause: Callable[[], None] = _nothing
        self._on_resume: Callable[[], None] = _nothing
        self.read_paused = False
        self.write_paused = False

    def set_callbacks(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """From now on tell these. ``pause`` is called at once if writing is paused already."""
        self._on_pause = pause
        self._on_resume = resume
        if self.write_paused:
            pause()

    def clear_callbacks(self) -> None:
        """Nobody produces at present."""
        self._on_pause = _nothing
        self._on_resume = _nothing

    def pause_writing(self) -> None:
        """The transport's buffer is over its high mark."""
        self.write_paused = True
        self._on_pause()

    def resume_writing(self) -> None:
        """The transport's buffer is under its low mark."""
        self.write_paused = False
        self._on_resume()

    def pause_reading(self) -> None:
        """Take nothing more from the socket. The peer's hanging up is not noticed meanwhile."""
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again."""
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()


def lookup_name(host: str) -> str | bytes:
    """A host's name as ``getaddrinfo`` is best asked for it: in bytes, if it is ASCII. A name in text is
    encoded with "idna", and the tables of that codec take 0.5 MB."""
    return host.encode("ascii") if host.isascii() else host


def disable_nagle(transport: asyncio.BaseTransport) -> None:
    """Small writes leave at once. asyncio does so by itself for TCP; other loops need not."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Make the coming close a TCP reset: the peer sees an error and not an end."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def peer_address(transport: asyncio.BaseTransport) -> str:
    """``host:port`` or ``[host]:port`` of the other end; empty when there is none to name."""
    return format_address(transport.get_extra_info("peername"))


def peer_host(transport: asyncio.BaseTransport) -> str:
    """The other end's address without its port; empty when there is none to name."""
    address = transport.get_extra_info("peername")
    return str(address[0]) if isinstance(address, tuple) and address else ""


def format_address(address: object) -> str:
    """A socket address tuple as text; empty for anything else (Unix sockets, closed sockets)."""
    if not isinstance(address, tuple) or len(address) < 2:
        return ""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
