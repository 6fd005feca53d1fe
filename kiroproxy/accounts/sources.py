"""The order of sources, and those that are the environment's own or the Kiro IDE's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from kiroproxy.accounts import cli_stores, folders, pools, sign_ins
from kiroproxy.accounts.entries import Entry, Place, parse_kind
from kiroproxy.accounts.fields import maybe_text
from kiroproxy.accounts.files import maybe_read_object, read_json
from kiroproxy.accounts.found import (
    IDE_FOLDER,
    IDE_TOKEN_FILE,
    MAX_ENTRIES,
    Found,
    Source,
    Surroundings,
    decoded,
    entry,
    json_entries,
    read_file,
    reason,
)
from kiroproxy.errors import CredentialError
from kiroproxy.kiro.identity import CredentialKind

IDE_SOURCE: Final = "Kiro IDE sign-in (~/.aws/sso/cache/kiro-auth-token.json)"
_BETWEEN: Final = re.compile(r"[,\r\n]")  # in a file each may have a line of its own
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_IDE_PROFILE: Final = Path("Kiro/User/globalStorage/kiro.kiroagent/profile.json")


def read_auth_token(around: Surroundings) -> Iterator[Found]:
    """KIRO_AUTH_TOKEN: a JSON array, a JSON object, or the path of a file that holds either."""
    name = "KIRO_AUTH_TOKEN"
    text = around.value(name)
    if text[:1] in ("[", "{"):
        yield from json_entries(text, name, around)
    else:
        lost = "is neither JSON nor the path of a readable file"
        yield from read_file(around.path(name), name, around, lost)


def read_named_file(name: str, around: Surroundings) -> Iterator[Found]:
    """A setting whose value is a path and nothing else (Docker secrets, AIClient-2-API's)."""
    yield from read_file(around.path(name), name, around)


def read_base64(around: Surroundings) -> Iterator[Found]:
    """KIRO_OAUTH_CREDS_BASE64: the file's content in base64, either alphabet."""
    name = "KIRO_OAUTH_CREDS_BASE64"
    try:
        text = around.text(name)
    except CredentialError as error:
        yield error.message
        return
    yield from decoded(text, around.setting_of(name), around)


def read_refresh_tokens(around: Surroundings) -> Iterator[Found]:
    """AWS_REFRESHTOKEN: social refresh tokens with commas between them."""
    yield from _list("AWS_REFRESHTOKEN", "refreshToken", "Social", around)


def read_api_keys(around: Surroundings) -> Iterator[Found]:
    """KIRO_API_KEY: one key (``ksk_…``), or several with commas between them."""
    yield from _list("KIRO_API_KEY", "apiKey", "api_key", around)


def read_idc_tokens(around: Surroundings) -> Iterator[Found]:
    """IDC_REFRESH_TOKEN of earlier kiro2api: tokens with commas, of one client registration."""
    client = {"clientId": "IDC_CLIENT_ID", "clientSecret": "IDC_CLIENT_SECRET"}
    missing = [name for name in client.values() if not around.setting_of(name)]
    if missing:
        yield f"IDC_REFRESH_TOKEN: needs {' and '.join(missing)}"
        return
    try:
        more = {key: around.text(name) for key, name in client.items()}
    except CredentialError as error:
        yield error.message
        return
    yield from _list("IDC_REFRESH_TOKEN", "refreshToken", "IdC", around, more)


def _list(
    name: str, key: str, auth: str, around: Surroundings, more: Mapping[str, str] = _NOTHING
) -> Iterator[Found]:
    try:
        text = around.text(name)
    except CredentialError as error:
        yield error.message
        return
    name = around.setting_of(name)
    items = [item.strip() for item in _BETWEEN.split(text)]
    items = [item for item in items if item]
    if len(items) > MAX_ENTRIES:
        yield f"{name}: must not hold more than {MAX_ENTRIES} entries"
        return
    for index, item in enumerate(items):
        place = Place(name, None, index if len(items) > 1 else None)
        yield Entry(place, {"auth": auth, key: item, **more}, None, around.region_override)


def read_ide(around: Surroundings) -> Iterator[Found]:
    """The Kiro IDE's token file. No file is no problem: there just is no such sign-in."""
    path = around.home / IDE_FOLDER / IDE_TOKEN_FILE
    try:
        value = read_json(path)
    except FileNotFoundError:
        return
    except OSError as error:
        yield f"{IDE_SOURCE}: cannot be read ({reason(error)})"
        return
    except ValueError as error:
        yield f"{IDE_SOURCE}: {error}"
        return
    if not isinstance(value, dict):
        yield f"{IDE_SOURCE}: must be a JSON object"
        return
    found = entry(value, Place(IDE_SOURCE, path), around, path.parent)
    yield _with_profile(found, around) if isinstance(found, Entry) else found


def _with_profile(found: Entry, around: Surroundings) -> Entry:
    """An organisation's profile stands in the IDE's settings only, not in the token file."""
    try:
        is_idc = parse_kind(found.fields) is CredentialKind.IDC
        provider = maybe_text(found.fields, "provider").lower()
        if not is_idc or provider not in ("enterprise", "internal"):
            return found
        if maybe_text(found.fields, "profileArn"):
            return found
    except CredentialError:
        return found  # the check of the whole entry says what is wrong
    for folder in _settings_folders(around):
        arn = maybe_read_object(folder / _IDE_PROFILE).get("arn")
        if isinstance(arn, str) and arn:
            return replace(found, fields={**found.fields, "profileArn": arn}, is_ide=True)
    return found


def _settings_folders(around: Surroundings) -> list[Path]:
    """User settings on Linux, macOS and Windows."""
    named = [around.value(name) for name in ("XDG_CONFIG_HOME", "APPDATA")]
    folders = [Path(item) for item in named if item]
    return [*folders, around.home / ".config", around.home / "Library/Application Support"]


def _named_file(name: str) -> Source:
    return Source(name, lambda around: read_named_file(name, around))


# In this order accounts are used. Sign-ins of other programs serve only when nothing is configured,
# and then of the first program that has one: whoever names accounts does not want others spent.
SOURCES: Final[tuple[Source, ...]] = (
    Source("KIRO_AUTH_TOKEN", read_auth_token),
    _named_file("KIRO_AUTH_TOKEN_FILE"),
    Source("AWS_REFRESHTOKEN", read_refresh_tokens),
    Source("IDC_REFRESH_TOKEN", read_idc_tokens),
    Source("KIRO_API_KEY", read_api_keys),
    _named_file("KIRO_OAUTH_CREDS_FILE_PATH"),
    Source("KIRO_OAUTH_CREDS_BASE64", read_base64),
    Source("KIRO_OAUTH_CREDS_DIR_PATH", folders.read_folder),
    Source("PROVIDER_POOLS_FILE_PATH", pools.read_pools),
    Source("KIRO_CLI_DB_FILE", cli_stores.read_named),
    Source("kiroproxy login", sign_ins.read_own, own=True, present=sign_ins.any_own),
    Source(IDE_SOURCE, read_ide, explicit=False),
    *(Source(store.title, store.read, explicit=False) for store in cli_stores.STORES),
)
