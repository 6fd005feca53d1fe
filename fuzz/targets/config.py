"""Files of settings, our own TOML and AIClient-2-API's JSON, and the settings they come to."""

from __future__ import annotations

import atexit
import tempfile
from pathlib import Path
from typing import Any

from fuzz.source import Source, as_json, edited
from kiroproxy.config import SETTINGS, load
from kiroproxy.config.files import read
from kiroproxy.errors import ConfigError

_MARK = "Zq7secretZq7secret"
_THEIRS: dict[str, Any] = {
    "REQUIRED_API_KEY": _MARK, "SERVER_PORT": 3000, "HOST": "127.0.0.1",
    "MODEL_PROVIDER": "claude-kiro-oauth",
    "KIRO_OAUTH_CREDS_BASE64": "e30=", "KIRO_OAUTH_CREDS_FILE_PATH": None, "REQUEST_MAX_RETRIES": 3,
    "CRON_REFRESH_TOKEN": True, "SYSTEM_PROMPT_MODE": "append",
    "AXIOS_TIMEOUT": 180000, "LOG_LEVEL": "info",
    "MODEL_ALIASES": {"a": "b"}, "providerFallbackChain": {},
}  # fmt: skip
_NAMES = tuple(setting.name for setting in SETTINGS)
_FOLDER = tempfile.TemporaryDirectory(prefix="kiroproxy-fuzz-")
_HOME = Path(_FOLDER.name)
atexit.register(_FOLDER.cleanup)


def target(data: bytes) -> None:
    source = Source(data)
    kind = source.byte() % 4
    if kind == 0:
        _load(
            {
                source.choice(_NAMES): source.block().decode("utf-8", "surrogateescape")
                for _ in range(4)
            }
        )
        return
    path = _HOME / ("config.toml" if kind == 1 else "config.json")
    theirs = edited(_THEIRS, source)
    path.write_bytes(as_json(theirs) if kind == 3 else source.rest())
    is_hidden = kind == 3 and _holds_mark_as_key(theirs)
    try:
        file = read(path, _HOME)
        assert not is_hidden or _MARK not in repr(file) + "".join(file.notes)
        config = load({}, {}, {}, _HOME, file)
    except ConfigError as error:
        assert not is_hidden or _MARK not in error.message, error.message
        return
    assert not is_hidden or _MARK not in repr(config)


def _holds_mark_as_key(settings: object) -> bool:
    """Whether the marked secret stands where a secret belongs and nowhere else: an edit may have made it
    the name of the host, which is no secret."""
    if not isinstance(settings, dict):
        return False
    marked = [name for name, value in settings.items() if _MARK in f"{name}{value}"]
    return marked == ["REQUIRED_API_KEY"]


def _load(environment: dict[str, str]) -> None:
    given = {name: text.replace("\x00", "") for name, text in environment.items()}
    try:
        load({}, {k: v for k, v in given.items() if not k.endswith("_FILE")}, {}, _HOME)
    except ConfigError as error:
        assert error.message


def seeds() -> list[bytes]:
    toml = [
        b'port = 8080\nhost = "127.0.0.1"\n[server]\nlog_level = "debug"\n',
        b'[[accounts]]\nauth = "Social"\nrefreshToken = "x"\n[model_aliases]\na = "b"\n',
        b'kiro_client_token = """\na"""\nx = 1979-05-27T07:32:00Z\n',
        b"a = [1, 2\n",
    ]
    values = (
        b"8080",
        b"debug",
        b"1m30s",
        b"true",
        b"a=b,c=d",
        b'{"a":"b"}',
        b"https://a.b/",
        b"us-east-1",
    )
    return [
        *(b"\x01" + text for text in toml),
        b"\x02" + as_json(_THEIRS),
        *(bytes([3, place, place % 8, place]) for place in range(14)),
        *(
            bytes([0, place % len(_NAMES), len(v)]) + v
            for place in range(len(_NAMES))
            for v in values[place % 3 :: 3]
        ),
    ]
