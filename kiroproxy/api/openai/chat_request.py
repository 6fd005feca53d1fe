"""A Chat Completions request → Turn.

Liberal in what it does not know, exact in what it uses, as the Messages parser: a value of the wrong
type is a RequestError whose ``param`` is the field, and every field without effect is named in
``Turn.ignored``.
"""

from __future__ import annotations

from typing import Final

from kiroproxy.api.checks import GetHeader, Object, fail, filled_text, flag, mapping, parse_exactly
from kiroproxy.api.density import Hold, hold_nothing
from kiroproxy.api.effort import parse_thinking
from kiroproxy.api.hosted import without_own_search
from kiroproxy.api.ignored import Ignored, is_set, note_unused, shown
from kiroproxy.api.openai.chat_history import parse_messages
from kiroproxy.api.openai.chat_search import chat_search, search_choice
from kiroproxy.api.openai.chat_wire import ChatStyle
from kiroproxy.api.openai.options import (
    parse_effort,
    parse_format,
    parse_limit,
    parse_stop,
    parse_stream_options,
    refuse_unsupported,
    without_neutral,
)
from kiroproxy.api.openai.responses_request import parse_responses
from kiroproxy.api.openai.responses_request import style_of as responses_style
from kiroproxy.api.openai.responses_style import FormKind
from kiroproxy.api.openai.tools import Offered, parse_functions, parse_tool_choice, parse_tools
from kiroproxy.api.turn import Thinking, ThinkingKind, ToolChoice, Turn
from kiroproxy.kiro.models import wants_thinking

_USED: Final = frozenset(
    {
        "model", "messages", "stream", "stream_options", "tools", "tool_choice", "functions",
        "function_call", "parallel_tool_calls", "response_format", "stop", "max_tokens",
        "max_completion_tokens", "n", "reasoning_effort", "reasoning", "thinking", "web_search_options",
    }
)  # fmt: skip


def parse_chat_request(body: bytes, headers: GetHeader, hold: Hold = hold_nothing) -> Turn:
    """The whole request. Raises RequestError (INVALID_REQUEST) with ``param`` as the field's path."""

    def parse(request: Object) -> Turn:
        if not request.get("messages") and request.get("input") is not None:
            return _parse_as_responses(request, headers)
        return _parse_chat(request)

    return parse_exactly(body, parse, hold)


def _parse_as_responses(request: Object, headers: GetHeader) -> Turn:
    """A Responses body on this route, as Cursor's agent mode sends it; it wants chunks back, with custom
    tools' calls as functions whose arguments are the plain text."""
    if request.get("previous_response_id") is not None:
        fail(("previous_response_id",), "is known to /v1/responses only; send the whole input")
    turn = parse_responses(request, headers)
    forms = responses_style(turn).forms
    turn.style = ChatStyle(
        include_usage=parse_stream_options(request.get("stream_options"), Ignored()),
        custom=frozenset(name for name, form in forms.items() if form.kind is FormKind.CUSTOM),
        custom_as_function=True,
        searching=turn.web_search is not None,
    )
    return turn


def _parse_chat(request: Object) -> Turn:
    ignored = Ignored()
    model = filled_text(request.get("model"), ("model",))
    system, messages = parse_messages(request.get("messages"), ignored)
    turn = Turn(model, messages, system)
    refuse_unsupported(request)
    offered = _tools(request, turn, ignored)
    turn.stream = flag(request.get("stream"), ("stream",))
    turn.max_tokens = parse_limit(request, "max_completion_tokens", "max_tokens")
    turn.stop_sequences = parse_stop(request.get("stop"))
    turn.output_schema = parse_format(request.get("response_format"), ("response_format",), ignored)
    turn.thinking = _thinking(request, model, ignored)
    turn.style = ChatStyle(
        include_usage=parse_stream_options(request.get("stream_options"), ignored),
        legacy=_is_legacy(request),
        custom=frozenset(offered.custom),
        searching=turn.web_search is not None,
    )
    note_unused(without_neutral(request), _USED, ignored)
    turn.ignored = shown(ignored)
    turn.unfinished = ignored.unfinished
    return turn


def _tools(request: Object, turn: Turn, ignored: Ignored) -> Offered:
    """``tools``, or else the older ``functions``, which call one function an answer. The fields of the
    way that is not taken are named."""
    legacy = _is_legacy(request)
    search = chat_search(request, ignored)
    unread = ("tool_choice", "parallel_tool_calls") if legacy else ("functions", "function_call")
    ignored.update(name for name in unread if is_set(request.get(name)))
    if legacy:
        offered = parse_functions(request["functions"], ("functions",), ignored)
        turn.tool_choice = _function_call(request.get("function_call"), offered, ignored)
        turn.parallel_tools = False
    else:
        offered = parse_tools(request.get("tools"), ("tools",), ignored)
        choice = request.get("tool_choice")
        named = search_choice(choice) if search is not None else None
        hosted = bool(offered.left_out)
        turn.tool_choice = named or parse_tool_choice(choice, ("tool_choice",), offered, ignored)
        if hosted and not offered.left_out:
            search = None  # not among the allowed ones
        at = ("parallel_tool_calls",)
        parallel = request.get("parallel_tool_calls")
        turn.parallel_tools = parallel is None or flag(parallel, at)
    turn.tools = offered.tools
    turn.web_search = without_own_search(search, offered.tools, ignored)
    return offered


def _is_legacy(request: Object) -> bool:
    return is_set(request.get("functions")) and not request.get("tools")


def _function_call(value: object, offered: Offered, ignored: Ignored) -> ToolChoice:
    """``auto``, ``none`` or ``{"name": …}``."""
    if isinstance(value, dict):
        value = {"type": "function", **value}
    return parse_tool_choice(value, ("function_call",), offered, ignored)


def _thinking(request: Object, model: str, ignored: Ignored) -> Thinking:
    """``reasoning_effort``; else ``reasoning.effort`` or Anthropic's ``thinking``, as some clients write
    it here; else what the model's name asks for. The first that is there counts, the others are named."""
    ways = [name for name in _THINKING_WAYS if request.get(name) is not None]
    ignored.update(ways[1:])
    if request.get("reasoning_effort") is not None:
        return parse_effort(request["reasoning_effort"], ("reasoning_effort",), ignored)
    if request.get("reasoning") is not None:
        reasoning = mapping(request["reasoning"], ("reasoning",))
        unread = (key for key, value in reasoning.items() if is_set(value) and value is not False)
        ignored.update(f"reasoning.{key}" for key in unread if key not in _REASONING)
        return parse_effort(reasoning.get("effort"), ("reasoning", "effort"), ignored)
    if request.get("thinking") is not None:
        return parse_thinking(request["thinking"], ignored)
    return Thinking(ThinkingKind.ADAPTIVE if wants_thinking(model) else ThinkingKind.OFF)


_THINKING_WAYS: Final = ("reasoning_effort", "reasoning", "thinking")
_REASONING: Final = frozenset({"effort", "summary"})  # a summary is all that ever comes
