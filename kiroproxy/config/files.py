"""The file of settings: our own TOML, or AIClient-2-API's config.json. Blocking; at start and reload.

Either becomes the same thing: names of settings with their texts, as in the environment, and the key
of the file that each came from, so that an error can name it.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kiroproxy.config.peers import (
    CONFIG_NO_EFFECT,
    IN_MILLISECONDS,
    PATHS,
    PROVIDER,
    RENAMED,
)
from kiroproxy.config.table import CREDENTIAL_SETTINGS, SECRET_CREDENTIALS, SETTINGS
from kiroproxy.errors import ConfigError
from kiroproxy.regular import open_regular

VARIABLE: Final = "KIROPROXY_CONFIG"
_MOST_BYTES: Final = 4 * 1024 * 1024
_ACCOUNTS: Final = "accounts"
_PATH_NAMES: Final = PATHS | {
    "KIRO_CLIENT_TOKEN_FILE",
    "KIRO_AUTH_TOKEN_FILE",
    "AWS_REFRESHTOKEN_FILE",
    "IDC_REFRESH_TOKEN_FILE",
    "IDC_CLIENT_SECRET_FILE",
    "KIRO_API_KEY_FILE",
    "KIRO_OAUTH_CREDS_BASE64_FILE",
    "KIRO_CLI_DB_FILE",
    "LOG_FILE",
    "KIROPROXY_STATE_DIR",
}
_NAMES: Final = {s.name for s in SETTINGS} | set(CREDENTIAL_SETTINGS)
_SECRETS: Final = {s.name for s in SETTINGS if s.secret} | SECRET_CREDENTIALS


@dataclass(slots=True)
class ConfigFile:
    """``values``: our names → texts. ``keys``: our names → the file's own. ``notes``: for the user."""

    path: Path
    values: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"ConfigFile({str(self.path)!r})"

    def set(self, name: str, key: str, text: str) -> None:
        """Raises ConfigError for a name that comes twice."""
        if name in self.values:
            raise ConfigError(f"{self.path}: {key}: stands there twice (as {self.keys[name]})")
        self.values[name] = text
        self.keys[name] = key

    def keep(self, names: Collection[str]) -> None:
        """Forget all other settings."""
        self.values = {name: text for name, text in self.values.items() if name in names}


def default_path(environment: Mapping[str, str], home: Path) -> Path:
    """Where a file is looked for that nobody named."""
    base = environment.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if os.path.isabs(base) else home / ".config"
    return folder / "kiroproxy" / "config.toml"


def find(named: str, environment: Mapping[str, str], home: Path) -> ConfigFile | None:
    """The file ``named`` (--config, or KIROPROXY_CONFIG), else the default one if there is one. Raises
    ConfigError."""
    if named:
        return read(home / named[2:] if named.startswith("~/") else Path(named), home)
    path = default_path(environment, home)
    return read(path, home) if path.exists() else None


def read(path: Path, home: Path) -> ConfigFile:
    """Raises ConfigError naming the file, and the key and rule where it is about one."""
    try:
        with open_regular(path) as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_MOST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: must be text in UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{path}: must not be larger than {_MOST_BYTES // 1024 // 1024} MB")
    found = ConfigFile(path)
    if path.suffix.lower() == ".json" or text.lstrip().startswith("{"):
        _take_json(found, text, home)
    else:
        _take_toml(found, text, home)
    secrets = sorted(found.keys[name] for name in _SECRETS & found.values.keys())
    if secrets and os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        found.notes.append(
            f"{path} holds {', '.join(secrets)} and can be read by others; chmod 600 keeps it private"
        )
    return found


# --- our own --------------------------------------------------------------------------------------


def _take_toml(found: ConfigFile, text: str, home: Path) -> None:
    import tomllib  # most have no such file

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The parser's words may quote the file's, so only the place is told.
        raise ConfigError(f"{found.path}: is not TOML {_place(str(error))}") from None
    except RecursionError:
        raise ConfigError(f"{found.path}: is nested too deeply") from None
    unknown: list[str] = []
    for key, value in document.items():
        if key == _ACCOUNTS:
            _take_accounts(found, value)
        elif isinstance(value, dict) and key.upper() not in _NAMES:
            for inner, item in value.items():
                _take_own(found, f"{key}.{inner}", inner, item, unknown, home)
        else:
            _take_own(found, key, key, value, unknown, home)
    if unknown:
        found.notes.append(f"{found.path}: no such setting: {', '.join(unknown)}")


def _place(message: str) -> str:
    return message[message.rindex("(") :] if message.endswith(")") and "(" in message else ""


def _take_accounts(found: ConfigFile, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ConfigError(f"{found.path}: {_ACCOUNTS}: must be tables, each begun by [[accounts]]")
    found.set("KIRO_AUTH_TOKEN", _ACCOUNTS, json.dumps(value, default=str))


def _take_own(
    found: ConfigFile, key: str, name: str, value: Any, unknown: list[str], home: Path
) -> None:
    name = name.upper().replace("-", "_")
    if name not in _NAMES:
        unknown.append(key)
        return
    text = _text(found, key, value)
    if name in _PATH_NAMES and text and not text.startswith("~/"):
        text = str(found.path.parent / text)
    found.set(name, key, text)


def _text(found: ConfigFile, key: str, value: Any) -> str:
    """A value as the environment would have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, str)):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, (str, int)) for item in value):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    raise ConfigError(f"{found.path}: {key}: must be a text, a number, true or false")


# --- AIClient-2-API's -----------------------------------------------------------------------------


def _take_json(found: ConfigFile, text: str, home: Path) -> None:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{found.path}: is not JSON (at line {error.lineno}, column {error.colno})"
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{found.path}: is not usable JSON") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{found.path}: must hold a JSON object")
    unknown, idle = [], []
    for key, value in document.items():
        if key == "MODEL_PROVIDER":
            _look_at_provider(found, value)
        elif key in CONFIG_NO_EFFECT:
            idle.append(f"{key} ({CONFIG_NO_EFFECT[key]})")
        elif name := RENAMED.get(key) or (key if key in _NAMES else ""):
            _take_theirs(found, key, name, value, home)
        else:
            unknown.append(key)
    if idle:
        found.notes.append(f"{found.path}: has no effect here: {', '.join(idle)}")
    if unknown:
        found.notes.append(f"{found.path}: not known here: {', '.join(unknown)}")


def _take_theirs(found: ConfigFile, key: str, name: str, value: Any, home: Path) -> None:
    if value is None or value == "":
        return
    text = _text(found, key, value)
    if key in IN_MILLISECONDS:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise ConfigError(f"{found.path}: {key}: must be a number of milliseconds above 0")
        text = f"{value / 1000:g}"
    if key in PATHS:
        path = _located(found.path, text, home)
        if path is None:
            found.notes.append(f"{found.path}: {key}: there is no such file; it is left out")
            return
        text = str(path)
    found.set(name, key, text)


def _located(file: Path, text: str, home: Path) -> Path | None:
    """Paths there are relative to the folder that AIClient-2-API runs in: often the one above."""
    if text.startswith("~/"):
        choices = [home / text[2:]]
    else:
        path = Path(text.replace("\\", "/"))
        choices = [file.parent / path, file.parent.parent / path, path]
    # os.path's answer to an impossible name is no, pathlib's may be an exception
    return next((choice.absolute() for choice in choices if os.path.exists(choice)), None)


def _look_at_provider(found: ConfigFile, value: Any) -> None:
    items = value if isinstance(value, list) else str(value).split(",")
    names = [str(item).strip() for item in items if str(item).strip()]
    # What is no provider's name may be a key in the wrong place, and is not shown.
    shown = (name if re.fullmatch("[A-Za-z-]{1,40}", name) else "…" for name in names)
    others = [name for name in shown if name.lower() != PROVIDER]
    if others:
        found.notes.append(
            f"{found.path}: MODEL_PROVIDER: only {PROVIDER} is served here, not {', '.join(others)}"
        )
