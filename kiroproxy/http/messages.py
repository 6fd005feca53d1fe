"""Request and Response value objects; no I/O."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

RawHeader = tuple[bytes, bytes]


@functools.lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    """A name as ``Headers`` keeps it. Those that are asked for are few, and asked for all the time."""
    return name.lower().encode("latin-1")


class Headers:
    """An ordered list of ``(lower-case name, value)`` byte pairs with look-up by name. Never changed."""

    __slots__ = ("_first", "_said", "raw")

    def __init__(self, raw: Iterable[RawHeader] = ()) -> None:
        self.raw: list[RawHeader] = [(name.lower(), value) for name, value in raw]
        self._first = dict(reversed(self.raw))
        # What was asked for, as text: requests with the same head share it and ask the same of it.
        self._said: dict[str, str | None] = {}

    @classmethod
    def lowered(cls, raw: list[RawHeader]) -> Headers:
        """Of names that are lower-case already."""
        headers = cls.__new__(cls)
        headers.raw = raw
        headers._first = dict(reversed(raw))
        headers._said = {}
        return headers

    def get(self, name: str) -> str | None:
        """The first value of ``name`` as text (latin-1, as HTTP has it), or None."""
        said = self._said
        if name in said:
            return said[name]
        value = self._first.get(_key(name))
        said[name] = text = None if value is None else value.decode("latin-1")
        return text

    def get_all(self, name: str) -> list[str]:
        """All values of ``name``, in order."""
        wanted = _key(name)
        return [value.decode("latin-1") for key, value in self.raw if key == wanted]

    def __iter__(self) -> Iterator[RawHeader]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:  # names only: values may be keys
        return f"Headers({[name.decode('latin-1') for name, _ in self.raw]})"


@dataclass(slots=True)
class Request:
    """One request with its whole body.

    ``path`` is the raw path without the query (not percent-decoded), ``query`` the bytes after ``?``
    as text. ``id`` is ours (``req_`` + 24 hex digits) and stands in every answer and log line.
    ``body`` stays valid for as long as anybody refers to it. ``peer`` is the remote address.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    id: str
    peer: str = ""
    http_version: str = "1.1"


@dataclass(slots=True)
class Response:
    """One whole answer. ``content-length``, ``date`` and connection headers are added on the way out."""

    status: int
    body: bytes = b""
    headers: list[RawHeader] = field(default_factory=list)
