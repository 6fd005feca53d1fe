"""Settings: one table of names, one frozen dataclass a group, one place that reads them.

Order of precedence: command line, environment, ``.env`` in the working folder, default. A wrong value
raises ConfigError with one line that names the setting, the rule and (unless it is a secret) the value.
docs/configuration.md shows the same table; tests/test_docs.py holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kiroproxy.errors import ConfigError
from kiroproxy.secret import Secret
from kiroproxy.values import is_loopback as is_loopback
from kiroproxy.values import (
    parse_host,
    parse_key,
    parse_level,
    parse_names,
    parse_path,
    parse_pause,
    parse_region,
    parse_seconds,
    parse_switch,
    parse_url,
    parse_whole,
    parse_word,
)

SECONDS = 1.0
MINUTES = 60 * SECONDS

LOG_FORMATS = ("text", "json")
PROMPT_LOGS = ("none", "console", "file")
IMPORTS = ("share", "copy")
STRATEGIES = ("sequential", "optimal", "round_robin", "least_loaded")


@dataclass(frozen=True, slots=True)
class Server:
    """Where we listen and who may come in. ``client_token`` None: made at start (loopback only)."""

    host: str = "127.0.0.1"
    port: int = 8080
    client_token: Secret | None = None
    ping_interval_s: float = 15 * SECONDS
    drain_s: float = 30 * SECONDS
    strict: bool = False
    response_store_h: int = 24
    response_store_mb: int = 64
    codex_pause_s: float = 1 * SECONDS


@dataclass(frozen=True, slots=True)
class Upstream:
    """How we reach the service. The URLs replace the built-in host tables when set."""

    api_url: str | None = None
    social_auth_url: str | None = None
    oidc_url: str | None = None
    region: str | None = None
    connect_timeout_s: float = 10 * SECONDS
    # The official client allows five minutes of silence: long tool inputs come after 60–100 s.
    first_byte_timeout_s: float = 5 * MINUTES
    idle_timeout_s: float = 5 * MINUTES
    total_timeout_s: float = 30 * MINUTES


@dataclass(frozen=True, slots=True)
class Log:
    """``file`` is appended to; ``console`` is stderr."""

    level: str = "info"
    format: str = "text"
    file: Path | None = None
    console: bool = True


@dataclass(frozen=True, slots=True)
class Recording:
    """What is kept about requests. ``retention_days``: the ledger's. ``metrics``: whether there is a
    ``/metrics``. ``prompts``: where prompts and answers are logged, see PROMPT_LOGS."""

    retention_days: int = 30
    metrics: bool = True
    prompts: str = "none"


@dataclass(frozen=True, slots=True)
class Pool:
    """How the accounts are used. ``strategy``: for new conversations. 0: no limit."""

    strategy: str = "sequential"
    concurrency: int = 256
    per_minute: int = 0
    renew_ahead_s: float = 15 * MINUTES
    renew_in_background: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take of the server. ``sessions``: answers at once, 0 without a limit;
    ``queue_wait_s``: for a place, and for an account that serves as many as it may."""

    sessions: int = 1000
    session_timeout_s: float = 60 * MINUTES
    queue_wait_s: float = 30 * SECONDS
    max_retries: int = 3
    base_delay_s: float = 0.4 * SECONDS


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

    def with_environment(self, environment: Mapping[str, str]) -> Config:
        """The same server and log settings in front of another upstream (the built-in simulator)."""
        values = {s.name: _value(s, {}, environment, self.home) for s in SETTINGS}
        return replace(
            self,
            upstream=_upstream(values),
            uses_own_sign_ins=False,
            environment=MappingProxyType(dict(environment)),
        )

    def __repr__(self) -> str:
        return f"Config(server={self.server!r}, upstream={self.upstream!r}, log={self.log!r})"


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: environment ``name``, optional command-line ``flag``, default as text ('' is unset)."""

    name: str
    parse: Callable[[str], Any]
    default: str
    unit: str
    meaning: str
    flag: str | None = None
    secret: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting("HOST", parse_host, "127.0.0.1", "address", "where to listen", "--host"),
    Setting("PORT", parse_whole(0, 65535), "8080", "port", "where to listen; 0 picks a free one", "--port"),
    Setting(
        "KIRO_CLIENT_TOKEN", parse_key, "", "text",
        "the key clients must send; made once and kept in the state folder when unset on loopback",
        "--key", secret=True,
    ),
    Setting(
        "KIRO_CLIENT_TOKEN_FILE", parse_path, "", "path",
        "a file with that key (Docker secrets); used when KIRO_CLIENT_TOKEN is unset",
    ),
    Setting("LOG_LEVEL", parse_level, "info", "word", "debug, info, warning or error", "--log-level"),
    Setting("LOG_FORMAT", parse_word(*LOG_FORMATS), "text", "word", "text or json"),
    Setting("LOG_FILE", parse_path, "", "path", "also write the log to this file (made 0600)"),
    Setting("LOG_CONSOLE", parse_switch, "true", "switch", "write the log to standard error"),
    Setting("KIRO_REGION", parse_region, "", "region", "the service's region when no profile decides it"),
    Setting(
        "KIROPROXY_STATE_DIR", parse_path, "~/.local/state/kiroproxy", "path",
        "where the key and renewed sign-ins are kept (0700)", "--state-dir",
    ),
    Setting(
        "KIROPROXY_IMPORT", parse_word(*IMPORTS), "share", "word",
        "share: files with sign-ins are kept up to date; copy: they are read and never written",
    ),
    Setting("KIRO_API_URL", parse_url, "", "URL", "replaces the table of service hosts"),
    Setting("KIRO_SOCIAL_AUTH_URL", parse_url, "", "URL", "replaces the social sign-in host"),
    Setting("KIRO_OIDC_URL", parse_url, "", "URL", "replaces the IdC sign-in host"),
    Setting("KIROPROXY_CONNECT_TIMEOUT_S", parse_seconds, "10", "s", "TCP and TLS towards the service"),
    Setting("KIROPROXY_FIRST_BYTE_TIMEOUT_S", parse_seconds, "300", "s", "until the service's first byte"),
    Setting("KIROPROXY_IDLE_TIMEOUT_S", parse_seconds, "300", "s", "silence of the service in an answer"),
    Setting("KIROPROXY_TOTAL_TIMEOUT_S", parse_seconds, "1800", "s", "one whole answer"),
    Setting("KIROPROXY_PING_INTERVAL_S", parse_seconds, "15", "s", "a ping goes out after such a silence"),
    Setting(
        "USAGE_RETENTION_DAYS", parse_whole(1, 3650), "30", "days",
        "how long the ledger of requests in the state folder is kept",
    ),
    Setting(
        "PROMPT_LOG_MODE", parse_word(*PROMPT_LOGS), "none", "word",
        "none; console: prompts and answers go to the log; file: to prompts/ in the state folder",
    ),
    Setting("METRICS_ENABLED", parse_switch, "true", "switch", "serve GET /metrics for Prometheus"),
    Setting(
        "TOKEN_SELECTION_STRATEGY", parse_word(*STRATEGIES), "sequential", "word",
        "which account a new conversation gets: sequential, optimal, round_robin or least_loaded",
    ),
    Setting(
        "MODEL_ALIASES", parse_names, "", "name=id,…",
        "own names of models, also as a JSON object: fast=claude-haiku-4.5",
    ),
    Setting(
        "KIROPROXY_ACCOUNT_CONCURRENCY", parse_whole(0, 100_000), "256", "requests",
        "how many an account serves at once; 0 without a limit",
    ),
    Setting(
        "KIROPROXY_ACCOUNT_REQUESTS_PER_MINUTE", parse_whole(0, 100_000), "0", "requests",
        "how many an account starts in a minute, ten of them at once; 0 without a limit",
    ),
    Setting(
        "CRON_NEAR_MINUTES", parse_whole(1, 1440), "15", "min",
        "a token is renewed this long before it expires, but not in the first three quarters of its life",
    ),
    Setting(
        "CRON_REFRESH_TOKEN", parse_switch, "true", "switch",
        "renew tokens in the background; otherwise only when a request needs one",
    ),
    Setting(
        "REQUEST_MAX_RETRIES", parse_whole(0, 20), "3", "tries",
        "how often a request is tried again, other accounts apart",
    ),
    Setting(
        "REQUEST_BASE_DELAY", parse_whole(1, 60_000), "400", "ms",
        "the longest pause before the first of them; it doubles up to 8 s",
    ),
    Setting(
        "MAX_CONCURRENT_SESSIONS", parse_whole(0, 100_000), "1000", "requests",
        "how many this server answers at once, others wait in line; 0 without a limit",
    ),
    Setting("SESSION_TIMEOUT_MINUTES", parse_whole(1, 1440), "60", "min", "one request with all its tries"),
    Setting(
        "KIROPROXY_QUEUE_WAIT_S", parse_seconds, "30", "s",
        "how long a request waits in line for the server, or for an account that is full",
    ),
    Setting("KIROPROXY_DRAIN_S", parse_seconds, "30", "s", "how long running answers may finish at stop"),
    Setting(
        "KIROPROXY_STRICT", parse_switch, "false", "switch",
        "refuse a request with fields that have no effect (400) instead of naming them",
    ),
    Setting(
        "KIROPROXY_RESPONSE_STORE_H", parse_whole(0, 720), "24", "h",
        "how long responses are kept for previous_response_id; 0 keeps none",
    ),
    Setting(
        "KIROPROXY_RESPONSE_STORE_MB", parse_whole(1, 10_000), "64", "MB",
        "how much room kept responses may take; the oldest go first",
    ),
    Setting(
        "KIROPROXY_CODEX_PAUSE_S", parse_pause, "1", "s",
        "pause before a 5xx to Codex, which repeats such a request thirty times; 0 is none",
    ),
)  # fmt: skip

# Also read from the environment, by accounts/: a name here is documented there.
CREDENTIAL_SETTINGS = (
    "KIRO_AUTH_TOKEN",
    "KIRO_AUTH_TOKEN_FILE",
    "AWS_REFRESHTOKEN",
    "KIRO_API_KEY",
    "KIRO_OAUTH_CREDS_FILE_PATH",
    "KIRO_OAUTH_CREDS_BASE64",
    "KIRO_OAUTH_CREDS_DIR_PATH",
    "PROVIDER_POOLS_FILE_PATH",
    "KIRO_CLI_DB_FILE",
)


def load(
    flags: Mapping[str, str], environment: Mapping[str, str], dotenv: Mapping[str, str], home: Path
) -> Config:
    """Settings by name from ``flags`` over ``environment`` over ``dotenv`` over the defaults."""
    merged = {**dotenv, **environment}
    values = {s.name: _value(s, flags, merged, home) for s in SETTINGS}
    config = Config(
        server=Server(
            host=values["HOST"],
            port=values["PORT"],
            client_token=_client_token(values),
            ping_interval_s=values["KIROPROXY_PING_INTERVAL_S"],
            drain_s=values["KIROPROXY_DRAIN_S"],
            strict=values["KIROPROXY_STRICT"],
            response_store_h=values["KIROPROXY_RESPONSE_STORE_H"],
            response_store_mb=values["KIROPROXY_RESPONSE_STORE_MB"],
            codex_pause_s=values["KIROPROXY_CODEX_PAUSE_S"],
        ),
        upstream=_upstream(values),
        log=Log(
            level=values["LOG_LEVEL"],
            format=values["LOG_FORMAT"],
            file=values["LOG_FILE"],
            console=values["LOG_CONSOLE"],
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
    )
    if config.server.client_token is None and not is_loopback(config.server.host):
        raise ConfigError(
            f"KIRO_CLIENT_TOKEN: must be set when HOST is not a loopback address ({config.server.host})"
        )
    return config


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
    )


def _client_token(values: Mapping[str, Any]) -> Secret | None:
    """The key itself, else the one in the file, without the line's end."""
    given: Secret | None = values["KIRO_CLIENT_TOKEN"]
    path: Path | None = values["KIRO_CLIENT_TOKEN_FILE"]
    if given is not None or path is None:
        return given
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"KIRO_CLIENT_TOKEN_FILE: cannot be read ({why})") from None
    try:
        token = parse_key(text)
    except ValueError as error:
        raise ConfigError(f"KIRO_CLIENT_TOKEN_FILE: its content {error}") from None
    if not token:
        raise ConfigError("KIRO_CLIENT_TOKEN_FILE: the file is empty")
    return token


def _value(
    setting: Setting, flags: Mapping[str, str], merged: Mapping[str, str], home: Path
) -> Any:
    """The parsed value; an empty string counts as unset, as in a ``.env`` line without a value."""
    text = flags.get(setting.name) or merged.get(setting.name, "").strip() or setting.default
    if not text:
        return None
    if setting.parse is parse_path and text.startswith("~/"):
        return home / text[2:]
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "" if setting.secret else f", got {text[:80]!r}"
        raise ConfigError(f"{setting.name}: {error}{shown}") from None
