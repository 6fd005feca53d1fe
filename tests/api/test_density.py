"""How many values a body may hold, and the room they take."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bench.workloads import big_request
from kiroproxy.api import density
from kiroproxy.api.anthropic.request import parse_count_tokens, parse_messages_request
from kiroproxy.api.checks import load_object
from kiroproxy.api.openai.chat_request import parse_chat_request
from kiroproxy.api.openai.responses_request import parse_responses_request
from kiroproxy.errors import Kind, RequestError

PARSERS = (parse_messages_request, parse_chat_request, parse_responses_request)


def full(size_bytes: int) -> None:
    raise RequestError(f"no {size_bytes}", kind=Kind.OVERLOADED)


def refusal(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as caught:
        load_object(body)
    assert caught.value.kind is Kind.PROMPT_TOO_LONG
    return caught.value


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ({}, 0),
        ([], 0),
        ({"a": 1}, 1),
        ([1, None, "a,[{", [], {}], 5),
        ({"a": [{"b": [1, 2]}], "c": ""}, 6),
        ({"arguments": '{"a":[1,{"b":2},3]}'}, 6),
        ({"arguments": {"a": 1}}, 2),
        ([{"arguments": "x"}, {"arguments": None}], 4),
    ],
)
def test_values_are_members_and_items_and_what_arguments_will_be(value: Any, count: int) -> None:
    assert density.count_values(value) == count


@pytest.mark.parametrize("unit", ["[]", "{}", "0", '""', '{"a":0}', '{"arguments":"[0,0]"}'])
def test_so_many_values_are_read_and_no_more(unit: str) -> None:
    each = density.count_values([orjson.loads(unit)])
    number = (density.MAX_VALUES - 1) // each
    few, many = (f'{{"a":[{",".join([unit] * n)}]}}'.encode() for n in (number, number + 1))
    assert len(load_object(few)["a"]) == number
    assert refusal(many).message == "prompt is too long: its JSON has more than 200000 values."


def test_values_that_a_text_hides_are_counted_where_it_will_be_read() -> None:
    """The escapes are no commas in the body's bytes."""
    call = rb'{"id":"c","function":{"name":"f","arguments":"[%b]"}}' % (rb"0\u002c" * 200_000)
    for parse in PARSERS[1:]:
        with pytest.raises(RequestError, match="more than 200000 values"):
            parse(
                b'{"model":"m","messages":[{"role":"assistant","tool_calls":[%b]}]}' % call
                if parse is parse_chat_request
                else b'{"model":"m","input":[{"type":"function_call","arguments":"[%b]"}]}'
                % (rb"0\u002c" * 200_000),
                lambda _: None,
            )


@pytest.mark.parametrize("unit", [b"[ ]", b"{ }", b"0", b'{"a":0}', b'""'])
def test_more_marks_than_any_model_takes_are_refused_unread(unit: bytes) -> None:
    number = density.MAX_MARKS // (1 + unit.count(b"{") + unit.count(b"["))
    many = b'{"a":[%b' % b",".join([unit] * (number + 10))  # no JSON either
    assert "more than 1000000 commas and brackets" in refusal(many).message


def test_commas_of_a_text_are_no_values() -> None:
    """A table of numbers as a tool's result: a quarter of a million tokens."""
    body = orjson.dumps({"content": "1,2.5,[3],\n" * 200_000})
    assert len(load_object(body)["content"]) == 2_200_000


def test_a_large_picture_is_no_crowd_of_values() -> None:
    body = b'{"a":"%b"}' % (b"A" * 20_000_000)
    assert len(load_object(body)["a"]) == 20_000_000


def test_room_is_taken_for_the_values_before_anything_is_made_of_them() -> None:
    held: list[int] = []
    load_object(b'{"a":[1,2,3]}', held.append)
    assert held == [4 * density.VALUE_BYTES]
    bad = b'{"model":7,"messages":[],"input":[]}'
    for parse in PARSERS:
        with pytest.raises(RequestError, match="no 450"):
            parse(bad, lambda _: None, full)
    with pytest.raises(RequestError, match="no 450"):
        parse_count_tokens(bad, full)


def test_a_long_session_counts_half_as_much_again_at_the_most() -> None:
    """1.77 MB, 403 messages, 20 tools."""
    body = big_request(403, 1_770_000)
    held = [len(body)]
    turn = parse_messages_request(body, lambda _: None, held.append)
    assert (len(turn.messages), len(turn.tools)) == (403, 20)
    assert sum(held) < 1.5 * len(body)


def test_a_request_of_pictures_counts_as_its_bytes() -> None:
    picture = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoA" * 400_000}
    block = {"type": "image", "source": picture}
    body = orjson.dumps(
        {"model": "m", "messages": [{"role": "user", "content": [block, block, block, block]}]}
    )
    held: list[int] = []
    assert len(load_object(body, held.append)["messages"][0]["content"]) == 4
    assert len(body) > 19_000_000
    assert sum(held) < 10_000


def test_the_largest_request_has_room_where_there_is_the_least() -> None:
    """32 MiB and all values it may have, in the 64 MB that any worker has."""
    assert 32 * 1024 * 1024 + density.MAX_VALUES * density.VALUE_BYTES < 64_000_000
