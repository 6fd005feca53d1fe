"""What all handlers share: settings, tokens, faults, the request log, the count of open streams."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from kiroproxy.clock import Clock, SystemClock
from kiroproxy.http import Request
from kiroproxy.simulator.catalogue import ModelSpec
from kiroproxy.simulator.checker import Violation
from kiroproxy.simulator.desk import Desk
from kiroproxy.simulator.faults import Faults
from kiroproxy.simulator.settings import Account, Settings


@dataclass(slots=True)
class Received:
    """One request as it came in, and what became of it.

    ``headers`` by lower-case name. ``json`` is the parsed body, None when it is not JSON. ``status``
    is None until an answer was begun. ``aborted``: the client left before the end; ``ended_at_s`` is
    then the moment it was noticed (monotonic).
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    route: str
    started_at_s: float
    json: Any = None
    account: str | None = None
    fault: str | None = None
    violations: list[Violation] = field(default_factory=list)
    status: int | None = None
    aborted: bool = False
    ended_at_s: float | None = None

    def __repr__(self) -> str:  # without headers and body: they hold tokens
        return (
            f"Received({self.method} {self.path} {self.route} account={self.account} "
            f"status={self.status} fault={self.fault} aborted={self.aborted} "
            f"violations={[str(violation) for violation in self.violations]})"
        )


class World:
    """The state of one simulated service."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.desk = Desk(
            settings.accounts,
            settings.token_ttl_s,
            settings.device_polls,
            settings.device_end,
            settings.device_ttl_s,
            old_until_use=settings.old_until_use,
        )
        self.faults = Faults()
        self.requests: deque[Received] = deque(maxlen=settings.keep_requests)
        self.open_streams = 0
        self.base_url = ""

    def log(self, request: Request, route: str) -> Received:
        """Open the log entry of a request."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers
        }
        entry = Received(
            request.method,
            request.path,
            request.query,
            headers,
            request.body,
            route,
            self.clock.monotonic(),
        )
        self.requests.append(entry)
        return entry

    def models_of(self, account: Account) -> list[ModelSpec]:
        """The catalogue as this account sees it."""
        allowed = account.models
        return [m for m in self.settings.models if allowed is None or m.id in allowed]
