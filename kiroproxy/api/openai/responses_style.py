"""What the Responses encoder has to know of the request."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class FormKind(enum.Enum):
    """What a call of a tool has to look like in the answer."""

    FUNCTION = enum.auto()
    CUSTOM = enum.auto()  # plain text instead of JSON
    LOCAL_SHELL = enum.auto()
    TOOL_SEARCH = enum.auto()  # run by the client


class ToolForm(NamedTuple):
    """A tool as the client knows it. Upstream names are flat, so the namespace is part of those."""

    kind: FormKind
    name: str
    namespace: str = ""


Forms = dict[str, ToolForm]
"""Flat name → the client's tool; plain functions need no entry."""


@dataclass(slots=True)
class ResponsesStyle:
    """``echo``: the request's own fields, repeated in every response object. ``summary``: the client
    wants to see the thinking; ``sealed``: it wants reasoning items to send back. ``compaction``: the
    answer is one compaction item. ``items``: the whole input, with what came before by
    ``previous_response_id``. ``keep`` gets the final response object, for the client that will ask for
    it again.
    """

    forms: Forms = field(default_factory=dict)
    echo: dict[str, Any] = field(default_factory=dict)
    summary: bool = True
    sealed: bool = False
    compaction: bool = False
    store: bool = True
    items: list[Any] = field(default_factory=list)
    keep: Callable[[bytes], None] | None = None
