"""Many texts as JSON in one call: a call for each of them costs more than the JSON does.

They are written on lines of their own. JSON has no line break within a text, so wherever there is one, a
value ends. Values are texts and numbers; what holds other values has lines of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

_BETWEEN: Final = b",\n  "
_BEFORE_BYTES: Final = len(b"[\n  ")
_AFTER_BYTES: Final = len(b"\n]")

_dumps = orjson.dumps


def json_each(values: Sequence[str] | Sequence[int]) -> list[bytes]:
    """The JSON of each; there must be one at least."""
    return _lines(values).split(_BETWEEN)


def json_joined(texts: list[str], between: bytes) -> bytes:
    """The same, with ``between`` between them."""
    return _lines(texts).replace(_BETWEEN, between)


def _lines(values: Sequence[str] | Sequence[int]) -> bytes:
    return _dumps([*values], option=orjson.OPT_INDENT_2)[_BEFORE_BYTES:-_AFTER_BYTES]
