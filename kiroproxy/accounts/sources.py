"""Where sign-ins are found: the environment, files it names, the Kiro IDE's folder.

Each reader yields entries, or problems as finished sentences; it checks nothing but the outer shape.
Blocking; called once at start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kiroproxy.accounts.entries import (
    Entry,
    Place,
    client_hash,
    maybe_text,
    parse_kind,
)
from kiroproxy.accounts.files import maybe_read_object, read_json
from kiroproxy.errors import CredentialError
from kiroproxy.kiro.identity import CredentialKind

IDE_FOLDER: Final = Path(".aws/sso/cache")
IDE_TOKEN_FILE: Final = "kiro-auth-token.json"  # noqa: S105 - a file name
IDE_SOURCE: Final = "Kiro IDE sign-in (~/.aws/sso/cache/kiro-auth-token.json)"
_IDE_PROFILE: Final = Path("Kiro/User/globalStorage/kiro.kiroagent/profile.json")

_MAX_ENTRIES: Final = 1000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a reader may look at."""

    env: Mapping[str, str]
    home: Path
    region_override: str | None

    def value(self, name: str) -> str:
        return self.env.get(name, "").strip()


Found = Entry | str
"""An entry, or the sentence that says why there is none."""


@dataclass(frozen=True, slots=True)
class Source:
    """One row of the order. ``explicit``: the user named it; the rest is only a fallback."""

    name: str
    read: Callable[[Surroundings], Iterator[Found]]
    explicit: bool = True


def read_auth_token(around: Surroundings) -> Iterator[Found]:
    """KIRO_AUTH_TOKEN: a JSON array, a JSON object, or the path of a file that holds either."""
    name = "KIRO_AUTH_TOKEN"
    text = around.value(name)
    if not text:
        return
    if text[0] in "[{":
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            yield f"{name}: is not valid JSON (line {error.lineno}, column {error.colno})"
            return
        except (ValueError, RecursionError):
            yield f"{name}: is not usable JSON (a number too long, or nested too deeply)"
            return
        yield from _entries(value, Place(name), around, None)
        return
    path = around.home / text[2:] if text.startswith("~/") else Path(text)
    yield from read_file(path, name, around)


def read_file(path: Path, name: str, around: Surroundings) -> Iterator[Found]:
    """Entries of one file. The messages do not show ``path``: it may be a token instead of one."""
    try:
        value = read_json(path)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "unreadable"
        yield f"{name}: is neither JSON nor the path of a readable file ({reason})"
        return
    except ValueError as error:
        yield f"{name}: the file it names {error}"
        return
    yield from _entries(value, Place(name, path.absolute()), around, path.parent)


def _entries(
    value: Any, place: Place, around: Surroundings, folder: Path | None
) -> Iterator[Found]:
    """The entries of an object or array; registrations are looked up beside the file, then the IDE's."""
    if isinstance(value, dict):
        yield _entry(value, place, around, folder)
        return
    if not isinstance(value, list) or not value:
        yield f"{place}: must be a JSON object or a JSON array of objects with at least one entry"
        return
    if len(value) > _MAX_ENTRIES:
        yield f"{place}: must not hold more than {_MAX_ENTRIES} entries"
        return
    for index, item in enumerate(value):
        at = Place(place.source, place.path, index)
        if isinstance(item, dict):
            yield _entry(item, at, around, folder)
        else:
            yield f"{at}: must be a JSON object"


def _entry(
    fields: dict[str, Any], place: Place, around: Surroundings, folder: Path | None
) -> Found:
    ide_folder = around.home / IDE_FOLDER
    is_ide = place.path is not None and place.path.name == IDE_TOKEN_FILE
    folders = [ide_folder] if folder is None else [folder, ide_folder]
    try:
        registration = _maybe_registration(fields, folders)
    except CredentialError as error:
        return f"{place}: {error.message}"
    return Entry(place, fields, registration, around.region_override, is_ide)


def _maybe_registration(
    fields: Mapping[str, Any], folders: Iterable[Path]
) -> dict[str, Any] | None:
    name = client_hash(fields)
    if not name:
        return None
    for folder in folders:
        found = maybe_read_object(folder / f"{name}.json")
        if found:
            return found
    return None


def read_refresh_tokens(around: Surroundings) -> Iterator[Found]:
    """AWS_REFRESHTOKEN: social refresh tokens with commas between them."""
    yield from _list("AWS_REFRESHTOKEN", "refreshToken", "Social", around)


def read_api_keys(around: Surroundings) -> Iterator[Found]:
    """KIRO_API_KEY: one key (``ksk_…``), or several with commas between them."""
    yield from _list("KIRO_API_KEY", "apiKey", "api_key", around)


def _list(name: str, key: str, auth: str, around: Surroundings) -> Iterator[Found]:
    items = [item.strip() for item in around.value(name).split(",")]
    items = [item for item in items if item]
    if len(items) > _MAX_ENTRIES:
        yield f"{name}: must not hold more than {_MAX_ENTRIES} entries"
        return
    for index, item in enumerate(items):
        place = Place(name, None, index if len(items) > 1 else None)
        yield Entry(place, {"auth": auth, key: item}, None, around.region_override)


def read_ide(around: Surroundings) -> Iterator[Found]:
    """The Kiro IDE's token file. No file is no problem: there just is no such sign-in."""
    path = around.home / IDE_FOLDER / IDE_TOKEN_FILE
    try:
        value = read_json(path)
    except FileNotFoundError:
        return
    except OSError as error:
        yield f"{IDE_SOURCE}: cannot be read ({os.strerror(error.errno or 0)})"
        return
    except ValueError as error:
        yield f"{IDE_SOURCE}: {error}"
        return
    if not isinstance(value, dict):
        yield f"{IDE_SOURCE}: must be a JSON object"
        return
    found = _entry(value, Place(IDE_SOURCE, path), around, path.parent)
    yield _with_profile(found, around) if isinstance(found, Entry) else found


def _with_profile(entry: Entry, around: Surroundings) -> Entry:
    """An organisation's profile stands in the IDE's settings only, not in the token file."""
    try:
        is_idc = parse_kind(entry.fields) is CredentialKind.IDC
        provider = maybe_text(entry.fields, "provider").lower()
        if not is_idc or provider not in ("enterprise", "internal"):
            return entry
        if maybe_text(entry.fields, "profileArn"):
            return entry
    except CredentialError:
        return entry  # the check of the whole entry says what is wrong
    for folder in _settings_folders(around):
        arn = maybe_read_object(folder / _IDE_PROFILE).get("arn")
        if isinstance(arn, str) and arn:
            fields = {**entry.fields, "profileArn": arn}
            return Entry(entry.place, fields, entry.registration, entry.region_override, True)
    return entry


def _settings_folders(around: Surroundings) -> list[Path]:
    """User settings on Linux, macOS and Windows."""
    named = [around.value(name) for name in ("XDG_CONFIG_HOME", "APPDATA")]
    folders = [Path(item) for item in named if item]
    return [*folders, around.home / ".config", around.home / "Library/Application Support"]


# In this order accounts are used. The IDE's sign-in serves only when nothing is configured: whoever
# names accounts does not want his own one spent as well.
SOURCES: Final[tuple[Source, ...]] = (
    Source("KIRO_AUTH_TOKEN", read_auth_token),
    Source("AWS_REFRESHTOKEN", read_refresh_tokens),
    Source("KIRO_API_KEY", read_api_keys),
    Source(IDE_SOURCE, read_ide, explicit=False),
)
