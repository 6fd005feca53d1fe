"""Many texts as JSON in one call."""

from __future__ import annotations

import orjson
import pytest

from kiroproxy.api.jsontexts import json_each, json_joined

#: All that could be taken for the place where one text ends and the next begins.
TEXTS = [
    "",
    " ",
    ",",
    '"',
    '","',
    'said",',
    ',"',
    "\\",
    '\\"',
    "\n",
    ',\n  "',
    '",\n  "',
    "[\n  ",
    "\n]",
    "\r\u2028\u2029\x85\x00\x1f",
    "naïve – 😀",
]


def test_each_text_comes_back() -> None:
    assert [orjson.loads(one) for one in json_each(TEXTS)] == TEXTS


@pytest.mark.parametrize("text", TEXTS)
def test_each_text_is_written_as_alone(text: str) -> None:
    assert json_each([text]) == [orjson.dumps(text)]
    assert json_each([text, text]) == [orjson.dumps(text)] * 2


def test_numbers() -> None:
    assert json_each(range(9, 12)) == [b"9", b"10", b"11"]


@pytest.mark.parametrize("text", TEXTS)
def test_joined_is_each_with_something_between(text: str) -> None:
    assert json_joined([text], b"<>") == orjson.dumps(text)
    assert json_joined([text, "a", text], b"<>") == b"<>".join(
        [orjson.dumps(text), b'"a"', orjson.dumps(text)]
    )
