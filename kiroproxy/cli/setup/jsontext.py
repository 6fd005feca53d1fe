"""Edits in a JSON text that leave every other byte as it is. Pure.

Strictly JSON: Claude Code does not load settings with comments or trailing commas.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from kiroproxy.cli.setup.values import ABSENT, Changes, Keys

_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_BOM: Final = "\ufeff"


def parse(text: str) -> dict[str, Any]:
    """The object in the text; an empty text is an empty object. Raises ValueError with the place."""
    value = _decode(_plain(text))
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    return value


def edit(text: str, changes: Changes) -> str:
    """The text with each change made, in order. Raises ValueError when it is no JSON object."""
    if not text.removeprefix(_BOM).strip():
        text = text + "{}\n"
    for keys, value in changes.items():
        text = _remove(text, keys) if value is ABSENT else _put(text, keys, value)
    return text


# --- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Member:
    """Positions: the key's first quote, the value's first character and the one after its last."""

    key: str
    at: int
    value_at: int
    end: int


@dataclass(frozen=True, slots=True)
class _Object:
    """``at``: the opening brace; ``end``: the closing one."""

    at: int
    members: list[_Member]
    end: int

    def member(self, key: str) -> _Member | None:
        """The last one of the name: it is the one that counts."""
        return next((m for m in reversed(self.members) if m.key == key), None)


def _plain(text: str) -> str:
    """The same length, with a blank in place of a byte order mark."""
    return "\r" + text[1:] if text.startswith(_BOM) else text


def _decode(plain: str) -> Any:
    if not plain.strip():
        return {}
    try:
        return json.loads(plain, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"is not JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        ) from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"is not JSON ({name} is no JSON number)")


def _object(plain: str, at: int) -> _Object:
    """The object that begins at ``at`` or after blanks; ``plain`` is known to be valid JSON."""
    at = position = _skip(plain, at)
    members: list[_Member] = []
    position = _skip(plain, position + 1)
    while plain[position] != "}":
        key, colon = json.JSONDecoder().raw_decode(plain, position)
        value_at = _skip(plain, _skip(plain, colon) + 1)
        end = json.JSONDecoder().raw_decode(plain, value_at)[1]
        members.append(_Member(key, position, value_at, end))
        position = _skip(plain, end)
        if plain[position] == ",":
            position = _skip(plain, position + 1)
    return _Object(at, members, position)


def _skip(plain: str, position: int) -> int:
    match = _BLANKS.match(plain, position)
    return match.end() if match else position


def _find(plain: str, keys: Keys) -> tuple[_Object, int]:
    """The innermost object on the way that is there, and how many keys lead to it."""
    parse(plain)
    found = _object(plain, 0)
    for depth, key in enumerate(keys[:-1]):
        member = found.member(key)
        if member is None:
            return found, depth
        if plain[member.value_at] != "{":
            raise ValueError(f"{'.'.join(keys[: depth + 1])} must be an object")
        found = _object(plain, member.value_at)
    return found, len(keys) - 1


# --- writing ------------------------------------------------------------------------------------


def _put(text: str, keys: Keys, value: Any) -> str:
    plain = _plain(text)
    holder, depth = _find(plain, keys)
    member = holder.member(keys[depth]) if depth == len(keys) - 1 else None
    style = _Style.of(text, plain)
    for key in reversed(keys[depth + 1 :]):
        value = {key: value}
    if member is not None:
        if json.loads(plain[member.value_at : member.end]) == value and not isinstance(value, bool):
            return text
        indent = style.indent_at(plain, member.at)
        return text[: member.value_at] + style.dump(value, indent) + text[member.end :]
    return _add(text, plain, holder, keys[depth], value, style)


def _add(text: str, plain: str, holder: _Object, key: str, value: Any, style: _Style) -> str:
    name = json.dumps(key, ensure_ascii=False) + style.colon
    if not holder.members:
        outer = style.indent_at(plain, holder.at)
        inner = outer + style.unit
        new = f"{style.newline}{inner}{name}{style.dump(value, inner)}{style.newline}{outer}"
        return text[: holder.at + 1] + new + text[holder.end :]
    first, last = holder.members[0], holder.members[-1]
    if "\n" not in plain[holder.at : first.at]:
        return f"{text[: last.end]}, {name}{style.dump(value, None)}{text[last.end :]}"
    indent = style.indent_at(plain, first.at)
    new = f",{style.newline}{indent}{name}{style.dump(value, indent)}"
    return text[: last.end] + new + text[last.end :]


def _remove(text: str, keys: Keys) -> str:
    plain = _plain(text)
    holder, depth = _find(plain, keys)
    member = holder.member(keys[depth])
    if depth < len(keys) - 1 or member is None:
        return text
    number = holder.members.index(member)
    if number < len(holder.members) - 1:
        return text[: member.at] + text[holder.members[number + 1].at :]
    if number > 0:
        before = holder.members[number - 1]
        return text[: before.end] + text[member.end :]
    return text[: holder.at + 1] + text[holder.end :]


@dataclass(frozen=True, slots=True)
class _Style:
    """How this text is written: line ends, indentation of one level, what stands after a key."""

    newline: str
    unit: str
    colon: str

    @classmethod
    def of(cls, text: str, plain: str) -> _Style:
        root = _object(plain, 0)
        unit, colon = "  ", ": "
        if root.members:
            first = root.members[0]
            lead = re.search(r"\n([ \t]*)$", plain[root.at : first.at])
            unit = lead.group(1) if lead else unit
            between = plain[json.JSONDecoder().raw_decode(plain, first.at)[1] : first.value_at]
            colon = between if "\n" not in between else colon
        return cls("\r\n" if "\r\n" in text else "\n", unit, colon)

    def indent_at(self, plain: str, position: int) -> str:
        """The white space at the start of the line."""
        line = plain.rfind("\n", 0, position) + 1
        match = re.match(r"[ \t]*", plain[line:position])
        return match.group() if match else ""

    def dump(self, value: Any, indent: str | None) -> str:
        """``indent``: of the line it stands on; None for all on one line."""
        if indent is None or not self.unit:
            return json.dumps(value, ensure_ascii=False)
        lines = json.dumps(value, ensure_ascii=False, indent=self.unit).split("\n")
        return f"{self.newline}{indent}".join(lines)
