"""The ``tools`` list of the Messages API → neutral tools.

Four kinds: the client's own functions; the provider's client-side tools, whose documented schemas are
below; its web search, which we can offer; and everything else that runs on the provider's servers,
which is left out and named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kiroproxy.api.anthropic.keys import FAMILY_TOOL, FUNCTION, TOOL_CHOICE
from kiroproxy.api.checks import (
    Object,
    Path,
    array,
    fail,
    filled_text,
    flag,
    free_form,
    mapping,
    optional_text,
)
from kiroproxy.api.hosted import hosted_search
from kiroproxy.api.ignored import CACHE, Ignored, is_set, note_unread
from kiroproxy.api.turn import AUTO, Tool, ToolChoice, ToolChoiceKind, WebSearch

# Listed by Claude Code for its tool search on the provider's side only.
_PLACEHOLDER_TOOL: Final = "DeferredToolPlaceholder"
_WITHOUT_EFFECT: Final = ("strict", "input_examples", "allowed_callers")


class Offered:
    """What a tools list came to. ``names``: every listed name, left out or not."""

    __slots__ = ("names", "tools", "web_search")

    def __init__(self) -> None:
        self.tools: list[Tool] = []
        self.web_search: WebSearch | None = None
        self.names: set[str] = set()


def parse_tools(value: object, path: Path, ignored: Ignored) -> Offered:
    """The whole list. Raises RequestError."""
    offered = Offered()
    if value is None:
        return offered
    for index, entry in enumerate(array(value, path)):
        at = (*path, index)
        _parse_tool(mapping(entry, at), at, offered, ignored)
    return offered


def _parse_tool(tool: Object, path: Path, offered: Offered, ignored: Ignored) -> None:
    kind = optional_text(tool.get("type"), path, "type")
    if is_set(tool.get(CACHE)):
        ignored.add(CACHE)
    ignored.update(f"tools.{key}" for key in _WITHOUT_EFFECT if tool.get(key))
    family = _family(kind)
    if kind in ("", "custom", "function") or (family is None and "input_schema" in tool):
        note_unread(tool, FUNCTION, "tools", ignored)
        _add_function(tool, path, offered)
    elif family is not None:
        note_unread(tool, FAMILY_TOOL, "tools", ignored)
        name = filled_text(tool.get("name", family.name), path, "name")
        _add(Tool(name, family.description, family.schema(kind)), path, offered)
    elif kind.startswith("web_search_"):
        _add_web_search(tool, path, offered, ignored)
    else:
        ignored.add(f"tools.{kind}")
        if isinstance(tool.get("name"), str):
            offered.names.add(tool["name"])


def _add_function(tool: Object, path: Path, offered: Offered) -> None:
    name = filled_text(tool.get("name"), path, "name")
    if flag(tool.get("defer_loading"), path, "defer_loading") and name == _PLACEHOLDER_TOOL:
        return
    description = optional_text(tool.get("description"), path, "description")
    schema = free_form(tool.get("input_schema", {}), path, "input_schema")
    _add(Tool(name, description, schema), path, offered)


def _add(tool: Tool, path: Path, offered: Offered) -> None:
    if tool.name in offered.names:
        fail((*path, "name"), "tool names must be unique")
    offered.names.add(tool.name)
    offered.tools.append(tool)


def _add_web_search(tool: Object, path: Path, offered: Offered, ignored: Ignored) -> None:
    name = filled_text(tool.get("name", "web_search"), path, "name")
    if name in offered.names:
        fail((*path, "name"), "tool names must be unique")
    offered.names.add(name)
    offered.web_search = hosted_search(tool, path, ignored)
    offered.web_search.comes_back = True


def parse_tool_choice(value: object, path: Path, offered: Offered, ignored: Ignored) -> ToolChoice:
    """``auto`` when absent. Raises RequestError."""
    if value is None:
        return AUTO
    choice = mapping(value, path)
    kind = choice.get("type")
    known = TOOL_CHOICE | {"name"} if kind == "tool" else TOOL_CHOICE
    note_unread(choice, known, "tool_choice", ignored)
    if kind == "tool":
        name = filled_text(choice.get("name"), path, "name")
        if name not in offered.names:
            fail((*path, "name"), "no tool of this name is offered")
        return ToolChoice(ToolChoiceKind.NAMED, name)
    if kind not in ("auto", "any", "none"):
        fail((*path, "type"), "must be auto, any, none or tool")
    return ToolChoice(ToolChoiceKind(kind))


def _string(description: str) -> Object:
    return {"type": "string", "description": description}


def _object(required: list[str], properties: Object) -> Object:
    return {"type": "object", "properties": properties, "required": required}


_RANGE: Final[Object] = {
    "type": "array",
    "items": {"type": "integer"},
    "description": "First and last line to show, counted from 1; -1 as the last means to the end.",
}


class _Family:
    """A client-side tool whose schema the provider documents instead of the client."""

    def __init__(
        self, name: str, description: str, schema: Object, old: Mapping[str, Object]
    ) -> None:
        self.name = name
        self.description = description
        self._schema = schema
        self._old = old  # versions whose schema differs: version → schema

    def schema(self, kind: str) -> Object:
        """The schema of this version, such as ``bash_20250124``."""
        return self._old.get(kind.rsplit("_", 1)[-1], self._schema)


def _editor_schema(commands: list[str], insert_text: str) -> Object:
    return _object(
        ["command", "path"],
        {
            "command": {"type": "string", "enum": commands, "description": "What to do."},
            "path": _string("Path of the file or directory."),
            "file_text": _string("For create: the whole content of the new file."),
            "old_str": _string("For str_replace: the text to replace; it occurs exactly once."),
            "new_str": _string("For str_replace: the text to put in its place."),
            "insert_line": {
                "type": "integer",
                "description": "For insert: the line after which to insert; 0 is the beginning.",
            },
            insert_text: _string("For insert: the text to insert.")
            if insert_text != "new_str"
            else _string("For str_replace and insert: the new text."),
            "view_range": _RANGE,
        },
    )


_EDIT: Final = ["view", "create", "str_replace", "insert"]
_FAMILIES: Final[dict[str, _Family]] = {
    "bash_": _Family(
        "bash",
        "Run a command in a persistent bash session, or restart that session.",
        {
            "type": "object",
            "properties": {
                "command": _string("The command to run; required unless restart is true."),
                "restart": {"type": "boolean", "description": "true restarts the session."},
            },
        },
        {},
    ),
    "text_editor_": _Family(
        "str_replace_based_edit_tool",
        "View, create and edit text files: show a file or directory, write a new file, replace one "
        "occurrence of a text, insert text after a line.",
        _editor_schema(_EDIT, "insert_text"),
        {
            "20241022": _editor_schema([*_EDIT, "undo_edit"], "new_str"),
            "20250124": _editor_schema([*_EDIT, "undo_edit"], "new_str"),
            "20250429": _editor_schema(_EDIT, "new_str"),
        },
    ),
    "memory_": _Family(
        "memory",
        "Keep notes in files below /memories that last from conversation to conversation.",
        _object(
            ["command"],
            {
                "command": {
                    "type": "string",
                    "enum": [*_EDIT, "delete", "rename"],
                    "description": "What to do.",
                },
                "path": _string("Path below /memories; for every command but rename."),
                "view_range": _RANGE,
                "file_text": _string("For create: the whole content of the file."),
                "old_str": _string("For str_replace: the text to replace."),
                "new_str": _string("For str_replace: the text to put in its place."),
                "insert_line": {"type": "integer", "description": "For insert: after which line."},
                "insert_text": _string("For insert: the text to insert."),
                "old_path": _string("For rename: the present path."),
                "new_path": _string("For rename: the new path."),
            },
        ),
        {},
    ),
}


def _family(kind: str) -> _Family | None:
    found = (family for prefix, family in _FAMILIES.items() if kind.startswith(prefix))
    return next(found, None)
