"""PROVIDER_POOLS_FILE_PATH: AIClient-2-API's pool file.

An object of lists by kind of provider; ours is ``claude-kiro-oauth``. An entry of it names a file with
one sign-in, and says what the pool calls it and whether it is switched off. Other providers' entries
and the pool's own counters are not looked at; the pool file is never written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from kiroproxy.accounts.entries import Entry
from kiroproxy.accounts.fields import maybe_text
from kiroproxy.accounts.files import read_json
from kiroproxy.accounts.found import (
    MAX_ENTRIES,
    Found,
    Surroundings,
    decoded,
    read_file,
    reason,
)
from kiroproxy.errors import CredentialError

PROVIDER: Final = "claude-kiro-oauth"
_NAME: Final = "PROVIDER_POOLS_FILE_PATH"
_FILE: Final = "KIRO_OAUTH_CREDS_FILE_PATH"
_BASE64: Final = "KIRO_OAUTH_CREDS_BASE64"


def read_pools(around: Surroundings) -> Iterator[Found]:
    """The Kiro entries of the pool, in its order."""
    path = around.path(_NAME)
    try:
        value = read_json(path)
    except OSError as error:
        yield f"{_NAME}: does not name a readable file ({reason(error)})"
        return
    except ValueError as error:
        yield f"{_NAME}: the file it names {error}"
        return
    pool = value.get(PROVIDER) if isinstance(value, Mapping) else None
    if not isinstance(pool, list) or not pool:
        yield f"{_NAME}: the file it names has no list {PROVIDER}"
        return
    if len(pool) > MAX_ENTRIES:
        yield f"{_NAME}: must not hold more than {MAX_ENTRIES} entries"
        return
    for index, item in enumerate(pool):
        yield from _read(item, f"{_NAME}:{PROVIDER}[{index}]", path.absolute(), around)


def _read(item: Any, name: str, pool: Path, around: Surroundings) -> Iterator[Found]:
    """One entry of the pool; ``name`` is what messages call it."""
    if not isinstance(item, Mapping):
        yield f"{name}: must be a JSON object"
        return
    try:
        text, inline = maybe_text(item, _FILE), maybe_text(item, _BASE64)
        label = maybe_text(item, "customName")
    except CredentialError as error:
        yield f"{name}: {error.message}"
        return
    if text:
        sources = read_file(_locate(text, pool, around), f"{name}.{_FILE}", around)
    elif inline:
        sources = decoded(inline, f"{name}.{_BASE64}", around)
    else:
        yield f"{name}: {_FILE}: is missing"
        return
    for found in sources:
        yield _dressed(found, label, item) if isinstance(found, Entry) else found


def _dressed(entry: Entry, label: str, item: Mapping[str, Any]) -> Entry:
    """With the pool's name and switch."""
    fields = dict(entry.fields)
    if label:
        fields["description"] = label
    if item.get("isDisabled") is True:
        fields["disabled"] = True
    return replace(entry, fields=fields)


def _locate(text: str, pool: Path, around: Surroundings) -> Path:
    """Paths there are relative to the folder AIClient-2-API runs in: often the one above ``configs``.

    The first that exists of: as it stands (so relative to our own working folder), beside the pool
    file, and one folder up.
    """
    path = around.resolve(text.replace("\\", "/"))
    for choice in (path, pool.parent / path, pool.parent.parent / path):
        if os.path.isfile(choice):  # False for an impossible name, where pathlib may raise
            return choice
    return pool.parent / path
