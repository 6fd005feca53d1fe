"""Web search by the model: the rounds of one answer, as data.

The model is offered a function ``web_search``. Its calls of it are taken out of the answer (``Round``) and
run here, not by the client. What follows the end of a round is one line of a table (``after``)::

    calls of the search   calls of the client's tools   then
    none                  any                           ENDED     the answer is over
    some                  none                          SEARCHED  search, then ask the model again
    some                  some, findings come back      SHOWN     search, show it, over: the client runs
                                                                  its calls and sends all of it back
    some                  some, they do not             PUT_OFF   over: only the client's calls; the model
                                                                  searches when it is asked again

Findings come back with the Messages API alone: its clients return the blocks of a search as they got them.
The other dialects have no place for them, so a search beside other calls would be lost.

``Budget`` bounds the rounds: past ``max_uses`` a call is refused instead of run and the tool is no longer
offered; the second round that holds refused calls alone is an error.
"""

from __future__ import annotations

import enum
import re
from dataclasses import replace
from typing import Final, NamedTuple

from kiroproxy.api.checks import load_input
from kiroproxy.api.events import (
    REDACTED,
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_INPUT,
    TOOL_START,
    AnswerEvent,
    Source,
    Usage,
)
from kiroproxy.api.search import SEARCH_TOOL
from kiroproxy.api.turn import (
    Block,
    Message,
    Reasoning,
    RedactedReasoning,
    Text,
    Tool,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    ToolUse,
    Turn,
    WebSearch,
)
from kiroproxy.errors import IncompleteAnswerError

_DESCRIPTION: Final = (
    "Search the web. Returns titles, addresses, dates and excerpts of pages. Use it for what may have "
    "changed since you were trained, and name the pages that you rely on."
)
_ALONE: Final = " Call it by itself, not together with other tools."
_SCHEMA: Final = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What to search for."}},
    "required": ["query"],
}
_UNFIT_ID: Final = re.compile(r"[^a-zA-Z0-9_]")
_WEAKEST: Final = (Source.ESTIMATED, Source.DERIVED, Source.REPORTED)


class SearchCall(NamedTuple):
    """A call of the search. ``query`` is empty when its input has none."""

    id: str
    query: str


class After(enum.Enum):
    """What follows a round."""

    ENDED = enum.auto()
    SEARCHED = enum.auto()
    SHOWN = enum.auto()
    PUT_OFF = enum.auto()


def on_offer(turn: Turn) -> WebSearch | None:
    """The search that the model decides about in this turn, if there is one."""
    if turn.web_search is None or turn.tool_choice.kind is ToolChoiceKind.NONE:
        return None
    return turn.web_search


def offering(turn: Turn, search: WebSearch) -> Turn:
    """``turn`` with the search as one more function, or the only one."""
    may_mix = search.comes_back or not turn.tools
    words = _DESCRIPTION if may_mix else _DESCRIPTION + _ALONE
    tool = Tool(SEARCH_TOOL, words, _SCHEMA)
    return replace(turn, tools=[*turn.tools, tool], web_search=None)


class Round:
    """One request's answer: what of it is shown, and what has to go back if the model is asked again."""

    def __init__(self) -> None:
        self.calls: list[SearchCall] = []
        self.has_client_calls = False
        self._blocks: list[Block] = []
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._call_id: str | None = None  # of the open call of the search
        self._input: list[str] = []

    def feed(self, batch: list[AnswerEvent]) -> list[AnswerEvent]:
        """The events of ``batch`` that are the client's: all but calls of the search."""
        if self._call_id is None:
            texts = [event[1] for event in batch if event[0] == TEXT]
            if len(texts) == len(batch):
                self._text += texts
                return batch
        shown: list[AnswerEvent] = []
        for event in batch:
            if self._takes(event):
                continue
            self._note(event)
            shown.append(event)
        return shown

    def message(self) -> Message:
        """The model's own words and thoughts so far, with its calls of the search."""
        self._end_text()
        uses = [ToolUse(call.id, SEARCH_TOOL, _input(call)) for call in self.calls]
        return Message("assistant", [*self._blocks, *uses])

    def _takes(self, event: AnswerEvent) -> bool:
        """Whether an event belongs to a call of the search."""
        kind = event[0]
        if kind == TOOL_START and event[2] == SEARCH_TOOL:
            self._call_id, self._input = shown_id(event[1]), []
            return True
        if self._call_id is None:
            return False
        if kind == TOOL_INPUT:
            self._input.append(event[1])
        elif kind == TOOL_END:
            self.calls.append(SearchCall(self._call_id, _query("".join(self._input))))
            self._call_id = None
        return True

    def _note(self, event: AnswerEvent) -> None:
        match event[0]:
            case kind if kind == TEXT:
                self._text.append(event[1])
            case kind if kind == THINKING:
                self._end_text()
                self._thinking.append(event[1])
            case kind if kind == THINKING_END:
                self._blocks.append(Reasoning("".join(self._thinking), event[1]))
                self._thinking = []
            case kind if kind == REDACTED:
                self._end_text()
                self._blocks.append(RedactedReasoning(event[1]))
            case kind if kind == TOOL_START:
                self.has_client_calls = True

    def _end_text(self) -> None:
        if self._text:
            self._blocks.append(Text("".join(self._text)))
            self._text = []


def after(done: Round, search: WebSearch) -> After:
    """The table above."""
    if not done.calls:
        return After.ENDED
    if not done.has_client_calls:
        return After.SEARCHED
    return After.SHOWN if search.comes_back else After.PUT_OFF


class Budget:
    """How many searches one answer may still make."""

    def __init__(self, max_uses: int) -> None:
        self._max_uses = max_uses
        self._left = max_uses
        self._refused_rounds = 0

    @property
    def is_spent(self) -> bool:
        return self._left <= 0

    def take(self, calls: list[SearchCall]) -> int:
        """How many of a round's calls may be run, the first ones. Raises IncompleteAnswerError when
        the model goes on calling although it was told that no more are to be had."""
        granted = min(self._left, len(calls))
        self._left -= granted
        if not granted:
            self._refused_rounds += 1
            if self._refused_rounds > 1:
                raise IncompleteAnswerError(
                    f"The model goes on calling the web search past its limit (max_uses: "
                    f"{self._max_uses}) and gives no answer; ask again."
                )
        return granted


def asked_on(
    turn: Turn, done: Round, results: list[ToolResult], budget: Budget, spent_tokens: int
) -> Turn | None:
    """The next round's turn: ``turn`` with what the model said and what was found. None when the answer's
    ``max_tokens`` are used up. A choice that has been followed does not hold any longer."""
    choice = turn.tool_choice
    if choice.kind is ToolChoiceKind.ANY or choice.name == SEARCH_TOOL:
        choice = ToolChoice()
    limit = turn.max_tokens
    if limit is not None:
        limit -= spent_tokens
        if limit <= 0:
            return None
    tools = turn.tools
    if budget.is_spent:
        tools = [tool for tool in tools if tool.name != SEARCH_TOOL]
    messages = [*turn.messages, done.message(), Message("user", [*results])]
    return replace(turn, messages=messages, tools=tools, tool_choice=choice, max_tokens=limit)


def summed(parts: list[Usage], searches: int) -> Usage:
    """All requests of one answer: each was billed. A sum is as sure as its least sure part."""
    if len(parts) == 1 and not searches:
        return parts[0]
    credits = [part.credits for part in parts if part.credits is not None]
    return Usage(
        input_tokens=sum(part.input_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
        cache_read_tokens=sum(part.cache_read_tokens for part in parts),
        cache_write_tokens=sum(part.cache_write_tokens for part in parts),
        source=min((part.source for part in parts), key=_WEAKEST.index),
        credits=sum(credits) if credits else None,
        web_searches=searches,
        reasoning_tokens=sum(part.reasoning_tokens for part in parts),
        rounds=tuple(parts) if len(parts) > 1 else (),
    )


def shown_id(call_id: str) -> str:
    """The id of a server tool's use, made from the one the service gave the call."""
    return f"srvtoolu_{_UNFIT_ID.sub('_', call_id.removeprefix('tooluse_'))}"[:64]


def _query(written: str) -> str:
    """The query in a call's input."""
    value = load_input(written)
    query = value.get("query") if isinstance(value, dict) else None
    return query.strip() if isinstance(query, str) else ""


def _input(call: SearchCall) -> dict[str, str]:
    return {"query": call.query} if call.query else {}
