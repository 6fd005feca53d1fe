"""The tables of the state file, as the steps that made them."""

from __future__ import annotations

from typing import Final

# One item a schema version, each a tuple of statements that run in one transaction. Items are only
# ever added at the end: PRAGMA user_version says how many of them a file has seen.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # accounts/persistence.py. ``revision`` grows with each write of a row, so that a process
        # notices that another one has written since.
        """CREATE TABLE account_states (
            account TEXT PRIMARY KEY,
            state TEXT NOT NULL,
            reason TEXT NOT NULL,
            kind TEXT NOT NULL,
            until_epoch_s REAL,
            is_pause INTEGER NOT NULL,
            streak INTEGER NOT NULL,
            changed_epoch_s REAL NOT NULL,
            sign_in TEXT NOT NULL,
            revision INTEGER NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        # usage/ledger.py. ``seq`` is the order in which requests ended; times are wall time.
        """CREATE TABLE requests (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL,
            time_epoch_s REAL NOT NULL,
            client TEXT NOT NULL,
            dialect TEXT NOT NULL,
            model TEXT NOT NULL,
            upstream_model TEXT NOT NULL,
            account TEXT NOT NULL,
            stream INTEGER NOT NULL,
            status INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            input_tokens INTEGER,
            output_tokens INTEGER,
            cache_read_tokens INTEGER,
            cache_write_tokens INTEGER,
            credits REAL,
            sources TEXT NOT NULL,
            first_token_ms REAL,
            total_ms REAL NOT NULL,
            tries INTEGER NOT NULL,
            error_kind TEXT NOT NULL,
            error TEXT NOT NULL
        )""",
        "CREATE INDEX requests_by_time ON requests (time_epoch_s)",
        "CREATE INDEX requests_by_id ON requests (id)",
        # usage/quota.py: the last getUsageLimits reply's figures of each account, as JSON.
        """CREATE TABLE quotas (
            account TEXT PRIMARY KEY,
            fetched_epoch_s REAL NOT NULL,
            figures TEXT NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        # handlers/responses_store.py: a response object, and the input items it answers, as JSON.
        """CREATE TABLE responses (
            id TEXT PRIMARY KEY,
            created_epoch_s REAL NOT NULL,
            body BLOB NOT NULL,
            items BLOB NOT NULL,
            bytes INTEGER NOT NULL
        )""",
        "CREATE INDEX responses_by_time ON responses (created_epoch_s)",
    ),
)
