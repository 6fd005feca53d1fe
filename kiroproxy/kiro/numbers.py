"""Numbers of the service's JSON as they were written.

A tool's input that comes as an object is written again, and the fast reader has made floats of all numbers
with a fraction, an exponent or more than 64 bits: digits and spelling would be lost. Numbers beyond all
floats it refuses. No I/O.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson


def holds_doubtful(value: Any) -> bool:
    """Whether a number in it may have been written in another way than it will be: a float, or a zero,
    which may have had a sign."""
    seen = [value]
    for item in seen:
        if isinstance(item, dict):
            seen += item.values()
        elif isinstance(item, list):
            seen += item
        elif isinstance(item, float) or (type(item) is int and item == 0):
            return True
    return False


def load_as_written(payload: bytes | memoryview) -> Any:
    """JSON with whole characters, every number as a fragment. Raises ValueError, or RecursionError if it is
    nested too deeply for this reader."""
    return json.loads(
        bytes(payload),
        parse_int=orjson.Fragment,
        parse_float=orjson.Fragment,
        parse_constant=_no_constant,
    )


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
