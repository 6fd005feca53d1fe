"""What a refused search says about its account."""

from __future__ import annotations

import pytest

from kiroproxy.kiro.replies import Action, Health, Remedy, classify_reply
from kiroproxy.kiro.websearch import of_search_alone


def no_header(name: str) -> str | None:
    return None


@pytest.mark.parametrize(
    ("status", "body", "health"),
    [
        (429, b'{"message":"Too many requests"}', Health.NONE),
        (429, b'{"reason":"DAILY_REQUEST_COUNT"}', Health.NONE),
        (429, b'{"message":"suspicious activity"}', Health.BRAKE),
        (402, b'{"reason":"MONTHLY_REQUEST_COUNT"}', Health.EXHAUST),
        (423, b"{}", Health.SUSPEND),
    ],
)
def test_only_limits_on_how_often_are_the_searches_own(
    status: int, body: bytes, health: Health
) -> None:
    error = of_search_alone(classify_reply(status, no_header, body))
    assert error.remedy == Remedy(Action.NEXT_ACCOUNT, health)
    assert error.status == status


def test_other_refusals_stay_as_they_are() -> None:
    error = classify_reply(401, no_header, b"{}")
    before = error.remedy
    assert of_search_alone(error) is error and error.remedy is before
