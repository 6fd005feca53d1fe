"""What a Responses request brings along of kept ones takes its room as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from kiroproxy.api.density import VALUE_BYTES, count_values
from kiroproxy.clock import SystemClock
from kiroproxy.database import FILE_NAME, Database
from kiroproxy.errors import Kind, RequestError
from kiroproxy.handlers.responses import ResponsesReader
from kiroproxy.handlers.responses_store import ResponseStore
from kiroproxy.http import Request
from kiroproxy.http.messages import Headers

KEPT = orjson.dumps({"id": "resp_1", "output": []})
ITEMS: list[Any] = [
    {"id": "a", "role": "user", "content": "hi"},
    {"id": "b", "type": "function_call", "call_id": "c", "name": "f", "arguments": '{"x":[1,2]}'},
]


def request(**fields: Any) -> Request:
    return Request("POST", "/v1/responses", "", Headers(), orjson.dumps(fields), "req_" + "0" * 24)


async def read(tmp_path: Path, items: list[Any], asked: Request) -> list[int]:
    database = Database.open(tmp_path / FILE_NAME)
    try:
        store = ResponseStore(database, SystemClock(), 3600.0, 64_000_000)
        store.put("resp_1", KEPT, items)
        held: list[int] = []
        await ResponsesReader(store)(asked, held.append)
        return held
    finally:
        await database.close()


async def test_kept_conversation_counts_by_bytes_and_values(tmp_path: Path) -> None:
    asked = request(model="m", input="go on", previous_response_id="resp_1")
    kept_bytes = len(KEPT) + len(orjson.dumps(ITEMS))
    kept_values = count_values(ITEMS)
    assert kept_values == 2 + 3 + 5 + 3
    held = await read(tmp_path, ITEMS, asked)
    assert held == [3 * VALUE_BYTES, kept_bytes, kept_values * VALUE_BYTES]


async def test_kept_items_count(tmp_path: Path) -> None:
    asked = request(model="m", input=[{"type": "item_reference", "id": "a"}])
    held = await read(tmp_path, ITEMS, asked)
    assert held == [5 * VALUE_BYTES, (1 + 3) * VALUE_BYTES]


async def test_kept_conversation_of_too_many_values_is_too_long_a_prompt(tmp_path: Path) -> None:
    item = {"role": "user", "content": [{"type": "input_text", "text": "", "x": [0] * 200_000}]}
    asked = request(model="m", input="go on", previous_response_id="resp_1")
    with pytest.raises(RequestError, match="more than 200000 values") as caught:
        await read(tmp_path, [item], asked)
    assert caught.value.kind is Kind.PROMPT_TOO_LONG
