"""Replies read with lenience: what is not of the form that was looked for counts as not there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


def maybe_object(body: bytes) -> dict[str, Any]:
    """The body's JSON object; empty for everything else."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return object_of(value)


def object_of(value: object) -> dict[str, Any]:
    """``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def first_text(fields: Mapping[str, Any], *names: str) -> str:
    """The first of the fields that holds a text; '' when none does."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
    return ""
