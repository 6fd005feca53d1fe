"""Renewed tokens that no disk would take are not forgotten, nor overruled by what the disk still holds."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kiroproxy.accounts import AccountManager, TokenStore
from kiroproxy.accounts.entries import Tokens
from kiroproxy.accounts.renewal import Renewer
from kiroproxy.errors import CredentialError
from kiroproxy.kiro.identity import CredentialKind
from kiroproxy.kiro.refresh import RefreshInputs
from kiroproxy.kiro.renewal import RefreshedTokens
from kiroproxy.secret import Secret
from tests.accounts.fakes import MARK, FakeService, ManualClock, settle
from tests.accounts.test_store import ide_file, load_one, store_at

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE")


def tokens(number: int) -> Tokens:
    return Tokens(Secret(f"aoa{number}"), Secret(f"aor{number}" + "y" * 120), 1790858096.0)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process takes a byte, also for root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("source", ["environment", "file"])
async def test_tokens_that_could_not_be_stored_count(source: str, tmp_path: Path) -> None:
    if source == "file":
        ide_file(tmp_path)
    found = load_one(tmp_path, **({} if source == "file" else {"AWS_REFRESHTOKEN": "env1"}))
    store = store_at(tmp_path)
    current = await store.save(found, tokens(0))
    for number in (1, 2, 3):
        with full_disk(), pytest.raises(OSError):
            await store.save(current, tokens(number))
        assert store.is_unsaved(found.id)
        current = await store.reread(current.with_tokens(tokens(number)))
        assert current.tokens == tokens(number)
    await store.save(current, current.tokens)
    assert not store.is_unsaved(found.id)
    again = load_one(tmp_path, **({} if source == "file" else {"AWS_REFRESHTOKEN": "env1"}))
    assert again.tokens.refresh == tokens(3).refresh


async def test_sign_in_made_meanwhile_wins(tmp_path: Path) -> None:
    ide_file(tmp_path)
    store, found = store_at(tmp_path), load_one(tmp_path)
    with full_disk(), pytest.raises(OSError):
        await store.save(found, tokens(1))
    ide_file(tmp_path, refreshToken="aor" + "n" * 120)
    again = await store.reread(found)
    assert again.tokens.refresh == Secret("aor" + "n" * 120)
    assert not store.is_unsaved(found.id)


async def test_room_on_the_disk_is_used(tmp_path: Path) -> None:
    """Tried again and again, until it works."""
    clock = ManualClock()
    store, found = store_at(tmp_path), load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    with full_disk(), pytest.raises(OSError):
        await store.save(found, tokens(1))
    renewer = Renewer(FakeService(), store, clock)
    task = asyncio.create_task(renewer.store_again(replace(found, tokens=tokens(1))))
    with full_disk():
        await clock.advance(100)
        assert store.is_unsaved(found.id)
    await clock.advance(600)
    await task
    again = load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    assert again.tokens.refresh == tokens(1).refresh


async def test_room_that_comes_with_a_restart_is_used(tmp_path: Path) -> None:
    """Who makes room on a full disk restarts the server next."""
    store, found = store_at(tmp_path), load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    manager = AccountManager([found], store, FakeService(), ManualClock())
    await manager.start()
    with full_disk():
        lease = await manager.lease("")
        manager.release(lease, None)
        await settle()
        assert store.is_unsaved(found.id)
    await manager.stop()
    again = load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    assert again.tokens.refresh == Secret(f"aor{MARK}1")


async def test_a_disk_that_stays_full_keeps_nobody_from_ending(tmp_path: Path) -> None:
    store, found = store_at(tmp_path), load_one(tmp_path, AWS_REFRESHTOKEN="env1")
    manager = AccountManager([found], store, FakeService(), ManualClock())
    with full_disk():
        manager.release(await manager.lease(""), None)
        await manager.stop()
        assert store.is_unsaved(found.id)


@dataclass
class Strict(FakeService):
    """Refresh tokens as long as real ones, each good for one renewal."""

    async def refresh(self, kind: CredentialKind, inputs: RefreshInputs) -> RefreshedTokens:
        if inputs.refresh_token in [earlier.refresh_token for earlier in self.refreshes]:
            self.errors.append(CredentialError("invalid_grant"))
        found = await super().refresh(kind, inputs)
        assert found.refresh is not None
        return replace(found, refresh=Secret(found.refresh.reveal() + "z" * 120))


RENEWED = Secret(f"aor{MARK}1" + "z" * 120)


@pytest.mark.parametrize("source", ["environment", "file"])
async def test_what_is_stored_late_does_not_undo_a_renewal(source: str, tmp_path: Path) -> None:
    """Tokens that found no place are stored at last while a renewal spends them."""
    if source == "file":
        ide_file(tmp_path)
    env = {} if source == "file" else {"AWS_REFRESHTOKEN": "env1"}
    clock, service = ManualClock(), Strict(gate=asyncio.Event())
    store, found = TokenStore(tmp_path / "state", clock), load_one(tmp_path, **env)
    renewer = Renewer(service, store, clock)
    with full_disk(), pytest.raises(OSError):
        await store.save(found, tokens(1))
    ours = found.with_tokens(tokens(1))
    renewal = asyncio.create_task(renewer.renew(ours, Secret("aoa1")))
    await settle()
    assert [spent.refresh_token for spent in service.refreshes] == [tokens(1).refresh]
    storing = asyncio.create_task(renewer.stored(ours))
    await settle()
    assert service.gate is not None
    service.gate.set()
    await clock.advance(5)
    assert (await renewal).tokens.refresh == RENEWED
    await storing
    assert load_one(tmp_path, **env).tokens.refresh == RENEWED


async def test_two_renewals_of_one_sign_in_spend_its_token_once(tmp_path: Path) -> None:
    """As when a reload replaces an account while it is being renewed."""
    ide_file(tmp_path)
    clock, service = ManualClock(), Strict(gate=asyncio.Event())
    store, found = TokenStore(tmp_path / "state", clock), load_one(tmp_path)
    renewer = Renewer(service, store, clock)
    both = [asyncio.create_task(renewer.renew(found)) for _ in range(2)]
    await settle()
    assert service.gate is not None
    service.gate.set()
    await clock.advance(5)
    assert [one.tokens.refresh for one in await asyncio.gather(*both)] == [RENEWED, RENEWED]
    assert len(service.refreshes) == 1
