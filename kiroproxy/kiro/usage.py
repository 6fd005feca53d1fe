"""Reply of getUsageLimits: plan, credits used and allowed, when they come back. Pure.

Trial and bonuses are pots on top of the plan; together they are what is left to spend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from kiroproxy.errors import UpstreamError
from kiroproxy.kiro.objects import first_text, object_of

_MILLISECONDS_FROM: Final = 1e11
_MOST_CREDITS: Final = 1e12
_LAST_EPOCH_S: Final = 253_402_300_800.0  # the year 10000, where calendars here end


@dataclass(frozen=True, slots=True)
class Pot:
    """Credits on top of the plan. ``status``: the service's word; only an ACTIVE pot can be spent."""

    status: str
    used: float
    limit: float
    expires_epoch_s: float | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Overage:
    """What is spent beyond the limit, where the user has allowed that (``status`` ENABLED).

    ``rate`` and ``charges`` are in ``currency``."""

    status: str
    used: float
    cap: float
    rate: float
    charges: float
    currency: str = ""


@dataclass(frozen=True, slots=True)
class UsageLimits:
    """``used``/``limit``: credits over plan, active trial and active bonuses; None when not told.

    ``next_reset_epoch_s``: wall time. The reply's personal data (user id, e-mail) is not taken.
    """

    plan: str = ""
    used: float | None = None
    limit: float | None = None
    next_reset_epoch_s: float | None = None
    trial: Pot | None = None
    bonuses: tuple[Pot, ...] = ()
    overage: Overage | None = None

    @property
    def remaining(self) -> float | None:
        return None if self.limit is None or self.used is None else self.limit - self.used


def parse_usage(body: bytes) -> UsageLimits:
    """Raises UpstreamError when the reply is no JSON object; every field in it is optional."""
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UpstreamError("getUsageLimits: the reply is not JSON.") from None
    if not isinstance(reply, dict):
        raise UpstreamError("getUsageLimits: the reply is not a JSON object.")
    line = _credit_line(reply)
    pots = list(_pots(line)) if line else []
    reset = _epoch_s(line.get("nextDateReset")) or _epoch_s(reply.get("nextDateReset"))
    return UsageLimits(
        plan=first_text(object_of(reply.get("subscriptionInfo")), "subscriptionTitle", "type"),
        used=sum(_amount(pot, "currentUsage") for pot in pots) if pots else None,
        limit=sum(_amount(pot, "usageLimit") for pot in pots) if pots else None,
        next_reset_epoch_s=reset,
        trial=_trial(line),
        bonuses=tuple(_pot(bonus, "") for bonus in _bonuses(line)),
        overage=_overage(reply, line),
    )


def _credit_line(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The CREDIT line, else the first; ``usageBreakdown`` is the old form with one line."""
    lines = reply.get("usageBreakdownList")
    items = [object_of(item) for item in lines] if isinstance(lines, list) else []
    items = [item for item in items if item] or [object_of(reply.get("usageBreakdown"))]
    return next((item for item in items if item.get("resourceType") == "CREDIT"), items[0])


def _pots(line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What can be spent: the plan, then whatever is active on top of it."""
    yield line
    trial = object_of(line.get("freeTrialInfo"))
    if trial.get("freeTrialStatus") == "ACTIVE":
        yield trial
    for bonus in _bonuses(line):
        if bonus.get("status") == "ACTIVE":
            yield bonus


def _bonuses(line: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    items = line.get("bonuses")
    for item in items if isinstance(items, list) else []:
        if bonus := object_of(item):
            yield bonus


def _trial(line: Mapping[str, Any]) -> Pot | None:
    trial = object_of(line.get("freeTrialInfo"))
    return _pot(trial, "trial") if trial else None


def _pot(fields: Mapping[str, Any], name: str) -> Pot:
    return Pot(
        status=first_text(fields, "status", "freeTrialStatus"),
        used=_amount(fields, "currentUsage"),
        limit=_amount(fields, "usageLimit"),
        expires_epoch_s=_epoch_s(fields.get("expiresAt"))
        or _epoch_s(fields.get("freeTrialExpiry")),
        name=name or first_text(fields, "displayName", "bonusCode"),
    )


def _overage(reply: Mapping[str, Any], line: Mapping[str, Any]) -> Overage | None:
    status = first_text(object_of(reply.get("overageConfiguration")), "overageStatus")
    if not status and "currentOverages" not in line:
        return None
    return Overage(
        status=status,
        used=_amount(line, "currentOverages"),
        cap=_amount(line, "overageCap"),
        rate=_amount(line, "overageRate"),
        charges=_amount(line, "overageCharges"),
        currency=first_text(line, "currency"),
    )


def _amount(pot: Mapping[str, Any], name: str) -> float:
    for key in (f"{name}WithPrecision", name):
        value = pot.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            if abs(value) <= _MOST_CREDITS:  # sums of what is beyond would be no numbers
                return float(value)
    return 0.0


def _epoch_s(value: object) -> float | None:
    """Epoch seconds from seconds, milliseconds or RFC 3339; None for anything else."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    epoch_s = value / 1000 if value >= _MILLISECONDS_FROM else float(value)
    return epoch_s if 0 < epoch_s < _LAST_EPOCH_S else None
