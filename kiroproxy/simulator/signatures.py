"""Signatures on reasoning text: opaque outside, bound to the text and to who it was made for."""

from __future__ import annotations

import base64
import hashlib
import hmac

# Not a secret: it only lets the simulator know its own signatures again after a restart.
_KEY = b"kiroproxy simulator reasoning key"
_PREFIX = b"\x12\xa8\x01\x0a\x48"  # real ones start alike, so these do too
_REDACTED = b"sim-redacted:"


def sign(text: str, owner: str) -> str:
    """The signature over ``text`` for ``owner`` (an account id): base64, about 180 characters."""
    return base64.b64encode(_PREFIX + _digest(text, owner) * 2).decode()


def is_valid(text: str, signature: str, owner: str) -> bool:
    """Whether ``sign(text, owner)`` made this signature, whole and unaltered."""
    return hmac.compare_digest(sign(text, owner).encode(), signature.encode("utf-8", "replace"))


def redact(text: str, owner: str) -> str:
    """An opaque stand-in for reasoning that is not shown."""
    return base64.b64encode(_REDACTED + _digest(text, owner)).decode()


def is_redacted(content: str) -> bool:
    """Whether ``content`` is a stand-in that ``redact`` made."""
    try:
        return base64.b64decode(content, validate=True).startswith(_REDACTED)
    except ValueError:
        return False


def _digest(text: str, owner: str) -> bytes:
    return hmac.digest(_KEY, f"{owner}\0{text}".encode("utf-8", "replace"), hashlib.sha512)
