"""The service's own web search: one JSON-RPC call to ``/mcp``, results as JSON inside a text block."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from kiroproxy.errors import UpstreamError, UpstreamRefusedError
from kiroproxy.kiro.halves import repaired
from kiroproxy.kiro.objects import object_of
from kiroproxy.kiro.refusals import Health, Remedy

MAX_REPLY_BYTES: Final = 8 * 1024 * 1024
"""Around ten results of a few hundred characters are usual; another proxy caps the body at 8 MiB."""


# Whether searches and answers share these limits is not known; an answer that is refused says so itself.
_LIMITS: Final = frozenset({Health.COOL, Health.DAILY})


class SearchResult(NamedTuple):
    """``published``: a date for people such as ``October 8, 2025``, or empty."""

    title: str
    url: str
    snippet: str
    published: str


def search_payload(call_id: str, query: str) -> bytes:
    """The JSON-RPC request. ``call_id`` may be any string."""
    return orjson.dumps(
        {
            "id": call_id,
            "jsonrpc": "2.0",
            "method": "tools/call",
            "params": {"name": "web_search", "arguments": {"query": query}},
        }
    )


def of_search_alone(error: UpstreamRefusedError) -> UpstreamRefusedError:
    """A search's refusal: too many searches say nothing about the account's answers."""
    remedy = error.remedy
    if isinstance(remedy, Remedy) and remedy.health in _LIMITS:
        error.remedy = replace(remedy, health=Health.NONE)
    return error


def parse_search_reply(body: bytes) -> list[SearchResult]:
    """The results. Raises UpstreamError with the service's own words when the search failed."""
    reply = object_of(_json(body))
    if reply.get("error"):
        raise UpstreamError(f"web search failed: {object_of(reply['error']).get('message', '')}")
    result = object_of(reply.get("result"))
    text = next(
        (b["text"] for b in _dicts(result.get("content")) if isinstance(b.get("text"), str)), None
    )
    if result.get("isError") or text is None:
        raise UpstreamError(f"web search failed: {text or 'the reply holds no text'}")
    inner = object_of(_json(text))
    if inner.get("error"):
        raise UpstreamError(f"web search failed: {inner['error']}")
    return [
        SearchResult(
            title=_text(entry.get("title")),
            url=_text(entry.get("url")),
            snippet=_text(entry.get("snippet")),
            published=_date(entry.get("publishedDate")),
        )
        for entry in _dicts(inner.get("results"))
        if _text(entry.get("url"))
    ]


def _json(text: bytes | str) -> object:
    """Excerpts are cut by the service, perhaps in the middle of a surrogate pair."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.loads(repaired(text.encode() if isinstance(text, str) else text))
    except (ValueError, RecursionError):
        raise UpstreamError("web search failed: the reply is not JSON") from None


def _dicts(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _date(value: object) -> str:
    """Milliseconds since the epoch as a date; anything else is no date."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return ""
    try:
        moment = datetime.fromtimestamp(value / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return ""
    return f"{moment:%B} {moment.day}, {moment.year}"
