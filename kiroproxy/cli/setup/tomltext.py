"""Edits in a TOML text that leave every other line as it is. Pure.

There is no TOML writer in the standard library. This knows just enough of the language to find where
a statement begins and ends; whoever edits has the result parsed and compared (``document.edit``).
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

from kiroproxy.cli.setup.values import ABSENT, Changes, Keys

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_KEY: Final = re.compile(r'[ \t]*("(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|[A-Za-z0-9_-]+)[ \t]*(\.?)')
_BOM: Final = "\ufeff"
# Pieces of a value: strings of all four kinds, comments, or one other character.
_PIECE: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|.',
    re.DOTALL,
)


def parse(text: str) -> dict[str, Any]:
    """Raises ValueError with the place."""
    try:
        return tomllib.loads(text.removeprefix(_BOM).replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML ({error})") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def edit(text: str, changes: Changes) -> str:
    """The text with each change made, in order. Raises ValueError when a value cannot be written."""
    for keys, value in changes.items():
        text = _remove(text, keys) if value is ABSENT else _put(text, keys, value)
    return text


@dataclass(frozen=True, slots=True)
class _Statement:
    """One table header or one ``key = value``; ``at`` to ``end`` are whole lines.

    ``keys``: from the top of the document; ``value_at``/``value_end`` 0 for a header."""

    keys: Keys
    table: Keys
    at: int
    end: int
    value_at: int = 0
    value_end: int = 0
    is_array: bool = False

    @property
    def is_header(self) -> bool:
        return self.value_end == 0


def _statements(text: str) -> list[_Statement]:
    """In order; ``text`` is valid TOML."""
    found: list[_Statement] = []
    table: Keys = ()
    position = len(_BOM) if text.startswith(_BOM) else 0
    while position < len(text):
        line_end = _line_end(text, position)
        start = re.compile(r"[ \t]*").match(text, position)
        first = start.end() if start else position
        if first >= line_end or text[first] in "#\r\n":
            position = line_end
            continue
        if text[first] == "[":
            is_array = text.startswith("[[", first)
            table, _ = _keys(text, first + 1 + is_array)
            found.append(_Statement(table, table, position, line_end, is_array=is_array))
            position = line_end
            continue
        keys, after = _keys(text, first)
        value_at = after + 1 + len(text[after + 1 :]) - len(text[after + 1 :].lstrip(" \t"))
        value_end = _value_end(text, value_at)
        end = _line_end(text, value_end)
        found.append(_Statement((*table, *keys), table, position, end, value_at, value_end))
        position = end
    return found


def _line_end(text: str, position: int) -> int:
    at = text.find("\n", position)
    return len(text) if at < 0 else at + 1


def _keys(text: str, position: int) -> tuple[Keys, int]:
    """A dotted key and the position after it."""
    keys: list[str] = []
    while match := _KEY.match(text, position):
        word = match.group(1)
        if word[0] == '"':
            keys.append(next(iter(tomllib.loads(f"{word} = 0"))))
        else:
            keys.append(word.strip("'"))
        position = match.end()
        if not match.group(2):
            break
    return tuple(keys), position


def _value_end(text: str, position: int) -> int:
    depth, end = 0, position
    while match := _PIECE.match(text, position):
        piece = match.group()
        if depth == 0 and (piece[0] in "#\n" or text.startswith("\r\n", position)):
            break
        depth += (piece in ("[", "{")) - (piece in ("]", "}"))
        position = match.end()
        if piece[0] not in " \t\r\n#":
            end = position
    return end


def _put(text: str, keys: Keys, value: Any) -> str:
    statements = _statements(text)
    written = _dump(value)
    for statement in statements:
        if statement.keys == keys and not statement.is_header:
            return text[: statement.value_at] + written + text[statement.value_end :]
    newline = "\r\n" if "\r\n" in text else "\n"
    line = f"{_dump_key(keys[-1])} = {written}{newline}"
    table = keys[:-1]
    here = [s for s in statements if s.table == table and not s.is_array]
    if here:
        at = here[-1].end
        lead = "" if text[:at].endswith("\n") else newline
        return text[:at] + lead + line + text[at:]
    if not table:
        at = len(_BOM) if text.startswith(_BOM) else 0
        rest = text[at:]
        return text[:at] + line + (newline if rest.strip() else "") + rest
    gap = "" if not text.strip() else newline if text.endswith("\n") else newline * 2
    header = f"[{'.'.join(_dump_key(key) for key in table)}]{newline}"
    return text + gap + header + line


def _remove(text: str, keys: Keys) -> str:
    """The statement; or the table's header, when the key is a table."""
    for statement in reversed(_statements(text)):
        if statement.keys == keys:
            at = statement.at
            if statement.is_header:  # and the empty line that stands before a table
                at -= len(text[:at]) - len(re.sub(r"(?<=\n)\r?\n$", "", text[:at]))
            text = text[:at] + text[statement.end :]
    return text


def _dump_key(key: str) -> str:
    return key if _BARE.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _dump(value: Any) -> str:
    """A value on one line. Raises ValueError for what this cannot write."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, list):
        return f"[{', '.join(_dump(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{_dump_key(key)} = {_dump(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    raise ValueError(f"holds a value that cannot be written ({type(value).__name__})")
