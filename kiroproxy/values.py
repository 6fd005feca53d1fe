"""What a setting's text may be. Each parser returns the value or raises ValueError with the rule."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from kiroproxy.secret import Secret

LOG_LEVELS = ("debug", "info", "warning", "error")


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by its name or address alone (nothing is looked up)."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def parse_names(text: str) -> Mapping[str, str]:
    """``a=b,c=d`` or a JSON object of strings."""
    rule = "must be name=id, separated by commas, or a JSON object of such names and ids"
    try:
        pairs = json.loads(text) if text.startswith("{") else None
    except ValueError:
        raise ValueError(rule) from None
    if pairs is None:
        parts = [part.partition("=") for part in text.split(",") if part.strip()]
        pairs = {name.strip(): value.strip() for name, _, value in parts}
    if not all(isinstance(value, str) and name and value for name, value in pairs.items()):
        raise ValueError(rule)
    return MappingProxyType(pairs)


def parse_seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 86400.0:
        raise ValueError("must be a number of seconds, more than 0 and at most 86400")
    return value


def parse_pause(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 30.0:
        raise ValueError("must be a number of seconds from 0 to 30")
    return value


def parse_word(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        lowered = text.lower()
        if lowered not in words:
            raise ValueError("must be one of " + ", ".join(words))
        return lowered

    return parse


def parse_level(text: str) -> str:
    return parse_word(*LOG_LEVELS)("warning" if text.lower() == "warn" else text)


def parse_switch(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ValueError("must be true or false")


def parse_host(text: str) -> str:
    if not text or any(c.isspace() or c in "/@?#" for c in text):
        raise ValueError("must be a host name or an address, such as 127.0.0.1")
    return text.strip("[]")


def parse_path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(
            "must not begin with ~ and a user that this machine does not know"
        ) from None


def parse_url(text: str) -> str:
    """An https base URL, or http to this machine only: tokens do not travel in clear."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that starts with https://")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("must be a plain URL without user, query or fragment")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("must have a port from 0 to 65535") from None
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must be https:// (plain http only to a loopback address)")
    return text.rstrip("/")


_REGION = re.compile(r"[a-z]{2}(-gov)?-[a-z]+-\d{1,2}")


def parse_region(text: str) -> str:
    if not _REGION.fullmatch(text):  # it becomes part of a host name
        raise ValueError("must be an AWS region such as us-east-1")
    return text


def parse_key(text: str) -> Secret:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces")
    return Secret(text)


def parse_minutes(text: str) -> float:
    """Seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 1440.0:
        raise ValueError("must be a number of minutes, more than 0 and at most 1440")
    return value * 60.0


_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    """Seconds: ``45``, ``30s``, ``1m30s``, as Go programs spell it."""
    if _DURATION.fullmatch(text):
        value = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))
    else:
        try:
            value = float(text)
        except ValueError:
            value = 0.0
    if not 1.0 <= value <= 600.0:
        raise ValueError("must be a duration such as 45, 30s or 1m30s, from 1 s to 10 min")
    return value


_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def parse_label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("must be 1 to 64 letters, digits, dots, colons, dashes or underscores")
    return text
