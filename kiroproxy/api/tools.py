"""Tools fitted to what the service takes: names, descriptions, schemas; and the way back.

A name that fits goes out as it is. Any other gets a readable rest of itself and a hash of the whole,
so that its new name depends on nothing but the old one: the same conversation gives the same bytes, and
``renamed`` maps every changed name back exactly.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

from kiroproxy.api.schemas import EMPTY_SCHEMA, fit_schema
from kiroproxy.api.turn import Tool
from kiroproxy.kiro import request as wire

NAME_CHARS: Final = 64  # the service's model: 64 at most, [a-zA-Z0-9_-]+; a leading letter is safe
DESCRIPTION_CHARS: Final = 10_240  # same source; characters, not bytes
PAST_TOOL: Final = "A tool that was used earlier in this conversation and is not offered now."

_FIT: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
_UNFIT_CHARS: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_HASH_CHARS: Final = 8


class ToolNames:
    """The names of one request: declared ones first, then those that only its history knows."""

    __slots__ = ("_folded", "_taken", "_upstream")

    def __init__(self, declared: Sequence[str]) -> None:
        self._upstream: dict[str, str] = {}
        self._taken: set[str] = set()
        self._folded: dict[str, str] = {}
        if declared:
            self._declare(list(dict.fromkeys(declared)))

    def _declare(self, names: list[str]) -> None:
        self._upstream = {name: name for name in names if _FIT.fullmatch(name)}
        self._taken = set(self._upstream)
        for name in names:
            if name not in self._upstream:
                self._rename(name)
        # The service compares names without case, so a history's "bash" is the declared "Bash".
        self._folded = {name.lower(): sent for name, sent in reversed(self._upstream.items())}

    def upstream(self, name: str) -> str:
        """The name to send for a client's name, declared or from the history."""
        sent = self._upstream.get(name)
        if sent is not None:
            return sent
        sent = self._folded.get(name.lower())
        if sent is not None:
            self._upstream[name] = sent
            return sent
        if _FIT.fullmatch(name) and name not in self._taken:
            self._upstream[name] = name
            self._taken.add(name)
            return name
        return self._rename(name)

    def renamed(self) -> dict[str, str]:
        """Sent name → client's name, for changed names only; a declared name wins its sent name."""
        back: dict[str, str] = {}
        if not self._upstream:
            return back
        for name, sent in self._upstream.items():
            back.setdefault(sent, name)
        return {sent: name for sent, name in back.items() if sent != name}

    def _rename(self, name: str) -> str:
        salt = 0
        sent = shortened(name, salt)
        while sent in self._taken:
            salt += 1
            sent = shortened(name, salt)
        self._upstream[name] = sent
        self._taken.add(sent)
        return sent


def sent_name(name: str) -> str:
    """The name that the model most likely knows a tool by: ``ToolNames`` gives another one only to tools
    whose names clash. For texts that speak of tools."""
    return name if _FIT.fullmatch(name) else shortened(name)


def shortened(name: str, salt: int = 0) -> str:
    """A fitting name for one that does not fit: its own words, then a hash of the whole.

    ``salt`` gives another one should the first be taken.
    """
    seed = name if salt == 0 else f"{name}#{salt}"
    tail = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]
    words = _UNFIT_CHARS.sub("_", name).strip("_-")
    if not words[:1].isalpha():
        words = f"tool_{words}".rstrip("_")
    return f"{words[: NAME_CHARS - 1 - _HASH_CHARS]}_{tail}"


class Declared:
    """What goes into the request for its tools: ``specs``, and ``moved`` texts for the system prompt."""

    __slots__ = ("_description_chars", "_names", "moved", "specs")

    def __init__(self, description_chars: int = DESCRIPTION_CHARS) -> None:
        self._description_chars = description_chars
        self.specs: list[wire.Part] = []
        self.moved: list[str] = []
        self._names: set[str] = set()

    def add(self, tool: Tool, sent_name: str) -> None:
        """Declare a tool once; a later one of the same name is left out."""
        if sent_name in self._names:
            return
        self._names.add(sent_name)
        description = tool.description
        if not description.strip():
            description = f"Tool: {sent_name}"
        elif len(description) > self._description_chars:
            self.moved.append(f"# Tool {sent_name}\n\n{description}")
            description = (
                f"The description of this tool is long. Read it in the system prompt, under "
                f'"# Tool {sent_name}", before you call the tool.'
            )
        self.specs.append(wire.tool_spec(sent_name, description, fit_schema(tool.schema)))

    def add_past(self, sent_name: str) -> None:
        """Declare a name that only the history uses: the service refuses undeclared names."""
        if sent_name not in self._names:
            self._names.add(sent_name)
            self.specs.append(wire.tool_spec(sent_name, PAST_TOOL, EMPTY_SCHEMA))
