"""A request late in a coding session: Messages JSON in, upstream body out."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from bench.workloads import big_request
from kiroproxy.api.anthropic.request import parse_messages_request
from kiroproxy.api.to_kiro import build
from kiroproxy.kiro.models import FALLBACK, resolve

pytestmark = pytest.mark.benchmark(timer=time.process_time, group="request")

MESSAGES = 400
BODY = big_request(MESSAGES)
ARN = "arn:aws:codewhisperer:us-east-1:123456789012:profile/ABCDEFGHIJKL"


def no_header(_name: str) -> None:
    return None


def upstream_body(body: bytes) -> bytes:
    turn = parse_messages_request(body, no_header)
    return build(turn, resolve(turn.model, FALLBACK)).encode(ARN)


def test_big_request(benchmark: Any) -> None:
    assert 1_400_000 < len(BODY) < 1_600_000
    sent = orjson.loads(benchmark(upstream_body, BODY))
    state = sent["conversationState"]
    history = state["history"]
    asked = orjson.loads(BODY)["messages"]
    assert MESSAGES - 2 <= len(asked) <= MESSAGES + 1
    assert len(history) >= len(asked) - 1
    current = state["currentMessage"]["userInputMessage"]
    assert len(current["userInputMessageContext"]["tools"]) == 20
    assert sent["profileArn"] == ARN
    results = [
        result
        for message in history
        for result in message.get("userInputMessage", {})
        .get("userInputMessageContext", {})
        .get("toolResults", [])
    ]
    wanted = [
        block["content"][0]["text"]
        for message in asked[:-1]
        for block in message["content"]
        if isinstance(block, dict) and block["type"] == "tool_result"
    ]
    assert [result["content"][0]["text"] for result in results] == wanted


def test_json_alone(benchmark: Any) -> None:
    """What decoding and encoding the same bytes costs: the floor under the number above."""
    assert orjson.loads(benchmark(lambda: orjson.dumps(orjson.loads(BODY)))) == orjson.loads(BODY)
