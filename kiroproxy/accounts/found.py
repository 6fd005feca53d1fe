"""What readers of sign-ins share: where they may look, what they yield, how JSON becomes entries.

A reader checks nothing but the outer shape. Blocking; called once at start.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kiroproxy.accounts.entries import Entry, Place
from kiroproxy.accounts.fields import client_hash
from kiroproxy.accounts.files import MAX_FILE_BYTES, maybe_read_object, read_json
from kiroproxy.errors import CredentialError
from kiroproxy.regular import read_regular

IDE_FOLDER: Final = Path(".aws/sso/cache")
IDE_TOKEN_FILE: Final = "kiro-auth-token.json"  # noqa: S105 - a file name

MAX_ENTRIES: Final = 1000

# Settings that hold secrets themselves: each has a form with _FILE behind its name, whose value is the
# path of a file with the text (Docker secrets). The setting itself counts first.
FILE_FORMS: Final = frozenset(
    {
        "AWS_REFRESHTOKEN",
        "IDC_REFRESH_TOKEN",
        "IDC_CLIENT_SECRET",
        "KIRO_API_KEY",
        "KIRO_OAUTH_CREDS_BASE64",
    }
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a reader may look at. ``state_dir``: where sign-ins of our own are kept."""

    env: Mapping[str, str] = field(repr=False)
    home: Path
    state_dir: Path
    region_override: str | None = None

    def value(self, name: str) -> str:
        return self.env.get(name, "").strip()

    def setting_of(self, name: str) -> str:
        """Which setting has the text: ``name``, its form with _FILE, or '' when neither is set."""
        if self.value(name):
            return name
        form = f"{name}_FILE"
        return form if name in FILE_FORMS and self.value(form) else ""

    def text(self, name: str) -> str:
        """The setting's text, out of the file where a file is named; '' when it is not set. Raises
        CredentialError, which shows neither path nor content."""
        form = self.setting_of(name)
        if form in ("", name):
            return self.value(name)
        try:
            text = read_regular(self.path(form), MAX_FILE_BYTES).decode("utf-8-sig").strip()
        except OSError as error:
            raise CredentialError(
                f"{form}: does not name a readable file ({reason(error)})"
            ) from None
        except UnicodeDecodeError:
            raise CredentialError(f"{form}: the file it names is not UTF-8") from None
        except ValueError as error:
            raise CredentialError(f"{form}: the file it names {error}") from None
        if not text:
            raise CredentialError(f"{form}: the file it names is empty")
        return text

    def path(self, name: str) -> Path:
        """The setting as a path; ``~/`` is the home folder."""
        return self.resolve(self.value(name))

    def resolve(self, text: str) -> Path:
        return self.home / text[2:] if text.startswith("~/") else Path(text)


Found = Entry | str
"""An entry, or the sentence that says why there is none."""


@dataclass(frozen=True, slots=True)
class Source:
    """One row of the order. ``explicit``: the user named it; the rest is only a fallback.

    ``own``: made by this program, so never copied. ``present``: whether it is set; None: when the
    variable of its name is, or that with _FILE behind it.
    """

    name: str
    read: Callable[[Surroundings], Iterator[Found]]
    explicit: bool = True
    own: bool = False
    present: Callable[[Surroundings], bool] | None = None

    def is_set(self, around: Surroundings) -> bool:
        return self.present(around) if self.present else bool(around.setting_of(self.name))


def read_file(
    path: Path, name: str, around: Surroundings, lost: str = "does not name a readable file"
) -> Iterator[Found]:
    """Entries of one file. The messages do not show ``path``: it may be a token instead of one.

    ``lost``: the words for a file that cannot be opened.
    """
    try:
        value = read_json(path)
    except OSError as error:
        yield f"{name}: {lost} ({reason(error)})"
        return
    except ValueError as error:
        yield f"{name}: the file it names {error}"
        return
    yield from entries(value, Place(name, path.absolute()), around, path.parent)


def reason(error: OSError) -> str:
    """The system's words, without the path."""
    return os.strerror(error.errno) if error.errno else "unreadable"


def decoded(value: str, name: str, around: Surroundings) -> Iterator[Found]:
    """Entries of JSON in base64; ``name`` is what messages call it."""
    compact = "".join(value.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        data = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
        text = data.decode("utf-8-sig")
    except (binascii.Error, ValueError):
        yield f"{name}: is not base64 of a UTF-8 text"
        return
    yield from json_entries(text, name, around)


def json_entries(text: str, name: str, around: Surroundings) -> Iterator[Found]:
    """Entries written out in a setting."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        yield f"{name}: is not valid JSON (line {error.lineno}, column {error.colno})"
    except (ValueError, RecursionError):
        yield f"{name}: is not usable JSON (a number too long, or nested too deeply)"
    else:
        yield from entries(value, Place(name), around, None)


def entries(value: Any, place: Place, around: Surroundings, folder: Path | None) -> Iterator[Found]:
    """The entries of an object or array; registrations are looked up beside the file, then the IDE's."""
    if isinstance(value, dict):
        yield entry(value, place, around, folder)
        return
    if not isinstance(value, list) or not value:
        yield f"{place}: must be a JSON object or a JSON array of objects with at least one entry"
        return
    if len(value) > MAX_ENTRIES:
        yield f"{place}: must not hold more than {MAX_ENTRIES} entries"
        return
    for index, item in enumerate(value):
        at = Place(place.source, place.path, index)
        if isinstance(item, dict):
            yield entry(item, at, around, folder)
        else:
            yield f"{at}: must be a JSON object"


def entry(fields: dict[str, Any], place: Place, around: Surroundings, folder: Path | None) -> Found:
    """One object as an entry, with the client registration it names."""
    ide_folder = around.home / IDE_FOLDER
    is_ide = place.path is not None and place.path.name == IDE_TOKEN_FILE
    folders = [ide_folder] if folder is None else [folder, ide_folder]
    try:
        registration = maybe_registration(fields, folders)
    except CredentialError as error:
        return f"{place}: {error.message}"
    return Entry(place, fields, registration, around.region_override, is_ide)


def maybe_registration(fields: Mapping[str, Any], folders: Iterable[Path]) -> dict[str, Any] | None:
    """The client registration that ``clientIdHash`` names, from the first folder that has it."""
    name = client_hash(fields)
    if not name:
        return None
    for folder in folders:
        found = maybe_read_object(folder / f"{name}.json")
        if found:
            return found
    return None
