"""What all connections of one server have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiroproxy.http.answering import Answerer
from kiroproxy.http.limits import HttpLimits
from kiroproxy.http.responses import DateLine
from kiroproxy.http.router import Router

if TYPE_CHECKING:
    from kiroproxy.http.connection import Connection


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
    connections: set[Connection] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    draining: bool = False
