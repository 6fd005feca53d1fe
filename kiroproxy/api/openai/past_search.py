"""A ``web_search_call`` item that comes back: the call it was, and what is left of its findings."""

from __future__ import annotations

from typing import Any, Final

from kiroproxy.api.search import hosted_result, hosted_use, no_findings
from kiroproxy.api.turn import Block, Text

_NOT_KEPT: Final = "The results are not kept; what mattered of them is in the answer."


def past_search(item: dict[str, Any], place: str) -> list[Block]:
    """The item as a call and its result. Of the findings the API keeps addresses at best. ``place``
    makes an id for an item without one; steps that are no search (opened pages) are words."""
    action = item.get("action")
    given = action if isinstance(action, dict) else {}
    query = _query(given)
    if not query:
        return [Text("[web search]")]
    use_id = item.get("id")
    if not isinstance(use_id, str) or not use_id:
        use_id = f"ws_{place}"
    failed = item.get("status") == "failed"
    words = no_findings("unavailable") if failed else _addresses(given)
    return [hosted_use(use_id, query), hosted_result(use_id, words, failed=failed)]


def _query(action: dict[str, Any]) -> str:
    """``query``, or the newer ``queries``."""
    query = action.get("query")
    if isinstance(query, str) and query:
        return query
    queries = action.get("queries")
    words = [q for q in queries if isinstance(q, str)] if isinstance(queries, list) else []
    return " / ".join(words)


def _addresses(action: dict[str, Any]) -> str:
    sources = action.get("sources")
    urls = (
        [s.get("url") for s in sources if isinstance(s, dict)] if isinstance(sources, list) else []
    )
    found = [url for url in urls if isinstance(url, str) and url]
    return "\n".join(("Web search results:", *found, _NOT_KEPT)) if found else _NOT_KEPT
