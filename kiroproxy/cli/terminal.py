"""What commands say and how: tables, colours, times, progress.

Results go to standard output, everything else to standard error. Colour is for terminals only, and not
there either when NO_COLOR is set or the terminal says that it is dumb; no variable forces it into a
pipe.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final, TextIO

import orjson

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"

_PROGRESS_AFTER_S: Final = 1.0
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def say(text: str = "") -> None:
    """A line of the result."""
    print(text)


def say_json(value: object) -> None:
    """A result for programs."""
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def note(text: str) -> None:
    """A line beside the result."""
    print(text, file=sys.stderr)


def is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def has_colour(stream: TextIO | None = None) -> bool:
    """Whether colour is wanted on ``stream`` (standard output)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return is_terminal(sys.stdout if stream is None else stream)


def paint(text: str, colour: str) -> str:
    """``text`` for standard output, in colour where that is wanted."""
    return f"\x1b[{colour}m{text}\x1b[0m" if text and has_colour() else text


# --- tables -------------------------------------------------------------------------------------


def width(text: str) -> int:
    """Columns that ``text`` takes: East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: frozenset[int] = frozenset(),
    colours: Sequence[str] = (),
) -> list[str]:
    """Lines with aligned columns, two blanks apart; ``right``: numbers of columns aligned to the
    right. ``colours``: one for each row, '' for none."""
    lines = [list(headers), *([_clean(cell) for cell in row] for row in rows)]
    widths = [max(width(line[n]) for line in lines) for n in range(len(headers))]
    said = []
    for number, line in enumerate(lines):
        cells = []
        for n, cell in enumerate(line):
            gap = " " * (widths[n] - width(cell))
            cells.append(gap + cell if n in right else cell + gap)
        colour = BOLD if number == 0 else colours[number - 1] if colours else ""
        text = "  ".join(cells).rstrip()
        said.append(paint(text, colour) if colour else text)
    return said


def facts(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """``name  value`` lines, the values aligned; those without a value are left out."""
    shown = [(name, _clean(value)) for name, value in pairs if value]
    widest = max((width(name) for name, _ in shown), default=0)
    return [f"  {name}{' ' * (widest - width(name))}  {value}" for name, value in shown]


def _clean(text: str) -> str:
    """Names come from files and the service: nothing in them may steer the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


# --- numbers and times --------------------------------------------------------------------------


def number(value: float | None, decimals: int = 2) -> str:
    """With thousands apart and no empty decimals; '-' when it is not known."""
    if value is None:
        return "-"
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def moment(epoch_s: float) -> str:
    """Local time, with its offset to UTC."""
    try:
        return datetime.fromtimestamp(epoch_s).astimezone().strftime("%Y-%m-%d %H:%M %z")
    except (ValueError, OverflowError, OSError):
        return "out of range"


def moment_and_distance(epoch_s: float, now_epoch_s: float) -> str:
    """``2026-11-21 08:00 +0100 (in 45 min)``."""
    return f"{moment(epoch_s)} ({distance(epoch_s - now_epoch_s)})"


def distance(seconds: float) -> str:
    """``in 45 min``, ``2 h ago``; the largest unit that fits, two of them where one is coarse."""
    size = abs(seconds)
    if size < _MINUTE_S:
        words = f"{size:.0f} s"
    elif size < _HOUR_S:
        words = f"{size // _MINUTE_S:.0f} min"
    elif size < _DAY_S:
        words = f"{size // _HOUR_S:.0f} h {size % _HOUR_S // _MINUTE_S:.0f} min"
    else:
        words = f"{size // _DAY_S:.0f} days" if size >= 2 * _DAY_S else f"{size // _HOUR_S:.0f} h"
    return f"in {words}" if seconds >= 0 else f"{words} ago"


# --- progress -----------------------------------------------------------------------------------


@contextmanager
def progress(what: str) -> Iterator[None]:
    """On a terminal, a line on standard error says what takes longer than a second; it is gone
    afterwards."""
    if not is_terminal(sys.stderr):
        yield
        return
    done = threading.Event()
    began_s = time.monotonic()

    def tell() -> None:
        shown = ""
        while not done.wait(_PROGRESS_AFTER_S):
            shown = f"{what} … {time.monotonic() - began_s:.0f} s"
            print(f"\r{shown}", end="", file=sys.stderr, flush=True)
        if shown:
            print(f"\r{' ' * width(shown)}\r", end="", file=sys.stderr, flush=True)

    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
