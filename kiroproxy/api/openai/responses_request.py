"""A Responses API request → Turn.

Liberal in what it does not know, exact in what it uses, as the other parsers. What would change the
answer's form and cannot be done (``background``, ``conversation``, stored prompts) is refused by name.
"""

from __future__ import annotations

from typing import Any, Final

from kiroproxy.api.checks import (
    GetHeader,
    Object,
    array,
    bounded_session,
    fail,
    filled_text,
    flag,
    free_form,
    mapping,
    optional_text,
    parse_exactly,
    positive,
)
from kiroproxy.api.density import Hold, hold_nothing
from kiroproxy.api.hosted import without_own_search
from kiroproxy.api.ignored import Ignored, is_set, note_unread, note_unused, shown
from kiroproxy.api.openai.keys import TEXT_OPTIONS
from kiroproxy.api.openai.options import (
    parse_effort,
    parse_format,
    parse_limit,
    parse_stop,
    parse_stream_options,
    refuse_unsupported,
    without_neutral,
)
from kiroproxy.api.openai.responses_input import InputReader
from kiroproxy.api.openai.responses_style import ResponsesStyle
from kiroproxy.api.openai.responses_tools import ResponseTools
from kiroproxy.api.turn import (
    Message,
    Text,
    Thinking,
    ThinkingKind,
    ToolChoice,
    ToolChoiceKind,
    Turn,
)
from kiroproxy.kiro.models import wants_thinking

_USED: Final = frozenset(
    {
        "model", "input", "instructions", "stream", "stream_options", "store", "previous_response_id",
        "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning", "max_output_tokens",
        "include", "metadata", "background", "conversation", "prompt", "truncation", "stop",
        "max_tool_calls",
    }
)  # fmt: skip
_REFUSED: Final = {
    "background": "answers in the background are not supported; use stream",
    "conversation": "conversations are not kept here; use previous_response_id or send the input",
    "prompt": "stored prompts are not supported; send instructions and input",
}
SEALED: Final = "reasoning.encrypted_content"
_SUMMARIES: Final = ("auto", "concise", "detailed")
# Codex names the conversation in a header; its thread is one of perhaps several in a session.
_SESSION_HEADERS: Final = ("thread-id", "session-id", "session_id")
_COMPACT: Final = (
    "Summarise this conversation so that another assistant can take over from your summary alone. Keep "
    "every request and wish of the user, decisions and the reasons for them, files and names with their "
    "present state, commands and their results as far as they still matter, what is done, what is open, "
    "and the next step. Write the summary and nothing else."
)


def parse_responses_request(body: bytes, headers: GetHeader, hold: Hold = hold_nothing) -> Turn:
    """The whole request. Raises RequestError (INVALID_REQUEST) with ``param`` as the field's path."""
    return parse_exactly(body, lambda request: parse_responses(request, headers), hold)


def parse_responses(request: Object, headers: GetHeader, earlier: list[Any] | None = None) -> Turn:
    """As ``parse_responses_request``, from the JSON object. ``earlier``: the items that stood before,
    when ``previous_response_id`` named a response that is kept."""
    ignored = Ignored()
    model = filled_text(request.get("model"), ("model",))
    _refuse(request)
    tools = ResponseTools(ignored)
    tools.add_all(request.get("tools"), ("tools",))
    items = _items(request.get("input"), earlier)
    reader = InputReader(tools, ignored)
    reader.read(items, earlier)
    turn = Turn(model, reader.messages, _system(request, reader))
    style = ResponsesStyle(tools.forms, items=[*(earlier or []), *items])
    _take_tools(request, tools, turn)
    turn.web_search = without_own_search(turn.web_search, turn.tools, ignored)
    _take_options(request, turn, style, ignored)
    style.echo = _echo(request, turn)
    style.compaction = reader.compaction
    if reader.compaction:
        _compact(turn)
    turn.style = style
    turn.session = _session(headers)
    note_unused(without_neutral(request), _USED, ignored)
    turn.ignored = shown(ignored)
    turn.unfinished = ignored.unfinished
    return turn


def style_of(turn: Turn) -> ResponsesStyle:
    """The style the parser left in the turn."""
    return turn.style if isinstance(turn.style, ResponsesStyle) else ResponsesStyle()


def _refuse(request: Object) -> None:
    refuse_unsupported(request)
    for name, rule in _REFUSED.items():
        if request.get(name) not in (None, False):
            fail((name,), rule)


def _items(value: object, earlier: list[Any] | None) -> list[Any]:
    """A string is one user message. A conversation may go on without a word."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if value is None and earlier:
        return []
    if not isinstance(value, list) or not (value or earlier):
        fail(("input",), "must be a string or a list of at least one item")
    return value


def _system(request: Object, reader: InputReader) -> list[str]:
    instructions = optional_text(request.get("instructions"), ("instructions",))
    return [instructions, *reader.system] if instructions else reader.system


def _take_tools(request: Object, tools: ResponseTools, turn: Turn) -> None:
    turn.tool_choice = tools.choice(request.get("tool_choice"), ("tool_choice",))
    turn.tools = tools.offered.tools
    turn.web_search = tools.web_search
    if request.get("max_tool_calls") is not None:
        limit = positive(request["max_tool_calls"], ("max_tool_calls",))
        if turn.web_search is not None:  # it is about tools that the server runs: this one alone
            turn.web_search.max_uses = min(turn.web_search.max_uses, limit)
    parallel = request.get("parallel_tool_calls")
    turn.parallel_tools = parallel is None or flag(parallel, ("parallel_tool_calls",))


def _take_options(request: Object, turn: Turn, style: ResponsesStyle, ignored: Ignored) -> None:
    turn.stream = flag(request.get("stream"), ("stream",))
    parse_stream_options(request.get("stream_options"), ignored)
    turn.max_tokens = parse_limit(request, "max_output_tokens")
    turn.stop_sequences = parse_stop(request.get("stop"))  # not in the API, but it has its effect
    store = request.get("store")
    style.store = store is None or flag(store, ("store",))
    wanted = array(request.get("include"), ("include",))
    for index, name in enumerate(wanted):
        if filled_text(name, ("include", index)) != SEALED:
            ignored.add(f"include.{name}")
    style.sealed = SEALED in wanted
    _take_text(request, turn, ignored)
    _take_reasoning(request, turn, style, ignored)
    if request.get("metadata") is not None:
        metadata = mapping(request["metadata"], ("metadata",))
        if not all(isinstance(value, str) for value in metadata.values()):
            fail(("metadata",), "must have strings as values")
    truncation = request.get("truncation")
    if truncation not in (None, "disabled", "auto"):
        fail(("truncation",), "must be auto or disabled")
    if truncation == "auto":
        ignored.add("truncation")


def _take_text(request: Object, turn: Turn, ignored: Ignored) -> None:
    if request.get("text") is None:
        return
    options = mapping(request["text"], ("text",))
    note_unread(options, TEXT_OPTIONS, "text", ignored)
    turn.output_schema = parse_format(options.get("format"), ("text", "format"), ignored)
    if options.get("verbosity") not in (None, "medium"):
        ignored.add("text.verbosity")


def _take_reasoning(request: Object, turn: Turn, style: ResponsesStyle, ignored: Ignored) -> None:
    """Effort, and whether the thinking is shown. A client that only asks to see it wants it to be."""
    at = ("reasoning",)
    options = mapping(request["reasoning"], at) if request.get("reasoning") is not None else {}
    unread = (key for key in options.keys() - _REASONING_OPTIONS if is_set(options[key]))
    ignored.update(f"reasoning.{key}" for key in unread)
    thinking = parse_effort(options.get("effort"), (*at, "effort"), ignored)
    key = "summary" if options.get("summary") is not None else "generate_summary"
    summary = optional_text(options.get(key), at, key)
    if summary not in ("", "none", *_SUMMARIES):
        fail((*at, key), f"must be {', '.join(_SUMMARIES)} or none")
    style.summary = summary in _SUMMARIES
    if options.get("effort") is None and (style.summary or wants_thinking(turn.model)):
        thinking = Thinking(ThinkingKind.ADAPTIVE)
    thinking.omit = not style.summary and not style.sealed
    turn.thinking = thinking


_REASONING_OPTIONS: Final = frozenset({"effort", "summary", "generate_summary"})


def _echo(request: Object, turn: Turn) -> dict[str, Any]:
    """What a response object repeats of its request, with the API's own defaults."""
    shown_as_sent = {
        "metadata": request.get("metadata") or {},
        "text": {"format": {"type": "text"}, **(request.get("text") or {})},
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
    }
    for name, value in shown_as_sent.items():
        free_form({name: value}, (name,))  # it must be possible to write it again
    reasoning = request.get("reasoning") or {}
    return {
        "instructions": request.get("instructions"),
        "max_output_tokens": turn.max_tokens,
        "max_tool_calls": request.get("max_tool_calls"),
        "parallel_tool_calls": turn.parallel_tools,
        "previous_response_id": request.get("previous_response_id"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "temperature": None,
        "top_p": None,
        "truncation": "disabled",
        **shown_as_sent,
    }


def _compact(turn: Turn) -> None:
    """The answer is to be a summary: nothing to call, nothing to search."""
    turn.messages.append(Message("user", [Text(_COMPACT)]))
    turn.tools = []
    turn.tool_choice = ToolChoice(ToolChoiceKind.NONE)
    turn.web_search = None
    turn.output_schema = None


def _session(headers: GetHeader) -> str:
    return bounded_session(next(filter(None, (headers(name) for name in _SESSION_HEADERS)), ""))
