"""What was spent in a span of days, straight from the state file: for people who ask now and then.

The dashboard's sums are in ``ledger``; these cover a chosen time and list everything.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from kiroproxy.usage.ledger import DAY_S, SUMS, dicts

Json = dict[str, Any]

GROUPS: Final = {
    "day": "strftime('%Y-%m-%d', time_epoch_s, 'unixepoch')",
    "model": "model",
    "account": "account",
    "client": "client",
}
"""What is summed by; days are UTC, as on the dashboard."""


def first_day_epoch_s(days: int, wall_s: float) -> int:
    """Where a span of ``days`` begins that ends today: midnight UTC."""
    return (int(wall_s // DAY_S) - days + 1) * DAY_S


def spent(connection: sqlite3.Connection, since_epoch_s: float) -> Json:
    """``total``, and a list of sums with a ``name`` under each of GROUPS: days in their order, the rest
    with the most requests first. Raises sqlite3.Error."""
    where = "FROM requests WHERE time_epoch_s >= ?"
    values = (since_epoch_s,)
    report: Json = {"total": dicts(connection.execute(f"SELECT {SUMS} {where}", values))[0]}
    for group, column in GROUPS.items():
        order = "name" if group == "day" else "requests DESC, name"
        query = f"SELECT {column} AS name, {SUMS} {where} GROUP BY name ORDER BY {order}"
        report[group] = dicts(connection.execute(query, values))
    return report
