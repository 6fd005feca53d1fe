"""``messages`` of Chat Completions → neutral messages.

System text in front of the conversation becomes the system prompt; later on it keeps its place. Tool
results are messages of their own here and become blocks of user messages. The older ``function_call``
has no id: each gets one, and a ``function`` message answers the last open call of its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from kiroproxy.api.checks import (
    InexactNumber,
    Object,
    Path,
    array,
    exact_form,
    fail,
    filled_text,
    load_exactly,
    mapping,
    optional_text,
    text,
)
from kiroproxy.api.ignored import Ignored, note_unread
from kiroproxy.api.openai.blocks import parse_blocks
from kiroproxy.api.openai.keys import CALL, CALLED_CUSTOM, CALLED_FUNCTION, MESSAGES
from kiroproxy.api.openai.parts import parse_content, parse_texts
from kiroproxy.api.openai.unwrap import CUSTOM_INPUT
from kiroproxy.api.turn import Block, Message, Reasoning, Text, ToolResult, ToolUse


def parse_messages(value: object, ignored: Ignored) -> tuple[list[str], list[Message]]:
    """The system prompt and the conversation. Raises RequestError."""
    if not isinstance(value, list) or not value:
        fail(("messages",), "must be a list of at least one message")
    history = _History(ignored)
    for index, item in enumerate(value):
        history.add(mapping(item, ("messages", index)), ("messages", index))
    return history.system, history.messages


class _History:
    """Takes the messages in one after another."""

    def __init__(self, ignored: Ignored) -> None:
        self.system: list[str] = []
        self.messages: list[Message] = []
        self._ignored = ignored
        self._open_functions: dict[str, list[str]] = {}  # by name, their made-up ids

    def add(self, message: Object, path: Path) -> None:
        role = message.get("role")
        parse = _ROLES.get(role) if isinstance(role, str) else None
        if parse is None:
            fail((*path, "role"), f"must be one of {', '.join(_ROLES)}")
        note_unread(message, MESSAGES[str(role)], "messages", self._ignored)
        parse(self, message, path)

    def _system(self, message: Object, path: Path) -> None:
        self._note_name(message)
        words = parse_texts(message.get("content"), (*path, "content"), self._ignored)
        if self.messages:
            self.messages.append(Message("system", [Text(text) for text in words]))
        else:
            self.system += [text for text in words if text]

    def _user(self, message: Object, path: Path) -> None:
        self._note_name(message)
        if message.get("content") is None:
            fail((*path, "content"), "must be a string or a list of content parts")
        blocks = parse_blocks(message["content"], (*path, "content"), self._ignored)
        self.messages.append(Message("user", blocks))

    def _assistant(self, message: Object, path: Path) -> None:
        self._note_name(message)
        blocks = parse_blocks(message.get("content"), (*path, "content"), self._ignored)
        if not any(isinstance(block, Reasoning) for block in blocks):
            blocks[:0] = _reasoning(message)
        refusal = optional_text(message.get("refusal"), path, "refusal")
        if refusal:
            blocks.append(Text(refusal))
        if message.get("audio") is not None:
            self._ignored.add("messages.audio")
        at = (*path, "tool_calls")
        # Some clients say a call twice: as a block, and as a call.
        said = {_key(block) for block in blocks if isinstance(block, ToolUse)}
        for index, call in enumerate(array(message.get("tool_calls"), at)):
            use = _tool_call(mapping(call, (*at, index)), (*at, index), self._ignored)
            if (key := _key(use)) not in said:
                said.add(key)
                blocks.append(use)
        if message.get("function_call") is not None:
            blocks.append(self._function_call(message["function_call"], (*path, "function_call")))
        self.messages.append(Message("assistant", blocks))

    def _function_call(self, value: object, path: Path) -> ToolUse:
        call = mapping(value, path)
        note_unread(call, CALLED_FUNCTION, "messages.function_call", self._ignored)
        name = filled_text(call.get("name"), path, "name")
        call_id = f"call_function_{len(self.messages)}"
        self._open_functions.setdefault(name, []).append(call_id)
        return ToolUse(call_id, name, call_arguments(call.get("arguments"), path))

    def _tool(self, message: Object, path: Path) -> None:
        call_id = filled_text(message.get("tool_call_id"), path, "tool_call_id")
        self._result(call_id, message, path)

    def _function(self, message: Object, path: Path) -> None:
        name = filled_text(message.get("name"), path, "name")
        calls = self._open_functions.get(name)
        self._result(calls.pop() if calls else f"call_function_{name}", message, path)

    def _result(self, call_id: str, message: Object, path: Path) -> None:
        content = parse_content(message.get("content"), (*path, "content"), self._ignored)
        self.messages.append(Message("user", [ToolResult(call_id, content)]))

    def _note_name(self, message: Object) -> None:
        if message.get("name") is not None:
            self._ignored.add("messages.name")


_Parser = Callable[[_History, Object, Path], None]
_ROLES: Final[dict[str, _Parser]] = {
    "system": _History._system,
    "developer": _History._system,
    "user": _History._user,
    "assistant": _History._assistant,
    "tool": _History._tool,
    "function": _History._function,
}


def _reasoning(message: Object) -> list[Block]:
    """As we sent it (and as other proxies call it); without a signature it does not go upstream."""
    for key in ("reasoning_content", "reasoning"):
        if isinstance(message.get(key), str):
            return [Reasoning(message[key], "")]
    return []


def _key(use: ToolUse) -> str:
    """The same for the same call. Text, since bytes of the JSON writer keep a KB each."""
    return orjson.dumps((use.id, use.name, use.input), option=orjson.OPT_SORT_KEYS).decode()


def _tool_call(call: Object, path: Path, ignored: Ignored) -> ToolUse:
    call_id = filled_text(call.get("id"), path, "id")
    kind = optional_text(call.get("type"), path, "type") or "function"
    if kind not in CALL:
        fail((*path, "type"), "must be function or custom")
    note_unread(call, CALL[kind], "messages.tool_calls", ignored)
    if kind == "custom":
        at = (*path, "custom")
        body = mapping(call.get("custom"), at)
        note_unread(body, CALLED_CUSTOM, "messages.tool_calls.custom", ignored)
        given = text(body.get("input"), at, "input")
        return ToolUse(call_id, filled_text(body.get("name"), at, "name"), {CUSTOM_INPUT: given})
    at = (*path, "function")
    body = mapping(call.get("function"), at)
    note_unread(body, CALLED_FUNCTION, "messages.tool_calls.function", ignored)
    name = filled_text(body.get("name"), at, "name")
    return ToolUse(call_id, name, call_arguments(body.get("arguments"), at))


def call_arguments(value: object, path: Path) -> dict[str, Any]:
    """A call's arguments as an object. Models write broken JSON now and then, and it stands in the
    history for good, so it is kept as words instead of failing every further request."""
    words = optional_text(value, path, "arguments")
    if not words.strip():
        return {}
    try:
        found = orjson.loads(words)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return {CUSTOM_INPUT: words}
    if not isinstance(found, dict):
        return {CUSTOM_INPUT: words}
    try:
        return exact_form(found, path, "arguments")
    except InexactNumber:
        return exact_form(load_exactly(words), path, "arguments")
