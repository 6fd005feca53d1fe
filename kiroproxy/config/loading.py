"""Settings from all their homes, in one place.

Order of precedence: command line, environment, ``.env`` in the working folder, the config file, default.
A wrong value raises ConfigError with one line that names the setting (and the file and its key), the
rule and (unless it is a secret) the value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from kiroproxy.config.files import ConfigFile
from kiroproxy.config.groups import (
    MINUTES,
    Limits,
    Log,
    Pool,
    Prompt,
    Recording,
    Server,
    Upstream,
)
from kiroproxy.config.peers import DEFAULT_KEY, NO_EFFECT
from kiroproxy.config.table import SETTINGS, Setting
from kiroproxy.errors import ConfigError
from kiroproxy.regular import read_regular
from kiroproxy.secret import Secret
from kiroproxy.values import is_loopback, parse_key, parse_path

_MOST_KEY_FILE_BYTES: Final = 64 * 1024

COMMAND_LINE: Final = "command line"
"""The origin of what a flag says."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the composition root needs. ``environment`` is the merged environment and ``.env``
    that the credential readers look into; it holds secrets and is never shown."""

    server: Server
    upstream: Upstream
    log: Log
    usage: Recording
    pool: Pool
    limits: Limits
    state_dir: Path
    home: Path
    # Files with sign-ins of other programs: read once and left alone, instead of kept up to date.
    copies_sign_ins: bool
    # What ``kiroproxy login`` has kept in ``state_dir`` belongs to the real service only.
    uses_own_sign_ins: bool
    # The client's name of a model → what to look for in the accounts' catalogues.
    model_aliases: Mapping[str, str]
    environment: Mapping[str, str]
    prompt: Prompt
    # Setting → its parsed value, and where it came from ("--port", "environment", ".env", a file's path);
    # those with their default have no origin.
    values: Mapping[str, Any]
    origins: Mapping[str, str]
    # What the user should know: settings without effect or meaning, a file that others can read.
    notes: tuple[str, ...]

    def with_environment(self, environment: Mapping[str, str]) -> Config:
        """The same settings in front of another service (the built-in simulator): its addresses and
        sign-ins are others, its time limits stay."""
        given = {name: _Given(text, name) for name, text in environment.items()}
        there = _upstream({s.name: _value(s, given, self.home) for s in SETTINGS})
        return replace(
            self,
            upstream=replace(
                self.upstream,
                api_url=there.api_url,
                social_auth_url=there.social_auth_url,
                oidc_url=there.oidc_url,
                region=there.region,
            ),
            uses_own_sign_ins=False,
            environment=MappingProxyType(dict(environment)),
        )

    def __repr__(self) -> str:
        return f"Config(server={self.server!r}, upstream={self.upstream!r}, log={self.log!r})"


@dataclass(frozen=True, slots=True)
class _Given:
    """A setting's text as the user gave it; ``where`` is what an error calls it."""

    text: str
    where: str
    origin: str = "environment"


def load(
    flags: Mapping[str, str],
    environment: Mapping[str, str],
    dotenv: Mapping[str, str],
    home: Path,
    file: ConfigFile | None = None,
) -> Config:
    """Settings by name from ``flags`` over ``environment`` over ``dotenv`` over ``file`` over the
    defaults. Raises ConfigError."""
    given = _given(flags, environment, dotenv, file)
    values = {s.name: _value(s, given, home) for s in SETTINGS}
    known = {s.name for s in SETTINGS}
    if values["GIN_MODE"] == "debug" and "LOG_LEVEL" not in given:
        values["LOG_LEVEL"] = "debug"
    merged = {**(file.values if file else {}), **dotenv, **environment}
    config = Config(
        server=_server(values),
        upstream=_upstream(values),
        log=Log(
            level=values["LOG_LEVEL"],
            format=values["LOG_FORMAT"],
            file=values["LOG_FILE"],
            console=values["LOG_CONSOLE"],
            instance=values["INSTANCE_ID"] or "",
        ),
        usage=Recording(
            retention_days=values["USAGE_RETENTION_DAYS"],
            metrics=values["METRICS_ENABLED"],
            prompts=values["PROMPT_LOG_MODE"],
        ),
        pool=_pool(values),
        limits=_limits(values),
        state_dir=values["KIROPROXY_STATE_DIR"],
        home=home,
        copies_sign_ins=values["KIROPROXY_IMPORT"] == "copy",
        uses_own_sign_ins=True,
        model_aliases=values["MODEL_ALIASES"] or MappingProxyType({}),
        environment=MappingProxyType(merged),
        prompt=Prompt(
            values["SYSTEM_PROMPT_FILE_PATH"],
            values["SYSTEM_PROMPT_MODE"] == "overwrite",
            min(values["MAX_TOOL_DESCRIPTION_LENGTH"], Prompt.MOST_DESCRIPTION_CHARS),
        ),
        values=MappingProxyType(values),
        origins=MappingProxyType({n: g.origin for n, g in given.items() if n in known}),
        notes=(*(file.notes if file else ()), *_no_effect({**dotenv, **environment})),
    )
    return _with_checked_key(config, given)


def _given(
    flags: Mapping[str, str],
    environment: Mapping[str, str],
    dotenv: Mapping[str, str],
    file: ConfigFile | None,
) -> dict[str, _Given]:
    """What is set, the winner of each name. An empty text counts as unset."""
    given: dict[str, _Given] = {}
    if file is not None:
        for name, text in file.values.items():
            given[name] = _Given(text, f"{file.path}: {file.keys[name]}", str(file.path))
    for source, origin in ((dotenv, ".env"), (environment, "environment")):
        named = {name: _Given(text.strip(), name, origin) for name, text in source.items()}
        given |= {name: item for name, item in named.items() if item.text}
        if "KIRO_CLIENT_TOKEN_FILE" in named and "KIRO_CLIENT_TOKEN" not in named:
            given.pop("KIRO_CLIENT_TOKEN", None)  # a key of a lesser home does not win over this
    given |= {n: _Given(text, n, COMMAND_LINE) for n, text in flags.items() if text}
    return {name: item for name, item in given.items() if item.text}


def _no_effect(environment: Mapping[str, str]) -> list[str]:
    found = [f"{n} ({why})" for n, why in NO_EFFECT.items() if environment.get(n, "").strip()]
    return [f"has no effect here: {', '.join(found)}"] if found else []


def _with_checked_key(config: Config, given: Mapping[str, _Given]) -> Config:
    """No open address without a key of the user's own."""
    key, host = config.server.client_token, config.server.host
    if key is None and not is_loopback(host):
        raise ConfigError(
            f"KIRO_CLIENT_TOKEN: must be set when HOST is not a loopback address ({host})"
        )
    if key is None or key.reveal() != DEFAULT_KEY:
        return config
    where = given["KIRO_CLIENT_TOKEN"].where if "KIRO_CLIENT_TOKEN" in given else "the key"
    if not is_loopback(host):
        raise ConfigError(
            f"{where}: must not be the well-known default key when HOST is not a loopback address "
            f"({host}); choose a key of your own"
        )
    warning = (
        f"WARNING: {where} is the default key of kiro2api and AIClient-2-API, which everybody knows; "
        "every program on this machine can spend your credits: choose a key of your own"
    )
    return replace(config, notes=(warning, *config.notes))


def _server(values: Mapping[str, Any]) -> Server:
    return Server(
        host=values["HOST"],
        port=values["PORT"],
        client_token=_client_token(values),
        ping_interval_s=values["KIROPROXY_PING_INTERVAL_S"],
        drain_s=values["KIROPROXY_DRAIN_S"],
        strict=values["KIROPROXY_STRICT"],
        response_store_h=values["KIROPROXY_RESPONSE_STORE_H"],
        response_store_mb=values["KIROPROXY_RESPONSE_STORE_MB"],
        codex_pause_s=values["KIROPROXY_CODEX_PAUSE_S"],
        workers=values["KIROPROXY_WORKERS"],
        worker_hang_s=values["KIROPROXY_WORKER_HANG_S"],
        fetch_urls=values["KIROPROXY_FETCH_URLS"],
        instance=values["INSTANCE_ID"] or "",
        whole_streams=values["DISABLE_STREAM"],
        read_timeout_s=values["SERVER_READ_TIMEOUT_MINUTES"],
        write_timeout_s=values["SERVER_WRITE_TIMEOUT_MINUTES"],
        asks_everybody=values["KIROPROXY_LOCAL_ACCESS"] == "key",
        max_connections=values["KIROPROXY_MAX_CONNECTIONS"],
        max_strangers=values["KIROPROXY_MAX_STRANGERS"],
        max_request_mb=values["KIROPROXY_MAX_REQUEST_MB"],
    )


def _upstream(values: Mapping[str, Any]) -> Upstream:
    return Upstream(
        api_url=values["KIRO_API_URL"],
        social_auth_url=values["KIRO_SOCIAL_AUTH_URL"],
        oidc_url=values["KIRO_OIDC_URL"],
        region=values["KIRO_REGION"],
        connect_timeout_s=values["KIROPROXY_CONNECT_TIMEOUT_S"],
        first_byte_timeout_s=values["KIROPROXY_FIRST_BYTE_TIMEOUT_S"],
        idle_timeout_s=values["KIROPROXY_IDLE_TIMEOUT_S"],
        total_timeout_s=values["KIROPROXY_TOTAL_TIMEOUT_S"],
        refresh_timeout_s=values["TOKEN_REFRESH_TIMEOUT"],
    )


def _pool(values: Mapping[str, Any]) -> Pool:
    return Pool(
        strategy=values["TOKEN_SELECTION_STRATEGY"],
        concurrency=values["KIROPROXY_ACCOUNT_CONCURRENCY"],
        per_minute=values["KIROPROXY_ACCOUNT_REQUESTS_PER_MINUTE"],
        renew_ahead_s=values["CRON_NEAR_MINUTES"] * MINUTES,
        renew_in_background=values["CRON_REFRESH_TOKEN"],
    )


def _limits(values: Mapping[str, Any]) -> Limits:
    return Limits(
        sessions=values["MAX_CONCURRENT_SESSIONS"],
        session_timeout_s=values["SESSION_TIMEOUT_MINUTES"] * MINUTES,
        queue_wait_s=values["KIROPROXY_QUEUE_WAIT_S"],
        max_retries=values["REQUEST_MAX_RETRIES"],
        base_delay_s=values["REQUEST_BASE_DELAY"] / 1000,
        simple_s=values["SIMPLE_REQUEST_TIMEOUT_MINUTES"],
        complex_s=values["REQUEST_TIMEOUT_MINUTES"],
        stream_s=values["STREAM_REQUEST_TIMEOUT_MINUTES"],
    )


def _client_token(values: Mapping[str, Any]) -> Secret | None:
    """The key itself, else the one in the file, without the line's end."""
    given: Secret | None = values["KIRO_CLIENT_TOKEN"]
    path: Path | None = values["KIRO_CLIENT_TOKEN_FILE"]
    if given is not None or path is None:
        return given
    try:
        text = read_regular(path, _MOST_KEY_FILE_BYTES).decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigError("KIRO_CLIENT_TOKEN_FILE: cannot be read (not UTF-8)") from None
    except OSError as error:
        raise ConfigError(f"KIRO_CLIENT_TOKEN_FILE: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError(f"KIRO_CLIENT_TOKEN_FILE: the file it names {error}") from None
    try:
        token = parse_key(text)
    except ValueError as error:
        raise ConfigError(f"KIRO_CLIENT_TOKEN_FILE: its content {error}") from None
    if not token:
        raise ConfigError("KIRO_CLIENT_TOKEN_FILE: the file is empty")
    return token


def _value(setting: Setting, given: Mapping[str, _Given], home: Path) -> Any:
    """The parsed value; None when it is unset and has no default."""
    item = given.get(setting.name) or _Given(setting.default, setting.name)
    if not item.text:
        return None
    if setting.parse is parse_path and item.text.startswith("~/"):
        return home / item.text[2:]
    try:
        return setting.parse(item.text)
    except ValueError as error:
        shown = "" if setting.secret else f", got {_shown(item.text)!r}"
        raise ConfigError(f"{item.where}: {error}{shown}") from None


# What may be a token that was put into the wrong setting: a long run with a digit in it.
_TOKEN = re.compile(r"(?=[A-Za-z_+=-]*[0-9])[A-Za-z0-9_+=-]{16,}")


def _shown(text: str) -> str:
    """A wrong value, as far as it may be shown."""
    return "{…}" if text[:1] in ("{", "[") else _TOKEN.sub("***", text)[:80]
