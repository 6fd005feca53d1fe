"""What the answer's side must know about the request: made by ``to_kiro``, read by ``answer``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class AnswerPlan(NamedTuple):
    """``split_thinking``: tags were asked for, so look for them. ``show_thinking``: False drops the text
    of thinking (the client asked for it to be omitted, or did not ask for thinking at all).
    ``tool_names``: upstream name → client's name, for renamed tools only. ``strip_fence``: the client
    wants bare JSON; a surrounding code fence is taken off. ``single_call``: only the first tool call
    is passed on. ``input_tokens``: our estimate of the whole
    prompt. ``context_window``: of the model, in tokens; 0 if unknown. ``max_tokens``: None is no limit.
    """

    input_tokens: int
    context_window: int
    split_thinking: bool = False
    show_thinking: bool = True
    tool_names: Mapping[str, str] = _NO_NAMES
    stop_sequences: tuple[str, ...] = ()
    max_tokens: int | None = None
    strip_fence: bool = False
    single_call: bool = False
