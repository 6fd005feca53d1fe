"""KIRO_OAUTH_CREDS_DIR_PATH: every sign-in in a folder and in the folders right below it.

Client registrations lie among the sign-ins, named by their hash; other programs' caches may lie there
too (the AWS CLI keeps its own tokens in the IDE's folder). So a file counts as a sign-in when it holds a
refresh token or a key and is not named like a registration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from kiroproxy.accounts.entries import Place
from kiroproxy.accounts.fields import printable, spelling
from kiroproxy.accounts.files import read_json
from kiroproxy.accounts.found import MAX_ENTRIES, Found, Surroundings, entries, reason

_NAME: Final = "KIRO_OAUTH_CREDS_DIR_PATH"
_CACHE_NAME: Final = re.compile(r"[0-9a-f]{40,64}\.json")
_MARKS: Final = ("refreshToken", "kiroApiKey", "apiKey", "auth", "authMethod")


def read_folder(around: Surroundings) -> Iterator[Found]:
    """The sign-ins in the order of their paths."""
    folder = around.path(_NAME)
    try:
        paths = _json_files(folder)
    except OSError as error:
        yield f"{_NAME}: does not name a readable folder ({reason(error)})"
        return
    if len(paths) > MAX_ENTRIES:
        yield f"{_NAME}: must not hold more than {MAX_ENTRIES} files"
        return
    found_any = False
    for path in paths:
        name = printable(f"{_NAME}/{path.relative_to(folder)}")
        for found in _read(path, name, around):
            found_any = True
            yield found
    if not found_any:
        yield f"{_NAME}: holds no sign-in (a .json file with a refreshToken or an apiKey)"


def _json_files(folder: Path) -> list[Path]:
    """Not hidden ones: those are half-written or none of ours."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        inner = sorted(path.glob("[!.]*.json")) if path.is_dir() else [path]
        found += [p for p in inner if p.suffix == ".json" and p.is_file()]
    return [p for p in found if not _CACHE_NAME.fullmatch(p.name)]


def _read(path: Path, name: str, around: Surroundings) -> Iterator[Found]:
    try:
        value = read_json(path)
    except OSError as error:
        yield f"{name}: cannot be read ({reason(error)})"
    except ValueError as error:
        yield f"{name}: {error}"
    else:
        if _is_sign_in(value):
            yield from entries(value, Place(name, path.absolute()), around, path.parent)


def _is_sign_in(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, Mapping) and _has_mark(item) for item in items)


def _has_mark(fields: Mapping[str, Any]) -> bool:
    return any(fields.get(spelling(fields, name)) for name in _MARKS)
