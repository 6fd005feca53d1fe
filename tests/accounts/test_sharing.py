"""One file's lock for many sign-ins: a few at a time, in order, and never against another process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from kiroproxy.accounts.credentials import load_credentials
from kiroproxy.accounts.entries import Credential
from kiroproxy.accounts.files import FileLock
from kiroproxy.accounts.renewal import Renewer
from kiroproxy.accounts.sharing import AT_ONCE, HOLD_S, LOCK_WAIT_S, SharedLock
from kiroproxy.accounts.store import TokenStore
from kiroproxy.errors import UpstreamError
from tests.accounts.fakes import FakeService, ManualClock, settle

MANY = 3 * AT_ONCE


def pool(tmp_path: Path, count: int) -> tuple[Path, list[Credential]]:
    path = tmp_path / "pool.json"
    entries = [
        {"auth": "Social", "refreshToken": f"aor{number}-{'x' * 120}", "mine": number}
        for number in range(count)
    ]
    path.write_text(json.dumps(entries))
    env = {"KIRO_AUTH_TOKEN": str(path)}
    return path, load_credentials(env, tmp_path / "home", tmp_path / "state").credentials


class Guest:
    """A task that is inside until it is told to go."""

    def __init__(self, lock: SharedLock, name: str, inside: list[str]) -> None:
        self._go = asyncio.Event()
        self._lock, self._name, self._inside = lock, name, inside
        self.task = asyncio.create_task(self._stay())

    async def _stay(self) -> None:
        async with self._lock.held(self._name):
            self._inside.append(self._name)
            await self._go.wait()
        self._inside.remove(self._name)

    async def leave(self) -> None:
        self._go.set()
        await self.task


async def test_sign_ins_of_one_file_are_renewed_a_few_at_a_time_and_all_are_stored(
    tmp_path: Path,
) -> None:
    path, found = pool(tmp_path, MANY)
    clock, service = ManualClock(), FakeService(gate=asyncio.Event())
    renewer = Renewer(service, TokenStore(tmp_path / "state", clock), clock)
    renewals = [asyncio.create_task(renewer.renew(credential)) for credential in found]
    await settle()
    assert len(service.refreshes) == AT_ONCE
    assert not FileLock(path).try_acquire()
    assert service.gate is not None
    service.gate.set()
    renewed = await asyncio.gather(*renewals)
    assert len(service.refreshes) == MANY
    entries = json.loads(path.read_text())
    assert [entry["mine"] for entry in entries] == list(range(MANY))
    held = [credential.tokens.refresh.reveal() for credential in renewed]
    assert [entry["refreshToken"] for entry in entries] == held
    assert FileLock(path).try_acquire()


async def test_whoever_comes_finds_the_lock_taken_or_waits_in_order(tmp_path: Path) -> None:
    lock, inside = SharedLock(tmp_path / "x.json", ManualClock()), list[str]()
    guests = [Guest(lock, f"{number}", inside) for number in range(AT_ONCE + 2)]
    await settle()
    assert inside == [f"{number}" for number in range(AT_ONCE)]
    await guests[2].leave()
    await settle()
    assert inside[-1] == f"{AT_ONCE}"
    for guest in guests:
        await guest.leave()
    assert FileLock(tmp_path / "x.json").try_acquire()


async def test_the_lock_is_given_up_from_time_to_time(tmp_path: Path) -> None:
    clock, other = ManualClock(), FileLock(tmp_path / "x.json")
    lock, inside = SharedLock(tmp_path / "x.json", clock), list[str]()
    first = Guest(lock, "first", inside)
    await settle()
    await clock.advance(HOLD_S)
    late = Guest(lock, "late", inside)
    await settle()
    assert inside == ["first"]
    await first.leave()
    await settle()
    assert other.try_acquire() and inside == []
    await clock.advance(1)
    assert inside == []
    other.release()
    await clock.advance(1)
    assert inside == ["late"]
    await late.leave()


async def test_all_who_waited_in_vain_are_told_at_once(tmp_path: Path) -> None:
    clock, other = ManualClock(), FileLock(tmp_path / "x.json")
    lock, inside = SharedLock(tmp_path / "x.json", clock), list[str]()
    assert other.try_acquire()
    guests = [Guest(lock, f"{number}", inside) for number in range(MANY)]
    await clock.advance(LOCK_WAIT_S + 1)
    for number, guest in enumerate(guests):
        with pytest.raises(UpstreamError, match=f"^{number}: another process"):
            await guest.task
    last = Guest(lock, "last", inside)  # has a time of its own
    await clock.advance(1)
    other.release()
    await clock.advance(1)
    assert inside == ["last"]
    await last.leave()


async def test_whoever_is_cancelled_while_waiting_leaves_nothing_behind(tmp_path: Path) -> None:
    clock, other = ManualClock(), FileLock(tmp_path / "x.json")
    lock, inside = SharedLock(tmp_path / "x.json", clock), list[str]()
    assert other.try_acquire()
    waiting = [Guest(lock, f"{number}", inside) for number in range(AT_ONCE + 1)]
    await clock.advance(1)
    for guest in waiting:
        guest.task.cancel()
    await asyncio.wait({guest.task for guest in waiting})
    other.release()
    next_one = Guest(lock, "next", inside)
    await clock.advance(1)
    assert inside == ["next"]
    await next_one.leave()
    assert FileLock(tmp_path / "x.json").try_acquire()
