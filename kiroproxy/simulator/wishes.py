"""Plain words that ask for a tool: which of the offered tools, with which input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kiroproxy.simulator.prompt import Prompt, Tool
from kiroproxy.simulator.sampling import sample

Wish = tuple[str, Any]  # tool name, input

_POLITE = r"^(?:please |now |can you |could you |then )*"
_WITH_JSON = re.compile(
    _POLITE + r"(?:call|use|invoke)\s+(?:the\s+)?[`\"']?(\S+?)[`\"']?(?:\s+tool)?\s+with\s+(?=\{)",
    re.I,
)
_USE_TO = re.compile(
    _POLITE + r"(?:call|use|invoke)\s+(?:the\s+)?[`\"']?(\S+?)[`\"']?\s+tool"
    r"(?:\s+to(?:\s+run|\s+execute)?\s+(?P<rest>.+?))?[.!]?$",
    re.I,
)
_RUN = re.compile(_POLITE + r"(?:run|execute)\s+(?:the\s+command\s+)?(?P<rest>\S.*)$", re.I)
_READ = re.compile(
    _POLITE + r"(?:read|open|show)\s+(?:the\s+)?(?:file\s+)?(?P<rest>\S+?)[.?!]?$", re.I
)
_WRITE = re.compile(
    _POLITE + r"(?:write|save)\s+[\"'`“](?P<content>.*)[\"'`”]\s+(?:to|into)\s+"
    r"(?:the\s+)?(?:file\s+)?(?P<rest>\S+?)[.?!]?$",
    re.I,
)
_SEARCH = re.compile(
    _POLITE + r"(?:search the web for|look up on the web)\s+(?P<rest>\S.*?)[.?!]?$", re.I
)
_QUOTES = "`\"'“”"
_PATH_NAMES = ("file_path", "path", "filePath", "filename")
_DECODER = json.JSONDecoder()


def wished_calls(prompt: Prompt) -> list[Wish]:
    """Calls the last lines ask for; consecutive asking lines make parallel calls."""
    calls: list[Wish] = []
    for line in prompt.lines:
        wish = _wish(prompt, line)
        if wish is not None:
            calls.insert(0, wish)
        elif calls:
            break
    return calls


def _wish(prompt: Prompt, line: str) -> Wish | None:
    for look in _LOOKS:
        found = look(prompt, line)
        if found is not None:
            return found
    return None


def _with_json(prompt: Prompt, line: str) -> Wish | None:
    match = _WITH_JSON.match(line)
    tool = prompt.tool(match.group(1)) if match else None
    if match is None or tool is None:
        return None
    try:
        value, _ = _DECODER.raw_decode(line, match.end())
    except json.JSONDecodeError:
        return None
    return tool.name, value


def _use_to(prompt: Prompt, line: str) -> Wish | None:
    match = _USE_TO.match(line)
    tool = prompt.tool(match.group(1)) if match else None
    if match is None or tool is None:
        return None
    return tool.name, _filled(tool, (match.group("rest") or "").strip(_QUOTES))


def _run(prompt: Prompt, line: str) -> Wish | None:
    match = _RUN.match(line)
    tool = _having(prompt, lambda tool: "command" in tool.properties)
    if match is None or tool is None:
        return None
    return tool.name, _filled(tool, match.group("rest").strip(_QUOTES))


def _read(prompt: Prompt, line: str) -> Wish | None:
    match = _READ.match(line)
    tool = _having(
        prompt, lambda tool: "read" in tool.name.lower() and _path_name(tool) is not None
    )
    if match is None or tool is None:
        return None
    return tool.name, {str(_path_name(tool)): match.group("rest").strip(_QUOTES)}


def _write(prompt: Prompt, line: str) -> Wish | None:
    match = _WRITE.match(line)
    tool = _having(
        prompt, lambda tool: "write" in tool.name.lower() and _path_name(tool) is not None
    )
    if match is None or tool is None:
        return None
    path = match.group("rest").strip(_QUOTES)
    return tool.name, {str(_path_name(tool)): path, "content": match.group("content")}


def _search(prompt: Prompt, line: str) -> Wish | None:
    match = _SEARCH.match(line)
    tool = _having(prompt, lambda tool: tool.name == "web_search" and "query" in tool.properties)
    if match is None or tool is None:
        return None
    return tool.name, {"query": match.group("rest").strip(_QUOTES)}


_LOOKS: tuple[Callable[[Prompt, str], Wish | None], ...] = (
    _with_json,
    _use_to,
    _run,
    _write,
    _read,
    _search,
)


def _having(prompt: Prompt, test: Callable[[Tool], bool]) -> Tool | None:
    return next((tool for tool in prompt.tools if test(tool)), None)


def _path_name(tool: Tool) -> str | None:
    return next((name for name in _PATH_NAMES if name in tool.properties), None)


def _filled(tool: Tool, rest: str) -> dict[str, Any]:
    """Required members by sample; the one that takes the wish's own words gets them."""
    value = sample(tool.schema)
    filled = {name: value[name] for name in tool.required if name in value}
    taker = "command" if "command" in tool.properties else next(iter(tool.required), None)
    if rest and taker is not None and _is_text(tool, taker):
        filled[taker] = rest
    return filled


def _is_text(tool: Tool, name: str) -> bool:
    schema = tool.properties.get(name)
    return isinstance(schema, dict) and schema.get("type", "string") == "string"
