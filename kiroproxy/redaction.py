"""Words of others, made fit for a log: no secret, no line of their own, no end of it."""

from __future__ import annotations

import re
from typing import Final

# What our secrets look like on the wire: Kiro access and refresh tokens, API keys, JWTs, and
# anything behind an Authorization scheme. Long runs only, so that words are left alone.
_SECRETS: Final = re.compile(
    r"\b(?:aoa|aor|ksk_)[A-Za-z0-9_\-:/+=.]{6,}"
    r"|\beyJ[A-Za-z0-9_\-]{10,}(?:\.[A-Za-z0-9_\-]+)*"
    r"|(?i:\b(?:bearer|basic))\s+[A-Za-z0-9_\-.~+/:]{6,}=*"
    r"|(?i:(?<=\"refreshToken\":\")|(?<=\"accessToken\":\")|(?<=\"clientSecret\":\"))[^\"]+"
)


# One of these stands in every ASCII text that ``_SECRETS`` finds something in, whatever the letters'
# case. Looking for them takes a tenth of the time, and a line has a dozen values.
_HINTS: Final = ("ao", "ksk_", "eyj", "bearer", "basic", '":"')


def redact(text: str) -> str:
    """``text`` with everything that looks like one of our secrets replaced by ``***``."""
    return text if _is_innocent(text) else _SECRETS.sub("***", text)


def _is_innocent(text: str) -> bool:
    if not text.isascii():
        return False
    lower = text.lower()
    for hint in _HINTS:  # any() would make a generator, which takes twice the time
        if hint in lower:
            return False
    return True


def is_harmless(line: str) -> bool:
    """Whether nothing in the line has to be cut, escaped or redacted: nearly all of them."""
    return len(line) <= _LONGEST and line.isprintable() and _is_innocent(line)


# What ends a line, moves a terminal's cursor, or turns the direction of writing.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_LONGEST: Final = 4_000  # characters of a message or value; a client's own words can have millions
LONGEST_TRACEBACK: Final = 40_000  # characters


def clean(text: str) -> str:
    """Words of others, fit to stand in a log: redacted, cut, nothing in them that is no character."""
    return cut(redact(text), _LONGEST)


def cut(text: str, longest: int) -> str:
    if len(text) > longest:
        text = f"{text[:longest]}… ({len(text)} characters)"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """Line breaks and the like as escapes, so that nobody can forge a line."""
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def indented(traceback: str) -> str:
    """Set in from the margin: an exception's words may hold line breaks and cursor movements of others."""
    return "\n".join(f"  {one_line(line)}" for line in traceback.split("\n"))
