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
