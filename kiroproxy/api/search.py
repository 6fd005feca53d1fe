"""The provider's web search, done by the service's own: what to search for, and what was found.

The model decides when to search (``search_rounds``). Only a request whose words ask for one search and for
nothing else is answered by it alone: Claude Code's WebSearch tool sends exactly such requests.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from kiroproxy.api.events import SEARCH, TEXT, AnswerEvent, Ending, SearchHit, Stop, Usage
from kiroproxy.api.tokens import estimate_text
from kiroproxy.api.turn import (
    Block,
    Message,
    Text,
    ToolChoiceKind,
    ToolResult,
    ToolUse,
    Turn,
    WebSearch,
)
from kiroproxy.kiro.websearch import SearchResult

SEARCH_TOOL: Final = "web_search"

# Why a search has no results, in the Messages API's words.
UNAVAILABLE: Final = "unavailable"
INVALID_INPUT: Final = "invalid_tool_input"
TOO_MANY: Final = "max_uses_exceeded"
ERROR_CODES: Final = frozenset({UNAVAILABLE, INVALID_INPUT, TOO_MANY})

#: What the ids of searches begin with that come back in a history: Messages, Responses.
_HOSTED_IDS: Final = ("srvtoolu_", "ws_")
#: User texts that ask for a search and for nothing else. The first is Claude Code's WebSearch tool, which
#: gives the findings to its own model: a second one's words about them would be billed for nothing.
_WITHOUT_MODEL: Final = (
    re.compile(r"Perform a web search for the query:\s*(?P<query>.+)", re.DOTALL),
)


def query_of(turn: Turn) -> str:
    """What to search for, if the whole turn is one search; empty for all other turns."""
    return turn.web_search.query if turn.web_search is not None else ""


def without_model(turn: Turn) -> Turn | None:
    """``turn`` as one search, if it asks for no more than that: by a single message whose words say so,
    with no other tool, from a client that reads findings as such."""
    search = turn.web_search
    if search is None or not search.comes_back or turn.tools or turn.output_schema is not None:
        return None
    said = [message for message in turn.messages if message.role != "system"]
    if turn.tool_choice.kind is ToolChoiceKind.NONE or len(said) != 1:
        return None
    texts = [block.text for block in said[0].blocks if isinstance(block, Text)]
    if len(texts) != len(said[0].blocks) or not texts:
        return None
    for pattern in _WITHOUT_MODEL:
        if match := pattern.fullmatch(texts[-1].strip()):
            return replace(turn, web_search=replace(search, query=match["query"]))
    return None


def search_turn(turn: Turn, search: WebSearch, query: str, session: str) -> Turn:
    """A turn that is one search, in the conversation ``session`` of another."""
    asked = [Message("user", [Text(query)])]
    return Turn(turn.model, asked, web_search=replace(search, query=query), session=session)


def search_answer(
    call_id: str,
    query: str,
    results: list[SearchResult],
    input_tokens: int,
    search: WebSearch | None = None,
) -> tuple[list[AnswerEvent], Ending]:
    """The search as a server tool's use and result, then the findings as text for whoever reads only
    that. Results of domains that ``search`` leaves out are left out."""
    hits = [SearchHit(r.title, r.url, r.snippet, r.published) for r in results]
    if search is not None:
        hits = [hit for hit in hits if is_allowed(hit.url, search)]
    text = _as_text(query, hits)
    usage = Usage(
        input_tokens=input_tokens, output_tokens=max(1, estimate_text(text)), web_searches=1
    )
    events: list[AnswerEvent] = [(SEARCH, call_id, query, hits, ""), (TEXT, text)]
    return events, Ending(Stop.END_TURN, usage)


def findings(hits: list[SearchHit]) -> str:
    """What a search found, as the model reads it: the same words now and when it comes back."""
    lines = ["Web search results:"]
    lines += [" · ".join(filter(None, (h.title, h.url, h.page_age, h.snippet))) for h in hits]
    return "\n".join(lines) if hits else "The web search found nothing."


def no_findings(reason: str) -> str:
    """What the model reads in place of findings."""
    return f"The web search failed: {reason}"


def hosted_use(call_id: str, query: str) -> ToolUse:
    """A search in the history, as the call that it was."""
    hosted = call_id if call_id.startswith(_HOSTED_IDS) else f"{_HOSTED_IDS[0]}{call_id}"
    return ToolUse(hosted, SEARCH_TOOL, {"query": query} if query else {})


def hosted_result(call_id: str, words: str, *, failed: bool = False) -> ToolResult:
    """What a search in the history has found."""
    return ToolResult(hosted_use(call_id, "").id, [Text(words)], failed)


def with_past_in_words(turn: Turn) -> Turn:
    """``turn`` for a model that has no search: one that stood in the history as a call would be called
    again, and the client cannot run it. Its findings stay, as words."""
    if not _has_hosted(turn.messages):
        return turn
    queries: dict[str, str] = {}
    messages = [
        Message(message.role, [*_in_words(message.blocks, queries)])
        if message.role == "assistant"
        else message
        for message in turn.messages
    ]
    return replace(turn, messages=messages)


def _has_hosted(messages: list[Message]) -> bool:
    for message in messages:  # any() would make a generator, which takes several times as long
        for block in message.blocks:
            if type(block) is ToolUse and _is_hosted(block):
                return True
    return False


def _is_hosted(block: Block) -> bool:
    return (
        isinstance(block, ToolUse)
        and block.name == SEARCH_TOOL
        and block.id.startswith(_HOSTED_IDS)
    )


def _in_words(blocks: list[Block], queries: dict[str, str]) -> list[Block]:
    kept: list[Block] = []
    for block in blocks:
        if isinstance(block, ToolUse) and _is_hosted(block):
            queries[block.id] = block.input.get("query", "")
        elif isinstance(block, ToolResult) and block.tool_use_id in queries:
            head = Text(f"Web search for: {queries[block.tool_use_id]}")
            kept.append(replace(block, content=[head, *block.content]))
        else:
            kept.append(block)
    return kept


def is_allowed(url: str, search: WebSearch) -> bool:
    """Whether the domains of ``search`` admit a result's address."""
    if any(_is_of(url, domain) for domain in search.blocked_domains):
        return False
    allowed = search.allowed_domains
    return not allowed or any(_is_of(url, domain) for domain in allowed)


def _is_of(url: str, domain: str) -> bool:
    """Whether ``url`` lies in ``domain``: a host or one above it, perhaps with the start of a path."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    wanted = domain.strip().lower()
    wanted = wanted.partition("://")[2] or wanted
    name, _, path = wanted.partition("/")
    name = name.removeprefix("*.").rstrip(".")
    if not name or not (host == name or host.endswith(f".{name}")):
        return False
    path = path.rstrip("/*")
    return not path or f"{parts.path.lower()}/".startswith(f"/{path}/")


def _as_text(query: str, hits: list[SearchHit]) -> str:
    if not hits:
        return f"The web search for {query!r} found nothing."
    entries = [
        f"{number}. [{hit.title or hit.url}]({hit.url})"
        + (f" ({hit.page_age})" if hit.page_age else "")
        + (f"\n   {hit.snippet}" if hit.snippet else "")
        for number, hit in enumerate(hits, 1)
    ]
    return f"Web search results for {query!r}:\n\n" + "\n".join(entries)
