"""Schemas fitted: each rule by example, all of them on any JSON."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.schemas import fit_schema
from tests.api.turns import OBJECTS, PROPERTY, ROOT_SCHEMAS


def fitted(schema: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(fit_schema(schema))
    return result


def prop(schema: Any, **root: Any) -> Any:
    """What becomes of ``schema`` as a property."""
    return fitted({"type": "object", "properties": {"p": schema}, **root})["properties"]["p"]


ROOTS = {
    "empty": ({}, {"type": "object", "properties": {}}),
    "null type": ({"type": None}, {"type": "object", "properties": {}}),
    "other type": ({"type": "string"}, {"type": "object", "properties": {}}),
    "null members": (
        {"type": "object", "properties": None, "required": None, "additionalProperties": None},
        {"type": "object", "properties": {}},
    ),
    "dialect": (
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "x", "strict": True},
        {"type": "object", "properties": {}},
    ),
    "anyOf stays beside object": (
        {"anyOf": [{"required": ["a"]}, {"required": []}]},
        {"type": "object", "properties": {}, "anyOf": [{"required": ["a"]}, {}]},
    ),
    "empty property name": (
        {"properties": {"": {}, "a": {}}, "required": ["", "a", "a", 5]},
        {"type": "object", "properties": {"a": {}}, "required": ["a"]},
    ),
    "root reference": (
        {
            "$ref": "#/$defs/R",
            "$defs": {"R": {"type": "object", "properties": {"a": {"type": "string"}}}},
        },
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ),
}


@pytest.mark.parametrize("case", ROOTS)
def test_fit_root(case: str) -> None:
    given_schema, expected = ROOTS[case]
    assert fitted(given_schema) == expected


NODES: dict[str, tuple[Any, Any]] = {
    "kept as it is": (
        {"type": "string", "format": "uri", "pattern": "^a", "minLength": 1, "enum": ["a", 1]},
        {"type": "string", "format": "uri", "pattern": "^a", "minLength": 1, "enum": ["a", 1]},
    ),
    "true": (True, {}),
    "null": (None, {}),
    "list": ([], {}),
    "additionalProperties": ({"type": "object", "additionalProperties": False}, {"type": "object"}),
    "empty required": ({"required": []}, {}),
    "null default": ({"type": "string", "default": None}, {"type": "string"}),
    "null in default": ({"default": {"a": [None]}}, {}),
    "null in enum": ({"enum": ["a", None]}, {"enum": ["a"]}),
    "only null in enum": ({"enum": [None]}, {}),
    "nullable type": ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
    "unknown types": ({"type": ["any", "string", 5, "string"]}, {"type": ["string"]}),
    "unknown type": ({"type": "any"}, {}),
    "tuple items": (
        {"items": [{"type": "string"}, {"type": "number"}]},
        {"items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
    ),
    "one tuple item": ({"items": [{"type": "string"}]}, {"items": {"type": "string"}}),
    "no tuple items": ({"items": []}, {}),
    "draft 4 bounds": ({"minimum": 1, "exclusiveMinimum": True}, {"minimum": 1}),
    "bounds": ({"exclusiveMinimum": 0}, {"exclusiveMinimum": 0}),
    "nested": (
        {"not": {"$id": "x", "type": "string"}, "allOf": [{"additionalProperties": True}]},
        {"not": {"type": "string"}, "allOf": [{}]},
    ),
    "broken lists": ({"anyOf": [], "oneOf": "x", "properties": 5}, {}),
}


@pytest.mark.parametrize("case", NODES)
def test_fit_node(case: str) -> None:
    given_schema, expected = NODES[case]
    assert prop(given_schema) == expected


def test_fit_property_named_like_a_keyword_stays() -> None:
    schema = {"properties": {"$ref": {"type": "string"}, "required": {"type": "string"}, "id": {}}}
    assert fitted(schema)["properties"] == schema["properties"]


def test_fit_reference_is_put_in_place_with_its_neighbours() -> None:
    defs = {"a/b": {"type": "string", "description": "theirs"}}
    node = {"$ref": "#/$defs/a~1b", "description": "ours"}
    assert prop(node, **{"$defs": defs}) == {"type": "string", "description": "ours"}
    assert prop({"$ref": "#/definitions/x%20y"}, definitions={"x y": {"type": "null"}}) == {
        "type": "null"
    }
    assert prop({"$ref": "#/anyOf/1"}, anyOf=[{}, {"type": "number"}]) == {"type": "number"}


@pytest.mark.parametrize(
    "reference", ["https://x/y", "#/$defs/none", "#/anyOf/7", "#/anyOf/x", "#/type/a", ""]
)
def test_fit_reference_to_nowhere_allows_anything(reference: str) -> None:
    assert prop({"$ref": reference, "title": "t"}, anyOf=[{}]) == {"title": "t"}


def test_fit_recursive_reference_ends() -> None:
    node = {
        "type": "object",
        "properties": {"value": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}},
    }
    assert prop({"$ref": "#/$defs/Node"}, **{"$defs": {"Node": node}}) == {
        "type": "object",
        "properties": {"value": {"type": "string"}, "next": {"type": "object"}},
    }


def test_fit_recursive_reference_to_a_broken_type_ends() -> None:
    assert fitted({"$ref": "#", "type": {}}) == {"type": "object", "properties": {}}


def test_fit_references_that_multiply_end() -> None:
    defs: dict[str, Any] = {
        f"n{i}": {"anyOf": [{"$ref": f"#/$defs/n{i + 1}"}] * 10} for i in range(12)
    }
    assert len(fit_schema({"$ref": "#/$defs/n0", "$defs": defs})) < 400_000


def test_fit_deep_schema_ends() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(90):
        schema = {"not": schema}
    assert fit_schema(schema).count(b"not") <= 66


def test_fit_large_schema_is_fitted_too() -> None:
    schema = {"properties": {f"p{i}": {"description": "d" * 100} for i in range(1000)}}
    assert fitted(schema)["properties"] == schema["properties"]


def test_fit_leaves_the_original_alone() -> None:
    schema = {"type": None, "properties": {"": {}}}
    fit_schema(schema)
    assert schema == {"type": None, "properties": {"": {}}}


def walk(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from walk(item)


@given(ROOT_SCHEMAS | OBJECTS)
@PROPERTY
def test_fit_any_object_holds_the_rules(schema: dict[str, Any]) -> None:
    result = fitted(schema)
    assert result["type"] == "object"
    assert isinstance(result["properties"], dict)
    assert None not in list(walk(result))
    assert fitted(result) == result


@given(st.dictionaries(st.text(min_size=1, max_size=80), st.just({"type": "string"}), max_size=4))
@PROPERTY
def test_fit_keeps_every_property_name(properties: dict[str, Any]) -> None:
    assert fitted({"properties": properties})["properties"] == properties
