"""A settings file as text: parsed, edited, and each edit checked before anybody writes it."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from kiroproxy.cli.setup import jsontext, tomltext
from kiroproxy.cli.setup.values import ABSENT, Changes, Keys, changed, is_same, value_at

_FORMATS: Final[dict[str, ModuleType]] = {".json": jsontext, ".toml": tomltext}


@dataclass(frozen=True, slots=True)
class Document:
    """``suffix``: .json or .toml. ``data`` None: there is no file. Holds secrets; never shown whole."""

    suffix: str
    data: bytes | None

    def parse(self) -> dict[str, Any]:
        """Raises ValueError with rule and place, without content."""
        value: dict[str, Any] = _FORMATS[self.suffix].parse(self.text())
        return value

    def text(self) -> str:
        """Raises ValueError."""
        try:
            return (self.data or b"").decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("is not UTF-8") from None

    def edit(self, changes: Changes) -> Document:
        """With ``changes``, and nothing else different. Raises ValueError when that cannot be done."""
        before = self.parse()
        needed = {
            keys: value
            for keys, value in changes.items()
            if not is_same(value_at(before, keys), value)
        }
        if not needed:
            return self
        expected = changed(before, needed)
        text = _FORMATS[self.suffix].edit(self.text(), needed)
        after = Document(self.suffix, text.encode("utf-8"))
        try:
            is_right = is_same(after.parse(), expected)
        except ValueError:
            is_right = False
        if not is_right:
            raise ValueError(
                "is written in a way that cannot be edited safely; change it by hand: "
                + ", ".join(".".join(keys) for keys in needed)
            )
        return after

    def undo(self, original: Document, wrote: dict[Keys, list[Any]]) -> tuple[Document, list[Keys]]:
        """For a file that was changed since: our keys as they were, everything else as it is now.

        ``wrote``: what we have put there; no value means that we took the key out. Also returns the
        keys that hold something else by now: they are somebody's wish and stay. Containers that were
        not there before go when nothing is left in them. Raises ValueError.
        """
        now, before = self.parse(), original.parse()
        back: dict[Keys, Any] = {}
        kept: list[Keys] = []
        for keys, values in wrote.items():
            held, was = value_at(now, keys), value_at(before, keys)
            removed = not values and held is ABSENT  # what we took out is still out
            if removed or any(is_same(held, value) for value in values):
                back[keys] = was
            elif not is_same(held, was):
                kept.append(keys)
        left = self.edit(back)
        return left.edit(_empty_containers(left.parse(), before, list(back))), kept


def _empty_containers(now: dict[str, Any], before: dict[str, Any], gone: list[Keys]) -> Changes:
    """Containers of ``gone`` keys that are empty and were not there before, the innermost first."""
    found: dict[Keys, Any] = {}
    for keys in gone:
        for length in range(len(keys) - 1, 0, -1):
            outer = keys[:length]
            if value_at(now, outer) == {} and value_at(before, outer) is ABSENT:
                found[outer] = ABSENT
                now = changed(now, {outer: ABSENT})
    return found
