"""Two small jobs with JSON Schema: refuse the ones the service refuses, validate against the closed
ones that models publish for their extra request fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kiroproxy.simulator.shapes import Say, type_name

# Where a schema holds further schemas: in a map of names, in a list, or directly.
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLES = (
    "items",
    "additionalProperties",
    "additionalItems",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
)
_NEVER_NULL = ("type", "properties", "required", "additionalProperties")


def walk_schema(schema: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every schema inside ``schema``, itself first, with its path.

    Goes only where JSON Schema puts schemas, so that a property called ``$ref`` or an example that
    holds null is not mistaken for a keyword. Iterative: depth is the caller's choice, not ours.
    """
    waiting = [(path, schema)]
    while waiting:
        at, node = waiting.pop()
        yield at, node
        if isinstance(node, dict):
            waiting.extend(_children(node, at))


def _children(node: dict[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    for keyword in _MAPS:
        inner = node.get(keyword)
        if isinstance(inner, dict):
            yield from ((f"{at}.{keyword}.{name}", child) for name, child in inner.items())
    for keyword in (*_LISTS, *_SINGLES):
        inner = node.get(keyword)
        if isinstance(inner, list):
            yield from ((f"{at}.{keyword}[{i}]", child) for i, child in enumerate(inner))
        elif isinstance(inner, dict):
            yield f"{at}.{keyword}", inner


def check_root(schema: dict[str, Any], path: str, say: Say) -> None:
    """The root says ``"type": "object"`` in so many words."""
    if schema.get("type") != "object":
        say(f"{path}.type", 'the root must have type "object"')


def check_nulls(node: Any, path: str, say: Say) -> None:
    """No schema is null, none of the four structural keywords is."""
    if not isinstance(node, dict | bool):
        say(path, f"expected a schema, got {type_name(node)}")
        return
    if isinstance(node, dict):
        for keyword in _NEVER_NULL:
            if keyword in node and node[keyword] is None:
                say(f"{path}.{keyword}", "must not be null")


def check_keywords(node: Any, path: str, say: Say) -> None:
    """``$ref`` and the 2020-12 dialect are refused, and so is ``additionalProperties``: some report
    that any value of it draws the 400, nobody misses it when it is left out."""
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        say(f"{path}.$ref", "references are not supported")
    if "2020-12" in str(node.get("$schema", "")):
        say(f"{path}.$schema", "draft 2020-12 is not supported")
    if "additionalProperties" in node:
        say(f"{path}.additionalProperties", "not supported")


def check_properties(node: Any, path: str, say: Say) -> None:
    """``properties`` is a map, none of its names is empty."""
    if not isinstance(node, dict) or node.get("properties") is None:
        return
    properties = node["properties"]
    if not isinstance(properties, dict):
        say(f"{path}.properties", f"expected an object, got {type_name(properties)}")
    elif "" in properties:
        say(f"{path}.properties", "a property has an empty name")


def check_required(node: Any, path: str, say: Say) -> None:
    """``required`` is a non-empty list of different strings."""
    if not isinstance(node, dict) or node.get("required") is None:
        return
    required = node["required"]
    if not isinstance(required, list) or not required:
        say(f"{path}.required", "expected a non-empty list")
    elif not all(isinstance(name, str) and name for name in required):
        say(f"{path}.required", "expected names only")
    elif len(set(required)) != len(required):
        say(f"{path}.required", "a name stands twice")


def validate(value: Any, schema: dict[str, Any], path: str, say: Say) -> None:
    """Check ``value`` against the subset of JSON Schema used by the catalogue's schemas."""
    expected = schema.get("type")
    if expected is not None and not _has_type(value, expected):
        say(path, f"{path} must be of type {expected}")
        return
    if "enum" in schema and value not in schema["enum"]:
        say(path, f"{path} must be one of {', '.join(schema['enum'])}")
    if "minimum" in schema and value < schema["minimum"]:
        say(path, f"{path} must be at least {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        say(path, f"{path} must be at most {schema['maximum']}")
    if isinstance(value, dict):
        _validate_members(value, schema, path, say)


def _validate_members(value: dict[str, Any], schema: dict[str, Any], path: str, say: Say) -> None:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            say(f"{path}.{name}", f"property '{name}' is required")
    for name, inner in value.items():
        if name in properties:
            validate(inner, properties[name], f"{path}.{name}", say)
        elif schema.get("additionalProperties") is False:
            say(f"{path}.{name}", f"property '{name}' is not defined in the schema")


def _has_type(value: Any, expected: str) -> bool:
    if expected == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type_name(value) == expected
