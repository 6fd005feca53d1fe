"""How many connections there may be, whose, and how many bytes of requests they may hold together.

A connection is a stranger until one of its requests had a valid key. When there is no room, whoever has
waited longest without a request under way makes room: strangers first, so that a crowd of them keeps
nobody out who has the key. Nothing under way is ever ended for somebody new.
"""

from __future__ import annotations

import ipaddress
from typing import Protocol

from kiroproxy.http.limits import HttpLimits
from kiroproxy.values import is_loopback


class Guest(Protocol):
    """What a connection is to the house."""

    host: str
    """``neighbourhood`` of the other end; empty for this machine."""
    is_known: bool
    """One of its requests had a valid key. Set here."""

    def make_room(self) -> None:
        """Go now; no request of yours is under way."""


def neighbourhood(host: str) -> str:
    """What one stranger has to himself: an IPv4 address, or an IPv6 network of 64 bits. Empty for this
    machine, through which a reverse proxy may speak for many, and for what is no address."""
    if is_loopback(host):
        return ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if address.version == 4:
        return host
    mapped = address.ipv4_mapped
    if mapped is not None:
        return "" if mapped.is_loopback else str(mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


class Guests:
    """All connections of one server. Each step is a few dictionary entries, whatever the crowd."""

    __slots__ = ("_all", "_known", "_limits", "_resting", "_strangers", "_waiting", "held_bytes")

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._all: set[Guest] = set()
        self._known = 0  # of them
        # Those without a request under way, longest waiting first (a dict keeps its order).
        self._waiting: dict[Guest, None] = {}  # strangers
        self._resting: dict[Guest, None] = {}  # those that are known
        # By host, but for this machine's own: all strangers, and those of them that wait.
        self._strangers: dict[str, tuple[set[Guest], dict[Guest, None]]] = {}
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._all)

    @property
    def strangers(self) -> int:
        """Of all of them."""
        return len(self._all) - self._known

    def enter(self, guest: Guest) -> bool:
        """A new connection; False when there is no room, even if others go that may."""
        limits = self._limits
        crowd = self._strangers.get(guest.host) if guest.host else None
        if crowd is not None and len(crowd[0]) >= limits.max_strangers_per_address:
            if not self._send_away(crowd[1]):
                return False
        elif len(self._all) >= limits.max_connections and not (
            self._send_away(self._waiting) or self._send_away(self._resting)
        ):
            return False
        self._all.add(guest)
        if guest.host:
            self._strangers.setdefault(guest.host, (set(), {}))[0].add(guest)
        self.wait(guest)
        return True

    def leave(self, guest: Guest) -> None:
        """The connection is over; again is no harm."""
        if guest in self._all:
            self._all.discard(guest)
            self._known -= guest.is_known
            self.work(guest)
            self._forget_stranger(guest)

    def know(self, guest: Guest) -> None:
        """A request of this connection had a valid key."""
        if guest in self._all and not guest.is_known:
            self._known += 1
        guest.is_known = True
        self._waiting.pop(guest, None)
        self._forget_stranger(guest)

    def work(self, guest: Guest) -> None:
        """A request of this connection is under way now: it will not be asked to go."""
        if guest.is_known:
            self._resting.pop(guest, None)
            return
        self._waiting.pop(guest, None)
        if crowd := self._strangers.get(guest.host):
            crowd[1].pop(guest, None)

    def wait(self, guest: Guest) -> None:
        """No request of this connection is under way any more."""
        if guest not in self._all:
            return
        if guest.is_known:
            self._resting[guest] = None
            return
        self._waiting[guest] = None
        if crowd := self._strangers.get(guest.host):
            crowd[1][guest] = None

    def take(self, size_bytes: int, *, is_known: bool) -> bool:
        """Room for so many bytes of a request; False when there is none. A quarter of it is for those who
        have the key: heads that strangers leave unfinished shall not fill it all."""
        held = self.held_bytes + size_bytes
        most = self._limits.max_held_bytes
        if held > (most if is_known else most // 4 * 3):
            return False
        self.held_bytes = held
        return True

    def give(self, size_bytes: int) -> None:
        """They are not held any more."""
        self.held_bytes -= size_bytes

    def _send_away(self, some: dict[Guest, None]) -> bool:
        longest = next(iter(some), None)
        if longest is None:
            return False
        self.leave(longest)
        longest.make_room()
        return True

    def _forget_stranger(self, guest: Guest) -> None:
        crowd = self._strangers.get(guest.host)
        if crowd is not None:
            crowd[0].discard(guest)
            crowd[1].pop(guest, None)
            if not crowd[0]:
                del self._strangers[guest.host]
