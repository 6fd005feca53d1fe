"""``encrypted_content``: what only we can read again, in the one field that clients send back untouched.

Nothing in it is secret to the client (its own summary, the service's signature of a thinking block), so
it is encoded and not encrypted. What another provider sealed is of no use here and reads as None.
"""

from __future__ import annotations

import binascii
from typing import Final

import orjson

from kiroproxy.api.density import MAX_VALUES

_MARK: Final = "kiroproxy.1."


def seal(content: dict[str, str]) -> str:
    """Text for ``encrypted_content``."""
    return _MARK + binascii.b2a_base64(orjson.dumps(content), newline=False).decode("ascii")


def unseal(text: str) -> dict[str, str] | None:
    """What ``seal`` was given; None for anything else."""
    if not text.startswith(_MARK):
        return None
    try:
        source = binascii.a2b_base64(text[len(_MARK) :], strict_mode=True)
        if source.count(b",") > MAX_VALUES:
            return None
        content = orjson.loads(source)
    except ValueError:  # binascii.Error and JSONDecodeError are two of them
        return None
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        return None
    return content
