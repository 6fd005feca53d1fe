"""Values that fit a JSON schema, and schemas found inside a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kiroproxy.simulator.catalogue import JsonObject

MAX_DEPTH = 12
_MAX_STARTS = 200  # opening braces tried per text
_DECODER = json.JSONDecoder()


def sample(schema: Any, depth: int = 0) -> Any:
    """A small value that ``schema`` should accept: required members, first words, lower bounds."""
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf"):
        if isinstance(schema.get(keyword), list) and "type" not in schema:
            return sample(schema[keyword][0], depth + 1)
    return _SAMPLES.get(_type_of(schema), _sample_null)(schema, depth)


def find_schema(text: str) -> JsonObject | None:
    """The last JSON object in ``text`` that describes an object, or None."""
    found = None
    at = text.find("{")
    for _ in range(_MAX_STARTS):
        if at < 0:
            break
        value, at = _object_at(text, at)
        schema = _as_schema(value)
        found = schema if schema is not None else found
        at = text.find("{", at)
    return found


def _object_at(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except (json.JSONDecodeError, RecursionError):
        return None, at + 1


def _as_schema(value: Any) -> JsonObject | None:
    if not isinstance(value, dict):
        return None
    if value.get("type") == "object" and isinstance(value.get("properties"), dict):
        return value
    return _as_schema(value.get("schema"))


def _type_of(schema: JsonObject) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "null")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    return str(kind)


def _sample_object(schema: JsonObject, depth: int) -> Any:
    properties = schema.get("properties") or {}
    names = schema.get("required") or list(properties)
    return {name: sample(properties.get(name, {}), depth + 1) for name in names}


def _sample_array(schema: JsonObject, depth: int) -> Any:
    count = schema.get("minItems") or 0
    return [sample(schema.get("items"), depth + 1) for _ in range(count)]


def _sample_string(schema: JsonObject, depth: int) -> Any:
    known = {
        "date": "2026-01-01",
        "date-time": "2026-01-01T00:00:00Z",
        "uri": "https://example.com",
    }
    text = known.get(schema.get("format", ""), "example")
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    if isinstance(shortest, int):
        text = text.ljust(shortest, "x")
    return text[:longest] if isinstance(longest, int) else text


def _sample_number(schema: JsonObject, depth: int) -> Any:
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"] + 1
    return schema.get("minimum", min(1, schema.get("maximum", 1)))


def _sample_boolean(schema: JsonObject, depth: int) -> Any:
    return True


def _sample_null(schema: JsonObject, depth: int) -> Any:
    return None


_SAMPLES: dict[str, Callable[[JsonObject, int], Any]] = {
    "object": _sample_object,
    "array": _sample_array,
    "string": _sample_string,
    "integer": _sample_number,
    "number": _sample_number,
    "boolean": _sample_boolean,
}
