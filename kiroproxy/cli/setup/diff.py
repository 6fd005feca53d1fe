"""A change shown as a unified diff in which no secret can be read. Pure."""

from __future__ import annotations

import difflib
import itertools
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
    masked = [line if n < 2 else mask(line, hidden) for n, line in enumerate(lines)]
    return masked[:2] + [_cut(n, masked) for n in range(2, len(masked))]


def _cut(number: int, lines: list[str]) -> str:
    """A line at a length for people: of a long one the part where it differs from its other version."""
    line = lines[number]
    if len(line) <= MAX_LINE_CHARS:
        return line
    other = {"-": number + 1, "+": number - 1}.get(line[0], number)
    same = 0
    if 1 < other < len(lines) and lines[other][:1] != line[0]:
        pairs = zip(line[1:], lines[other][1:], strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    start = max(1, same - MAX_LINE_CHARS // 2)
    end = start + MAX_LINE_CHARS
    return f"{line[0]}{'… ' * (start > 1)}{line[start:end]}{' …' * (end < len(line))}"


def mask(line: str, secrets: Iterable[str] = ()) -> str:
    """One line without secrets."""
    for secret in secrets:
        line = line.replace(secret, MASK)
    line = _SECRET_VALUE.sub(rf'\1"{MASK}"', line)
    return _LONG_WORD.sub(rf'"{MASK}"', line)
