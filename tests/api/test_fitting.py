"""The schema checker: every keyword it knows, and that it survives whatever it is given."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.fitting import MAX_COMPLAINTS, complaints, misfits
from tests.api.turns import JSON, PROPERTY

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
        }
    },
}

# schema, a value that fits, one that does not, words of the complaint
CASES: dict[str, tuple[Any, Any, Any, str]] = {
    "object": ({"type": "object"}, {}, [], "$ must be an object"),
    "list": ({"type": "array"}, [], {}, "$ must be a list"),
    "string": ({"type": "string"}, "", 1, "$ must be a string"),
    "integer": ({"type": "integer"}, 3, 3.5, "$ must be a whole number"),
    "integer as a fraction": ({"type": "integer"}, 3.0, "3", "$ must be a whole number"),
    "number": ({"type": "number"}, 0.5, True, "$ must be a number"),
    "boolean": ({"type": "boolean"}, False, 0, "$ must be true or false"),
    "null": ({"type": "null"}, None, False, "$ must be null"),
    "several types": ({"type": ["string", "null"]}, None, 1, "$ must be a string or null"),
    "enum": ({"enum": ["a", 1]}, 1, "b", '$ must be one of "a", 1'),
    "enum knows true from 1": ({"enum": [1]}, 1, True, "$ must be one of 1"),
    "const": ({"const": {"a": [1]}}, {"a": [1]}, {"a": [2]}, '$ must be {"a":[1]}'),
    "required": (PERSON, {"name": "A", "age": 1}, {"name": "A"}, "$ lacks the member 'age'"),
    "no more members": (
        PERSON,
        {"name": "A", "age": 1},
        {"name": "A", "age": 1, "x": 1},
        "$ must not have the member 'x'",
    ),
    "member": (PERSON, {"name": "", "age": 1}, {"name": 1, "age": 1}, "$.name must be a string"),
    "other members": (
        {"additionalProperties": {"type": "integer"}},
        {"a": 1},
        {"a": "1"},
        "$.a must be a whole number",
    ),
    "items": ({"items": {"type": "integer"}}, [1, 2], [1, "2"], "$[1] must be a whole number"),
    "first items": (
        {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
        ["a", 1],
        ["a", "b"],
        "$[1] must be a whole number",
    ),
    "anyOf": (
        {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        None,
        "x",
        "$ fits none of its alternatives ($ must be a whole number; or $ must be null)",
    ),
    "oneOf": ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, 1, "x", "none of its"),
    "allOf": ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, 2, 4, "$ must be at most 3"),
    "reference": (
        TREE,
        {"value": 1, "next": {"value": 2, "next": None}},
        {"value": 1, "next": {"value": 2}},
        "$.next fits none",
    ),
    "false": ({"properties": {"a": False}}, {}, {"a": 1}, "$ must not have the member 'a'"),
    "minimum": ({"minimum": 1}, 1, 0, "at least 1"),
    "exclusive minimum": ({"exclusiveMinimum": 1}, 1.1, 1, "more than 1"),
    "exclusive maximum": ({"exclusiveMaximum": 1}, 0, 1, "less than 1"),
    "multiple": ({"multipleOf": 0.1}, 0.3, 0.35, "a multiple of 0.1"),
    "text length": ({"minLength": 2, "maxLength": 3}, "ab", "abcd", "at most 3 characters"),
    "list length": ({"minItems": 1}, [0], [], "at least 1 items"),
    "object size": ({"minProperties": 1}, {"a": 1}, {}, "at least 1 members"),
    "unique": ({"uniqueItems": True}, [1, True, "1"], [{"a": 1}, {"a": 1}], "same item twice"),
}


@pytest.mark.parametrize("case", CASES)
def test_keyword(case: str) -> None:
    schema, good, bad, words = CASES[case]
    assert misfits(good, schema) == []
    assert words in misfits(bad, schema)[0]


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^a$"},
        {"format": "date"},
        {"not": {"type": "string"}},
        {"$ref": "#/$defs/nowhere"},
        {"$ref": "https://example.org/schema"},
        {"type": "decimal"},
        {"type": 7, "enum": "x", "required": "x", "properties": [], "anyOf": {}, "minLength": "3"},
    ],
)
def test_what_is_not_checked_fits(schema: dict[str, Any]) -> None:
    assert misfits("b", schema) == []
    assert misfits({"a": [1]}, schema) == []


def test_text_that_is_no_json_is_told() -> None:
    assert "not one JSON value" in complaints("Here you are: {}", {"type": "object"})[0]
    assert "not one JSON value" in complaints("", {"type": "object"})[0]
    assert complaints(' {"a": 1}\n', {"type": "object"}) == []


def test_complaints_are_limited() -> None:
    assert len(misfits(["x"] * 100, {"items": {"type": "integer"}})) == MAX_COMPLAINTS


def test_endless_schemas_come_to_an_end() -> None:
    forever = {"$ref": "#"}
    doubling = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}], "allOf": [{"$ref": "#"}]}
    assert misfits(1, forever) == []
    assert misfits(1, doubling) == []
    deep: Any = None
    for _ in range(500):
        deep = {"value": 1, "next": deep}
    assert misfits(deep, TREE) == []


@PROPERTY
@given(
    st.dictionaries(st.sampled_from(["type", "enum", "items", "anyOf", "$ref", "required"]), JSON)
)
def test_no_schema_can_break_it(schema: dict[str, Any]) -> None:
    for value in (None, 1, "a", [1, "a"], {"a": {"b": 1}}):
        for words in misfits(value, schema):
            assert words.startswith("$")


@PROPERTY
@given(JSON)
def test_any_value_fits_its_own_constant(value: Any) -> None:
    text = orjson.dumps(value)
    assert complaints(text.decode(), {"const": orjson.loads(text)}) == []


def test_multiple_of_a_fraction_in_a_number_beyond_all_quotients() -> None:
    assert misfits(1e308, {"multipleOf": 0.5}) == []
    assert misfits(1e308, {"multipleOf": 1e-300}) != []
