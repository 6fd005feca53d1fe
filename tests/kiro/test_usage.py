"""getUsageLimits: pots, sums, dates, and replies that say less."""

import orjson
import pytest

from kiroproxy.errors import UpstreamError
from kiroproxy.kiro.usage import Overage, Pot, UsageLimits, parse_usage

LINE = {
    "resourceType": "CREDIT",
    "currency": "USD",
    "currentUsage": 12,
    "currentUsageWithPrecision": 12.5,
    "usageLimit": 1000,
    "nextDateReset": 1790812800.0,
    "currentOverages": 3,
    "overageCap": 10000,
    "overageRate": 0.04,
    "overageCharges": 0.12,
    "freeTrialInfo": {
        "freeTrialStatus": "ACTIVE",
        "freeTrialExpiry": 1789000000000,  # milliseconds happen
        "currentUsage": 5,
        "usageLimit": 500,
    },
    "bonuses": [
        {"bonusCode": "X", "status": "ACTIVE", "usageLimit": 100.0, "expiresAt": 1791000000.0},
        {"bonusCode": "Y", "status": "EXPIRED", "currentUsage": 7, "usageLimit": 7},
    ],
}
REPLY = {
    "subscriptionInfo": {"type": "Q_DEVELOPER_STANDALONE_PRO", "subscriptionTitle": "KIRO PRO"},
    "overageConfiguration": {"overageStatus": "ENABLED"},
    "userInfo": {"userId": "d-90.secret", "email": "a@example.com"},
    "usageBreakdownList": [{"resourceType": "VIBE", "usageLimit": 1}, LINE],
}


def parse(reply: object) -> UsageLimits:
    return parse_usage(orjson.dumps(reply))


def test_active_pots_are_added_to_the_plan() -> None:
    usage = parse(REPLY)
    assert (usage.plan, usage.used, usage.limit) == ("KIRO PRO", 17.5, 1600.0)
    assert usage.remaining == 1582.5
    assert usage.next_reset_epoch_s == 1790812800.0


def test_trial_bonuses_and_overage_are_told_apart() -> None:
    usage = parse(REPLY)
    assert usage.trial == Pot("ACTIVE", 5.0, 500.0, 1789000000.0, "trial")
    assert usage.bonuses == (
        Pot("ACTIVE", 0.0, 100.0, 1791000000.0, "X"),
        Pot("EXPIRED", 7.0, 7.0, None, "Y"),
    )
    assert usage.overage == Overage("ENABLED", 3.0, 10000.0, 0.04, 0.12, "USD")


def test_personal_data_is_not_taken() -> None:
    usage = repr(parse(REPLY))
    assert "KIRO PRO" in usage and "d-90.secret" not in usage and "a@example.com" not in usage


def test_expired_trial_is_shown_and_not_counted() -> None:
    line = {"usageLimit": 50, "currentUsage": 1}
    trial = {"freeTrialStatus": "EXPIRED", "usageLimit": 500}
    usage = parse({"usageBreakdown": {**line, "freeTrialInfo": trial}})
    assert (usage.used, usage.limit) == (1.0, 50.0)
    assert usage.trial is not None
    assert usage.trial.status == "EXPIRED"
    assert usage.overage is None


def test_a_reply_that_says_nothing_gives_nothing() -> None:
    usage = parse({})
    assert (usage.used, usage.limit, usage.remaining, usage.trial) == (None, None, None, None)
    assert (usage.bonuses, usage.overage, usage.plan) == ((), None, "")


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"null"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        parse_usage(body)


def test_repr_names_nobody() -> None:
    assert "secret" not in repr(parse(REPLY))
    assert "example.com" not in repr(parse(REPLY))


@pytest.mark.parametrize("absurd", [1e308, -1e308, 2**64 - 1, 1e13])
def test_absurd_figures_are_not_believed(absurd: float) -> None:
    pot = {
        "status": "ACTIVE",
        "usageLimit": absurd,
        "currentUsage": absurd,
        "expiresAt": absurd * 1e3,
    }
    line = {**LINE, "nextDateReset": absurd * 1e3, "bonuses": [pot] * 3}
    for name in ("currentUsage", "currentUsageWithPrecision", "usageLimit", "overageCap"):
        line[name] = absurd
    usage = parse({**REPLY, "usageBreakdownList": [line]})
    assert (usage.used, usage.limit, usage.remaining) == (5.0, 500.0, 495.0)
    assert usage.next_reset_epoch_s is None
    assert usage.bonuses == (Pot("ACTIVE", 0.0, 0.0),) * 3


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+14:00", "1969-12-31T00:00:00+00:00", "9e9"])
def test_dates_before_all_clocks_are_none(date: str) -> None:
    assert (
        parse({**REPLY, "nextDateReset": date, "usageBreakdownList": []}).next_reset_epoch_s is None
    )
