"""Pieces of Chat Completions that request, stream and whole answer have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kiroproxy.api.events import Stop, Usage
from kiroproxy.api.turn import Turn


@dataclass(frozen=True, slots=True)
class ChatStyle:
    """What the answer's form depends on, from the request.

    ``include_usage``: the stream ends with a chunk of numbers. ``legacy``: the client speaks of
    ``functions``, so a call is a ``function_call``. ``custom``: tools whose input is plain text;
    ``custom_as_function``: their calls look like functions whose arguments are that text.
    ``searching``: a web search may happen, whose findings the answer cites.
    """

    include_usage: bool = False
    legacy: bool = False
    custom: frozenset[str] = frozenset()
    custom_as_function: bool = False
    searching: bool = False

    def keys(self, name: str) -> tuple[str, str]:
        """Where a call of the tool ``name`` has its body, and that body its input."""
        if name in self.custom and not self.custom_as_function:
            return "custom", "input"
        return "function", "arguments"


def style_of(turn: Turn) -> ChatStyle:
    """The style the parser left in the turn."""
    return turn.style if isinstance(turn.style, ChatStyle) else ChatStyle()


_FINISH: Final[dict[Stop, str]] = {
    Stop.END_TURN: "stop",
    Stop.TOOL_USE: "tool_calls",
    Stop.MAX_TOKENS: "length",
    Stop.STOP_SEQUENCE: "stop",
    Stop.CONTEXT_WINDOW: "length",
    Stop.REFUSAL: "content_filter",
    Stop.PAUSE_TURN: "stop",
}


def finish_reason(stop: Stop, style: ChatStyle) -> str:
    """Why it ended, in the dialect's words."""
    if style.legacy and stop is Stop.TOOL_USE:
        return "function_call"
    return _FINISH[stop]


def usage_fields(usage: Usage) -> dict[str, Any]:
    """``usage``: here the prompt includes what came from or went into the cache."""
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    completion = max(1, usage.output_tokens)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
