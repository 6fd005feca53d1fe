"""``kiroproxy usage``: sums over the ledger, and the quota as the service has it now."""

from __future__ import annotations

import argparse
import functools
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from kiroproxy.cli.options import add_command, add_json, add_settings
from kiroproxy.cli.settings import load_config
from kiroproxy.cli.terminal import BOLD, distance, note, number, paint, say, say_json, table
from kiroproxy.errors import ConfigError, KiroProxyError

if TYPE_CHECKING:
    from kiroproxy.accounts import Credential
    from kiroproxy.cli.service import Session
    from kiroproxy.config import Config

_EXAMPLES: Final = """\
  kiroproxy usage                the last 30 days by day, model, account and client
  kiroproxy usage --days 1       today (days are UTC)
  kiroproxy usage --live         and what is left of each account's quota, asked now
  kiroproxy usage --json | jq .total.credits
"""
_MOST_DAYS: Final = 3650
_SUMS: Final = (
    ("requests", "REQUESTS"),
    ("failures", "FAILED"),
    ("input_tokens", "INPUT"),
    ("output_tokens", "OUTPUT"),
    ("cache_read_tokens", "CACHE READ"),
    ("cache_write_tokens", "CACHE WRITE"),
    ("credits", "CREDITS"),
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "usage",
        _run,
        "show what was used, by day, model, account and client",
        more=(
            "From the ledger in the state folder, which keeps USAGE_RETENTION_DAYS; a server may be "
            "running.\nExit code 1 when --live could not learn an account's quota."
        ),
        examples=_EXAMPLES,
    )
    parser.add_argument("--days", metavar="N", default="30", help="how far back (default 30)")
    parser.add_argument("--live", action="store_true", help="ask the service for the quotas too")
    add_json(parser)
    add_settings(parser)


def _run(arguments: argparse.Namespace) -> int:
    from kiroproxy.database import FILE_NAME, read_existing
    from kiroproxy.usage.report import GROUPS, first_day_epoch_s, spent

    days = _days(arguments.days)
    config = load_config(arguments)
    since_s = first_day_epoch_s(days, time.time())
    path = config.state_dir / FILE_NAME
    report = read_existing(path, functools.partial(spent, since_epoch_s=since_s))
    quotas = _live(config) if arguments.live else None
    if arguments.json:
        empty: dict[str, Any] = {"total": None, **{group: [] for group in GROUPS}}
        live = {} if quotas is None else {"quotas": quotas}
        say_json({"days": days, "since_epoch_s": since_s, **(report or empty), **live})
    else:
        if report and report["total"]["requests"]:
            _show(report, since_s)
        else:
            note("no requests in this time")
        if quotas is not None:
            _show_quotas(quotas)
    return 1 if any(quota["error"] for quota in quotas or []) else 0


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_DAYS):
        raise ConfigError(f"--days: must be a whole number from 1 to {_MOST_DAYS}")
    return int(text)


def _show(report: dict[str, Any], since_s: int) -> None:
    from kiroproxy.usage.report import GROUPS

    day = datetime.fromtimestamp(since_s, UTC).strftime("%Y-%m-%d")
    say(paint(f"Since {day} (days are UTC)", BOLD))
    for group in GROUPS:
        say()
        rows = [_row(entry["name"] or "-", entry) for entry in report[group]]
        if group == "day":
            rows.append(_row("total", report["total"]))
        headers = (group.upper(), *(header for _, header in _SUMS))
        for line in table(headers, rows, right=frozenset(range(1, len(headers)))):
            say(line)


def _row(name: str, entry: dict[str, Any]) -> tuple[str, ...]:
    return (name, *(number(entry[key]) for key, _ in _SUMS))


# --- quotas -------------------------------------------------------------------------------------


def _live(config: Config) -> list[dict[str, Any]]:
    """Each account's figures, or the error in their place."""
    from kiroproxy.cli import service, sign_ins

    loaded = sign_ins.load(config)
    found = sign_ins.chosen(loaded, "")

    async def work(session: Session) -> list[dict[str, Any]]:
        return [await _quota(session, credential) for credential in found]

    return service.ask(config, loaded, "asking for quotas", work)


async def _quota(session: Session, credential: Credential) -> dict[str, Any]:
    from kiroproxy.usage.quota import figures_of

    who = {"id": credential.id, "label": credential.label}
    try:
        return {**who, **figures_of(await session.usage(credential)), "error": None}
    except KiroProxyError as error:
        return {**who, "error": error.message}


def _show_quotas(quotas: list[dict[str, Any]]) -> None:
    now_s = time.time()
    rows = []
    for quota in quotas:
        if quota["error"]:
            note(f"kiroproxy: {quota['label']} ({quota['id']}): {quota['error']}")
            continue
        reset_s = quota["reset_epoch_s"]
        rows.append(
            (
                quota["id"],
                quota["label"],
                quota["plan"] or "-",
                *(number(quota[name]) for name in ("used", "limit", "remaining")),
                "-" if reset_s is None else distance(reset_s - now_s),
            )
        )
    if rows:
        say()
        headers = ("ID", "NAME", "PLAN", "USED", "LIMIT", "LEFT", "RESET")
        for line in table(headers, rows, right=frozenset({3, 4, 5})):
            say(line)
