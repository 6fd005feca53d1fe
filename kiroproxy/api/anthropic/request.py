"""A Messages API request → Turn.

Liberal in what it does not know (fields, block types, roles in odd places), exact in what it uses: a
value of the wrong type is a RequestError that names the field and the rule, never anything else. Every
field that has no effect is named in ``Turn.ignored``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, Final, Literal

import orjson

from kiroproxy.api.anthropic.blocks import Ignored, parse_content
from kiroproxy.api.anthropic.tools import parse_tool_choice, parse_tools
from kiroproxy.api.checks import (
    Object,
    Path,
    array,
    fail,
    filled_text,
    flag,
    free_form,
    load_object,
    mapping,
    optional_text,
    positive,
    text,
)
from kiroproxy.api.turn import Message, Thinking, ThinkingKind, Turn
from kiroproxy.kiro.fields import EFFORTS
from kiroproxy.kiro.models import wants_thinking

GetHeader = Callable[[str], str | None]

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
# Bookkeeping for Anthropic in front of Claude Code's system prompt; differs between conversations.
_BILLING: Final = "x-anthropic-billing-header"
_SESSION: Final = re.compile(r"_session_([0-9a-zA-Z-]{8,64})$")
_SESSION_CHARS: Final = 128
# Ignored names go into a response header, and some of them are the client's own spelling.
_SHOWABLE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_IGNORED: Final = 24


def parse_messages_request(body: bytes, headers: GetHeader) -> Turn:
    """The whole request. Raises RequestError (INVALID_REQUEST) with ``param`` as the field's path."""
    request = load_object(body)
    ignored: Ignored = set()
    turn = _parse_prompt(request, ignored)
    turn.stream = flag(request.get("stream"), ("stream",))
    if request.get("max_tokens") is not None:
        turn.max_tokens = positive(request["max_tokens"], ("max_tokens",))
    turn.stop_sequences = _stop_sequences(request.get("stop_sequences"))
    turn.thinking = _thinking(request.get("thinking"), ignored)
    if request.get("thinking") is None and wants_thinking(turn.model):
        turn.thinking.kind = ThinkingKind.ADAPTIVE
    _output_config(request, turn, ignored)
    turn.session = _session(request.get("metadata"), headers)
    ignored.update(key for key, value in request.items() if key not in _USED and _is_set(value))
    turn.ignored = _shown(ignored)
    return turn


def parse_count_tokens(body: bytes) -> Turn:
    """The part of a request that is counted: model, messages, system, tools. Same errors."""
    ignored: Ignored = set()
    turn = _parse_prompt(load_object(body), ignored)
    turn.ignored = _shown(ignored)
    return turn


def _parse_prompt(request: Object, ignored: Ignored) -> Turn:
    model = filled_text(request.get("model"), ("model",))
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        fail(("messages",), "must be a list of at least one message")
    offered = parse_tools(request.get("tools"), ("tools",), ignored)
    turn = Turn(model, [_message(item, index, ignored) for index, item in enumerate(messages)])
    turn.system = _system(request.get("system"), ignored)
    turn.tools = offered.tools
    turn.web_search = offered.web_search
    turn.tool_choice = parse_tool_choice(
        request.get("tool_choice"), ("tool_choice",), offered, ignored
    )
    return turn


def _is_set(value: Any) -> bool:
    return value is not None and value != [] and value != {}


def _shown(ignored: Ignored) -> list[str]:
    """Sorted, short, and safe to stand in a header; the rest is counted."""
    names = sorted(name for name in ignored if _SHOWABLE.fullmatch(name))
    kept = names[:_MOST_IGNORED]
    left = len(ignored) - len(kept)
    return [*kept, f"and-{left}-more"] if left else kept


def _message(value: object, index: int, ignored: Ignored) -> Message:
    message = mapping(value, ("messages", index))
    role = message.get("role")
    side = _ROLES.get(role) if isinstance(role, str) else None
    if side is None:
        fail(("messages", index, "role"), "must be user, assistant or system")
    path = ("messages", index, "content")
    return Message(side, parse_content(message.get("content"), path, ignored))


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
        if "cache_control" in block:
            ignored.add("cache_control")
        texts.append(text(block.get("text"), path, "text"))
    if texts and texts[0].startswith(_BILLING):
        del texts[0]
    return texts


def _stop_sequences(value: object) -> tuple[str, ...]:
    path = ("stop_sequences",)
    sequences = (text(item, path, index) for index, item in enumerate(array(value, path)))
    return tuple(sequence for sequence in sequences if sequence)


def _thinking(value: object, ignored: Ignored) -> Thinking:
    if value is None:
        return Thinking()
    thinking = mapping(value, ("thinking",))
    kind = filled_text(thinking.get("type"), ("thinking", "type"))
    if optional_text(thinking.get("display"), ("thinking", "display")) == "omitted":
        return _thinking_kind(kind, thinking, True, ignored)
    return _thinking_kind(kind, thinking, False, ignored)


def _thinking_kind(kind: str, thinking: Object, omit: bool, ignored: Ignored) -> Thinking:
    if kind == "enabled" and thinking.get("budget_tokens") is not None:
        budget = positive(thinking["budget_tokens"], ("thinking", "budget_tokens"))
        return Thinking(ThinkingKind.BUDGET, budget, omit=omit)
    if kind in ("enabled", "adaptive", "between_tools"):
        return Thinking(ThinkingKind.ADAPTIVE, omit=omit)
    if kind != "disabled":
        ignored.add("thinking.type")
    return Thinking()


def _output_config(request: Object, turn: Turn, ignored: Ignored) -> None:
    """Effort and format; ``output_format`` is the older place of the second."""
    path: Path = ("output_format",)
    form = request.get("output_format")
    if request.get("output_config") is not None:
        config = mapping(request["output_config"], ("output_config",))
        turn.thinking.effort = _effort(config, ("output_config", "effort"), ignored)
        if config.get("format") is not None:
            form, path = config["format"], ("output_config", "format")
    _message_effort(request, turn, ignored)
    turn.output_schema = _output_schema(form, path)


def _message_effort(request: Object, turn: Turn, ignored: Ignored) -> None:
    """A message may bring an effort of its own; the last one counts."""
    for index, message in enumerate(request["messages"]):
        if message.get("output_config") is not None:
            path = ("messages", index, "output_config")
            effort = _effort(mapping(message["output_config"], path), (*path, "effort"), ignored)
            turn.thinking.effort = effort or turn.thinking.effort


def _effort(config: Object, path: Path, ignored: Ignored) -> str:
    effort = optional_text(config.get("effort"), path)
    if effort and effort not in EFFORTS:
        ignored.add("output_config.effort")
        return ""
    return effort


def _output_schema(value: object, path: Path) -> dict[str, Any] | None:
    if value is None:
        return None
    form = mapping(value, path)
    if form.get("type") != "json_schema":
        fail((*path, "type"), "must be json_schema")
    return free_form(form.get("schema"), path, "schema")


def _session(metadata: object, headers: GetHeader) -> str:
    """The client's own name of the conversation, or empty. A subagent's is another conversation."""
    session = headers("x-claude-code-session-id") or _metadata_session(metadata)
    agent = headers("x-claude-code-agent-id")
    if session and agent:
        session = f"{session}/{agent}"
    if len(session) > _SESSION_CHARS:
        return hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()
    return session


def _metadata_session(metadata: object) -> str:
    """``user_…_session_{uuid}``, or a JSON object as text with ``session_id``."""
    if metadata is None:
        return ""
    user_id = optional_text(
        mapping(metadata, ("metadata",)).get("user_id"), ("metadata", "user_id")
    )
    if user_id.startswith("{"):
        try:
            value = orjson.loads(user_id)
        except orjson.JSONDecodeError:
            return ""
        session = value.get("session_id") if isinstance(value, dict) else None
        return session if isinstance(session, str) else ""
    match = _SESSION.search(user_id)
    return match[1] if match is not None else ""
