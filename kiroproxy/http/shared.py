"""What all connections of one server have in common."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiroproxy.http.answering import Answerer
from kiroproxy.http.guests import Guests
from kiroproxy.http.limits import HttpLimits
from kiroproxy.http.responses import DateLine
from kiroproxy.http.router import Router
from kiroproxy.logs import Sparing

if TYPE_CHECKING:
    from kiroproxy.http.line import ClientLine


@dataclass(slots=True, eq=False)
class Shared:
    """Built by the server; connections enter and leave the two sets themselves."""

    loop: asyncio.AbstractEventLoop
    router: Router
    limits: HttpLimits
    answerer: Answerer
    date: DateLine
    on_leave: Callable[[], None]
    """Called when a connection or a handler's task has left its set."""
    guests: Guests = field(init=False)
    full_lines: Sparing = field(default_factory=lambda: Sparing(1, 10.0))
    connections: set[ClientLine] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    draining: bool = False
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    """The server's own, which no request's id stands in."""

    def __post_init__(self) -> None:
        self.guests = Guests(self.limits)
