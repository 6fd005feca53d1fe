"""``tools`` and ``tool_choice`` of both OpenAI dialects → neutral tools.

A function's fields stand in ``function`` in Chat Completions and in the tool itself in Responses, and
clients are known to mix them (Cursor even sends Anthropic's ``input_schema``), so each spelling is taken
everywhere. A custom tool takes plain text instead of JSON; the service only knows JSON, so it is offered
as a function with one text property, which ``unwrap`` takes out of the answer again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

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
    text,
)
from kiroproxy.api.hosted import is_hosted
from kiroproxy.api.ignored import Ignored, note_unread
from kiroproxy.api.openai.keys import ALLOWED, CHOSEN, CUSTOM, FUNCTION, GRAMMAR
from kiroproxy.api.openai.unwrap import CUSTOM_INPUT
from kiroproxy.api.turn import Tool, ToolChoice, ToolChoiceKind

_SCHEMA_KEYS: Final = ("parameters", "input_schema")


@dataclass(slots=True)
class Offered:
    """What a tools list came to. ``custom``: names of the tools that take plain text. ``typed``: names of
    those that clients know by their type alone. ``flat``: namespace and name → the name offered.
    ``left_out``: types of hosted tools, which are no functions: most of them do not exist here."""

    tools: list[Tool] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    custom: set[str] = field(default_factory=set)
    typed: set[str] = field(default_factory=set)
    flat: dict[tuple[str, str], str] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)

    def add(self, tool: Tool, path: Path) -> None:
        """Take in one tool. Raises RequestError for a name that is taken."""
        if tool.name in self.names:
            fail((*path, "name"), "tool names must be unique")
        self.names.add(tool.name)
        self.tools.append(tool)


def parse_tools(value: object, path: Path, ignored: Ignored) -> Offered:
    """The whole list. Raises RequestError."""
    offered = Offered()
    for index, entry in enumerate(array(value, path)):
        if is_hosted(entry):
            offered.left_out.add(entry["type"])  # it is read elsewhere
        else:
            add_tool(mapping(entry, (*path, index)), (*path, index), offered, ignored)
    return offered


def add_tool(tool: Object, path: Path, offered: Offered, ignored: Ignored) -> None:
    """One entry of a tools list, of any type."""
    kind = optional_text(tool.get("type"), path, "type")
    add = _ADDERS.get(kind)
    if any(key in tool for key in _SCHEMA_KEYS):  # Anthropic calls its functions custom, too
        add = add_function
    if add is not None:
        add(tool, path, offered, ignored)
        return
    if not kind:
        fail((*path, "type"), "must be function or custom")
    offered.left_out.add(kind)
    ignored.add(f"tools.{kind}")


def add_function(tool: Object, path: Path, offered: Offered, ignored: Ignored) -> None:
    """A function, nested or flat."""
    body, at = _noted_body(tool, path, "function", FUNCTION, ignored)
    if flag(body.get("strict"), at, "strict"):
        ignored.add(f"{_place(path)}.strict")  # Kiro has no way to hold a model to a schema
    name = filled_text(body.get("name"), at, "name")
    description = optional_text(body.get("description"), at, "description")
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    given = [key for key in _SCHEMA_KEYS if body.get(key) is not None]
    if given:
        schema = free_form(body[given[0]], at, given[0])
        ignored.update(f"{_place(path)}.{key}" for key in given[1:] if body[key] != schema)
    offered.add(Tool(name, description, schema), at)


def add_custom(tool: Object, path: Path, offered: Offered, ignored: Ignored) -> None:
    """A tool that takes plain text, perhaps after a grammar. Models write bad input without seeing the
    grammar, so it goes into the description."""
    body, at = _noted_body(tool, path, "custom", CUSTOM, ignored)
    name = filled_text(body.get("name"), at, "name")
    description = optional_text(body.get("description"), at, "description")
    grammar = _grammar(body.get("format"), (*at, "format"), ignored)
    schema = {
        "type": "object",
        "properties": {
            CUSTOM_INPUT: {
                "type": "string",
                "description": "The tool's whole input, as plain text.",
            }
        },
        "required": [CUSTOM_INPUT],
    }
    offered.add(Tool(name, "\n\n".join(filter(None, (description, grammar))), schema), at)
    offered.custom.add(name)


def _grammar(value: object, path: Path, ignored: Ignored) -> str:
    """``{"type": "grammar", "syntax": …, "definition": …}``, the two nested in Chat Completions."""
    if value is None:
        return ""
    form = mapping(value, path)
    kind = optional_text(form.get("type"), path, "type")
    if kind == "text":
        note_unread(form, _TYPE, "tools.format", ignored)
    if kind != "grammar":
        if kind != "text" and form:
            ignored.add("tools.format")
        return ""
    body, at = _body(form, path, "grammar")
    note_unread(body, GRAMMAR, "tools.format", ignored)
    if body is not form:
        note_unread(form, _TYPE | {"grammar"}, "tools.format", ignored)
    syntax = optional_text(body.get("syntax"), at, "syntax")
    definition = text(body.get("definition"), at, "definition")
    return f"The input must follow this grammar ({syntax}):\n{definition}"


def parse_functions(value: object, path: Path, ignored: Ignored) -> Offered:
    """The older ``functions`` list: the bodies of functions alone."""
    offered = Offered()
    for index, entry in enumerate(array(value, path)):
        add_function(mapping(entry, (*path, index)), (*path, index), offered, ignored)
    return offered


def _body(tool: Object, path: Path, key: str) -> tuple[Object, Path]:
    if tool.get(key) is None:
        return tool, path
    return mapping(tool[key], (*path, key)), (*path, key)


def _noted_body(
    tool: Object, path: Path, key: str, known: frozenset[str], ignored: Ignored
) -> tuple[Object, Path]:
    """As ``_body``; what nobody reads is named, around the body too."""
    body, at = _body(tool, path, key)
    place = _place(path)
    note_unread(body, known, place, ignored)
    around = _AROUND | {key}
    if body is not tool and not tool.keys() <= around:  # what is said twice is read once
        rest = {name: value for name, value in tool.items() if body.get(name) != value}
        note_unread(rest, around, place, ignored)
    return body, at


def _place(path: Path) -> str:
    """Tools that come in items are named as those of the list are."""
    return "functions" if path[0] == "functions" else "tools"


_TYPE: Final = frozenset({"type"})
_AROUND: Final = frozenset({"type", "defer_loading", "eager_input_streaming"})
_Adder = Callable[[Object, Path, Offered, Ignored], None]
_ADDERS: Final[dict[str, _Adder]] = {"function": add_function, "custom": add_custom}
_WORDS: Final = {
    "auto": ToolChoiceKind.AUTO,
    "none": ToolChoiceKind.NONE,
    "required": ToolChoiceKind.ANY,
    "any": ToolChoiceKind.ANY,
}


def parse_tool_choice(value: object, path: Path, offered: Offered, ignored: Ignored) -> ToolChoice:
    """A word, a named tool, or a list of allowed ones (the others are taken out of ``offered``)."""
    if value is None:
        return ToolChoice()
    if isinstance(value, str):
        return _worded(value, path, offered)
    choice = mapping(value, path)
    kind = filled_text(choice.get("type"), path, "type")
    if kind in ("function", "custom", "tool"):
        body, at = _body(choice, path, kind)
        _note_choice(choice, body, kind, CHOSEN, path, ignored)
        return ToolChoice(ToolChoiceKind.NAMED, _offered_name(body, at, offered))
    if kind in offered.typed:
        note_unread(choice, _TYPE, "tool_choice", ignored)
        return ToolChoice(ToolChoiceKind.NAMED, kind)
    if kind == "allowed_tools":
        body, at = _body(choice, path, kind)
        _note_choice(choice, body, kind, ALLOWED, path, ignored)
        return _allowed(body, at, offered, ignored)
    if kind in _WORDS:  # Anthropic's way to say it
        note_unread(choice, _TYPE, "tool_choice", ignored)
        return _worded(kind, (*path, "type"), offered)
    if kind in offered.left_out:
        ignored.add("tool_choice")
        return ToolChoice()
    fail((*path, "type"), "must be function, custom or allowed_tools")


def _note_choice(
    choice: Object, body: Object, key: str, known: frozenset[str], path: Path, ignored: Ignored
) -> None:
    place = str(path[0])
    note_unread(body, known, place, ignored)
    if body is not choice:
        note_unread(choice, _TYPE | {key}, place, ignored)


def _worded(word: str, path: Path, offered: Offered) -> ToolChoice:
    kind = _WORDS.get(word)
    if kind is None:
        fail(path, "must be auto, none, required or a named tool")
    if kind is ToolChoiceKind.ANY and not offered.tools and not offered.left_out:
        fail(path, "a tool call is required, but no tools are offered")
    return ToolChoice(kind)


def _offered_name(body: Object, path: Path, offered: Offered) -> str:
    name = filled_text(body.get("name"), path, "name")
    namespace = optional_text(body.get("namespace"), path, "namespace")
    found = offered.flat.get((namespace, name)) if namespace else name
    if found not in offered.names:
        fail((*path, "name"), "no tool of this name is offered")
    return found


def _namespaces(offered: Offered) -> dict[str, set[str]]:
    """The names that are offered, by namespace."""
    names: dict[str, set[str]] = {}
    for (namespace, _), flat in offered.flat.items():
        names.setdefault(namespace, set()).add(flat)
    return names


def _allowed(body: Object, path: Path, offered: Offered, ignored: Ignored) -> ToolChoice:
    allowed, kinds, whole = set(), set(), set()
    namespaces = _namespaces(offered)
    for index, entry in enumerate(array(body.get("tools"), path, "tools")):
        at = (*path, "tools", index)
        tool = mapping(entry, at)
        kind = optional_text(tool.get("type"), at, "type") or "function"
        if kind in offered.left_out:
            kinds.add(kind)
        elif kind in offered.typed:
            allowed.add(kind)
        elif kind == "namespace":
            name = filled_text(tool.get("name"), at, "name")
            if name not in namespaces:
                fail((*at, "name"), "no namespace of this name is offered")
            whole.add(name)
        else:
            named, at = _body(tool, at, kind)
            _note_choice(tool, named, kind, CHOSEN, path, ignored)
            allowed.add(_offered_name(named, at, offered))
    allowed.update(*(namespaces[name] for name in whole))
    offered.left_out &= kinds
    offered.tools = [tool for tool in offered.tools if tool.name in allowed]
    mode = optional_text(body.get("mode"), path, "mode") or "auto"
    return _worded(mode, (*path, "mode"), offered)
