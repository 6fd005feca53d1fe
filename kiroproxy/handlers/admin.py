"""The figures as JSON, for the dashboard and for scripts: read-only, no secrets, no CORS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from kiroproxy.accounts import AccountManager, AccountView, State
from kiroproxy.clock import Clock
from kiroproxy.errors import RequestError
from kiroproxy.handlers.local import LocalGate
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.http.messages import RawHeader
from kiroproxy.http.responses import json_response
from kiroproxy.usage import Ledger, Quota, QuotaWatch, Team
from kiroproxy.usage.ledger import MAX_PAGE

Json = dict[str, Any]

PAGE: Final = 50
_LAST_EPOCH_S: Final = 253_402_300_800.0  # the year 10000, where RFC 3339 ends
_PRIVATE: Final[tuple[RawHeader, ...]] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class Accounts:
    """Every account with its state and its quota, as JSON."""

    def __init__(
        self, manager: AccountManager, quotas: QuotaWatch, team: Team, clock: Clock
    ) -> None:
        self._manager = manager
        self._team = team
        self._quotas = quotas
        self._clock = clock

    def all(self) -> list[Json]:
        active = self._team.active()
        return [self.one(view, active) for view in self._manager.accounts()]

    def one(self, view: AccountView, active: Mapping[str, int]) -> Json:
        """``active``: account → requests under way in all workers. ``source``: where the sign-in comes
        from. ``until_epoch_s``: when the state ends by itself."""
        quota = self._quotas.quota(view.id)
        return {
            "id": view.id,
            "label": view.label,
            "kind": view.kind.value,
            "state": view.status.state.value,
            "reason": view.status.reason,
            "until_epoch_s": self._until(view),
            "active": active.get(view.id, 0),
            **_quota_json(quota, self._clock.wall()),
            "source": view.source,
        }

    def _until(self, view: AccountView) -> float | None:
        status = view.status
        if status.until_at_s is None:
            return status.until_epoch_s
        return round(self._clock.wall() + status.until_at_s - self._clock.monotonic(), 3)


_NO_QUOTA: Final = Quota(
    0.0,
    {
        "plan": "",
        "used": None,
        "limit": None,
        "remaining": None,
        "trial": None,
        "bonuses": [],
        "overage": None,
        "reset_epoch_s": None,
    },
)


def _quota_json(quota: Quota | None, wall_s: float) -> Json:
    known = quota or _NO_QUOTA
    return {
        **known.figures,
        "fetched_epoch_s": quota.fetched_epoch_s if quota else None,
        "stale": known.is_stale(wall_s),
    }


class AdminHandlers:
    """``GET /api/tokens``, ``/api/usage`` and ``/api/requests``."""

    def __init__(
        self,
        gate: LocalGate,
        manager: AccountManager,
        accounts: Accounts,
        ledger: Ledger,
        team: Team,
        clock: Clock,
    ) -> None:
        self._gate = gate
        self._manager = manager
        self._accounts = accounts
        self._ledger = ledger
        self._team = team
        self._clock = clock

    async def usage(self, request: Request, exchange: Exchange) -> Response:
        """Accounts, and sums over the ledger: ``usage.ledger.summarise``."""
        self._gate.check(request)
        return _answer({"accounts": self._accounts.all(), **await self._ledger.summary()})

    async def requests(self, request: Request, exchange: Exchange) -> Response:
        """The latest finished requests; ``limit``, and ``before`` with the id of one for the next page."""
        self._gate.check(request)
        query = parse_qs(request.query)
        rows = await self._ledger.recent(_limit(query), query.get("before", [""])[0])
        return _answer({"requests": rows})

    async def tokens(self, request: Request, exchange: Exchange) -> Response:
        """The pool as kiro2api's dashboard has it. Where that shows the end of a token, there is the
        account's short id instead."""
        self._gate.check(request)
        wall_s = self._clock.wall()
        last_used, running = self._team.last_used(), self._team.active()
        entries = [
            _token_json(index, view, self._accounts.one(view, running), last_used.get(view.id))
            for index, view in enumerate(self._manager.accounts())
        ]
        active = sum(entry["status"] == "active" for entry in entries)
        counts = {"total_tokens": len(entries), "active_tokens": active}
        return _answer(
            {"timestamp": _rfc3339(wall_s), **counts, "tokens": entries, "pool_stats": counts}
        )


# kiro2api knows four words; what an account of ours can be besides is an error to it, with the reason.
_STATUS_WORDS: Final = {
    State.READY: "active",
    State.REFRESHING: "active",
    State.EXHAUSTED: "exhausted",
    State.DISABLED: "disabled",
}


def _token_json(index: int, view: AccountView, account: Json, used_epoch_s: float | None) -> Json:
    entry = {
        "index": index,
        "user_email": masked(view.label),
        "token_preview": f"***{view.id}",
        "auth_type": view.kind.value.lower(),
        "remaining_usage": account["remaining"] or 0,
        "expires_at": _rfc3339(view.expires_at_epoch_s),
        "last_used": _rfc3339(used_epoch_s),
        "status": _STATUS_WORDS.get(view.status.state, "error"),
    }
    if account["limit"] is not None:
        entry["usage_limits"] = {
            "total_limit": account["limit"],
            "current_usage": account["used"],
            "is_exceeded": account["remaining"] <= 0,
        }
    if view.status.reason:
        entry["error"] = view.status.reason
    return entry


def masked(label: str) -> str:
    """A label as it is; of an e-mail address no more than two letters at each end and the last domain."""
    name, at, domain = label.partition("@")
    if not at:
        return label
    hidden = "*" * len(name) if len(name) <= 4 else f"{name[:2]}{'*' * (len(name) - 4)}{name[-2:]}"
    return f"{hidden}@***.{domain.rpartition('.')[2]}"


def _limit(query: dict[str, list[str]]) -> int:
    text = query.get("limit", [str(PAGE)])[0]
    is_short = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE))
    if not is_short or not 1 <= int(text) <= MAX_PAGE:
        raise RequestError(f"limit: must be a whole number from 1 to {MAX_PAGE}", param="limit")
    return int(text)


def _rfc3339(epoch_s: float | None) -> str | None:
    if epoch_s is None or not 0 < epoch_s < _LAST_EPOCH_S:
        return None
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="seconds")


def _answer(value: Json) -> Response:
    return json_response(200, orjson.dumps(value), _PRIVATE)
