"""What a check says, and how it is shown. Pure but for the printing."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from kiroproxy.cli.terminal import DIM, GREEN, RED, YELLOW, paint, say


class Level(enum.Enum):
    """``value`` is what people and programs read. SKIP: not looked at, and the text says why."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


_COLOURS: Final = {Level.OK: GREEN, Level.WARN: YELLOW, Level.FAIL: RED, Level.SKIP: DIM}
_NAME_COLUMNS: Final = 14


@dataclass(frozen=True, slots=True)
class Line:
    """One finding. ``remedy``: what to do about it. Neither holds a secret."""

    level: Level
    text: str
    remedy: str = ""

    def as_json(self, check: str) -> dict[str, Any]:
        return {
            "check": check,
            "level": self.level.value,
            "text": self.text,
            "remedy": self.remedy or None,
        }


def ok(text: str) -> Line:
    return Line(Level.OK, text)


def warn(text: str, remedy: str) -> Line:
    return Line(Level.WARN, text, remedy)


def fail(text: str, remedy: str) -> Line:
    return Line(Level.FAIL, text, remedy)


def skip(text: str) -> Line:
    return Line(Level.SKIP, text)


def show(check: str, line: Line) -> None:
    """For people: the level, the check, what was found; the remedy on a line of its own."""
    text = "".join(c if c.isprintable() else "�" for c in line.text)
    level = paint(f"{line.level.value:<5}", _COLOURS[line.level])
    say(f"{level} {check:<{_NAME_COLUMNS}} {text}")
    if line.remedy:
        say(f"{'':<{_NAME_COLUMNS + 6}} → {line.remedy}")
