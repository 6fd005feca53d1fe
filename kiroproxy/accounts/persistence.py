"""Account states in the state file: what a restart, planned or not, must not forget.

A pause is kept as wall time, since the monotonic clock starts anew; it comes back no longer than it
was, whatever happened to the wall clock meanwhile. REFRESHING is not kept (a renewal ends with its
process) and DISABLED is not either (the configuration says it anew).

Several processes may serve from one folder. Each writes its own news; where another one has written
the same account meanwhile, the graver state stands until it is over. What the others have found out is
read now and then (``StateBook.news``).
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kiroproxy.accounts.state import GRAVITY, Event, Now, State, Status, advance, remaining_s
from kiroproxy.database import Database
from kiroproxy.errors import Kind, StorageError

_log = logging.getLogger("kiroproxy.accounts")

MAX_PAUSE_S: Final = 24 * 3600.0  # a pause from the file that claims more is a mistake
_COLUMNS: Final = (
    "account, state, reason, kind, until_epoch_s, is_pause, streak, changed_epoch_s, sign_in"
)
_KEPT: Final = frozenset(
    {State.READY, State.COOLING, State.EXHAUSTED, State.REVOKED, State.SUSPENDED}
)


@dataclass(frozen=True, slots=True)
class Saved:
    """One account's row. ``is_pause``: the deadline is the end of a short pause, not a calendar time.
    ``sign_in``: fingerprint of the sign-in it was said about."""

    account: str
    state: State
    reason: str
    kind: Kind
    until_epoch_s: float | None
    is_pause: bool
    streak: int
    changed_epoch_s: float
    sign_in: str

    def is_over(self, wall_s: float) -> bool:
        return self.until_epoch_s is not None and self.until_epoch_s <= wall_s


def to_saved(account: str, status: Status, sign_in: str, now: Now) -> Saved | None:
    """The row of a status; None for one that is not kept."""
    state = State.READY if status.state is State.REFRESHING else status.state
    if state not in _KEPT:
        return None
    left_s = remaining_s(status, now)
    return Saved(
        account,
        state,
        status.reason,
        status.kind,
        None if left_s is None else now.wall_s + left_s,
        status.until_at_s is not None,
        status.streak,
        now.wall_s,
        sign_in,
    )


def from_saved(saved: Saved, sign_in: str, now: Now) -> Status:
    """The status that a row means now, for the sign-in that the account has now."""
    until_at_s, until_epoch_s = None, saved.until_epoch_s
    if saved.is_pause and saved.until_epoch_s is not None:
        length_s = saved.until_epoch_s - saved.changed_epoch_s
        left_s = min(saved.until_epoch_s - now.wall_s, length_s, MAX_PAUSE_S)
        until_at_s, until_epoch_s = now.monotonic_s + max(0.0, left_s), None
    status = Status(saved.state, saved.reason, saved.kind, until_at_s, until_epoch_s, saved.streak)
    needs_sign_in = saved.state in (State.REVOKED, State.SUSPENDED)
    if needs_sign_in and saved.sign_in != sign_in:  # somebody has signed in again meanwhile
        return advance(status, Event.SIGNED_IN, now)
    return status


def saved_states(connection: sqlite3.Connection) -> dict[str, Saved]:
    """All rows by account id, for whoever only looks; those that make no sense are left out."""
    query = f"SELECT {_COLUMNS} FROM account_states"  # noqa: S608 - our own constant
    rows = (_maybe_saved(columns) for columns in connection.execute(query))
    return {saved.account: saved for saved in rows if saved is not None}


class StateBook:
    """The rows of all accounts. Never fails: what cannot be read or written is logged and left out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Worker thread only: the revision of each row as this process wrote or read it last.
        self._seen: dict[str, int] = {}

    async def load(self) -> dict[str, Saved]:
        """All rows by account id; those that make no sense are left out."""
        return await self._read(self._rows)

    async def news(self) -> dict[str, Saved]:
        """The rows that other processes have written since they were last read or written here."""
        return await self._read(self._new_rows)

    async def _read(
        self, read: Callable[[sqlite3.Connection], dict[str, Saved]]
    ) -> dict[str, Saved]:
        try:
            return await self._database.run(read)
        except StorageError as error:
            _log.warning("account states cannot be read: %s", error.message)
            return {}

    def save(self, saved: Saved) -> None:
        """Write the row at once, unless another process has something graver to say. Does not wait."""
        self._database.submit(lambda connection: self._write(connection, saved), is_urgent=True)

    # -- in the database's thread

    def _rows(self, connection: sqlite3.Connection) -> dict[str, Saved]:
        self._seen.clear()
        return self._new_rows(connection)

    def _new_rows(self, connection: sqlite3.Connection) -> dict[str, Saved]:
        found = {}
        for *columns, revision in connection.execute(
            f"SELECT {_COLUMNS}, revision FROM account_states"  # noqa: S608 - our own constant
        ):
            saved = _maybe_saved(columns)
            if saved is not None and self._seen.get(saved.account) != revision:
                self._seen[saved.account] = revision
                found[saved.account] = saved
        return found

    def _write(self, connection: sqlite3.Connection, saved: Saved) -> None:
        row = connection.execute(
            f"SELECT {_COLUMNS}, revision FROM account_states WHERE account = ?",  # noqa: S608
            (saved.account,),
        ).fetchone()
        revision = 0 if row is None else row[-1]
        if row is not None and revision != self._seen.get(saved.account):
            other = _maybe_saved(row[:-1])
            if other is not None and _stands_against(other, saved):
                return
        connection.execute(
            f"INSERT OR REPLACE INTO account_states ({_COLUMNS}, revision) "  # noqa: S608
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*_columns(saved), revision + 1),
        )
        self._seen[saved.account] = revision + 1


def _stands_against(other: Saved, ours: Saved) -> bool:
    if other.sign_in != ours.sign_in or other.is_over(ours.changed_epoch_s):
        return False
    return GRAVITY.index(other.state) > GRAVITY.index(ours.state)


def _columns(saved: Saved) -> tuple[object, ...]:
    return (
        saved.account,
        saved.state.value,
        saved.reason,
        saved.kind.value,
        saved.until_epoch_s,
        int(saved.is_pause),
        saved.streak,
        saved.changed_epoch_s,
        saved.sign_in,
    )


def _maybe_saved(columns: list[object] | tuple[object, ...]) -> Saved | None:
    account, state, reason, kind, until_epoch_s, is_pause, streak, changed_epoch_s, sign_in = (
        columns
    )
    try:
        saved = Saved(
            str(account),
            State(state),
            str(reason),
            Kind(kind),
            None if until_epoch_s is None else float(str(until_epoch_s)),
            bool(is_pause),
            int(str(streak)),
            float(str(changed_epoch_s)),
            str(sign_in),
        )
    except ValueError:
        return None
    return saved if saved.state in _KEPT else None
