"""``tools`` and ``tool_choice`` of the Responses API → neutral tools, and the forms for the way back.

On top of what both dialects have: namespaces (flattened, since the service's names are flat), the
provider's local shell, the client's own tool search, and web search. Further tools come in ``input``, as
items; there the same tool may be listed again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kiroproxy.api.checks import (
    Object,
    Path,
    array,
    filled_text,
    free_form,
    mapping,
    optional_text,
)
from kiroproxy.api.hosted import PREFIX, hosted_search, is_hosted
from kiroproxy.api.ignored import Ignored, note_unread
from kiroproxy.api.openai.keys import LOCAL_SHELL as LOCAL_SHELL_KEYS
from kiroproxy.api.openai.keys import NAMESPACE
from kiroproxy.api.openai.keys import TOOL_SEARCH as TOOL_SEARCH_KEYS
from kiroproxy.api.openai.responses_style import FormKind, Forms, ToolForm
from kiroproxy.api.openai.tools import Offered, add_tool, parse_tool_choice
from kiroproxy.api.search import SEARCH_TOOL
from kiroproxy.api.turn import Tool, ToolChoice, ToolChoiceKind, WebSearch

LOCAL_SHELL: Final = "local_shell"
TOOL_SEARCH: Final = "tool_search"

_SHELL_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "command": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The program and its arguments; a shell only if the first one is a shell.",
        },
        "working_directory": {"type": "string", "description": "Where to run it."},
        "timeout_ms": {"type": "integer", "description": "Milliseconds until it is stopped."},
        "env": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Environment variables to set for it.",
        },
    },
    "required": ["command"],
}


class ResponseTools:
    """What the request's tools came to."""

    def __init__(self, ignored: Ignored) -> None:
        self.offered = Offered()
        self.forms: Forms = {}
        self.web_search: WebSearch | None = None
        self._ignored = ignored
        self._numbers: dict[str, int] = {}  # the last one added to each flat name

    def add_all(self, value: object, path: Path) -> None:
        """The ``tools`` field. Raises RequestError."""
        for index, entry in enumerate(array(value, path)):
            self._add(mapping(entry, (*path, index)), (*path, index))

    def add_more(self, value: object, path: Path) -> None:
        """Tools that an input item lists; what is known already is left as it is."""
        for index, entry in enumerate(array(value, path)):
            tool = mapping(entry, (*path, index))
            if not self._is_known(tool):
                self._add(tool, (*path, index))

    def flat(self, namespace: str, name: str) -> str:
        """The flat name of a tool, offered or only in the history."""
        known = self.offered.flat.get((namespace, name))
        if known is not None:
            return known
        return f"{namespace}__{name}" if namespace else name

    def choice(self, value: object, path: Path) -> ToolChoice:
        """``tool_choice``. Raises RequestError."""
        if isinstance(value, dict):
            kind = value.get("type")
            if isinstance(kind, str) and kind.startswith(PREFIX) and self.web_search:
                return ToolChoice(ToolChoiceKind.NAMED, SEARCH_TOOL)
        choice = parse_tool_choice(value, path, self.offered, self._ignored)
        if not any(kind.startswith(PREFIX) for kind in self.offered.left_out):
            self.web_search = None  # not among the allowed ones
        return choice

    # -- one tool ----------------------------------------------------------------------------------

    def _is_known(self, tool: Object) -> bool:
        if tool.get("type") == "namespace":
            return False  # its tools are looked at one by one
        name = tool.get("name", tool.get("type"))
        return isinstance(name, str) and name in self.offered.names

    def _add(self, tool: Object, path: Path) -> None:
        kind = optional_text(tool.get("type"), path, "type")
        if is_hosted(tool):
            self.offered.left_out.add(kind)
            self.web_search = hosted_search(tool, path, self._ignored)
            return
        add = _ADDERS.get(kind)
        if add is not None:
            add(self, tool, path)
            return
        before = len(self.offered.tools)
        add_tool(tool, path, self.offered, self._ignored)
        for added in self.offered.tools[before:]:
            if added.name in self.offered.custom:
                self.forms[added.name] = ToolForm(FormKind.CUSTOM, added.name)

    def _add_namespace(self, tool: Object, path: Path) -> None:
        note_unread(tool, NAMESPACE, "tools", self._ignored)
        namespace = filled_text(tool.get("name"), path, "name")
        about = optional_text(tool.get("description"), path, "description")
        at = (*path, "tools")
        for index, entry in enumerate(array(tool.get("tools"), at)):
            inner = mapping(entry, (*at, index))
            name = filled_text(inner.get("name"), (*at, index), "name")
            if (namespace, name) not in self.offered.flat:
                self._add_member(namespace, name, about, inner, (*at, index))
                about = ""  # said once, with its first tool

    def _add_member(self, namespace: str, name: str, about: str, tool: Object, path: Path) -> None:
        flat = base = f"{namespace}__{name}"
        number = self._numbers.get(base, 1)
        while flat in self.offered.names:
            number += 1
            flat = f"{base}_{number}"
        self._numbers[base] = number
        words = optional_text(tool.get("description"), path, "description")
        described = "\n\n".join(filter(None, (words, about)))
        before = len(self.offered.tools)
        member = {**tool, "name": flat, "description": described}
        add_tool(member, path, self.offered, self._ignored)
        if len(self.offered.tools) > before:
            kind = FormKind.CUSTOM if flat in self.offered.custom else FormKind.FUNCTION
            self.forms[flat] = ToolForm(kind, name, namespace)
            self.offered.flat[namespace, name] = flat

    def _add_local_shell(self, tool: Object, path: Path) -> None:
        note_unread(tool, LOCAL_SHELL_KEYS, "tools", self._ignored)
        words = "Run a program on the user's machine and give back what it prints."
        self.offered.add(Tool(LOCAL_SHELL, words, _SHELL_SCHEMA), path)
        self.offered.typed.add(LOCAL_SHELL)
        self.forms[LOCAL_SHELL] = ToolForm(FormKind.LOCAL_SHELL, LOCAL_SHELL)

    def _add_tool_search(self, tool: Object, path: Path) -> None:
        """The client's own search is a function like others; the provider's does not exist here."""
        if tool.get("execution") != "client" or tool.get("parameters") is None:
            self.offered.left_out.add(TOOL_SEARCH)
            self._ignored.add(f"tools.{TOOL_SEARCH}")
            return
        note_unread(tool, TOOL_SEARCH_KEYS, "tools", self._ignored)
        words = optional_text(tool.get("description"), path, "description")
        schema = free_form(tool["parameters"], path, "parameters")
        self.offered.add(Tool(TOOL_SEARCH, words, schema), path)
        self.offered.typed.add(TOOL_SEARCH)
        self.forms[TOOL_SEARCH] = ToolForm(FormKind.TOOL_SEARCH, TOOL_SEARCH)


_Adder = Callable[[ResponseTools, Object, Path], None]
_ADDERS: Final[dict[str, _Adder]] = {
    "namespace": ResponseTools._add_namespace,
    LOCAL_SHELL: ResponseTools._add_local_shell,
    TOOL_SEARCH: ResponseTools._add_tool_search,
}
