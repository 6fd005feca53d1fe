"""Values that fit a JSON schema, and schemas found inside a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from kiroproxy.simulator.catalogue import JsonObject

K = TypeVar("K")
T = TypeVar("T")

MAX_DEPTH = 12
_MAX_STARTS = 200  # opening braces tried per text
_MAX_ITEMS = 8
_MAX_CHARS = 200
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "uri": "https://example.com",
    "email": "somebody@example.com",
}
_DECODER = json.JSONDecoder()


def sample(schema: Any, depth: int = 0) -> Any:
    """A small value that ``schema`` should accept: required members, first words, lower bounds.

    Keywords with values that make no sense are passed over.
    """
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return None
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if words := _get(schema, "enum", list, []):
        return words[0]
    for keyword in ("anyOf", "oneOf"):
        if "type" not in schema and (choices := _get(schema, keyword, list, [])):
            return sample(choices[0], depth + 1)
    return _SAMPLES.get(_type_of(schema), _sample_null)(schema, depth)


def _get(schema: JsonObject, keyword: str, kind: type[K], default: T) -> K | T:
    """A keyword's value if it is of the kind it should be."""
    value = schema.get(keyword)
    return value if isinstance(value, kind) and not isinstance(value, bool) else default


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
    properties = _get(schema, "properties", dict, {})
    names = _get(schema, "required", list, []) or list(properties)
    return {
        name: sample(properties.get(name, {}), depth + 1) for name in names if isinstance(name, str)
    }


def _sample_array(schema: JsonObject, depth: int) -> Any:
    count = min(_get(schema, "minItems", int, 0), _MAX_ITEMS)
    return [sample(schema.get("items"), depth + 1) for _ in range(count)]


def _sample_string(schema: JsonObject, depth: int) -> Any:
    text = _FORMATS.get(_get(schema, "format", str, ""), "example")
    text = text.ljust(min(_get(schema, "minLength", int, 0), _MAX_CHARS), "x")
    longest = _get(schema, "maxLength", int, len(text))
    return text[: max(0, longest)]


def _sample_number(schema: JsonObject, depth: int) -> Any:
    above = _get(schema, "exclusiveMinimum", int, None)
    if above is not None:
        return above + 1
    return _get(schema, "minimum", int, min(1, _get(schema, "maximum", int, 1)))


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
