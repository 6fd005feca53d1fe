"""The ``thinking`` object and effort words of requests → ``Thinking``."""

from __future__ import annotations

from typing import Final

from kiroproxy.api.checks import Object, filled_text, mapping, optional_text, positive
from kiroproxy.api.ignored import Ignored, note_unread
from kiroproxy.api.turn import Thinking, ThinkingKind

_KEYS: Final = frozenset({"type", "display"})
_BUDGET_KEYS: Final = _KEYS | {"budget_tokens"}


def parse_thinking(value: object, ignored: Ignored) -> Thinking:
    """``{"type": "enabled", "budget_tokens": 2000}`` and its likes; OFF when absent.

    The field is Anthropic's; some clients send it in the other dialects too.
    """
    if value is None:
        return Thinking()
    thinking = mapping(value, ("thinking",))
    kind = filled_text(thinking.get("type"), ("thinking", "type"))
    known = _BUDGET_KEYS if kind == "enabled" else _KEYS
    note_unread(thinking, known, "thinking", ignored)
    display = optional_text(thinking.get("display"), ("thinking", "display"))
    return _of_kind(kind, thinking, display == "omitted", ignored)


def _of_kind(kind: str, thinking: Object, omit: bool, ignored: Ignored) -> Thinking:
    if kind == "enabled" and thinking.get("budget_tokens") is not None:
        budget = positive(thinking["budget_tokens"], ("thinking", "budget_tokens"))
        return Thinking(ThinkingKind.BUDGET, budget, omit=omit)
    if kind in ("enabled", "adaptive", "between_tools"):
        return Thinking(ThinkingKind.ADAPTIVE, omit=omit)
    if kind != "disabled":
        ignored.add("thinking.type")
    return Thinking()
