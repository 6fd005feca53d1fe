"""JSON schemas of tools, fitted to what the service takes.

Rules, each a 400 somebody met: the root is an object; no null anywhere; no empty ``required``; no
``additionalProperties``; no ``$schema``, ``$id`` and their kind; no references (local ones are put in
place, recursive ones end after one round); no property with an empty name. What the schema says about
values stays, and no property is ever renamed: a name that cannot be mapped back breaks the call.

A fitted schema is cached as bytes under the JSON of the original, since a client sends the same tools
with every request.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

import orjson

Schema = dict[str, Any]

EMPTY_SCHEMA: Final = b'{"type":"object","properties":{}}'

_TYPES: Final = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_DROPPED: Final = frozenset(
    {
        "$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "$ref", "$dynamicRef",
        "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary", "id", "strict",
        "additionalProperties", "unevaluatedProperties", "additionalItems", "unevaluatedItems",
    }
)  # fmt: skip
_ONE: Final = frozenset({"not", "if", "then", "else", "contains", "propertyNames"})
_MANY: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
_MAX_DEPTH: Final = 64  # deeper parts become "anything"; real schemas stay under 20
_MAX_NODES: Final = 10_000  # references that multiply stop here,
_MAX_COPIED_BYTES: Final = 1_000_000  # or when all that they put in place comes to this
_CACHED_BYTES: Final = 64 * 1024  # larger schemas are fitted each time, so the cache stays small
_CACHED: Final = 512


def fit_schema(schema: Schema) -> bytes:
    """The fitted schema as JSON. ``schema`` is any JSON object and is not changed."""
    original = orjson.dumps(schema)
    return _fit_cached(original) if len(original) <= _CACHED_BYTES else _fit(original)


def _fit(original: bytes) -> bytes:
    return orjson.dumps(_Fitter(orjson.loads(original)).root())


_fit_cached = lru_cache(maxsize=_CACHED)(_fit)


class _Fitter:
    """One walk over one schema; holds what a reference needs."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._open: list[str] = []  # references being put in place right now
        self._nodes = 0
        self._copied_bytes = 0

    def root(self) -> Schema:
        fitted = self._node(self._schema, 0)
        properties = fitted.pop("properties", {})
        fitted.pop("type", None)
        return {"type": "object", "properties": properties, **fitted}

    def _node(self, node: object, depth: int) -> Schema:
        """A schema node; booleans, nulls and whatever is no schema become "anything"."""
        self._nodes += 1
        if not isinstance(node, dict) or depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            return {}
        reference = node.get("$ref")
        base = self._referenced(reference, depth) if isinstance(reference, str) else {}
        for key, value in node.items():
            if key not in _DROPPED and value is not None:
                self._keyword(base, key, value, depth)
        return base

    def _referenced(self, reference: str, depth: int) -> Schema:
        """A copy of what a local reference points to; empty when it points nowhere."""
        target = self._lookup(reference)
        if reference in self._open:
            kind = target.get("type") if isinstance(target, dict) else None
            return {"type": kind} if isinstance(kind, str) and kind in _TYPES else {}
        if self._copied_bytes <= _MAX_COPIED_BYTES:
            self._copied_bytes += len(orjson.dumps(target))
        if self._copied_bytes > _MAX_COPIED_BYTES:
            return {}
        self._open.append(reference)
        fitted = self._node(target, depth + 1)
        self._open.pop()
        return fitted

    def _lookup(self, reference: str) -> object:
        """RFC 6901 pointer in the fragment; None for anything else."""
        if not reference.startswith("#"):
            return None
        node: Any = self._schema
        for part in unquote(reference[1:]).split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict):
                node = node.get(name)
            elif isinstance(node, list) and name.isascii() and name.isdigit():
                node = node[int(name)] if len(name) < 6 and int(name) < len(node) else None
            else:
                return None
        return node

    def _keyword(self, into: Schema, key: str, value: Any, depth: int) -> None:
        """Put one fitted keyword into ``into``, or leave it out when nothing usable remains."""
        fitted: Any
        if key in _NAMED:
            fitted = self._named(value, depth)
        elif key in _MANY:
            fitted = self._many(value, depth)
        elif key in _ONE:
            fitted = self._node(value, depth + 1)
        elif key == "items":
            fitted = self._items(value, depth)
        else:
            fitted = _plain_keyword(key, value)
        if fitted is not None:
            into[key] = fitted

    def _named(self, value: Any, depth: int) -> Schema | None:
        if not isinstance(value, dict):
            return None
        return {name: self._node(node, depth + 1) for name, node in value.items() if name}

    def _many(self, value: Any, depth: int) -> list[Schema] | None:
        if not isinstance(value, list) or not value:
            return None
        return [self._node(node, depth + 1) for node in value]

    def _items(self, value: Any, depth: int) -> Schema | None:
        """A list here is an old draft's tuple; the newest draft refuses it."""
        if not isinstance(value, list):
            return self._node(value, depth + 1)
        branches = self._many(value, depth)
        if branches is None or len(branches) == 1:
            return branches[0] if branches else None
        return {"anyOf": branches}


def _plain_keyword(key: str, value: Any) -> Any:
    """The value of a keyword that holds no schema, without nulls; None leaves the keyword out."""
    if key == "type":
        return _kinds(value)
    if key == "required":
        names = (
            [name for name in value if isinstance(name, str) and name]
            if isinstance(value, list)
            else []
        )
        return list(dict.fromkeys(names)) or None
    if key == "enum":
        options = [item for item in value if not _has_null(item)] if isinstance(value, list) else []
        return options or None
    if key in ("exclusiveMinimum", "exclusiveMaximum") and isinstance(value, bool):
        return None  # draft 4's form
    return None if _has_null(value) else value


def _kinds(value: Any) -> str | list[str] | None:
    if isinstance(value, str):
        return value if value in _TYPES else None
    if not isinstance(value, list):
        return None
    kinds = [
        kind for kind in dict.fromkeys(k for k in value if isinstance(k, str)) if kind in _TYPES
    ]
    return kinds or None


def _has_null(value: object, depth: int = 0) -> bool:
    """Whether plain data holds a null, or is nested so deep that nobody needs it."""
    if value is None or depth > _MAX_DEPTH:
        return True
    if isinstance(value, dict):
        return any(_has_null(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return any(_has_null(item, depth + 1) for item in value)
    return False
