"""One account's status as it changes: every change passes here, is logged, and is told to who looks on."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

from kiroproxy.accounts.persistence import Saved, from_saved
from kiroproxy.accounts.state import ABLE, GRAVITY, Event, Now, Status, advance, settle
from kiroproxy.clock import Clock
from kiroproxy.errors import Kind

_log = logging.getLogger("kiroproxy.accounts")

WELL: Final = Status()


class Standing:
    """``status`` is replaced, never changed; ``moved_at_s`` (monotonic) is when its state last was another.

    ``changed`` is told the status before."""

    def __init__(
        self,
        account_id: str,
        clock: Clock,
        rand: Callable[[], float],
        changed: Callable[[Status], None],
    ) -> None:
        self.status = WELL
        self.moved_at_s = -math.inf
        self._account_id = account_id
        self._clock = clock
        self._rand = rand
        self._changed = changed

    def settled(self) -> Status:
        """The status as of now: with a deadline that has passed applied."""
        status = self.status
        if status is not WELL and status.has_deadline:  # this runs several times a request
            self.become(settle(status, self._now()), Event.DEADLINE_PASSED.value)
        return self.status

    def happen(
        self,
        event: Event,
        reason: str = "",
        kind: Kind = Kind.UPSTREAM_UNAUTHENTICATED,
        retry_after_s: float | None = None,
    ) -> None:
        """Take an event in."""
        before, now = self.settled(), self._now()
        after = advance(before, event, now, reason=reason, kind=kind, retry_after_s=retry_after_s)
        self.become(after, event.value)

    def adopt(self, saved: Saved, sign_in: str, why: str) -> None:
        """What the state file knows, where it is worse than what we know. ``sign_in``: the fingerprint of
        the one that the account has now."""
        if GRAVITY.index(saved.state) >= GRAVITY.index(self.settled().state):
            self.become(settle(from_saved(saved, sign_in, self._now()), self._now()), why)

    def become(self, status: Status, event: str) -> None:
        before = self.status
        if status == before:
            return
        self.status = status
        if status.state is not before.state:
            self.moved_at_s = self._clock.monotonic()
            quiet = status.state in ABLE and before.state in ABLE
            _log.log(
                logging.DEBUG if quiet else logging.INFO,
                "account %s: %s → %s",
                self._account_id,
                before.state.value,
                status.state.value,
                extra={
                    "fields": {"account": self._account_id, "event": event, "reason": status.reason}
                },
            )
        self._changed(before)

    def _now(self) -> Now:
        return Now(self._clock.monotonic(), self._clock.wall(), self._rand())
