"""The service's own words, made fit to be shown: one line, bounded, and nobody's identity in it.

Its suspension texts name the user (``Your User ID (d-90670000ab.6f…) temporarily is suspended``), others
an account or a profile ARN; error texts end up in screenshots and bug reports.
"""

from __future__ import annotations

import re
from typing import Final

MAX_WORDS_CHARS: Final = 600  # of one text; the longest known one has about 300

_RULES: Final = (
    # what stands in brackets, or after a colon, behind "User ID" and "account"
    (re.compile(r"\b(user(?:\s*id)?|account(?:\s*id)?)\s*\([^)]*\)", re.I), r"\1"),
    (re.compile(r"\b(user\s*id|account\s*id)\s*[:=]\s*[^\s,;]+", re.I), r"\1"),
    (re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), "(mail address)"),
    (re.compile(r"\barn:aws[\w-]*:\S+?(?=[\s\"',;)]|$)", re.I), "(profile)"),
    # identity store ids: d-<10 hex>.<user>
    (re.compile(r"\bd-[0-9a-f]{10}(?:\.[\w-]+)?", re.I), "(user)"),
    (re.compile(r"\b(?:ksk_|eyJ|aoa|aor)[\w.:+/=-]{12,}"), "(token)"),
    (re.compile(r"\b(Bearer)\s+[\w.:+/=-]{20,}", re.I), r"\1 (token)"),
)


def clean_words(text: str) -> str:
    """``text`` as one line of printable characters, without identities, at most MAX_WORDS_CHARS."""
    text = text[: 4 * MAX_WORDS_CHARS]
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    if len(text) > MAX_WORDS_CHARS:
        text = text[: MAX_WORDS_CHARS - 1].rstrip() + "…"
    return text
