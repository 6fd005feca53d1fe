"""Numbers of the service's JSON as they were written.

A tool's input that comes as an object is written again, and the fast reader has made floats of all numbers
with a fraction, an exponent or more than 64 bits: digits and spelling would be lost. No I/O.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


def holds_float(value: Any) -> bool:
    """Whether a number in it may have been written in another way than it will be."""
    seen = [value]
    for item in seen:
        if isinstance(item, dict):
            seen += item.values()
        elif isinstance(item, list):
            seen += item
        elif isinstance(item, float):
            return True
    return False


def load_as_written(payload: bytes | memoryview) -> Any:
    """JSON that the fast reader has read before, every number as a fragment. None if it is nested too
    deeply for this reader."""
    try:
        return json.loads(bytes(payload), parse_int=orjson.Fragment, parse_float=orjson.Fragment)
    except RecursionError:
        return None
