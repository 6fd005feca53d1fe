"""Counting, the local limit, and where the final numbers come from."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.api.events import Source, Usage
from kiroproxy.api.metering import Meter, UsageReader, units
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.api.tokens import estimate_text

PLAN = AnswerPlan(input_tokens=1_000, context_window=200_000)


@settings(max_examples=200)
@given(st.lists(st.text(max_size=20)))
def test_meter_agrees_with_the_estimator(pieces: list[str]) -> None:
    meter = Meter(None)
    for piece in pieces:
        assert meter.take(piece) == piece
    text = "".join(pieces)
    assert meter.output_tokens == max(1, estimate_text(text))
    batch = Meter(10**9)
    assert batch.take_batch(pieces)
    assert batch.spent == meter.spent == units(text)
    one_by_one = Meter(10**9)
    assert [one_by_one.take_whole(piece) for piece in pieces] == [True] * len(pieces)
    assert (one_by_one.spent, one_by_one.room) == (batch.spent, batch.room)


@settings(max_examples=200)
@given(st.text("aé中🙂", max_size=60), st.integers(0, 12), st.lists(st.integers(0, 60), max_size=5))
def test_meter_cuts_at_one_place_in_any_chunking(text: str, limit: int, cuts: list[int]) -> None:
    whole = Meter(limit).take(text)
    assert estimate_text(whole) <= limit
    if whole != text:
        assert estimate_text(text[: len(whole) + 1]) > limit
    meter = Meter(limit)
    points = sorted(min(cut, len(text)) for cut in cuts)
    got = ""
    for a, b in zip([0, *points], [*points, len(text)], strict=True):
        piece = meter.take(text[a:b])
        got += piece
        if len(piece) < b - a:
            break
    assert got == whole


def test_meter_batch_is_not_taken_near_the_limit() -> None:
    meter = Meter(2)
    assert not meter.take_batch(["abcd", "efgh"])
    assert not meter.take_whole("abcdefgh")
    assert meter.spent == 0
    assert meter.take("abcdefgh") == "abcdefgh"
    assert meter.take("i") == ""


def test_meter_counts_calls_without_limit() -> None:
    meter = Meter(1)
    meter.count_call("Read")
    meter.count_input('{"p":1}!')
    assert meter.output_tokens == 1 + 2 + 10
    assert meter.take("abcd") == "abcd"


def read(*steps: tuple[object, ...], plan: AnswerPlan = PLAN, output: int = 50) -> Usage:
    reader = UsageReader(plan)
    for name, *values in steps:
        match name:
            case "report":
                reader.report(values[0])  # type: ignore[arg-type]
            case "context":
                reader.context(values[0], content_seen=values[1])  # type: ignore[arg-type]
            case "metering":
                reader.metering(values[0], values[1])  # type: ignore[arg-type]
    return reader.usage(output)


REPORT = {
    "uncachedInputTokens": 812,
    "outputTokens": 64,
    "totalTokens": 20_876,
    "cacheReadInputTokens": 20_000,
    "cacheWriteInputTokens": 0,
}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], Usage(1_000, 50)),
        ([("report", REPORT)], Usage(812, 64, 20_000, 0, Source.REPORTED)),
        ([("report", REPORT), ("context", 50.0, True)], Usage(812, 64, 20_000, 0, Source.REPORTED)),
        ([("report", REPORT), ("report", None)], Usage(812, 64, 20_000, 0, Source.REPORTED)),
        ([("report", dict.fromkeys(REPORT, 0))], Usage(1_000, 50)),
        ([("report", {"outputTokens": 64})], Usage(1_000, 50)),
        (
            [("report", {"totalTokens": 900, "outputTokens": 64, "cacheReadInputTokens": 36})],
            Usage(800, 64, 36, 0, Source.REPORTED),
        ),
        ([("report", {"uncachedInputTokens": 7})], Usage(7, 50, source=Source.REPORTED)),
        (
            [("report", {"uncachedInputTokens": 0, "cacheReadInputTokens": 9, "outputTokens": 1})],
            Usage(0, 1, 9, 0, Source.REPORTED),
        ),
        ([("report", {"uncachedInputTokens": "x", "outputTokens": True})], Usage(1_000, 50)),
        ([("context", 10.867, True)], Usage(21_734 - 50, 50, source=Source.DERIVED)),
        ([("context", 10.867, False)], Usage(21_734, 50, source=Source.DERIVED)),
        (
            [("context", 1.0, False), ("context", 2.0, True)],
            Usage(3_950, 50, source=Source.DERIVED),
        ),
        ([("context", 0.01, True)], Usage(1_000, 50)),
        ([("context", 0.0, True)], Usage(1_000, 50)),
        ([("context", math.nan, True), ("context", math.inf, True)], Usage(1_000, 50)),
        ([("metering", 0.0897, "credit")], Usage(1_000, 50, credits=0.0897)),
        ([("metering", 3.0, "bytes"), ("metering", None, "")], Usage(1_000, 50)),
        ([("context", 1e9, True)], Usage(1_000, 50)),
        ([("context", 1e308, True)], Usage(1_000, 50)),
        ([("report", {"uncachedInputTokens": 2**63, "outputTokens": 2**64 - 1})], Usage(1_000, 50)),
        (
            [("report", {"uncachedInputTokens": 7, "outputTokens": 2**64 - 1})],
            Usage(7, 50, source=Source.REPORTED),
        ),
        ([("metering", 1e308, "credit"), ("metering", -1.0, "credit")], Usage(1_000, 50)),
        ([("metering", math.nan, "credit"), ("metering", math.inf, "")], Usage(1_000, 50)),
    ],
)
def test_usage_by_the_best_source(steps: list[tuple[object, ...]], expected: Usage) -> None:
    assert read(*steps) == expected


def test_usage_is_never_zero_and_needs_a_window_to_derive() -> None:
    unknown = AnswerPlan(input_tokens=0, context_window=0)
    assert read(("context", 50.0, True), plan=unknown) == Usage(1, 50)


def test_window_full() -> None:
    reader = UsageReader(PLAN)
    assert not reader.window_full
    reader.context(100.0, content_seen=True)
    assert reader.window_full


def test_thinking_is_counted_apart_and_with_the_rest() -> None:
    meter = Meter(3)
    assert meter.take_thinking("12345678") == "12345678"
    assert meter.take("123456789") == "1234"
    assert (meter.reasoning_tokens, meter.output_tokens) == (2, 3)
