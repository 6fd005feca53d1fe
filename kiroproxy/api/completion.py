"""Whether an answer is whole, and why it ended: the judgement at the end of the stream.

The stream has no end marker. A dead connection can look like a clean end, yet some sign-ins never get a
``metadataEvent``, so its absence alone proves nothing (a proxy that thought so retried every answer and
tripled its users' bills). The evidence, in this order; the first line that fits counts:

| evidence | verdict |
|---|---|
| a finished tool call | tool_use, whatever else was said: the client must run it |
| a stop sequence or ``max_tokens`` was reached here (``Answer`` knows) | that |
| ContentLengthExceededException | max_tokens |
| a known stop reason | its own |
| stop reason TOOL_USE, but no call | incomplete: calls were lost |
| an unknown stop reason | end_turn, doubtful |
| the context window is full, and there is text | model_context_window_exceeded |
| text and a meteringEvent | end_turn |
| text and a contextUsageEvent | end_turn, doubtful |
| anything else: nothing, thinking alone, text alone | incomplete |
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from kiroproxy.api.events import Stop
from kiroproxy.errors import IncompleteAnswerError

# Folded: lower case, letters only, since spellings vary (END_TURN, endTurn, end_turn).
STOP_REASONS: Final = {
    "endturn": Stop.END_TURN,
    "stop": Stop.END_TURN,
    "maxtokens": Stop.MAX_TOKENS,
    "length": Stop.MAX_TOKENS,
    "modelcontextwindowexceeded": Stop.CONTEXT_WINDOW,
    "contentfiltered": Stop.REFUSAL,
    "refusal": Stop.REFUSAL,
    "stopsequence": Stop.STOP_SEQUENCE,
    "pauseturn": Stop.PAUSE_TURN,
}
_MOST_CHARS: Final = 40  # of a reason that is remembered
TOOL_REASONS: Final = frozenset({"tooluse", "toolcalls"})


@dataclass(slots=True)
class Evidence:
    """What was seen of one answer."""

    text: bool = False
    thinking: bool = False
    tool_calls: int = 0
    metering: bool = False
    context: bool = False
    window_full: bool = False
    length_stop: bool = False
    stop_reason: str = ""


def judge(seen: Evidence) -> tuple[Stop, str]:
    """The stop reason and, if it is doubtful, why. Raises IncompleteAnswerError."""
    if seen.tool_calls:
        return Stop.TOOL_USE, ""
    if seen.length_stop:
        return Stop.MAX_TOKENS, ""
    if seen.stop_reason:
        return _by_reason(seen)
    if seen.text and seen.window_full:
        return Stop.CONTEXT_WINDOW, ""
    if seen.text and seen.metering:
        return Stop.END_TURN, ""
    if seen.text and seen.context:
        return Stop.END_TURN, "the stream ended without a stop reason and without metering"
    raise IncompleteAnswerError(_what_is_missing(seen))


def _by_reason(seen: Evidence) -> tuple[Stop, str]:
    said = seen.stop_reason
    reason = _known_fold(said) if len(said) <= _MOST_CHARS else _folded(said)
    stop = STOP_REASONS.get(reason)
    if stop is not None:
        empty = not seen.text and not seen.thinking
        return stop, "the answer is empty" if empty and stop is Stop.END_TURN else ""
    if reason in TOOL_REASONS:
        raise IncompleteAnswerError(
            "Kiro's answer announced a tool call, but none came; ask again."
        )
    return Stop.END_TURN, f"unknown stop reason {seen.stop_reason[:40]!r}"


def _folded(reason: str) -> str:
    return "".join(filter(str.isalpha, reason.lower()))


_known_fold = functools.lru_cache(maxsize=64)(_folded)


def _what_is_missing(seen: Evidence) -> str:
    if seen.text:
        return "Kiro's answer broke off: the stream ended without any sign of being complete."
    if seen.thinking:
        return "Kiro's answer broke off after its thinking; ask again."
    return "Kiro's answer was empty; ask again."
