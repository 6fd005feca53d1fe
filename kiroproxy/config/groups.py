"""What the program takes its settings from: one frozen dataclass a group, units in the names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kiroproxy.secret import Secret

SECONDS = 1.0
MINUTES = 60 * SECONDS


@dataclass(frozen=True, slots=True)
class Server:
    """Where we listen and who may come in. ``client_token`` None: made at start (loopback only).
    ``asks_everybody``: for the key, this machine's programs too."""

    host: str = "127.0.0.1"
    port: int = 8080
    client_token: Secret | None = None
    ping_interval_s: float = 15 * SECONDS
    drain_s: float = 30 * SECONDS
    strict: bool = False
    response_store_h: int = 24
    response_store_mb: int = 64
    codex_pause_s: float = 1 * SECONDS
    workers: int = 1
    worker_hang_s: float = 1 * MINUTES
    fetch_urls: bool = False
    instance: str = ""
    whole_streams: bool = False
    read_timeout_s: float = 1 * MINUTES
    write_timeout_s: float = 2 * MINUTES
    asks_everybody: bool = False
    max_connections: int = 20_000
    max_strangers: int = 256
    max_request_mb: int = 1024


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
    refresh_timeout_s: float = 1 * MINUTES


@dataclass(frozen=True, slots=True)
class Log:
    """``file`` is appended to; ``console`` is stderr."""

    level: str = "info"
    format: str = "text"
    file: Path | None = None
    console: bool = True
    instance: str = ""


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
    simple_s: float = 2 * MINUTES
    complex_s: float = 15 * MINUTES
    stream_s: float = 30 * MINUTES


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is done to every request. ``file`` None: no system prompt of our own; ``overwrites``: it takes
    the place of the client's. ``description_chars``: of a tool, the rest moves to the system prompt."""

    MOST_DESCRIPTION_CHARS: ClassVar[int] = 10_240  # what the service takes

    file: Path | None = None
    overwrites: bool = False
    description_chars: int = MOST_DESCRIPTION_CHARS
