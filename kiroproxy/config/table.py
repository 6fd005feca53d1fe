"""The table of settings: every name, how its text is read, default, unit and meaning.

docs/configuration.md shows the same table; tests/test_docs.py holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kiroproxy.values import (
    parse_duration,
    parse_host,
    parse_key,
    parse_label,
    parse_level,
    parse_minutes,
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

LOG_FORMATS = ("text", "json")
PROMPT_LOGS = ("none", "console", "file")
IMPORTS = ("share", "copy")
GIN_MODES = ("release", "debug", "test")
LOCAL_ACCESS = ("open", "key")
PROMPT_MODES = ("append", "overwrite")
STRATEGIES = ("sequential", "optimal", "round_robin", "least_loaded")


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


def _parse_strategy(text: str) -> str:
    """``balanced`` is what earlier versions of kiro2api called taking turns."""
    return parse_word(*STRATEGIES)("round_robin" if text.lower() == "balanced" else text)


SETTINGS: tuple[Setting, ...] = (
    # Where to listen, and who may come in
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
    Setting(
        "KIROPROXY_LOCAL_ACCESS", parse_word(*LOCAL_ACCESS), "open", "word",
        "who may read the figures: open: programs of this machine without the key; key: nobody without it",
    ),
    Setting("METRICS_ENABLED", parse_switch, "true", "switch", "serve GET /metrics for Prometheus"),
    Setting(
        "INSTANCE_ID", parse_label, "", "name",
        "names this instance in log lines, in GET /health and in kiroproxy_build_info",
    ),
    Setting(
        "KIROPROXY_WORKERS", parse_whole(1, 64), "1", "processes",
        "how many serve the port together; limits are divided among them", "--workers",
    ),
    # The log
    Setting("LOG_LEVEL", parse_level, "info", "word", "debug, info, warning or error", "--log-level"),
    Setting("LOG_FORMAT", parse_word(*LOG_FORMATS), "text", "word", "text or json"),
    Setting("LOG_FILE", parse_path, "", "path", "also write the log to this file (made 0600)"),
    Setting("LOG_CONSOLE", parse_switch, "true", "switch", "write the log to standard error"),
    Setting(
        "GIN_MODE", parse_word(*GIN_MODES), "release", "word",
        "debug: LOG_LEVEL is debug unless it is set; release and test change nothing",
    ),
    Setting(
        "PROMPT_LOG_MODE", parse_word(*PROMPT_LOGS), "none", "word",
        "none; console: prompts and answers go to the log; file: to prompts/ in the state folder",
    ),
    # State, sign-ins and their renewal
    Setting(
        "KIROPROXY_STATE_DIR", parse_path, "~/.local/state/kiroproxy", "path",
        "where the key and renewed sign-ins are kept (0700)", "--state-dir",
    ),
    Setting(
        "USAGE_RETENTION_DAYS", parse_whole(1, 3650), "30", "days",
        "how long the ledger of requests in the state folder is kept",
    ),
    Setting(
        "KIROPROXY_IMPORT", parse_word(*IMPORTS), "share", "word",
        "share: files with sign-ins are kept up to date; copy: they are read and never written",
    ),
    Setting(
        "CRON_REFRESH_TOKEN", parse_switch, "true", "switch",
        "renew tokens in the background; otherwise only when a request needs one",
    ),
    Setting(
        "CRON_NEAR_MINUTES", parse_whole(1, 1440), "15", "min",
        "a token is renewed this long before it expires, but not in the first three quarters of its life",
    ),
    Setting(
        "TOKEN_REFRESH_TIMEOUT", parse_duration, "60", "s or 1m30s",
        "the renewal of a token, as a whole",
    ),
    # Accounts, retries and the service
    Setting(
        "TOKEN_SELECTION_STRATEGY", _parse_strategy, "sequential", "word",
        "which account a new conversation gets: sequential, optimal, round_robin or least_loaded",
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
        "REQUEST_MAX_RETRIES", parse_whole(0, 20), "3", "tries",
        "how often a request is tried again, other accounts apart",
    ),
    Setting(
        "REQUEST_BASE_DELAY", parse_whole(1, 60_000), "400", "ms",
        "the longest pause before the first of them; it doubles up to 8 s",
    ),
    Setting(
        "MODEL_ALIASES", parse_names, "", "name=id,…",
        "own names of models, also as a JSON object: fast=claude-haiku-4.5",
    ),
    Setting("KIRO_REGION", parse_region, "", "region", "the service's region when no profile decides it"),
    Setting("KIRO_API_URL", parse_url, "", "URL", "replaces the table of service hosts"),
    Setting("KIRO_SOCIAL_AUTH_URL", parse_url, "", "URL", "replaces the social sign-in host"),
    Setting("KIRO_OIDC_URL", parse_url, "", "URL", "replaces the IdC sign-in host"),
    # Time limits
    Setting(
        "SIMPLE_REQUEST_TIMEOUT_MINUTES", parse_minutes, "2", "min",
        "one whole answer that is not streamed, to a simple request",
    ),
    Setting(
        "REQUEST_TIMEOUT_MINUTES", parse_minutes, "15", "min",
        "the same to a complex request: tools, a long prompt, much to write",
    ),
    Setting("STREAM_REQUEST_TIMEOUT_MINUTES", parse_minutes, "30", "min", "one whole streamed answer"),
    Setting("SESSION_TIMEOUT_MINUTES", parse_whole(1, 1440), "60", "min", "one request with all its tries"),
    Setting("KIROPROXY_CONNECT_TIMEOUT_S", parse_seconds, "10", "s", "TCP and TLS towards the service"),
    Setting("KIROPROXY_FIRST_BYTE_TIMEOUT_S", parse_seconds, "300", "s", "until the service's first byte"),
    Setting("KIROPROXY_IDLE_TIMEOUT_S", parse_seconds, "300", "s", "silence of the service in an answer"),
    Setting(
        "KIROPROXY_TOTAL_TIMEOUT_S", parse_seconds, "1800", "s",
        "one try at an answer, whatever the limits by kind of request say",
    ),
    Setting(
        "SERVER_READ_TIMEOUT_MINUTES", parse_minutes, "1", "min",
        "how long a client may pause within the body of its request",
    ),
    Setting(
        "SERVER_WRITE_TIMEOUT_MINUTES", parse_minutes, "2", "min",
        "how long a client may take nothing of its answer",
    ),
    Setting(
        "KIROPROXY_QUEUE_WAIT_S", parse_seconds, "30", "s",
        "how long a request waits in line for the server, or for an account that is full",
    ),
    Setting("KIROPROXY_DRAIN_S", parse_seconds, "30", "s", "how long running answers may finish at stop"),
    Setting(
        "KIROPROXY_WORKER_HANG_S", parse_whole(0, 86_400), "60", "s",
        "how long a worker may stand still until it is killed and replaced; 0 for ever",
    ),
    # Limits
    Setting(
        "MAX_CONCURRENT_SESSIONS", parse_whole(0, 100_000), "1000", "requests",
        "how many this server answers at once, others wait in line; 0 without a limit",
    ),
    Setting(
        "KIROPROXY_MAX_CONNECTIONS", parse_whole(16, 1_000_000), "20000", "connections",
        "of clients at once; beyond it the one that has waited longest makes room",
    ),
    Setting(
        "KIROPROXY_MAX_STRANGERS", parse_whole(1, 1_000_000), "256", "connections",
        "of one address that have not shown the key, this machine's apart",
    ),
    Setting(
        "KIROPROXY_MAX_REQUEST_MB", parse_whole(64, 1_000_000), "1024", "MB",
        "what all requests together may hold: their bytes, and 150 for each value of their JSON; in memory "
        "it is about three times that; beyond it 529 (503)",
    ),
    # Requests and answers
    Setting(
        "DISABLE_STREAM", parse_switch, "false", "switch",
        "a streamed answer is sent whole, when it is complete; pings go out meanwhile",
    ),
    Setting("KIROPROXY_PING_INTERVAL_S", parse_seconds, "15", "s", "a ping goes out after such a silence"),
    Setting(
        "SYSTEM_PROMPT_FILE_PATH", parse_path, "", "path",
        "a file whose text is added to every request's system prompt; read again when it changes",
    ),
    Setting(
        "SYSTEM_PROMPT_MODE", parse_word(*PROMPT_MODES), "append", "word",
        "append: behind the client's own system prompt; overwrite: in its place",
    ),
    Setting(
        "MAX_TOOL_DESCRIPTION_LENGTH", parse_whole(200, 1_000_000), "10240", "characters",
        "a tool's longer description stands in the system prompt instead; the service takes 10240",
    ),
    Setting(
        "KIROPROXY_STRICT", parse_switch, "false", "switch",
        "refuse a request with fields that have no effect (400) instead of naming them",
    ),
    Setting(
        "KIROPROXY_FETCH_URLS", parse_switch, "false", "switch",
        "fetch pictures and PDFs that requests name by http(s) URL, from public addresses only",
    ),
    Setting(
        "KIROPROXY_RESPONSE_STORE_H", parse_whole(0, 720), "24", "h",
        "how long responses are kept for previous_response_id; 0 keeps none",
    ),
    Setting(
        "KIROPROXY_RESPONSE_STORE_MB", parse_whole(1, 10_000), "64", "MB",
        "how much room kept responses may take; the oldest go first, one over a quarter is not kept",
    ),
    Setting(
        "KIROPROXY_CODEX_PAUSE_S", parse_pause, "1", "s",
        "pause before a 5xx to Codex, which repeats such a request thirty times; 0 is none",
    ),
)  # fmt: skip

# Also read from the environment, by accounts/: a name here is documented there.
SECRET_CREDENTIALS = frozenset(
    {
        "KIRO_AUTH_TOKEN",
        "AWS_REFRESHTOKEN",
        "IDC_REFRESH_TOKEN",
        "IDC_CLIENT_SECRET",
        "KIRO_API_KEY",
        "KIRO_OAUTH_CREDS_BASE64",
    }
)
CREDENTIAL_SETTINGS = (
    "KIRO_AUTH_TOKEN",
    "KIRO_AUTH_TOKEN_FILE",
    "AWS_REFRESHTOKEN",
    "AWS_REFRESHTOKEN_FILE",
    "IDC_REFRESH_TOKEN",
    "IDC_REFRESH_TOKEN_FILE",
    "IDC_CLIENT_ID",
    "IDC_CLIENT_SECRET",
    "IDC_CLIENT_SECRET_FILE",
    "KIRO_API_KEY",
    "KIRO_API_KEY_FILE",
    "KIRO_OAUTH_CREDS_FILE_PATH",
    "KIRO_OAUTH_CREDS_BASE64",
    "KIRO_OAUTH_CREDS_BASE64_FILE",
    "KIRO_OAUTH_CREDS_DIR_PATH",
    "PROVIDER_POOLS_FILE_PATH",
    "KIRO_CLI_DB_FILE",
)
