"""``kiroproxy accounts``: the pool as the state file has it, whether a server runs or not."""

from __future__ import annotations

import argparse
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kiroproxy.cli.options import add_command, add_json, add_settings
from kiroproxy.cli.settings import load_config
from kiroproxy.cli.terminal import (
    GREEN,
    RED,
    YELLOW,
    distance,
    moment,
    note,
    number,
    say,
    say_json,
    table,
)

if TYPE_CHECKING:
    from pathlib import Path

    from kiroproxy.accounts import Credential
    from kiroproxy.accounts.persistence import Saved
    from kiroproxy.accounts.state import Status
    from kiroproxy.usage import Quota

_EXAMPLES: Final = """\
  kiroproxy accounts             a table: state, quota, when either changes
  kiroproxy accounts --json | jq '.accounts[] | select(.state != "ready")'
"""
_COLOURS: Final = {
    "ready": GREEN,
    "refreshing": GREEN,
    "cooling": YELLOW,
    "exhausted": YELLOW,
    "revoked": RED,
    "suspended": RED,
    "disabled": "",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "accounts",
        _run,
        "show the accounts with their states and quotas",
        more=(
            "From the sign-ins and the state file: no request is sent. A server on the same state "
            "folder\nwrites its news there at once. Quotas are as a server has last asked for them "
            "(now:\nkiroproxy usage --live). Exit code 1 when there is no account."
        ),
        examples=_EXAMPLES,
    )
    add_json(parser)
    add_settings(parser)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the state file knows, by account id."""

    states: dict[str, Saved]
    quotas: dict[str, Quota]
    last_used: dict[str, float]


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.cli import sign_ins
    from kiroproxy.database import FILE_NAME
    from kiroproxy.errors import StorageError

    config = load_config(arguments)
    loaded = sign_ins.load(config)
    sign_ins.tell_problems(loaded)
    kept = _Kept({}, {}, {})
    try:
        kept = _read(config.state_dir / FILE_NAME) or kept
    except StorageError as error:
        note(f"note: {error.message} States and quotas are not known.")
    now_s = time.time()
    entries = [_entry(credential, kept, now_s) for credential in loaded.credentials]
    if arguments.json:
        say_json({"accounts": entries, "problems": loaded.problems})
    elif entries:
        _show(entries, now_s)
    if not entries:
        note(f"kiroproxy: {sign_ins.NO_SIGN_IN}")
    return 0 if entries else 1


def _read(path: Path) -> _Kept | None:
    """None when no server has run yet. Raises StorageError."""
    from kiroproxy.accounts.persistence import saved_states
    from kiroproxy.database import read_existing
    from kiroproxy.usage.quota import saved_quotas

    def read(connection: sqlite3.Connection) -> _Kept:
        last = connection.execute(
            "SELECT account, MAX(time_epoch_s) FROM requests GROUP BY account"
        )
        return _Kept(saved_states(connection), saved_quotas(connection), dict(last))

    return read_existing(path, read)


def _entry(credential: Credential, kept: _Kept, now_s: float) -> dict[str, Any]:
    """The keys are those of ``GET /api/usage``, as far as they are known without a server."""
    status, until_s = _status(credential, kept.states.get(credential.id), now_s)
    quota = kept.quotas.get(credential.id)
    figures = quota.figures if quota else {}
    names = ("plan", "used", "limit", "remaining", "reset_epoch_s")
    return {
        "id": credential.id,
        "label": credential.label,
        "kind": credential.kind.value,
        "state": status.state.value,
        "reason": status.reason,
        "until_epoch_s": until_s,
        **{name: figures.get(name) for name in names},
        "fetched_epoch_s": quota.fetched_epoch_s if quota else None,
        "stale": quota.is_stale(now_s) if quota else True,
        "last_used_epoch_s": kept.last_used.get(credential.id),
        "source": str(credential.place),
    }


def _status(
    credential: Credential, saved: Saved | None, now_s: float
) -> tuple[Status, float | None]:
    """The state, and when it ends by itself (wall time)."""
    from kiroproxy.accounts import State
    from kiroproxy.accounts.persistence import from_saved
    from kiroproxy.accounts.state import Now, Status, remaining_s, settle

    if credential.disabled:
        return Status(State.DISABLED, "disabled in the configuration"), None
    if saved is None:
        return Status(), None
    now = Now(0.0, now_s)
    status = settle(from_saved(saved, credential.sign_in, now), now)
    left_s = remaining_s(status, now)
    return status, None if left_s is None else round(now_s + left_s, 3)


def _show(entries: list[dict[str, Any]], now_s: float) -> None:
    headers = ("ID", "NAME", "KIND", "STATE", "UNTIL", "USED", "LIMIT", "RESET")
    rows = [
        (
            entry["id"],
            entry["label"],
            entry["kind"],
            entry["state"],
            _when(entry["until_epoch_s"], now_s),
            number(entry["used"]),
            number(entry["limit"]),
            _when(entry["reset_epoch_s"], now_s),
        )
        for entry in entries
    ]
    colours = [_COLOURS[entry["state"]] for entry in entries]
    for line in table(headers, rows, right=frozenset({5, 6}), colours=colours):
        say(line)
    for entry in entries:
        if entry["reason"] and entry["state"] != "ready":
            say(f"{entry['id']}: {entry['reason']}")
    asked = [entry["fetched_epoch_s"] for entry in entries if entry["fetched_epoch_s"]]
    if not asked:
        note("note: quotas are not known yet; kiroproxy usage --live asks for them")
    elif any(entry["stale"] for entry in entries):
        note(f"note: the oldest quota is from {moment(min(asked))}; no server has asked since")


def _when(epoch_s: float | None, now_s: float) -> str:
    return "-" if epoch_s is None else distance(epoch_s - now_s)
