"""additionalModelRequestFields: thinking and effort in the words a model's own schema admits.

The schema in the model catalogue is the only authority: Claude and GPT reject each other's keys, most
models take none at all, and whatever the schema does not name is a 400. So candidates are tried against
it, best first, and only what it admits is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

Schema = dict[str, Any]

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
# Where the wanted effort is unknown to the model, the nearest that is known, more rather than less.
_EFFORT_ORDER: Final[dict[str, tuple[str, ...]]] = {
    "low": ("low", "medium", "high"),
    "medium": ("medium", "high", "low"),
    "high": ("high", "medium", "max"),
    "xhigh": ("xhigh", "max", "high"),
    "max": ("max", "xhigh", "high"),
}
_BUDGET_EFFORT: Final = ((10_000, "low"), (20_000, "medium"), (28_000, "high"))
_MAX_DEPTH: Final = 12


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client asked for. ``budget_tokens``: 0 if none. ``effort``: empty if none."""

    effort: str = ""
    budget_tokens: int = 0
    omit: bool = False
    max_tokens: int | None = None


def effort_of_budget(budget_tokens: int) -> str:
    """The effort that stands for a thinking budget."""
    return next((word for most, word in _BUDGET_EFFORT if budget_tokens <= most), "max")


def native_fields(schema: Schema | None, wish: Wish) -> dict[str, Any] | None:
    """The fields that switch thinking on, or None when this model has no such switch."""
    properties = schema.get("properties") if schema else None
    if not isinstance(properties, dict) or schema is None:
        return None
    fields: dict[str, Any] = {}
    for name, candidates in _candidates(wish, properties.get("max_tokens")):
        if name in properties:
            for candidate in candidates:
                if admits(properties[name], candidate, schema):
                    fields[name] = candidate
                    break
    switches = fields.keys() & {"thinking", "output_config", "reasoning"}
    return fields if switches and admits(schema, fields, schema) else None


def _candidates(wish: Wish, max_tokens_schema: object) -> Iterator[tuple[str, list[Any]]]:
    effort = wish.effort or (effort_of_budget(wish.budget_tokens) if wish.budget_tokens else "")
    efforts = _EFFORT_ORDER.get(effort, ())
    yield "output_config", [{"effort": word} for word in efforts]
    yield "thinking", _thinking_candidates(wish)
    yield "reasoning", [{"effort": word} for word in efforts or _EFFORT_ORDER["high"]]
    if wish.max_tokens is not None:
        yield "max_tokens", [_clamped(wish.max_tokens, max_tokens_schema)]


def _thinking_candidates(wish: Wish) -> list[Any]:
    display = "omitted" if wish.omit else "summarized"
    budget = wish.budget_tokens or 20_000
    return [
        {"type": "adaptive", "display": display},
        {"type": "adaptive"},
        {"type": "enabled", "budget_tokens": budget},
    ]


def _clamped(wanted: int, schema: object) -> int:
    """Into the schema's bounds: the client's own limit is kept by cutting the answer anyway."""
    if not isinstance(schema, dict):
        return wanted
    least, most = schema.get("minimum"), schema.get("maximum")
    if _is_number(most) and wanted > most:
        wanted = int(most)
    if _is_number(least) and wanted < least:
        wanted = int(least)
    return wanted


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def admits(schema: object, value: object, root: Schema, depth: int = 0) -> bool:
    """Whether ``value`` fits ``schema``, in the part of JSON Schema that such schemas use.

    A keyword we do not know admits. Local references are followed inside ``root``; anything nested
    deeper than a dozen levels is not admitted.
    """
    if not isinstance(schema, dict):
        return schema is not False
    if depth > _MAX_DEPTH:
        return False
    reference = schema.get("$ref")
    if isinstance(reference, str) and not admits(
        _resolved(reference, root), value, root, depth + 1
    ):
        return False
    return (
        _admits_plain(schema, value)
        and _admits_object(schema, value, root, depth)
        and _admits_choice(schema, value, root, depth)
    )


def _resolved(reference: str, root: Schema) -> object:
    node: object = root
    for step in reference.lstrip("#").strip("/").split("/"):
        if step:
            node = node.get(step, False) if isinstance(node, dict) else False
    return node


def _admits_plain(schema: Schema, value: object) -> bool:
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(kinds, list) and not any(_is_kind(value, kind) for kind in kinds):
        return False
    options = schema.get("enum")
    if isinstance(options, list) and value not in options:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    least, most = schema.get("minimum"), schema.get("maximum")
    if not _is_number(value):
        return True
    return not (_is_number(least) and value < least) and not (_is_number(most) and value > most)


def _is_kind(value: object, kind: object) -> bool:
    types = _TYPES.get(kind) if isinstance(kind, str) else None
    if types is None:
        return True
    return isinstance(value, types) and (isinstance(value, bool) == (bool in types))


def _admits_object(schema: Schema, value: object, root: Schema, depth: int) -> bool:
    if not isinstance(value, dict):
        return True
    known = schema.get("properties")
    known = known if isinstance(known, dict) else {}
    required = schema.get("required")
    if isinstance(required, list) and not all(
        name in value for name in required if isinstance(name, str)
    ):
        return False
    rest = schema.get("additionalProperties", True)
    return all(admits(known.get(name, rest), item, root, depth + 1) for name, item in value.items())


def _admits_choice(schema: Schema, value: object, root: Schema, depth: int) -> bool:
    for keyword, rule in (("anyOf", any), ("oneOf", any), ("allOf", all)):
        branches = schema.get(keyword)
        if isinstance(branches, list) and not rule(
            admits(branch, value, root, depth + 1) for branch in branches
        ):
            return False
    return True
