"""Pieces of the Messages API that the stream and the whole answer have in common."""

from __future__ import annotations

from typing import Any

import orjson

from kiroproxy.api.events import Ending, SearchHit, Usage
from kiroproxy.api.search import ERROR_CODES, SEARCH_TOOL, UNAVAILABLE


def sse(event: str, data: bytes) -> bytes:
    """One server-sent event. The SDKs dispatch on the ``event:`` line, so it is never left out."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


def usage_fields(usage: Usage) -> dict[str, Any]:
    """``usage`` with every key that clients add up. Output is at least 1: something is on its way."""
    fields: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": max(1, usage.output_tokens),
    }
    if usage.web_searches:
        fields["server_tool_use"] = {
            "web_search_requests": usage.web_searches,
            "web_fetch_requests": 0,  # never made; the SDK's model wants the key
        }
    if usage.rounds:  # the last one tells how full the window is; the sum does not
        fields["iterations"] = [{"type": "message", **usage_fields(r)} for r in usage.rounds]
    return fields


def message_fields(message_id: str, model: str, usage: Usage, content: list[Any]) -> dict[str, Any]:
    """A message that has no end yet."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_fields(usage),
    }


def ending_fields(ending: Ending) -> dict[str, Any]:
    """How it ended."""
    return {"stop_reason": ending.stop.word, "stop_sequence": ending.stop_sequence}


def search_blocks(
    call_id: str, query: str, results: list[SearchHit], error: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A finished web search as the two blocks of a server tool: its use and its result."""
    use = {
        "type": "server_tool_use",
        "id": call_id,
        "name": SEARCH_TOOL,
        "input": {"query": query},
    }
    content: Any = [
        {
            "type": "web_search_result",
            "title": hit.title,
            "url": hit.url,
            "encrypted_content": hit.snippet,
            "page_age": hit.page_age or None,
        }
        for hit in results
    ]
    if error:
        code = error if error in ERROR_CODES else UNAVAILABLE
        content = {"type": "web_search_tool_result_error", "error_code": code}
    return use, {"type": "web_search_tool_result", "tool_use_id": call_id, "content": content}


def dumps(document: Any) -> bytes:
    """JSON bytes."""
    return orjson.dumps(document)
