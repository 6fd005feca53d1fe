"""Every line of the table of evidence."""

from __future__ import annotations

import pytest

from kiroproxy.api.completion import Evidence, judge
from kiroproxy.api.events import Stop
from kiroproxy.errors import IncompleteAnswerError


@pytest.mark.parametrize(
    ("seen", "stop"),
    [
        (Evidence(tool_calls=1), Stop.TOOL_USE),
        (Evidence(tool_calls=1, stop_reason="END_TURN"), Stop.TOOL_USE),
        (Evidence(tool_calls=1, length_stop=True), Stop.TOOL_USE),
        (Evidence(text=True, length_stop=True), Stop.MAX_TOKENS),
        (Evidence(text=True, stop_reason="END_TURN"), Stop.END_TURN),
        (Evidence(text=True, stop_reason="endTurn"), Stop.END_TURN),
        (Evidence(text=True, stop_reason="max_tokens"), Stop.MAX_TOKENS),
        (Evidence(thinking=True, stop_reason="END_TURN"), Stop.END_TURN),
        (Evidence(text=True, stop_reason="MODEL_CONTEXT_WINDOW_EXCEEDED"), Stop.CONTEXT_WINDOW),
        (Evidence(stop_reason="CONTENT_FILTERED"), Stop.REFUSAL),
        (Evidence(text=True, stop_reason="STOP_SEQUENCE"), Stop.STOP_SEQUENCE),
        (Evidence(text=True, stop_reason="PAUSE_TURN"), Stop.PAUSE_TURN),
        (Evidence(text=True, metering=True), Stop.END_TURN),
        (Evidence(text=True, metering=True, context=True), Stop.END_TURN),
        (Evidence(text=True, context=True, window_full=True), Stop.CONTEXT_WINDOW),
    ],
)
def test_whole_answers(seen: Evidence, stop: Stop) -> None:
    assert judge(seen) == (stop, "")


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Evidence(text=True, context=True), "without metering"),
        (Evidence(text=True, stop_reason="BECAUSE"), "unknown stop reason 'BECAUSE'"),
        (Evidence(stop_reason="END_TURN"), "empty"),
    ],
)
def test_doubtful_answers_are_accepted_and_told(seen: Evidence, why: str) -> None:
    stop, doubtful = judge(seen)
    assert stop is Stop.END_TURN
    assert why in doubtful


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (Evidence(), "empty"),
        (Evidence(metering=True, context=True), "empty"),
        (Evidence(thinking=True, metering=True), "after its thinking"),
        (Evidence(text=True), "broke off"),
        (Evidence(text=True, stop_reason="TOOL_USE"), "none came"),
        (Evidence(window_full=True, context=True), "empty"),
    ],
)
def test_incomplete_answers(seen: Evidence, message: str) -> None:
    with pytest.raises(IncompleteAnswerError, match=message):
        judge(seen)
