"""One request: what is noted while it runs, and the record that stays of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from kiroproxy.api.events import Source, Usage

_REPORTED: Final = Source.REPORTED.value
_ESTIMATED: Final = Source.ESTIMATED.value
_NO_SOURCES: Final[Mapping[str, str]] = {}


Result = Literal["answered", "failed", "cancelled"]
"""How a request ended, as people and metrics see it: with its proper end, without one, or the client went
away."""


@dataclass(slots=True)
class Trace:
    """A request under way. Whoever learns something writes it here; nothing is written per event.

    ``*_at_s`` are monotonic. ``first_event_at_s``: when the answer's first event came from the service.
    """

    id: str
    client: str
    dialect: str
    started_at_s: float
    model: str = ""
    stream: bool = False
    upstream_model: str = ""
    account: str = ""
    tries: int = 0
    first_event_at_s: float | None = None


class RequestRecord(NamedTuple):
    """A finished request, as it is stored and shown. No prompt, no answer, no secret.

    ``time_epoch_s``: when it ended. ``status``: the HTTP status; a stream that failed after its start
    has 200 and 499 stands for a client that left before one was sent. ``sources``: for each number that
    is known, whether the service reported it, or it was derived from what it reported, or estimated.
    ``error``: the kind of error and its message, empty for an answer.
    """

    id: str
    time_epoch_s: float
    client: str
    dialect: str
    model: str
    upstream_model: str
    account: str
    stream: bool
    status: int
    outcome: Result
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    credits: float | None = None
    sources: Mapping[str, str] = _NO_SOURCES
    first_token_ms: float | None = None
    total_ms: float = 0.0
    tries: int = 0
    error_kind: str = ""
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        return self._asdict()


def sources_of(usage: Usage) -> Mapping[str, str]:
    """Where each of the numbers comes from. Shared: not to be changed.

    Output and cache figures are the service's own only when it reports tokens as such; from its context
    percentage only the input follows.
    """
    return _sources(usage.source, usage.credits is not None)


@functools.cache
def _sources(source: Source, credits_known: bool) -> Mapping[str, str]:
    told = source.value
    guessed = told if source is Source.REPORTED else _ESTIMATED
    sources = {
        "input_tokens": told,
        "output_tokens": guessed,
        "cache_read_tokens": guessed,
        "cache_write_tokens": guessed,
    }
    if credits_known:
        sources["credits"] = _REPORTED
    return sources
