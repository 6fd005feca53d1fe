"""A request whose only tool is the provider's web search: answered by the service's search, not by the
model. Claude Code's WebSearch tool sends exactly such requests."""

from __future__ import annotations

from kiroproxy.api.events import SEARCH, TEXT, AnswerEvent, Ending, SearchHit, Stop, Usage
from kiroproxy.api.tokens import estimate_text
from kiroproxy.api.turn import Text, Turn
from kiroproxy.errors import RequestError
from kiroproxy.kiro.websearch import SearchResult

_PREFIX = "Perform a web search for the query:"  # how Claude Code words it


def is_search_only(turn: Turn) -> bool:
    """Whether the whole turn is one web search."""
    return turn.web_search is not None and not turn.tools


def search_query(turn: Turn) -> str:
    """What to search for: the last user text. Raises RequestError when there is none."""
    for message in reversed(turn.messages):
        if message.role == "user":
            for block in reversed(message.blocks):
                if isinstance(block, Text) and block.text.strip():
                    return block.text.strip().removeprefix(_PREFIX).strip()
    raise RequestError("messages: a web search needs a user text to search for", param="messages")


def search_answer(
    call_id: str, query: str, results: list[SearchResult], input_tokens: int
) -> tuple[list[AnswerEvent], Ending]:
    """The search as a server tool's use and result, then the findings as text for whoever reads only
    that."""
    hits = [SearchHit(r.title, r.url, r.snippet, r.published) for r in results]
    text = _as_text(query, hits)
    usage = Usage(
        input_tokens=input_tokens, output_tokens=max(1, estimate_text(text)), web_searches=1
    )
    events: list[AnswerEvent] = [(SEARCH, call_id, query, hits, ""), (TEXT, text)]
    return events, Ending(Stop.END_TURN, usage)


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
