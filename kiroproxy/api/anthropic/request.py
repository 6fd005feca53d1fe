"""A Messages API request → Turn.

Liberal in what it does not know (fields, block types, roles in odd places), exact in what it uses: a
value of the wrong type is a RequestError that names the field and the rule, never anything else. Every
field that has no effect is named in ``Turn.ignored``.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import orjson

from kiroproxy.api.anthropic.blocks import parse_content
from kiroproxy.api.anthropic.keys import FORMAT, MESSAGE, METADATA, OUTPUT_CONFIG, SYSTEM
from kiroproxy.api.anthropic.tools import parse_tool_choice, parse_tools
from kiroproxy.api.checks import (
    GetHeader,
    Object,
    Path,
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
    text,
)
from kiroproxy.api.density import Hold, hold_nothing
from kiroproxy.api.effort import parse_thinking
from kiroproxy.api.hosted import without_own_search
from kiroproxy.api.ignored import Ignored, note_unread, note_unused, shown
from kiroproxy.api.stops import MAX_SEQUENCES
from kiroproxy.api.turn import Message, ThinkingKind, Turn
from kiroproxy.kiro.fields import EFFORTS
from kiroproxy.kiro.models import wants_thinking

_USED: Final = frozenset(
    {
        "model", "messages", "system", "tools", "tool_choice", "thinking", "output_config",
        "output_format", "max_tokens", "stop_sequences", "stream", "metadata",
    }
)  # fmt: skip
_ROLES: Final[dict[str, Literal["user", "assistant", "system"]]] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
}
_MESSAGE_CONFIG: Final = frozenset({"effort"})
# Bookkeeping for Anthropic in front of Claude Code's system prompt; differs between conversations.
_BILLING: Final = "x-anthropic-billing-header"
_SESSION: Final = re.compile(r"_session_([0-9a-zA-Z-]{8,64})$")
_USER_ID_CHARS: Final = 4096  # of JSON


def parse_messages_request(body: bytes, headers: GetHeader, hold: Hold = hold_nothing) -> Turn:
    """The whole request. Raises RequestError (INVALID_REQUEST) with ``param`` as the field's path."""
    return parse_exactly(body, lambda request: _parse(request, headers), hold)


def _parse(request: Object, headers: GetHeader) -> Turn:
    ignored = Ignored()
    turn = _parse_prompt(request, ignored)
    turn.stream = flag(request.get("stream"), ("stream",))
    if request.get("max_tokens") is not None:
        turn.max_tokens = _max_tokens(request["max_tokens"])
    if request.get("stop_sequences") is not None:
        turn.stop_sequences = _stop_sequences(request["stop_sequences"])
    if request.get("thinking") is not None:
        turn.thinking = parse_thinking(request["thinking"], ignored)
    elif wants_thinking(turn.model):
        turn.thinking.kind = ThinkingKind.ADAPTIVE
    _output_config(request, turn, ignored)
    metadata = request.get("metadata")
    turn.session = _session(metadata, headers)
    if metadata is not None:
        note_unread(mapping(metadata, ("metadata",)), METADATA, "metadata", ignored)
    note_unused(request, _USED, ignored)
    turn.ignored = shown(ignored)
    turn.unfinished = ignored.unfinished
    return turn


def parse_count_tokens(body: bytes, hold: Hold = hold_nothing) -> Turn:
    """The part of a request that is counted: model, messages, system, tools. Same errors."""
    return parse_exactly(body, _parse_counted, hold)


def _parse_counted(request: Object) -> Turn:
    ignored = Ignored()
    turn = _parse_prompt(request, ignored)
    turn.ignored = shown(ignored)
    turn.unfinished = ignored.unfinished
    return turn


def _max_tokens(value: object) -> int:
    if value == 0 and not isinstance(value, bool):
        fail(("max_tokens",), "0 asks to fill the prompt cache alone, which Kiro has no call for")
    return positive(value, ("max_tokens",))


def _parse_prompt(request: Object, ignored: Ignored) -> Turn:
    model = filled_text(request.get("model"), ("model",))
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        fail(("messages",), "must be a list of at least one message")
    offered = parse_tools(request.get("tools"), ("tools",), ignored)
    turn = Turn(
        model,
        [_message(item, index, ignored) for index, item in enumerate(messages)],
        _system(request.get("system"), ignored),
        offered.tools,
    )
    if offered.web_search is not None:
        turn.web_search = without_own_search(offered.web_search, offered.tools, ignored)
    choice = request.get("tool_choice")
    if choice is not None:
        turn.tool_choice = parse_tool_choice(choice, ("tool_choice",), offered, ignored)
    if isinstance(choice, dict):
        path = ("tool_choice", "disable_parallel_tool_use")
        turn.parallel_tools = not flag(choice.get("disable_parallel_tool_use"), path)
    return turn


def _message(value: object, index: int, ignored: Ignored) -> Message:
    if not isinstance(value, dict):
        fail(("messages", index), "must be an object")
    role = value.get("role")
    side = _ROLES.get(role) if isinstance(role, str) else None
    if side is None:
        fail(("messages", index, "role"), "must be user, assistant or system")
    if len(value) > 2:
        note_unread(value, MESSAGE, "messages", ignored)
    path = ("messages", index, "content")
    return Message(side, parse_content(value.get("content"), path, ignored))


def _system(value: object, ignored: Ignored) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value else []
    if not isinstance(value, list):
        fail(("system",), "must be a string or a list of text blocks")
    texts: list[str] = []
    for index, item in enumerate(value):
        path = ("system", index)
        block = mapping(item, path)
        if block.get("type") != "text":
            fail((*path, "type"), "must be text")
        note_unread(block, SYSTEM, "system", ignored)
        texts.append(text(block.get("text"), path, "text"))
    if texts and texts[0].startswith(_BILLING):
        del texts[0]
    return texts


def _stop_sequences(value: object) -> tuple[str, ...]:
    path = ("stop_sequences",)
    given = array(value, path)
    if len(given) > MAX_SEQUENCES:
        fail(path, f"must have at most {MAX_SEQUENCES} entries")
    sequences = (text(item, path, index) for index, item in enumerate(given))
    return tuple(sequence for sequence in sequences if sequence)


def _output_config(request: Object, turn: Turn, ignored: Ignored) -> None:
    """Effort and format; ``output_format`` is the older place of the second."""
    path: Path = ("output_format",)
    form = request.get("output_format")
    if request.get("output_config") is not None:
        config = mapping(request["output_config"], ("output_config",))
        note_unread(config, OUTPUT_CONFIG, "output_config", ignored)
        turn.thinking.effort = _effort(config, ("output_config", "effort"), ignored)
        if config.get("format") is not None:
            form, path = config["format"], ("output_config", "format")
    for index, message in enumerate(request["messages"]):
        if message.get("output_config") is not None:
            effort = _message_effort(message, index, ignored)
            turn.thinking.effort = effort or turn.thinking.effort
    if form is not None:
        turn.output_schema = _output_schema(form, path, ignored)


def _message_effort(message: Object, index: int, ignored: Ignored) -> str:
    """A message may bring an effort of its own; the last one counts."""
    path = ("messages", index, "output_config")
    config = mapping(message["output_config"], path)
    note_unread(config, _MESSAGE_CONFIG, "messages.output_config", ignored)
    return _effort(config, (*path, "effort"), ignored)


def _effort(config: Object, path: Path, ignored: Ignored) -> str:
    effort = optional_text(config.get("effort"), path)
    if effort and effort not in EFFORTS:
        ignored.add("output_config.effort")
        return ""
    return effort


def _output_schema(value: object, path: Path, ignored: Ignored) -> dict[str, Any]:
    form = mapping(value, path)
    if form.get("type") != "json_schema":
        fail((*path, "type"), "must be json_schema")
    note_unread(form, FORMAT, ".".join(map(str, path)), ignored)
    return free_form(form.get("schema"), path, "schema")


def _session(metadata: object, headers: GetHeader) -> str:
    """The client's own name of the conversation, or empty. A subagent's is another conversation."""
    session = headers("x-claude-code-session-id")
    if not session and metadata is not None:
        session = _metadata_session(metadata)
    if not session:
        return ""
    agent = headers("x-claude-code-agent-id")
    return bounded_session(f"{session}/{agent}" if agent else session)


def _metadata_session(metadata: object) -> str:
    """``user_…_session_{uuid}``, or a JSON object as text with ``session_id``."""
    user_id = optional_text(
        mapping(metadata, ("metadata",)).get("user_id"), ("metadata", "user_id")
    )
    if user_id.startswith("{") and len(user_id) <= _USER_ID_CHARS:
        try:
            value = orjson.loads(user_id)
        except orjson.JSONDecodeError:
            return ""
        session = value.get("session_id") if isinstance(value, dict) else None
        return session if isinstance(session, str) else ""
    match = _SESSION.search(user_id)
    return match[1] if match is not None else ""
