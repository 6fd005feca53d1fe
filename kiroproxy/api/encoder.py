"""The seam between the relay and a dialect."""

from __future__ import annotations

from typing import Protocol

from kiroproxy.api.events import AnswerEvent, Ending, Usage
from kiroproxy.errors import KiroProxyError


class StreamEncoder(Protocol):
    """Pure: neutral events in, SSE bytes out. Ids, model name and time are given to the constructor.

    On the wire: ``start`` once, then any number of ``events`` and ``ping``, then exactly one of ``finish``
    and ``fail``. ``start`` may be called after the first ``events`` (the head of the answer waits for
    them), so it must not depend on what was encoded before. An encoder never raises for any legal
    order of events.
    """

    def start(self, usage: Usage) -> bytes:
        """The opening events (Anthropic: message_start)."""

    def events(self, batch: list[AnswerEvent]) -> bytes:
        """All events of one upstream read as one buffer."""

    def ping(self) -> bytes:
        """Something harmless that keeps the client waiting."""

    def finish(self, ending: Ending) -> bytes:
        """The proper end."""

    def fail(self, error: KiroProxyError) -> bytes:
        """The dialect's error event; no end marker after it, so nobody takes it for a whole answer."""


class AnswerFold(Protocol):
    """The same events for a client that wants one JSON answer."""

    def events(self, batch: list[AnswerEvent]) -> None:
        """Take in a batch."""

    def finish(self, ending: Ending) -> bytes:
        """The whole JSON body."""
