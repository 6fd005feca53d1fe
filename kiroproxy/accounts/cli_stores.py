"""The SQLite stores of Kiro CLI and Amazon Q CLI, opened for reading only.

Table ``auth_kv(key, value)`` holds JSON texts in snake_case. Several rows can be signed in at once; the
order here is the one Kiro CLI itself prefers. Tokens that we renew go to our state folder; a store that
its CLI has renewed meanwhile counts again.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kiroproxy.accounts.entries import Entry, Place
from kiroproxy.accounts.fields import maybe_text
from kiroproxy.accounts.files import MAX_FILE_BYTES
from kiroproxy.accounts.found import Found, Surroundings
from kiroproxy.errors import CredentialError
from kiroproxy.regular import open_regular

_NAME: Final = "KIRO_CLI_DB_FILE"
_BUSY_S: Final = 2.0  # the CLI holds the file only for moments
_MOST_VALUE_BYTES: Final = 2 * MAX_FILE_BYTES
_STEPS: Final = 10_000  # of SQLite, between two looks at the time
_PROFILE_KEY: Final = "api.codewhisperer.profile"


@dataclass(frozen=True, slots=True)
class _Row:
    """A key of ``auth_kv``; ``registration``: the key of its client registration.
    ``shadowed_by``: the key that replaces this one when both stand there."""

    key: str
    auth: str
    registration: str = ""
    shadowed_by: str = ""


# "odic" is how the CLIs spell it.
_ROWS: Final = (
    _Row("kirocli:external-idp:token", "external_idp"),
    _Row("kirocli:odic:token", "IdC", "kirocli:odic:device-registration"),
    _Row(
        "codewhisperer:odic:token",
        "IdC",
        "codewhisperer:odic:device-registration",
        shadowed_by="kirocli:odic:token",
    ),
    _Row("kirocli:social:token", "Social"),
)
_BY_KEY: Final = {row.key: row for row in _ROWS}
_ALL_KEYS: Final = tuple(k for row in _ROWS for k in (row.key, row.registration) if k)


@dataclass(frozen=True, slots=True)
class Store:
    """A CLI's store where it is looked for by itself. ``folder``: below the system's data folder."""

    title: str
    folder: str

    def read(self, around: Surroundings) -> Iterator[Found]:
        """The rows of the first file there is; none is no problem."""
        for path in self._paths(around):
            if path.is_file():
                yield from read_store(path, self.title, around)
                return

    def _paths(self, around: Surroundings) -> Iterator[Path]:
        data = around.value("XDG_DATA_HOME")
        bases = [Path(data)] if data else []
        bases += [around.home / ".local/share", around.home / "Library/Application Support"]
        for base in bases:
            yield base / self.folder / "data.sqlite3"


STORES: Final = (
    Store("Kiro CLI sign-in", "kiro-cli"),
    Store("Amazon Q CLI sign-in", "amazon-q"),
)


def read_named(around: Surroundings) -> Iterator[Found]:
    """KIRO_CLI_DB_FILE: the store at this path."""
    path = around.path(_NAME)
    if os.path.isfile(path):  # False for an impossible name, where pathlib may raise
        yield from read_store(path, _NAME, around)
    else:
        yield f"{_NAME}: does not name a file"


def read_store(path: Path, name: str, around: Surroundings) -> Iterator[Found]:
    """Every sign-in of a store."""
    try:
        values = _values(path)
    except ValueError as error:
        yield f"{name}: {error}"
        return
    rows = [row for row in _ROWS if row.key in values and row.shadowed_by not in values]
    if not rows:
        yield f"{name}: nobody is signed in; sign in with the CLI again"
    for row in rows:
        place = Place(f"{name} ({row.key})", path.absolute(), key=row.key)
        try:
            fields, registration = _pair(values, row)
        except (ValueError, CredentialError) as error:
            yield f"{place}: {error}"
            continue
        yield Entry(place, fields, registration, around.region_override)


def read_row(path: Path, key: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """One sign-in of a store, and its client registration, as they are now.

    Raises FileNotFoundError, ValueError (unreadable), CredentialError (signed out).
    """
    if not path.is_file():
        raise FileNotFoundError
    values = _values(path)
    if key not in values:
        raise CredentialError("the CLI has signed out; sign in again")
    return _pair(values, _BY_KEY[key])


def _pair(values: Mapping[str, str], row: _Row) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The token's fields and its registration, which counts only for the same region and flow."""
    fields = _object(values[row.key])
    fields["auth"] = row.auth
    if row.auth in ("IdC", "external_idp") and not maybe_text(fields, "profileArn"):
        with contextlib.suppress(ValueError):
            fields["profileArn"] = _object(values.get(_PROFILE_KEY, "{}")).get("arn")
    if not row.registration:
        return fields, None
    if row.registration not in values:
        raise ValueError("its client registration is missing; sign in with the CLI again")
    registration = _object(values[row.registration])
    for name in ("region", "oauthFlow"):
        ours, theirs = maybe_text(fields, name), maybe_text(registration, name)
        if ours and theirs and ours.lower() != theirs.lower():
            raise ValueError(
                f"its client registration is for another {name}; sign in with the CLI again"
            )
    return fields, registration


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def _values(path: Path) -> dict[str, str]:
    """The rows that matter, by key. Raises ValueError with a reason fit for users."""
    try:
        with contextlib.closing(_open(path)) as connection:
            marks = ",".join("?" * len(_ALL_KEYS))
            found = connection.execute(
                f"SELECT key, value FROM auth_kv WHERE key IN ({marks})",  # noqa: S608 - marks only
                _ALL_KEYS,
            ).fetchall()
            with contextlib.suppress(sqlite3.OperationalError):  # no such table: no profile
                found += connection.execute(
                    "SELECT key, value FROM state WHERE key = ?", (_PROFILE_KEY,)
                ).fetchall()
    except sqlite3.Error as error:
        if _is_empty(path):
            raise ValueError("is empty") from None
        raise ValueError(f"is not a readable store of a CLI ({error})") from None
    return {key: text for key, value in found if (text := _text(value)) is not None}


def _text(value: object) -> str | None:
    """Declared as BLOB in places, always text inside."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value if isinstance(value, str) and len(value) <= MAX_FILE_BYTES else None


def _open(path: Path) -> sqlite3.Connection:
    """Read-only, leaving nothing behind.

    A reader of a file in WAL mode makes the two files of the log when they are missing. When they are,
    nobody has the store open and all of it is in the one file: then it can be read as immutable.
    """
    is_settled = _has_wal_mode(path) and not os.path.exists(f"{path}-wal")
    flags = "mode=ro&immutable=1" if is_settled else "mode=ro"
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{flags}", uri=True, timeout=_BUSY_S)
    # A table that is asked for may be a view, with a query in it that never ends or a value of a GB.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE_BYTES)
    end_s = time.monotonic() + _BUSY_S
    connection.set_progress_handler(lambda: time.monotonic() > end_s, _STEPS)
    return connection


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def _has_wal_mode(path: Path) -> bool:
    """The header's two version numbers at byte 18 (SQLite's file format, section 1.3)."""
    try:
        with open_regular(path) as file:
            return file.read(20)[18:20] == b"\x02\x02"
    except (OSError, ValueError):
        return False  # opening it says why
