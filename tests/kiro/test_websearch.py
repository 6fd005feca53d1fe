"""What a refused search says about its account, and what is read of a search's reply."""

from __future__ import annotations

import orjson
import pytest

from kiroproxy.errors import UpstreamError
from kiroproxy.kiro.replies import Action, Health, Remedy, classify_reply
from kiroproxy.kiro.websearch import of_search_alone, parse_search_reply


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


@pytest.mark.parametrize("depth", ["inner", "outer"])
def test_an_excerpt_cut_inside_a_character_costs_that_character(depth: str) -> None:
    entry = {"title": "T", "url": "https://a.example", "snippet": "cut"}
    text = orjson.dumps({"results": [entry]}).decode()
    if depth == "inner":
        text = text.replace("cut", r"cut\ud83d")
    body = orjson.dumps({"result": {"content": [{"type": "text", "text": text}]}})
    if depth == "outer":
        body = body.replace(b"cut", rb"cut\ud83d")
    (found,) = parse_search_reply(body)
    assert (found.title, found.snippet) == ("T", "cut\ufffd")


@pytest.mark.parametrize("body", [b"", b"x", b"\xff", b"[" * 5_000, b'{"a":NaN}'])
def test_a_reply_that_is_no_json_is_a_failed_search(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="not JSON"):
        parse_search_reply(body)
