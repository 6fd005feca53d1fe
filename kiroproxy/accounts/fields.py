"""The fields of a credential entry, checked one by one. Pure.

Two spellings of every key are in use: camelCase (Kiro IDE, KIRO_AUTH_TOKEN) and snake_case (the
CLIs' stores). Every message names the field and the rule and never shows the value: it may be a token
that was put into the wrong field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kiroproxy.errors import CredentialError
from kiroproxy.kiro.hosts import parse_arn, valid_region

_SNAKE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_MAX_FIELD_CHARS: Final = 16 * 1024
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_CLIENT_HASH: Final = re.compile(r"[0-9a-f]{40,64}")
# Seconds since the epoch stay below this until the year 5138; milliseconds passed it in 1973.
_MILLISECONDS_FROM: Final = 1e11


def spelling(fields: Mapping[str, Any], name: str) -> str:
    """The key under which ``name`` (camelCase) stands in ``fields``; ``name`` when it does not."""
    snake = _SNAKE.sub("_", name).lower()
    return snake if snake in fields and name not in fields else name


def maybe_text(fields: Mapping[str, Any], *names: str) -> str:
    """The first of ``names`` with a text in it, '' when there is none. Raises CredentialError."""
    for name in names:
        value = fields.get(spelling(fields, name))
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise CredentialError(f"{name}: must be a text")
        if len(value) > _MAX_FIELD_CHARS:
            raise CredentialError(f"{name}: must not be longer than {_MAX_FIELD_CHARS} characters")
        return value.strip()
    return ""


def printable(text: str) -> str:
    """A name that may go to a terminal or a log: no control characters, nothing that is no text."""
    return "".join(c for c in text if c.isprintable())


def maybe_token(fields: Mapping[str, Any], *names: str) -> str:
    value = maybe_text(fields, *names)
    if "..." in value or "…" in value:
        raise CredentialError(f"{names[0]}: is a shortened token (it contains ...); sign in again")
    if value and _VISIBLE.fullmatch(value) is None:
        raise CredentialError(f"{names[0]}: must be printable ASCII without spaces")
    return value


def maybe_region(fields: Mapping[str, Any], *names: str) -> str:
    value = maybe_text(fields, *names)
    if value and not valid_region(value):
        raise CredentialError(f"{names[0]}: must be a region name such as us-east-1")
    return value


def maybe_arn(fields: Mapping[str, Any]) -> str | None:
    value = maybe_text(fields, "profileArn", "arn")
    if not value:
        return None
    try:
        return parse_arn(value).arn
    except CredentialError:
        raise CredentialError(
            "profileArn: must be arn:aws:codewhisperer:REGION:12 digits:profile/12 characters"
        ) from None


def parse_switch(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "false", ""):
        return value.lower() == "true"
    raise CredentialError(f"{name}: must be true or false")


def client_hash(fields: Mapping[str, Any]) -> str:
    """``clientIdHash``, which is a file name: hex only, so that it cannot leave its folder."""
    value = maybe_text(fields, "clientIdHash")
    if value and _CLIENT_HASH.fullmatch(value) is None:
        raise CredentialError("clientIdHash: must be 40 to 64 lower-case hex digits")
    return value


def parse_expiry(value: object) -> float:
    """Epoch seconds of an expiry written as RFC 3339 text, epoch seconds or epoch milliseconds.

    0.0, hence expired, for everything else: a time that cannot be read must never look far away.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _parse_rfc3339(str(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    if not math.isfinite(value) or value < 0:
        return 0.0
    return value / 1000 if value >= _MILLISECONDS_FROM else float(value)


def _parse_rfc3339(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp())
    except (ValueError, OverflowError):
        return 0.0


def format_expiry(epoch_s: float) -> str:
    """RFC 3339 with milliseconds and Z, as the IDE writes it."""
    text = datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
