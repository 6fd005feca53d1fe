"""News for whoever watches: finished requests, as they finish."""

from __future__ import annotations

from collections.abc import Callable

from kiroproxy.usage.record import RequestRecord

Listener = Callable[[RequestRecord], None]


class Feed:
    """Calls its listeners in turn, at once. They must neither wait nor raise."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Returns what ends it; calling that twice is harmless."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def publish(self, record: RequestRecord) -> None:
        for listener in list(self._listeners):
            listener(record)
