"""The desk's two ways with an old refresh token."""

from __future__ import annotations

from kiroproxy.simulator.desk import Desk
from kiroproxy.simulator.settings import demo_accounts


def desk(*, old_until_use: bool) -> tuple[Desk, str]:
    accounts = demo_accounts()
    return Desk(accounts, 60, 1, old_until_use=old_until_use), accounts[0].refresh_token


def test_old_token_dies_at_once() -> None:
    made, old = desk(old_until_use=False)
    assert made.redeem(old, 0.0) is not None
    assert made.redeem(old, 0.0) is None


def test_old_token_lives_until_what_came_for_it_is_used() -> None:
    made, old = desk(old_until_use=True)
    lost, kept = made.redeem(old, 0.0), made.redeem(old, 0.0)
    assert lost is not None and kept is not None
    assert made.by_access(kept.access_token, 1.0) is not None
    assert made.by_refresh(old) is None
    assert made.by_refresh(lost.refresh_token) is None
    assert made.by_refresh(kept.refresh_token) is not None


def test_expired_access_token_is_no_use() -> None:
    made, old = desk(old_until_use=True)
    grant = made.redeem(old, 0.0)
    assert grant is not None
    assert made.by_access(grant.access_token, 61.0) is None
    assert made.by_refresh(old) is not None
