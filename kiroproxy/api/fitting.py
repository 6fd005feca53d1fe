"""Whether an answer's JSON fits the schema the client asked for, and what to tell the model if not.

The part of JSON Schema that structured outputs use: ``type``, ``enum``, ``const``, ``properties``,
``required``, ``additionalProperties``, ``items``, ``prefixItems``, ``anyOf``, ``oneOf``, ``allOf``, local
``$ref``, and the bounds of numbers, texts, lists and objects. Everything else (``pattern``, ``format``,
``not``, conditions) is told to the model but not checked, and where something is not checked the value
counts as fitting; so ``oneOf`` is satisfied by any branch, for two may seem to fit. ``pattern`` stays out
on purpose: a client's expression could stop the event loop for minutes.

The work is bounded. A schema whose alternatives multiply, or a value nested too deeply, is given up on
and counts as fitting: a wrong refusal would be worse than a missed one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeGuard

import orjson

Schema = dict[str, Any]

MAX_STEPS: Final = 100_000  # about a tenth of a second
MAX_DEPTH: Final = 120  # schemas entered on the way to one value
MAX_COMPLAINTS: Final = 8  # that the model is told at once

_NAMES: Final[dict[str, str]] = {
    "object": "an object",
    "array": "a list",
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


class _TooMuch(Exception):
    """The check would take too long."""


def complaints(text: str, schema: Schema) -> list[str]:
    """What keeps ``text`` from being one JSON value that fits ``schema``; empty if nothing does."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return [f"it is not one JSON value: {error}"]
    return misfits(value, schema)


def misfits(value: Any, schema: Schema) -> list[str]:
    """At most ``MAX_COMPLAINTS`` sentences, each with the place, such as ``$.items[2].name``."""
    found: list[str] = []
    try:
        for complaint in _Check(schema).walk(schema, value, "$", 0):
            found.append(complaint)
            if len(found) == MAX_COMPLAINTS:
                break
    except _TooMuch:
        pass  # what was found until then still counts
    return found


class _Check:
    """One value against one schema. ``root``: where references point into."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._steps = 0

    def walk(self, schema: object, value: Any, at: str, depth: int) -> Iterator[str]:
        self._steps += 1
        if depth > MAX_DEPTH or self._steps > MAX_STEPS:
            raise _TooMuch
        if schema is False:
            yield f"{at} is not allowed"
        if not isinstance(schema, dict):
            return
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield from self.walk(self._resolved(reference), value, at, depth + 1)
        wrong = _wrong_type(schema, value) or _wrong_choice(schema, value)
        if wrong:
            yield f"{at} must be {wrong}"
            return  # what else there is to say about it would confuse
        for bound in _BOUNDS:
            yield from bound(schema, value, at)
        yield from self._branches(schema, value, at, depth)
        if isinstance(value, dict):
            yield from self._members(schema, value, at, depth)
        elif isinstance(value, list):
            yield from self._items(schema, value, at, depth)

    def _resolved(self, reference: str) -> object:
        """The schema a local reference names; True (anything fits) if there is none."""
        if not reference.startswith("#"):
            return True
        node: object = self._root
        for step in reference[1:].split("/"):
            if step:
                name = step.replace("~1", "/").replace("~0", "~")
                node = node.get(name, True) if isinstance(node, dict) else True
        return node

    def _branches(self, schema: Schema, value: Any, at: str, depth: int) -> Iterator[str]:
        for keyword in ("anyOf", "oneOf"):
            branches = schema.get(keyword)
            if isinstance(branches, list) and branches:
                yield from self._any(branches, value, at, depth)
        every = schema.get("allOf")
        if isinstance(every, list):
            for branch in every:
                yield from self.walk(branch, value, at, depth + 1)

    def _any(self, branches: list[Any], value: Any, at: str, depth: int) -> Iterator[str]:
        first: list[str] = []
        for branch in branches:
            found = next(self.walk(branch, value, at, depth + 1), None)
            if found is None:
                return
            first.append(found)
        yield f"{at} fits none of its alternatives ({'; or '.join(first[:3])})"

    def _members(self, schema: Schema, value: Schema, at: str, depth: int) -> Iterator[str]:
        required = schema.get("required")
        for name in required if isinstance(required, list) else ():
            if isinstance(name, str) and name not in value:
                yield f"{at} lacks the member {name!r}"
        known = schema.get("properties")
        known = known if isinstance(known, dict) else {}
        patterns = bool(schema.get("patternProperties"))
        rest = schema.get("additionalProperties", True)
        for name, item in value.items():
            inner = known.get(name, True if patterns else rest)
            if inner is False:
                yield f"{at} must not have the member {name[:100]!r}"
            elif inner is not True:
                yield from self.walk(inner, item, f"{at}.{name[:100]}", depth + 1)

    def _items(self, schema: Schema, value: list[Any], at: str, depth: int) -> Iterator[str]:
        heads = schema.get("prefixItems")
        heads = heads if isinstance(heads, list) else []
        rest = schema.get("items", True)
        for index, item in enumerate(value):
            inner = heads[index] if index < len(heads) else rest
            if inner is not True:
                yield from self.walk(inner, item, f"{at}[{index}]", depth + 1)


def _wrong_type(schema: Schema, value: Any) -> str:
    """What the value would have to be; empty if its type is right."""
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not isinstance(kinds, list) or not kinds:
        return ""
    names = [kind for kind in kinds if isinstance(kind, str)]
    if any(_is_kind(value, kind) for kind in names):
        return ""
    return " or ".join(_NAMES.get(kind, kind) for kind in names)


def _is_kind(value: Any, kind: str) -> bool:
    match kind:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "number":
            return _is_number(value)
        case "integer":  # 1.0 is a whole number in JSON Schema
            return _is_number(value) and (isinstance(value, int) or value.is_integer())
        case _:
            return True


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong_choice(schema: Schema, value: Any) -> str:
    options = schema.get("enum")
    if isinstance(options, list) and not any(_same(value, option) for option in options):
        return "one of " + ", ".join(_json(option) for option in options[:20])
    if "const" in schema and not _same(value, schema["const"]):
        return _json(schema["const"])
    return ""


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: to Python, true is 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()[:100]


def _number_bounds(schema: Schema, value: Any, at: str) -> Iterator[str]:
    if not _is_number(value):
        return
    for keyword, holds, words in _NUMBER_RULES:
        limit = schema.get(keyword)
        if _is_number(limit) and not holds(value, limit):
            yield f"{at} must be {words} {limit}"


def _multiple(value: float, step: float) -> bool:
    """Exact for whole numbers, forgiving for fractions: 0.3 is a multiple of 0.1."""
    if step <= 0:
        return True
    ratio = value / step
    if not math.isfinite(ratio):
        return math.fmod(value, step) == 0
    return abs(ratio - round(ratio)) < 1e-9 * max(1.0, abs(ratio))


_NUMBER_RULES: Final[tuple[tuple[str, Callable[[Any, Any], bool], str], ...]] = (
    ("minimum", lambda value, limit: value >= limit, "at least"),
    ("maximum", lambda value, limit: value <= limit, "at most"),
    ("exclusiveMinimum", lambda value, limit: value > limit, "more than"),
    ("exclusiveMaximum", lambda value, limit: value < limit, "less than"),
    ("multipleOf", _multiple, "a multiple of"),
)
_SIZES: Final[tuple[tuple[type[str | list[Any] | dict[str, Any]], str, str, str], ...]] = (
    (str, "minLength", "maxLength", "characters"),
    (list, "minItems", "maxItems", "items"),
    (dict, "minProperties", "maxProperties", "members"),
)


def _size_bounds(schema: Schema, value: Any, at: str) -> Iterator[str]:
    for kind, least_key, most_key, unit in _SIZES:
        if isinstance(value, kind):
            least, most = schema.get(least_key), schema.get(most_key)
            if _is_number(least) and len(value) < least:
                yield f"{at} must have at least {least} {unit}"
            if _is_number(most) and len(value) > most:
                yield f"{at} must have at most {most} {unit}"


def _unique(schema: Schema, value: Any, at: str) -> Iterator[str]:
    if schema.get("uniqueItems") is True and isinstance(value, list):
        if len({orjson.dumps(item, option=orjson.OPT_SORT_KEYS) for item in value}) < len(value):
            yield f"{at} must not hold the same item twice"


_BOUNDS: Final = (_number_bounds, _size_bounds, _unique)
