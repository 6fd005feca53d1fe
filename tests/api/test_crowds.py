"""Many of one thing in a request: twice as many take twice the steps, not four times."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import orjson
import pytest

from kiroproxy.api.anthropic.request import parse_messages_request
from kiroproxy.api.openai.chat_request import parse_chat_request
from kiroproxy.api.openai.responses_request import parse_responses_request
from kiroproxy.api.schemas import fit_schema
from kiroproxy.api.to_kiro import build
from kiroproxy.kiro.models import ModelInfo

MODEL = ModelInfo("claude-sonnet-4.5", "Claude Sonnet 4.5")
PARSERS = {
    "messages": parse_messages_request,
    "chat": parse_chat_request,
    "responses": parse_responses_request,
}
ASKED = {"role": "user", "content": "a"}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQKYWFh"}
Items = list[dict[str, Any]]
Crowd = Callable[[int], dict[str, Any]]


def steps(work: Callable[[], object]) -> int:
    """Lines of Python that ``work`` runs."""
    count = 0

    def on_line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return on_line

    before = sys.gettrace()
    sys.settrace(on_line)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def answered(uses: Items, results: Items) -> dict[str, Any]:
    blocks = [{"type": "tool_use", "name": "f", "input": {}, **use} for use in uses]
    found = [{"type": "tool_result", **result} for result in results]
    return {
        "messages": [
            ASKED,
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": found},
        ]
    }


def repeated_ids(count: int) -> dict[str, Any]:
    return answered([{"id": "x"}] * count, [{"tool_use_id": "x", "content": "1"}] * count)


def long_repeated_ids(count: int) -> dict[str, Any]:
    """Those that begin alike have to make room for their numbers."""
    ids = ["x" * 61 + f"{number % 500:03}" for number in range(count)]
    return answered([{"id": one} for one in ids], [])


def further_results(count: int) -> dict[str, Any]:
    results = [{"tool_use_id": "x", "content": str(number)} for number in range(count)]
    return answered([{"id": "x"}], results)


def documents_of_one_name(count: int) -> dict[str, Any]:
    block = {"type": "document", "title": "a", "source": PDF}
    return {"messages": [{"role": "user", "content": [block] * count}]}


def calls_of_one_message(count: int) -> dict[str, Any]:
    calls = [{"id": str(n), "function": {"name": "f", "arguments": "{}"}} for n in range(count)]
    return {"messages": [ASKED, {"role": "assistant", "tool_calls": calls}]}


def functions_answered_backwards(count: int) -> dict[str, Any]:
    names = [f"f{number}" for number in range(count)]
    calls = [{"role": "assistant", "function_call": {"name": name}} for name in names]
    return {"messages": [*calls, *({"role": "function", "name": n, "content": "1"} for n in names)]}


def allowed_namespaces(count: int) -> dict[str, Any]:
    members = [{"type": "function", "name": f"f{number}"} for number in range(count)]
    entry = {"type": "namespace", "name": "n"}
    return {
        "input": "a",
        "tools": [{**entry, "tools": members}],
        "tool_choice": {"type": "allowed_tools", "tools": [entry] * count},
    }


def clashing_namespaces(count: int) -> dict[str, Any]:
    """Each is flattened to the same name."""
    members = [("_" * (at + 1), "_" * (count // 10 - at)) for at in range(count // 10)]
    tools = [
        {"type": "namespace", "name": space, "tools": [{"type": "function", "name": name}]}
        for space, name in members
    ]
    return {"input": "a", "tools": tools}


CROWDS: dict[str, tuple[str, Crowd]] = {
    "repeated ids": ("messages", repeated_ids),
    "long repeated ids": ("messages", long_repeated_ids),
    "further results": ("messages", further_results),
    "documents of one name": ("messages", documents_of_one_name),
    "calls of one message": ("chat", calls_of_one_message),
    "functions answered backwards": ("chat", functions_answered_backwards),
    "allowed namespaces": ("responses", allowed_namespaces),
    "clashing namespaces": ("responses", clashing_namespaces),
}


@pytest.mark.parametrize("name", CROWDS)
def test_twice_as_many_take_twice_the_steps(name: str) -> None:
    dialect, crowd = CROWDS[name]

    def of(count: int) -> int:
        body = orjson.dumps({"model": "claude-sonnet-4.5", **crowd(count)})
        return steps(lambda: build(PARSERS[dialect](body, lambda _: None), MODEL).encode(None))

    of(10)  # whatever is worked out once
    assert of(2_000) < 2.2 * of(1_000)


def test_all_results_of_one_call_are_there() -> None:
    body = orjson.dumps({"model": "m", **further_results(3_000)})
    sent = orjson.loads(build(parse_messages_request(body, lambda _: None), MODEL).encode(None))
    message = sent["conversationState"]["currentMessage"]["userInputMessage"]
    (result,) = message["userInputMessageContext"]["toolResults"]
    lines = result["content"][0]["text"].split("\n\n[Another result of the same call]\n")
    assert lines == [str(number) for number in range(3_000)]


@pytest.mark.parametrize(
    "target", [{"enum": ["0"] * 10_000}, {"description": "x" * 30_000}], ids=["many", "long"]
)
def test_references_copy_a_large_schema_only_so_often(target: dict[str, Any]) -> None:
    names = [f"p{number}" for number in range(2_000)]
    schema = {
        "properties": {name: {"$ref": "#/$defs/x"} for name in names},
        "$defs": {"x": target},
    }
    written = fit_schema(schema)
    assert len(written) < 1_200_000
    fitted = orjson.loads(written)["properties"]
    assert list(fitted) == names
    assert fitted["p0"] == fitted["p20"] == target
    assert fitted["p1999"] == {}
