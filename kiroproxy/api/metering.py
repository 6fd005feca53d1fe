"""Counts an answer while it passes, and says at the end what it cost.

Where the numbers come from, best first:

1. REPORTED: the service's ``tokenUsage``. Cache reads and writes stay apart from the input, and nothing
   below overwrites it. All-zero numbers, which some sign-ins get, count as not reported.
2. DERIVED: ``round(contextUsagePercentage / 100 × window)`` tokens are in use. The event mostly comes at
   the end and then includes the answer, so input = that − our estimate of the output; an event that came
   before any content cannot include it, so nothing is taken off. A result that is not positive is
   not believed, and our own estimate of the prompt stands instead.
3. ESTIMATED: ``tokens.estimate_turn`` for the prompt, the same estimator for the output.

No number is ever zero where tokens were spent: input and output are at least 1 unless the service
itself reports an input that came from the cache whole. A number beyond all that can be is not believed
either: sums of such numbers fit neither into a client's JSON nor into the ledger.
"""

from __future__ import annotations

import math
from typing import Any, Final

from kiroproxy.api.events import Source, Usage
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.api.tokens import CALL_TOKENS

# ``estimate_text`` in eighths of a token, which add up without rounding: 3 × UTF-8 bytes − characters.
_UNITS_PER_TOKEN: Final = 8
_MAX_UNITS_PER_CHAR: Final = 11  # a character of four bytes
_NO_LIMIT: Final = 1 << 62
_MOST_TOKENS: Final = 1_000_000_000  # windows have a million
_MOST_CREDITS: Final = 1_000_000.0
_DERIVED: Final = Source.DERIVED  # as a global: a look-up in the enum costs fifteen times as much
_CREDIT_UNITS: Final = frozenset({"", "credit", "credits"})


def units(text: str) -> int:
    """Eighths of a token in ``text``; their sum over any pieces is that of the whole."""
    chars = len(text)
    return 2 * chars if text.isascii() else 3 * len(text.encode("utf-8", "surrogatepass")) - chars


class Meter:
    """Counts what goes out. ``room``: units of text and thinking left under ``max_tokens``.
    ``thought``: units of thinking, as the caller says."""

    __slots__ = ("_calls", "_limit", "room", "spent", "thought")

    def __init__(self, max_tokens: int | None) -> None:
        self._limit = _NO_LIMIT if max_tokens is None else _UNITS_PER_TOKEN * max(max_tokens, 0)
        self.room = self._limit
        self.spent = 0  # units of everything, tool calls included
        self.thought = 0
        self._calls = 0

    def take(self, text: str) -> str:
        """The part of ``text`` that fits; it is counted. Shorter than ``text``: the limit is reached.

        The cut is the same however the text was split before.
        """
        cost = units(text)
        if cost > self.room:
            text = text[: _fitting(text, self.room)]
            cost = units(text)
        self.room -= cost
        self.spent += cost
        return text

    def take_thinking(self, text: str) -> str:
        """As ``take``, for thinking."""
        before = self.spent
        fitting = self.take(text)
        self.thought += self.spent - before
        return fitting

    def take_whole(self, text: str) -> bool:
        """Count ``text`` if it fits for certain. False: nothing was counted, use ``take``."""
        if len(text) * _MAX_UNITS_PER_CHAR > self.room:
            return False
        cost = units(text)
        self.room -= cost
        self.spent += cost
        return True

    def take_batch(self, texts: list[str]) -> bool:
        """As ``take_whole``, for all of them or none."""
        return self.take_whole("".join(texts))

    def count_call(self, name: str) -> None:
        """A tool call's name and framing."""
        self._calls += 1
        self.spent += units(name)

    def count_input(self, fragment: str) -> None:
        """A fragment of a call's input: never limited, a call is not cut."""
        self.spent += units(fragment)

    @property
    def output_tokens(self) -> int:
        """Estimate of all that went out, at least 1."""
        tokens = (self.spent + _UNITS_PER_TOKEN - 1) // _UNITS_PER_TOKEN
        return max(1, tokens + CALL_TOKENS * self._calls)

    @property
    def reasoning_tokens(self) -> int:
        """Estimate of the thinking alone."""
        return (self.thought + _UNITS_PER_TOKEN - 1) // _UNITS_PER_TOKEN


def _fitting(text: str, room: int) -> int:
    """How many characters of ``text`` cost at most ``room`` units."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if units(text[:middle]) <= room:
            low = middle
        else:
            high = middle - 1
    return low


class UsageReader:
    """Takes in what the service says about tokens and credits; ``usage`` sums it up."""

    __slots__ = ("_context_has_answer", "_percentage", "_plan", "_reported", "credits")

    def __init__(self, plan: AnswerPlan) -> None:
        self._plan = plan
        self._reported: dict[str, Any] = {}
        self._percentage = 0.0
        self._context_has_answer = False
        self.credits: float | None = None

    def report(self, token_usage: dict[str, Any] | None) -> None:
        """``metadataEvent.tokenUsage``; the last one that says anything counts."""
        if token_usage and any(_count(value) for value in token_usage.values()):
            self._reported = token_usage

    def context(self, percentage: float, *, content_seen: bool) -> None:
        """``contextUsageEvent``; the last one that says anything counts."""
        if math.isfinite(percentage) and percentage > 0:
            self._percentage = percentage
            self._context_has_answer = content_seen

    def metering(self, amount: float | None, unit: str) -> None:
        """``meteringEvent``."""
        if amount is None or not 0 <= amount <= _MOST_CREDITS:
            return
        if unit.lower() in _CREDIT_UNITS:
            self.credits = amount

    @property
    def window_full(self) -> bool:
        return self._percentage >= 100

    def usage(self, estimated_output: int) -> Usage:
        """The final numbers."""
        usage = self._from_report(estimated_output) if self._reported else None
        if usage is None:
            usage = self._from_context(estimated_output)
        if usage is None:
            usage = Usage(max(1, self._plan.input_tokens), estimated_output)
        usage.credits = self.credits
        return usage

    def _from_report(self, estimated_output: int) -> Usage | None:
        reported = self._reported
        output = _count(reported.get("outputTokens"))
        read = _count(reported.get("cacheReadInputTokens"))
        written = _count(reported.get("cacheWriteInputTokens"))
        fresh = _count(reported.get("uncachedInputTokens"))
        if "uncachedInputTokens" not in reported:
            fresh = max(0, _count(reported.get("totalTokens")) - output - read - written)
        if fresh + read + written == 0:
            return None
        return Usage(fresh, output or estimated_output, read, written, Source.REPORTED)

    def _from_context(self, estimated_output: int) -> Usage | None:
        total = self._percentage / 100 * self._plan.context_window
        if total > _MOST_TOKENS:
            return None
        tokens = round(total) - (estimated_output if self._context_has_answer else 0)
        if tokens <= 0:
            return None
        return Usage(tokens, estimated_output, source=_DERIVED)


def _count(value: object) -> int:
    """A number of tokens, or 0 for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS:
        return value
    return 0
