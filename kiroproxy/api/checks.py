"""Typed access to request JSON: each helper gives the value or raises a RequestError that names the field.

A path is a tuple of keys and indices (``("messages", 3, "content")``); it becomes text only when
something is wrong, so that good requests pay nothing for it. For the same reason helpers take the last
steps of a path apart: ``text(block.get("id"), path, "id")``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import orjson

from kiroproxy.api.density import Hold, hold_nothing, hold_values, refuse_many_marks
from kiroproxy.errors import RequestError

Path = tuple[str | int, ...]
Object = dict[str, Any]
#: A request's header by its name in small letters.
GetHeader = Callable[[str], str | None]

_SESSION_CHARS: Final = 128

# Free-form JSON (tool inputs, schemas) is written out again inside a few more levels; the JSON writer
# ends at 254, and the fitting code is recursive.
MAX_DEPTH: Final = 100

# Numbers beyond these are floats to the fast JSON reader, with 16 digits of their own.
_LEAST_WHOLE: Final = -(2**63)
_BEYOND_WHOLE: Final = 2**64

# A surrogate escape without its other half; an escaped backslash is stepped over as a pair.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)

# What the fast reader says of JSON that others read.
_STRICTER: Final = re.compile("surrogate|infinity")

_Parsed = TypeVar("_Parsed")


class InexactNumber(Exception):
    """A tool's input holds a number that was read as a float and may have lost digits. Never leaves
    ``parse_exactly`` and its like."""


def fail(path: Path, rule: str) -> NoReturn:
    """Raise the RequestError ``path: rule.``"""
    param = ".".join(map(str, path))
    raise RequestError(f"{param}: {rule}", param=param or None)


def parse_exactly(
    body: bytes, parse: Callable[[Object], _Parsed], hold: Hold = hold_nothing
) -> _Parsed:
    """``parse`` of the body's object, for which ``hold`` takes the room. Should it meet numbers of more
    than 64 bits in a tool's input, it is called again, with every such number as a fragment that is
    written as it was read. Bodies without such numbers pay nothing for it."""
    request = load_object(body, hold)
    try:
        return parse(request)
    except InexactNumber:
        return parse(mapping(load_exactly(body), ()))


def bounded_session(name: str) -> str:
    """A client's own name of a conversation; a hash stands for a long one."""
    if len(name) <= _SESSION_CHARS:
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def load_exactly(source: bytes | str) -> Any:
    """JSON that the fast reader has read before, large numbers as fragments."""
    try:
        if isinstance(source, str):
            source = source.encode()
        source = _ESCAPE.sub(_whole_escape, source)
        return json.loads(source, parse_int=_whole_number, parse_float=_real_number)
    except RecursionError:
        raise RequestError("The request body is nested too deeply.") from None


def load_input(text: str) -> Any:
    """A tool call's input as its client will read it, large numbers as fragments; None if it is not JSON.
    The fast reader refuses two things that are: half a surrogate pair, and a number beyond all floats."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not _STRICTER.search(str(error)):
            return None
    try:
        source = _ESCAPE.sub(_whole_escape, text.encode())
        return json.loads(
            source,
            parse_int=_whole_number,
            parse_float=_real_number,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole_number(digits: str) -> int | orjson.Fragment:
    # Counted first: Python refuses to read very long numbers, and takes long over long ones.
    if len(digits) > 20:
        return orjson.Fragment(digits)
    number = int(digits)
    return number if _LEAST_WHOLE <= number < _BEYOND_WHOLE else orjson.Fragment(digits)


def _real_number(digits: str) -> float | orjson.Fragment:
    number = float(digits)
    return number if _LEAST_WHOLE <= number < _BEYOND_WHOLE else orjson.Fragment(digits)


def load_object(body: bytes, hold: Hold = hold_nothing) -> Object:
    """The request body as a JSON object, with room taken for it.

    Half surrogate pairs (text cut in the middle of an emoji by a client that counts in UTF-16) become
    U+FFFD instead of an error: they stand in a history that would fail for ever.
    """
    refuse_many_marks(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        value = _load_repaired(body, error)
    if not isinstance(value, dict):
        raise RequestError("The request body must be a JSON object.")
    hold_values(value, hold)
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
    try:
        _check_depth(found, MAX_DEPTH, exact=False)
    except _TooDeep:
        fail((*path, *more), _DEPTH_RULE)
    except _HoldsFragments:  # bounds in a schema are compared: there a float is the better number
        try:
            found = orjson.loads(orjson.dumps(found))
        except orjson.JSONEncodeError:
            fail((*path, *more), _DEPTH_RULE)
        return free_form(found, path, *more)
    return found


def exact_form(value: object, path: Path, *more: str | int) -> Object:
    """As ``free_form``, for what is passed on and must keep each digit. Raises InexactNumber when a
    number has lost some; see ``parse_exactly``."""
    found = mapping(value, path, *more)
    try:
        _check_depth(found, MAX_DEPTH, exact=True)
    except _TooDeep:
        fail((*path, *more), _DEPTH_RULE)
    return found


_DEPTH_RULE: Final = f"must not be nested deeper than {MAX_DEPTH} levels"


class _TooDeep(Exception):
    pass


class _HoldsFragments(Exception):
    pass


def _check_depth(value: Object | list[Any], levels: int, *, exact: bool) -> None:
    if levels == 0:
        raise _TooDeep
    items = value.values() if isinstance(value, dict) else value
    for item in items:
        kind = type(item)
        if kind is dict or kind is list:
            _check_depth(item, levels - 1, exact=exact)
        elif kind is float:
            if exact and not _LEAST_WHOLE <= item < _BEYOND_WHOLE:
                raise InexactNumber
        elif kind is orjson.Fragment and not exact:
            raise _HoldsFragments
