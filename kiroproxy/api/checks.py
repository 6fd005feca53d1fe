"""Typed access to request JSON: each helper gives the value or raises a RequestError that names the field.

A path is a tuple of keys and indices (``("messages", 3, "content")``); it becomes text only when
something is wrong, so that good requests pay nothing for it. For the same reason helpers take the last
steps of a path apart: ``text(block.get("id"), path, "id")``.
"""

from __future__ import annotations

import re
from typing import Any, Final, NoReturn

import orjson

from kiroproxy.errors import RequestError

Path = tuple[str | int, ...]
Object = dict[str, Any]

# Free-form JSON (tool inputs, schemas) is written out again inside a few more levels; the JSON writer
# ends at 254, and the fitting code is recursive.
MAX_DEPTH: Final = 100

# A surrogate escape without its other half; an escaped backslash is stepped over as a pair.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def fail(path: Path, rule: str) -> NoReturn:
    """Raise the RequestError ``path: rule.``"""
    param = ".".join(map(str, path))
    raise RequestError(f"{param}: {rule}", param=param or None)


def load_object(body: bytes) -> Object:
    """The request body as a JSON object.

    Half surrogate pairs (text cut in the middle of an emoji by a client that counts in UTF-16) become
    U+FFFD instead of an error: they stand in a history that would fail for ever.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        value = _load_repaired(body, error)
    if not isinstance(value, dict):
        raise RequestError("The request body must be a JSON object.")
    return value


def _load_repaired(body: bytes, error: orjson.JSONDecodeError) -> Any:
    if "surrogate" in str(error):
        try:
            return orjson.loads(_ESCAPE.sub(_whole_escape, body))
        except orjson.JSONDecodeError as second:
            error = second
    raise RequestError(f"The request body is not valid JSON: {error}.") from None


def _whole_escape(match: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if match["lone"] else match[0]


def text(value: object, path: Path, *more: str | int) -> str:
    """A string, possibly empty."""
    if not isinstance(value, str):
        fail((*path, *more), "must be a string")
    return value


def filled_text(value: object, path: Path, *more: str | int) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        fail((*path, *more), "must be a string and not empty")
    return value


def optional_text(value: object, path: Path, *more: str | int) -> str:
    """A string; null counts as empty."""
    return "" if value is None else text(value, path, *more)


def flag(value: object, path: Path, *more: str | int) -> bool:
    """true or false; null counts as false."""
    if value is not None and not isinstance(value, bool):
        fail((*path, *more), "must be true or false")
    return value is True


def positive(value: object, path: Path, *more: str | int) -> int:
    """A whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        fail((*path, *more), "must be a whole number of at least 1")
    return value


def array(value: object, path: Path, *more: str | int) -> list[Any]:
    """A list; null counts as empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        fail((*path, *more), "must be a list")
    return value


def mapping(value: object, path: Path, *more: str | int) -> Object:
    """A JSON object."""
    if not isinstance(value, dict):
        fail((*path, *more), "must be an object")
    return value


def free_form(value: object, path: Path, *more: str | int) -> Object:
    """A JSON object of the client's own making, nested no deeper than we can write again."""
    found = mapping(value, path, *more)
    if not _shallow(found, MAX_DEPTH):
        fail((*path, *more), f"must not be nested deeper than {MAX_DEPTH} levels")
    return found


def _shallow(value: Object | list[Any], levels: int) -> bool:
    if levels == 0:
        return False
    items = value.values() if isinstance(value, dict) else value
    for item in items:
        kind = type(item)
        if (kind is dict or kind is list) and not _shallow(item, levels - 1):
            return False
    return True
