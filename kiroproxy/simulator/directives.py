"""Orders to the simulated model, written into the last user text.

====================================  ==========================================================
``[[sim:text 200]]``                  answer with 200 words
``[[sim:say ha ha]]``                 answer with exactly this text
``[[sim:json {"a": 1}]]``             answer with this JSON and nothing else
``[[sim:tool Bash {"command":"ls"}]]``  call a tool; several make parallel calls
``[[sim:tool web_search {"query":"x"}]]``  search, where that is offered
``[[sim:tools [{"name":"Bash","input":{}}, …]]]``  parallel calls, in one order
``[[sim:think Let me see.]]``         reason first, natively or in tags, as the request allows
``[[sim:redact]]``                    the same as redacted content, where thinking is native
``[[sim:stop MAX_TOKENS]]``           end with this stopReason
``[[sim:pace 0.05]]``                 seconds per delta for this answer
``[[sim:fault cut after=3]]``         break the answer (see ``faults``); ``times=1``: only the first
                                      time that this conversation asks for it
``[[sim:then]]``                      what follows is for the next round, after the tool results
====================================  ==========================================================

A text directive may stand beside tool calls: the text comes first. Anything malformed is left in the
prompt as plain text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_OPEN = re.compile(r"\[\[sim:([a-z]+)[ \t]*")
_CLOSE = re.compile(r"\s*\]\]")
_TOOL_NAME = re.compile(r"\s*([^\s{\]]+)\s*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Directive:
    """``name``, its text argument, and its JSON value where it has one."""

    name: str
    text: str = ""
    value: Any = None


@dataclass(slots=True)
class Order:
    """One round's directives, and the prompt without them."""

    prompt: str = ""
    directives: list[Directive] = field(default_factory=list)

    def all(self, name: str) -> list[Directive]:
        """The directives of one name, in order."""
        return [directive for directive in self.directives if directive.name == name]

    def first(self, name: str) -> Directive | None:
        """The first directive of a name."""
        return next(iter(self.all(name)), None)


def has_directive(text: str) -> bool:
    """Whether any order stands in ``text``."""
    return _OPEN.search(text) is not None


def parse_orders(text: str) -> list[Order]:
    """The rounds that ``text`` asks for; one round without directives for plain text."""
    orders = [Order()]
    at = 0
    while (opening := _OPEN.search(text, at)) is not None:
        orders[-1].prompt += text[at : opening.start()]
        parsed = _parse(opening.group(1), text, opening.end())
        if parsed is None:
            orders[-1].prompt += opening.group()
            at = opening.end()
            continue
        directive, at = parsed
        if directive.name == "then":
            orders.append(Order())
        else:
            orders[-1].directives.append(directive)
    orders[-1].prompt += text[at:]
    return orders


def _parse(name: str, text: str, at: int) -> tuple[Directive, int] | None:
    if name == "tool":
        return _parse_tool(text, at)
    if name in ("tools", "json"):
        return _parse_json(name, "", text, at)
    end = text.find("]]", at)
    if end < 0:
        return None
    return Directive(name, text[at:end].strip()), end + 2


def _parse_tool(text: str, at: int) -> tuple[Directive, int] | None:
    name = _TOOL_NAME.match(text, at)
    if name is None:
        return None
    if text.startswith("]]", name.end()):
        return Directive("tool", name.group(1), {}), name.end() + 2
    return _parse_json("tool", name.group(1), text, name.end())


def _parse_json(name: str, word: str, text: str, at: int) -> tuple[Directive, int] | None:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except json.JSONDecodeError:
        return None
    closing = _CLOSE.match(text, end)
    if closing is None or not _VALID.get(name, _any_value)(value):
        return None
    return Directive(name, word, value), closing.end()


def _any_value(value: Any) -> bool:
    return True


def _is_call_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("name"), str) for entry in value
    )


_VALID = {"tools": _is_call_list}
