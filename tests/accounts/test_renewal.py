"""A renewal that finds another token in the store: whose word counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiroproxy.accounts.entries import Tokens
from kiroproxy.accounts.renewal import Renewer
from kiroproxy.secret import Secret
from tests.accounts.fakes import START_EPOCH_S, FakeService, ManualClock
from tests.accounts.test_store import ide_file, load_one, store_at

FOUND = Secret("aoaFound")


@pytest.mark.parametrize(
    ("left_s", "rejected", "asks"),
    [
        (3_600, None, 0),
        (3_600, Secret("aoaAnother"), 0),
        (3_600, FOUND, 1),  # the service has refused that very token, whatever its expiry says
        (30, None, 1),
    ],
)
async def test_token_that_another_process_has_stored(
    left_s: int, rejected: Secret | None, asks: int, tmp_path: Path
) -> None:
    ide_file(tmp_path)
    ours, store, service = load_one(tmp_path), store_at(tmp_path), FakeService()
    theirs = Tokens(FOUND, Secret("aor" + "f" * 120), START_EPOCH_S + left_s)
    await store.save(ours, theirs)
    renewed = await Renewer(service, store, ManualClock()).renew(ours, rejected)
    assert len(service.refreshes) == asks
    assert (renewed.tokens.access == FOUND) is not bool(asks)
    assert all(inputs.refresh_token == theirs.refresh for inputs in service.refreshes)
