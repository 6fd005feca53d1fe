"""Calls whose arguments are objects, and their replay: no digit is lost."""

from __future__ import annotations

import orjson

from kiroproxy.api.openai.responses_output import COMPLETED, call_item
from kiroproxy.api.openai.responses_replay import replay
from kiroproxy.api.openai.responses_style import FormKind, ToolForm

LARGE = b'{"n":36893488147419103233}'


def test_large_number_of_a_call_keeps_its_digits() -> None:
    form = ToolForm(FormKind.TOOL_SEARCH, "tool_search")
    item = call_item("0", 0, "c", form)
    item.add(LARGE.decode())
    written = orjson.dumps(item.item(COMPLETED))
    assert b'"arguments":' + LARGE in written
    body = orjson.dumps({"id": "resp_0", "status": COMPLETED, "output": [orjson.Fragment(written)]})
    assert replay(body).count(b'"arguments":' + LARGE) == 2  # the item's end, and the last event
    assert replay(body).count(b'"arguments":{}') == 1  # its beginning


def test_arguments_that_are_no_object_are_empty() -> None:
    for words in ("", "[1]", "{broken"):
        item = call_item("0", 0, "c", ToolForm(FormKind.TOOL_SEARCH, "tool_search"))
        item.add(words)
        assert item.item(COMPLETED)["arguments"] == {}
