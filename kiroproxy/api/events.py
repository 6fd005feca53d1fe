"""The neutral answer: what ``answer`` makes of Kiro's events and what every dialect encodes.

Events are plain tuples whose first item is one of the numbers below: they live for one batch, and a
tuple is the cheapest thing Python makes. Order, guaranteed by ``answer`` and relied on by encoders:
thinking, text and tools come one after another, never interleaved; every TOOL_START is followed by its
TOOL_INPUTs and one TOOL_END before anything else; THINKING_END follows the last THINKING of a block.

| event | items |
|---|---|
| TEXT | text |
| THINKING | text |
| THINKING_END | signature (may be empty) |
| REDACTED | base64 |
| TOOL_START | id, name (the client's own) |
| TOOL_INPUT | fragment of the input's JSON text |
| TOOL_END | |
| SEARCH | id, query, results (SearchHits), error (a code, or empty): one finished web search |
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

TEXT: Final = 0
THINKING: Final = 1
THINKING_END: Final = 2
REDACTED: Final = 3
TOOL_START: Final = 4
TOOL_INPUT: Final = 5
TOOL_END: Final = 6
SEARCH: Final = 7

AnswerEvent = tuple[Any, ...]


class SearchHit(NamedTuple):
    """One web search result. ``page_age`` is a date for people, or empty."""

    title: str
    url: str
    snippet: str
    page_age: str = ""


class Stop(enum.Enum):
    """Why the answer ended, in the field's own words. ``word`` is the value: to ask an enum's
    member for ``value`` takes two calls."""

    word: str

    def __init__(self, word: str) -> None:
        self.word = word

    END_TURN = "end_turn"
    TOOL_USE = "tool_use"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    CONTEXT_WINDOW = "model_context_window_exceeded"
    REFUSAL = "refusal"
    PAUSE_TURN = "pause_turn"


class Source(enum.Enum):
    """Where a number comes from: the service said so, we computed it from what it said, or we guess."""

    __hash__ = object.__hash__  # the same, without a call: a table is read with every request

    REPORTED = "reported"
    DERIVED = "derived"
    ESTIMATED = "estimated"


@dataclass(slots=True)
class Usage:
    """Tokens of one answer. ``input_tokens`` excludes what was read from or written to the cache.
    ``reasoning_tokens``: our estimate of the thinking's part of the output. ``rounds``: the parts of a
    sum, where an answer took several requests."""

    input_tokens: int
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    source: Source = Source.ESTIMATED
    credits: float | None = None
    web_searches: int = 0
    reasoning_tokens: int = 0
    rounds: tuple[Usage, ...] = ()


@dataclass(slots=True)
class Ending:
    """A proper end. ``stop_sequence`` is set with Stop.STOP_SEQUENCE."""

    stop: Stop
    usage: Usage
    stop_sequence: str | None = None
