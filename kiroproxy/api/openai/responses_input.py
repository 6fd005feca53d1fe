"""``input`` of the Responses API → neutral messages.

One table: item type → parser. Items are flat (a call, its output and a text are three of them) and become
messages of one block; whoever builds the request joins neighbours of one side. System text in front of
the conversation becomes the system prompt; later on it keeps its place. Types nobody here knows are named
in ``ignored``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from kiroproxy.api.checks import (
    Object,
    Path,
    array,
    exact_form,
    fail,
    filled_text,
    mapping,
    optional_text,
    text,
)
from kiroproxy.api.ignored import Ignored, note_unread
from kiroproxy.api.openai.blocks import parse_blocks
from kiroproxy.api.openai.chat_history import call_arguments
from kiroproxy.api.openai.keys import INTERNAL, ITEMS, SEARCH_ACTION, THOUGHT
from kiroproxy.api.openai.parts import parse_content, parse_texts
from kiroproxy.api.openai.past_search import past_search
from kiroproxy.api.openai.responses_past import kind_of
from kiroproxy.api.openai.responses_tools import LOCAL_SHELL, TOOL_SEARCH, ResponseTools
from kiroproxy.api.openai.sealed import unseal
from kiroproxy.api.openai.unwrap import CUSTOM_INPUT
from kiroproxy.api.tools import sent_name
from kiroproxy.api.turn import (
    Block,
    Message,
    Reasoning,
    RedactedReasoning,
    Text,
    ToolResult,
    ToolUse,
)

COMPACTION_TRIGGER: Final = "compaction_trigger"
_TOOL_ITEMS: Final = ("additional_tools", "tool_search_output")
_SUMMARY: Final = "This is a summary of the conversation so far, which has been compacted:\n\n"
_NO_REFERENCES: Final = "references to kept items are known to /v1/responses only"
_EARLIER: Final = "previous_response_id"


class InputReader:
    """Reads the items in order. ``tools`` gets those that items list, before any item is read."""

    def __init__(self, tools: ResponseTools, ignored: Ignored) -> None:
        self.system: list[str] = []
        self.messages: list[Message] = []
        self.compaction = False
        self._tools = tools
        self._ignored = ignored

    def read(self, items: list[Any], earlier: list[Any] | None = None) -> None:
        """All items, those of ``earlier`` first. Raises RequestError, whose path counts ``items`` alone."""
        placed = [(item, (_EARLIER, index)) for index, item in enumerate(earlier or [])]
        placed += [(item, ("input", index)) for index, item in enumerate(items)]
        for entry, path in placed:
            item = mapping(entry, path)
            if item.get("type") in _TOOL_ITEMS:
                self._tools.add_more(item.get("tools"), (*path, "tools"))
        if items and items[-1].get("type") == COMPACTION_TRIGGER:
            self.compaction = True
            placed.pop()
        for item, path in placed:
            self._item(item, path)

    def _item(self, item: Object, path: Path) -> None:
        kind = kind_of(item)
        if not kind:
            fail((*path, "type"), "must be a string and not empty")
        parse = _ITEMS.get(kind)
        if parse is not None:
            if not item.keys() <= ITEMS[kind]:
                self._note_unread(item, kind)
            parse(self, item, path)
        elif kind.endswith(("_call", "_call_output")):
            self._assistant(_as_words(kind, item))
        else:
            self._ignored.add(f"input.{kind}")

    def _note_unread(self, item: Object, kind: str) -> None:
        told = {key: value for key, value in item.items() if not key.startswith(INTERNAL)}
        note_unread(told, ITEMS[kind], f"input.{kind}", self._ignored)

    def _assistant(self, *blocks: Block) -> None:
        self.messages.append(Message("assistant", [*blocks]))

    def _user(self, *blocks: Block) -> None:
        self.messages.append(Message("user", [*blocks]))

    # -- one parser an item type -------------------------------------------------------------------

    def _message(self, item: Object, path: Path) -> None:
        role = item.get("role")
        at = (*path, "content")
        if role in ("system", "developer"):
            words = parse_texts(item.get("content"), at, self._ignored)
            if self.messages:
                self.messages.append(Message("system", [Text(word) for word in words]))
            else:
                self.system += [word for word in words if word]
        elif role in ("user", "assistant"):
            if item.get("content") is None:
                fail(at, "must be a string or a list of content parts")
            blocks = parse_blocks(item["content"], at, self._ignored)
            self.messages.append(Message(role, blocks))
        else:
            fail((*path, "role"), "must be user, assistant, system or developer")

    def _function_call(self, item: Object, path: Path) -> None:
        call_id = filled_text(item.get("call_id"), path, "call_id")
        self._assistant(
            ToolUse(call_id, self._name(item, path), call_arguments(item.get("arguments"), path))
        )

    def _custom_call(self, item: Object, path: Path) -> None:
        call_id = filled_text(item.get("call_id"), path, "call_id")
        given = text(item.get("input"), path, "input")
        self._assistant(ToolUse(call_id, self._name(item, path), {CUSTOM_INPUT: given}))

    def _name(self, item: Object, path: Path) -> str:
        name = filled_text(item.get("name"), path, "name")
        return self._tools.flat(optional_text(item.get("namespace"), path, "namespace"), name)

    def _output(self, item: Object, path: Path) -> None:
        call_id = filled_text(item.get("call_id"), path, "call_id")
        self._user(
            ToolResult(call_id, parse_content(item.get("output"), (*path, "output"), self._ignored))
        )

    def _shell_call(self, item: Object, path: Path) -> None:
        action = exact_form(item.get("action"), path, "action")
        given = {key: value for key, value in action.items() if key != "type" and value is not None}
        self._assistant(ToolUse(_call_id(item, path), LOCAL_SHELL, given))

    def _shell_output(self, item: Object, path: Path) -> None:
        content = parse_content(item.get("output"), (*path, "output"), self._ignored)
        self._user(ToolResult(_call_id(item, path), content))

    def _tool_search_call(self, item: Object, path: Path) -> None:
        arguments = item.get("arguments")
        given = exact_form(arguments, path, "arguments") if isinstance(arguments, dict) else {}
        self._assistant(ToolUse(_call_id(item, path), TOOL_SEARCH, given))

    def _tool_search_output(self, item: Object, path: Path) -> None:
        names = [self._listed(tool) for tool in array(item.get("tools"), path, "tools")]
        found = ", ".join(filter(None, names))
        words = f"These tools can be called now: {found}" if found else "No tool was found."
        self._user(ToolResult(_call_id(item, path), [Text(words)]))

    def _listed(self, tool: object) -> str:
        """The names that a tool or a namespace has brought, as the model knows them."""
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            return ""
        name: str = tool["name"]
        if tool.get("type") != "namespace":
            return sent_name(name)
        inner = tool.get("tools")
        names = (
            [m.get("name") for m in inner if isinstance(m, dict)] if isinstance(inner, list) else []
        )
        flat = (self._tools.flat(name, inner) for inner in names if isinstance(inner, str))
        return ", ".join(map(sent_name, flat))

    def _additional_tools(self, item: Object, path: Path) -> None:
        """Read before everything else."""

    def _reasoning(self, item: Object, path: Path) -> None:
        words = _reasoning_text(item, path, self._ignored)
        sealed = (
            unseal(optional_text(item.get("encrypted_content"), path, "encrypted_content")) or {}
        )
        if "redacted" in sealed:
            self._assistant(RedactedReasoning(sealed["redacted"]))
        elif words or sealed:
            self._assistant(Reasoning(words or sealed.get("text", ""), sealed.get("signature", "")))

    def _web_search_call(self, item: Object, path: Path) -> None:
        if isinstance(item.get("action"), dict):
            place = "input.web_search_call.action"
            note_unread(item["action"], SEARCH_ACTION, place, self._ignored)
        self._assistant(*past_search(item, ".".join(map(str, path))))

    def _compaction(self, item: Object, path: Path) -> None:
        sealed = unseal(optional_text(item.get("encrypted_content"), path, "encrypted_content"))
        if sealed is None or "summary" not in sealed:
            fail((*path, "encrypted_content"), "was not made by this proxy, so it cannot be read")
        self._user(Text(_SUMMARY + sealed["summary"]))

    def _reference(self, _item: Object, path: Path) -> None:
        fail(path, _NO_REFERENCES)


_Parser = Callable[[InputReader, Object, Path], None]
_ITEMS: Final[dict[str, _Parser]] = {
    "message": InputReader._message,
    "function_call": InputReader._function_call,
    "function_call_output": InputReader._output,
    "custom_tool_call": InputReader._custom_call,
    "custom_tool_call_output": InputReader._output,
    "local_shell_call": InputReader._shell_call,
    "local_shell_call_output": InputReader._shell_output,
    "tool_search_call": InputReader._tool_search_call,
    "tool_search_output": InputReader._tool_search_output,
    "additional_tools": InputReader._additional_tools,
    "reasoning": InputReader._reasoning,
    "web_search_call": InputReader._web_search_call,
    "compaction": InputReader._compaction,
    "compaction_summary": InputReader._compaction,
    "item_reference": InputReader._reference,
}


def _call_id(item: Object, path: Path) -> str:
    """The shell's outputs have been seen with ``id`` in place of ``call_id``."""
    return filled_text(item.get("call_id") or item.get("id"), path, "call_id")


def _reasoning_text(item: Object, path: Path, ignored: Ignored) -> str:
    """The summary's words, or else the content's."""
    for key in ("summary", "content"):
        words = []
        for index, entry in enumerate(array(item.get(key), path, key)):
            part = mapping(entry, (*path, key, index))
            note_unread(part, THOUGHT, f"input.reasoning.{key}", ignored)
            words.append(text(part.get("text"), (*path, key, index), "text"))
        if words:
            return "\n\n".join(words)
    return ""


def _as_words(kind: str, item: Object) -> Text:
    """A call or result of a tool that ran on a server: nothing upstream knows its form."""
    shown = {key: value for key, value in item.items() if key not in ("type", "id", "status")}
    try:
        return Text(f"[{kind}] {orjson.dumps(shown).decode()}")
    except orjson.JSONEncodeError:
        return Text(f"[{kind}]")
