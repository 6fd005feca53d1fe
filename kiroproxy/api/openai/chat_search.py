"""Web search in a Chat Completions request.

OpenAI's field is ``web_search_options``, which asks for a search even when it is empty. Clients that speak
to several providers put a hosted tool into ``tools`` instead: ``{"type": "web_search"}`` with its fields
beside the type, in ``web_search``, or as Anthropic and the Responses API have them.
"""

from __future__ import annotations

from typing import Final

from kiroproxy.api.checks import Object, Path, mapping
from kiroproxy.api.hosted import PREFIX, hosted_search, is_hosted
from kiroproxy.api.ignored import Ignored, note_unread
from kiroproxy.api.search import SEARCH_TOOL
from kiroproxy.api.turn import ToolChoice, ToolChoiceKind, WebSearch

OPTIONS: Final = "web_search_options"


def chat_search(request: Object, ignored: Ignored) -> WebSearch | None:
    """The search that the request asks for; a tool says more than the field. Raises RequestError."""
    search = None
    if request.get(OPTIONS) is not None:
        options = mapping(request[OPTIONS], (OPTIONS,))
        ignored.update(f"{OPTIONS}.{key}" for key, value in options.items() if value)
        search = WebSearch(SEARCH_TOOL)
    tools = request.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else []):
        if is_hosted(tool):
            at: Path = ("tools", index)
            kind = tool["type"]
            body = tool[kind] if isinstance(tool.get(kind), dict) else tool
            if body is not tool:
                note_unread(tool, frozenset({"type", kind}), "tools", ignored)
            search = hosted_search(body, at, ignored)
    return search


def search_choice(choice: object) -> ToolChoice | None:
    """A ``tool_choice`` that names the search; None for any other, which is read as always."""
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(kind, str) and kind.startswith(PREFIX):
        return ToolChoice(ToolChoiceKind.NAMED, SEARCH_TOOL)
    return None
