"""Typed access: the value, or an error with path and rule."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from kiroproxy.api import checks
from kiroproxy.errors import RequestError

PATH = ("messages", 3)


@pytest.mark.parametrize(
    ("check", "value", "result"),
    [
        (checks.text, "", ""),
        (checks.filled_text, "a", "a"),
        (checks.optional_text, None, ""),
        (checks.optional_text, "a", "a"),
        (checks.flag, None, False),
        (checks.flag, True, True),
        (checks.positive, 1, 1),
        (checks.array, None, []),
        (checks.array, [1], [1]),
        (checks.mapping, {}, {}),
        (checks.free_form, {"a": [{"b": 1}]}, {"a": [{"b": 1}]}),
    ],
)
def test_check_gives_the_value(check: Callable[..., Any], value: Any, result: Any) -> None:
    assert check(value, PATH) == result


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (checks.text, None),
        (checks.filled_text, ""),
        (checks.optional_text, 5),
        (checks.flag, 1),
        (checks.positive, 0),
        (checks.positive, True),
        (checks.positive, 1.0),
        (checks.array, {}),
        (checks.mapping, []),
        (checks.free_form, []),
    ],
)
def test_check_names_field_and_rule(check: Callable[..., Any], value: Any) -> None:
    with pytest.raises(RequestError, match=r"^messages\.3\.x: must ") as caught:
        check(value, PATH, "x")
    assert caught.value.param == "messages.3.x"


def test_free_form_counts_lists_and_objects() -> None:
    value: Any = 1
    for _ in range(49):
        value = {"a": [value]}
    assert checks.free_form({"a": value}, PATH)
    with pytest.raises(RequestError, match="deeper than 100"):
        checks.free_form({"a": [value, {"a": [value]}]}, PATH)


def test_load_object_keeps_whole_surrogate_pairs() -> None:
    assert checks.load_object(rb'{"a":"\ud83d\ude00 \ud83d"}') == {"a": "\U0001f600 �"}


def test_load_object_repairs_nothing_else() -> None:
    with pytest.raises(RequestError, match="not valid JSON"):
        checks.load_object(rb'{"a":"\ud83d"')


def test_large_numbers_of_a_tools_input_keep_their_digits() -> None:
    body = (
        b'{"in": {"a": [18446744073709551616, -9223372036854775809, 1e300, 18446744073709551615]},'
        b' "schema": {"maximum": 36893488147419103232}, "\\ud800": 1}'
    )

    def parse(request: dict[str, Any]) -> tuple[bytes, Any]:
        given = checks.exact_form(request["in"], PATH)
        return orjson.dumps(given), checks.free_form(request["schema"], PATH)

    written, schema = checks.parse_exactly(body, parse)
    assert written == (
        b'{"a":[18446744073709551616,-9223372036854775809,1e300,18446744073709551615]}'
    )
    # A bound is compared with, so it stays a number.
    assert schema == {"maximum": float(2**65)}


def test_number_of_any_length_keeps_its_digits() -> None:
    digits = b"9" * 300  # more is refused as "infinity"
    written = checks.parse_exactly(
        b'{"in": {"a": %b}}' % digits,
        lambda request: orjson.dumps(checks.exact_form(request["in"], PATH)),
    )
    assert written == b'{"a":%b}' % digits


@pytest.mark.parametrize("check", [checks.free_form, checks.exact_form])
def test_deep_nesting_is_named_before_large_numbers(check: Callable[..., Any]) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    body = orjson.dumps({"in": {"deep": deep, "large": 1e300}})
    with pytest.raises(RequestError, match="nested deeper") as caught:
        checks.parse_exactly(body, lambda request: check(request["in"], ("in",)))
    assert caught.value.param == "in"
