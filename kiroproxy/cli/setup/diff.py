"""A change shown as a unified diff in which no secret can be read. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"
MAX_LINE_CHARS: Final = 160  # a file without line ends is one line of any length
_NAME: Final = r"[\w.-]*(?:token|key|secret|password|authorization|credential)[\w.-]*"
_STRING: Final = r"(?:\"(?:\\.|[^\"\\])*\"|'[^']*')"
_SECRET_VALUE: Final = re.compile(rf"(\"?\b{_NAME}\"?\s*[:=]\s*){_STRING}", re.IGNORECASE)
# A long word without a blank could be a secret under any name; addresses and paths are none.
_LONG_WORD: Final = re.compile(r"([\"'])(?![a-z]+://|[~/.])[\w+/=.~-]{20,}\1(?!\s*[:=])")


def unified(path: str, before: str, after: str, secrets: Iterable[str]) -> list[str]:
    """The diff's lines. ``secrets`` are masked wherever they stand; so is what looks like one."""
    hidden = [secret for secret in secrets if secret]
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), f"{path} (now)", f"{path} (then)", n=2, lineterm=""
    )
    shown = []
    for number, line in enumerate(lines):
        masked = line if number < 2 else mask(line, hidden)
        cut = len(masked) > MAX_LINE_CHARS and number >= 2
        shown.append(masked[:MAX_LINE_CHARS] + " …" if cut else masked)
    return shown


def mask(line: str, secrets: Iterable[str] = ()) -> str:
    """One line without secrets."""
    for secret in secrets:
        line = line.replace(secret, MASK)
    line = _SECRET_VALUE.sub(rf'\1"{MASK}"', line)
    return _LONG_WORD.sub(rf'"{MASK}"', line)
