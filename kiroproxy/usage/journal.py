"""What happens once when a request is over: counted, stored, told to watchers, one log line."""

from __future__ import annotations

import functools
import logging
import operator
import re
from collections.abc import Mapping
from typing import Any, Final

from kiroproxy.api.events import Ending, Usage
from kiroproxy.clock import Clock
from kiroproxy.errors import KiroProxyError, StorageError
from kiroproxy.logs import Recurring, say
from kiroproxy.metrics import Metrics
from kiroproxy.redaction import clean, one_line
from kiroproxy.usage.feed import Feed
from kiroproxy.usage.ledger import Ledger
from kiroproxy.usage.record import RequestRecord, Result, Trace, sources_of

_log = logging.getLogger("kiroproxy.access")

CLIENT_GONE_STATUS: Final = 499  # nginx's number for it; never sent to anybody
_NOT_A_CLIENT: Final = re.compile(r"[^A-Za-z0-9_.:/@+-]")
_MAX_NAME: Final = 100
_MAX_ERROR: Final = 500


def client_name(user_agent: str | None) -> str:
    """Who asks, from the first product of its User-Agent: ``claude-cli/2.1.0``; empty when unnamed."""
    return _fit((user_agent or "").split(" ", 1)[0][:_MAX_NAME])


@functools.lru_cache(maxsize=256)
def _fit(name: str) -> str:
    return _NOT_A_CLIENT.sub("?", name)


class Journal:
    """``open`` when a request comes in, then exactly one of the others when it is over."""

    def __init__(self, metrics: Metrics, ledger: Ledger, feed: Feed, clock: Clock) -> None:
        self._metrics = metrics
        self._ledger = ledger
        self._feed = feed
        self._clock = clock
        self.last_used: dict[str, float] = {}
        """Account → wall time of the end of its last request."""

    async def restore(self) -> None:
        """Know when accounts were last used before this start."""
        try:
            self.last_used = await self._ledger.last_used() | self.last_used
        except StorageError as error:
            _log.info("when accounts were last used is not known: %s", error.message)

    def open(self, request_id: str, dialect: str, user_agent: str | None) -> Trace:
        self._metrics.active += 1
        return Trace(request_id, client_name(user_agent), dialect, self._clock.monotonic())

    def refused(self, error: KiroProxyError) -> None:
        """A request without a valid key: counted and no more, so that strangers fill no disk."""
        self._metrics.count_failure(error.kind.value)

    def answered(self, trace: Trace, ending: Ending, note: str = "") -> None:
        """It got its proper end; ``note`` goes to the log line."""
        usage = ending.usage
        sources = sources_of(usage)
        numbers: dict[str, Any] = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "credits": usage.credits,
            "sources": sources,
        }
        record = self._close(trace, "answered", 200, numbers)
        self._count_usage(usage)
        fields: dict[str, Any] = {
            "first_token_ms": _known(record.first_token_ms),
            "response_time": record.total_ms,
            "token_usage": {
                "input": usage.input_tokens,
                "output": usage.output_tokens,
                "cache_read": usage.cache_read_tokens,
                "cache_write": usage.cache_write_tokens,
                "source": sources["input_tokens"],
            },
        }
        if usage.credits is not None:
            fields["credits"] = usage.credits
        fields["stop"] = ending.stop.word
        fields["note"] = one_line(clean(note)) if note else ""  # it may quote the service
        say(_log, record.outcome, _RECURRING, _recurring(record), fields)

    def failed(self, trace: Trace, error: KiroProxyError, status: int) -> None:
        """``status``: what the client has got."""
        kind, message = error.kind.value, error.message[:_MAX_ERROR]
        self._metrics.count_failure(kind)
        record = self._close(trace, "failed", status, {"error_kind": kind, "error": message})
        fields = {
            "kind": kind,
            "detail": message,
            "error_type": type(error).__name__,
            "upstream_request_id": error.upstream_request_id or "",
        }
        _tell(logging.WARNING, record, fields)

    def cancelled(self, trace: Trace) -> None:
        """The client went away, or we had to stop."""
        begun = trace.stream and trace.first_event_at_s is not None
        status = 200 if begun else CLIENT_GONE_STATUS
        _tell(logging.INFO, self._close(trace, "cancelled", status, {}), {})

    def _close(
        self, trace: Trace, result: Result, status: int, fields: dict[str, Any]
    ) -> RequestRecord:
        metrics = self._metrics
        record = self._record(trace, result, status, fields)
        metrics.active -= 1
        metrics.count_request(trace.dialect, record.outcome)
        metrics.total.observe(record.total_ms / 1000)
        if record.first_token_ms is not None:
            metrics.first_token.observe(record.first_token_ms / 1000)
        if record.account:
            self.last_used[record.account] = record.time_epoch_s
        self._ledger.add(record)
        self._feed.publish(record)
        return record

    def _record(
        self, trace: Trace, result: Result, status: int, fields: dict[str, Any]
    ) -> RequestRecord:
        now_s = self._clock.monotonic()
        first_ms = None
        if trace.first_event_at_s is not None:
            first_ms = round((trace.first_event_at_s - trace.started_at_s) * 1000, 1)
        return RequestRecord(
            id=trace.id,
            time_epoch_s=round(self._clock.wall(), 3),
            client=trace.client,
            dialect=trace.dialect,
            model=trace.model[:_MAX_NAME],
            upstream_model=trace.upstream_model[:_MAX_NAME],
            account=trace.account,
            stream=trace.stream,
            status=status,
            outcome=result,
            first_token_ms=first_ms,
            total_ms=round((now_s - trace.started_at_s) * 1000, 1),
            tries=trace.tries,
            **fields,
        )

    def _count_usage(self, usage: Usage) -> None:
        self._metrics.count_tokens(
            input=usage.input_tokens,
            output=usage.output_tokens,
            cache_read=usage.cache_read_tokens,
            cache_write=usage.cache_write_tokens,
        )
        self._metrics.credits += usage.credits or 0.0


_RECURRING: Final = Recurring(
    "status", "dialect", "client", "model", "upstream_model", "stream", "account", "tries"
)
_recurring: Final = operator.attrgetter(*_RECURRING.names)


def _tell(level: int, record: RequestRecord, more: Mapping[str, Any]) -> None:
    """The line of a request without an answer."""
    fields = dict(zip(_RECURRING.names, _recurring(record), strict=True))
    fields["first_token_ms"] = _known(record.first_token_ms)
    fields["response_time"] = record.total_ms
    _log.log(level, record.outcome, extra={"fields": {**fields, **more}})


def _known(number: float | None) -> float | str:
    return "" if number is None else number
