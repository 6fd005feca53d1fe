"""What the configuration means for each part of the program; for a worker process, its part of it."""

from __future__ import annotations

import resource

from kiroproxy.accounts import AccountSettings, LoadResult, PaceLimits, Strategy, load_credentials
from kiroproxy.clock import Clock
from kiroproxy.config import Config, Limits, Server, Upstream
from kiroproxy.database import Database
from kiroproxy.handlers.responses_store import ResponseStore
from kiroproxy.http import HttpLimits
from kiroproxy.retry import RetryPolicy
from kiroproxy.upstream import Timeouts
from kiroproxy.upstream.calls import REFRESH_TIMEOUTS, CallTimeouts

_LEAST_HELD_BYTES = 64_000_000  # of a worker: room for the largest request and another beside it


def share(limit: int, workers: int) -> int:
    """A worker's part of a limit of the whole server; 0 is no limit and stays so."""
    return max(1, limit // workers) if limit else 0


def load_sign_ins(config: Config) -> LoadResult:
    return load_credentials(
        config.environment,
        config.home,
        config.state_dir,
        copy=config.copies_sign_ins,
        own=config.uses_own_sign_ins,
    )


def response_store(server: Server, database: Database, clock: Clock) -> ResponseStore:
    keep_s, most_bytes = server.response_store_h * 3600, server.response_store_mb * 1_000_000
    return ResponseStore(database, clock, keep_s, most_bytes)


def account_settings(config: Config, workers: int) -> AccountSettings:
    pool = config.pool
    return AccountSettings(
        strategy=Strategy(pool.strategy),
        pace=PaceLimits(share(pool.concurrency, workers), share(pool.per_minute, workers)),
        renew_in_background=pool.renew_in_background,
        renew_ahead_s=pool.renew_ahead_s,
        busy_wait_s=config.limits.queue_wait_s,
    )


def retry_policy(limits: Limits) -> RetryPolicy:
    return RetryPolicy(
        max_retries=limits.max_retries,
        max_billed_retries=min(1, limits.max_retries),
        base_delay_s=limits.base_delay_s,
    )


def http_limits(server: Server, workers: int) -> HttpLimits:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A quarter of the descriptors stays for the service's connections and for files.
    most = server.max_connections if files == resource.RLIM_INFINITY else files * 3 // 4
    return HttpLimits(
        body_timeout_s=server.read_timeout_s,
        write_stall_s=server.write_timeout_s,
        max_connections=min(share(server.max_connections, workers), most),
        max_strangers_per_address=share(server.max_strangers, workers),
        max_held_bytes=max(share(server.max_request_mb * 1_000_000, workers), _LEAST_HELD_BYTES),
    )


def call_timeouts(upstream: Upstream) -> CallTimeouts:
    total_s = upstream.refresh_timeout_s
    part_s = min(REFRESH_TIMEOUTS.idle_s, total_s)
    connect_s = min(REFRESH_TIMEOUTS.connect_s, total_s)
    refresh = Timeouts(connect_s, first_byte_s=part_s, idle_s=part_s, total_s=total_s)
    return CallTimeouts(chat=_chat_timeouts(upstream), refresh=refresh)


def _chat_timeouts(upstream: Upstream) -> Timeouts:
    return Timeouts(
        connect_s=upstream.connect_timeout_s,
        first_byte_s=upstream.first_byte_timeout_s,
        idle_s=upstream.idle_timeout_s,
        total_s=upstream.total_timeout_s,
    )
