"""Items of kept responses: their ids, how a list of them is shown, and references to them."""

from __future__ import annotations

from typing import Any, Final

from kiroproxy.api.checks import fail

REFERENCE: Final = "item_reference"
LIMIT: Final = 20
MOST: Final = 100

# What the ids of our own items begin with; any other type is an "item".
_PREFIXES: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "local_shell_call": "lsh",
    "tool_search_call": "tsc",
    "web_search_call": "ws",
    "compaction": "cmp",
}


def kind_of(item: dict[str, Any]) -> str:
    """The item's type, which clients may leave out where the rest tells."""
    kind = item.get("type")
    if kind is not None:
        return kind if isinstance(kind, str) else ""
    if "role" in item:
        return "message"
    return REFERENCE if "id" in item else ""


def with_ids(items: list[Any], response_id: str) -> list[Any]:
    """``items`` of an input, each under an id of its own; those of the answer have no ``i`` in theirs."""
    key = response_id.removeprefix("resp_")
    shown: list[Any] = []
    for index, item in enumerate(items):
        if not isinstance(item.get("id"), str) or not item["id"]:
            item = {**item, "id": f"{_PREFIXES.get(kind_of(item), 'item')}_{key}i{index:x}"}
        shown.append(item)
    return shown


def listed(item: dict[str, Any]) -> dict[str, Any]:
    """An input item in its full form: the SDK's models want type, status and a list of parts."""
    if kind_of(item) != "message":
        return item
    content = item.get("content")
    if isinstance(content, str):
        part: dict[str, Any] = {"type": "input_text", "text": content}
        if item.get("role") == "assistant":
            part = {"type": "output_text", "text": content, "annotations": []}
        content = [part]
    return {"status": "completed", **item, "type": "message", "content": content}


def is_users(item: dict[str, Any]) -> bool:
    """Whether it is a message of the user."""
    return kind_of(item) == "message" and item.get("role") == "user"


def page(items: list[Any], wanted: dict[str, str]) -> dict[str, Any]:
    """One page of ``items``; ``wanted`` are the query's ``limit``, ``order`` and ``after``. Raises
    RequestError."""
    order = wanted.get("order", "desc")
    if order not in ("asc", "desc"):
        fail(("order",), "must be asc or desc")
    if wanted.get("before"):
        fail(("before",), "is not supported; use after and order")
    limit = _limit(wanted.get("limit", ""))
    ordered = items if order == "asc" else items[::-1]
    after = wanted.get("after")
    if after:
        ids = [item["id"] for item in ordered]
        if after not in ids:
            fail(("after",), "is not the id of an item of this list")
        ordered = ordered[ids.index(after) + 1 :]
    data = [listed(item) for item in ordered[:limit]]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(ordered) > limit,
    }


def _limit(text: str) -> int:
    if not text:
        return LIMIT
    if not (text.isascii() and text.isdigit()) or len(text) > 3 or not 1 <= int(text) <= MOST:
        fail(("limit",), f"must be a whole number from 1 to {MOST}")
    return int(text)


def references(items: list[Any]) -> dict[int, str]:
    """Where in ``items`` a reference stands, and to which id. Raises RequestError."""
    found: dict[int, str] = {}
    for index, item in enumerate(items):
        if isinstance(item, dict) and kind_of(item) == REFERENCE:
            item_id = item.get("id")
            if not isinstance(item_id, str) or not item_id:
                fail(("input", index, "id"), "must be a string and not empty")
            found[index] = item_id
    return found


def resolved(items: list[Any], wanted: dict[int, str], known: dict[str, Any]) -> list[Any]:
    """``items`` with ``known`` ones in place of the references. Raises RequestError."""
    full = list(items)
    for index, item_id in wanted.items():
        if item_id not in known:
            rule = "no kept response holds such an item (any more); send the item itself"
            fail(("input", index, "id"), rule)
        full[index] = known[item_id]
    return full
