"""States that outlive their process: restarts, kills, clock jumps, two processes on one folder."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kiroproxy.accounts import AccountManager, Credential, State, StateBook, TokenStore
from kiroproxy.accounts.persistence import MAX_PAUSE_S, Saved, from_saved, to_saved
from kiroproxy.accounts.state import BRAKE_S, Event, Now, Status, advance, remaining_s
from kiroproxy.database import Database
from kiroproxy.errors import Kind, NoAccountError, UpstreamRefusedError
from kiroproxy.kiro.replies import Action, Health, Remedy
from tests.accounts.fakes import FakeService, ManualClock, credential, settle

NOW = Now(5000.0, 1_790_000_000.0)
LATER = Now(3.0, NOW.wall_s + 60)  # another process, a minute later


def after(event: Event, now: Now = NOW) -> Status:
    return advance(Status(), event, now, reason="Words.", kind=Kind.RATE_LIMITED)


def kept(event: Event) -> Saved:
    saved = to_saved("a", after(event), "s", NOW)
    assert saved is not None
    return saved


@pytest.mark.parametrize(
    "event",
    [Event.BRAKED, Event.QUOTA_SPENT, Event.DAY_SPENT, Event.SUSPENSION, Event.RENEWAL_DENIED],
)
def test_status_comes_back_as_it_was(event: Event) -> None:
    before = after(event)
    status = from_saved(kept(event), "s", LATER)
    assert (status.state, status.reason, status.kind, status.streak) == (
        before.state,
        "Words.",
        Kind.RATE_LIMITED,
        before.streak,
    )
    was, now = remaining_s(before, NOW), remaining_s(status, LATER)
    assert now == (None if was is None else was - 60)


@pytest.mark.parametrize(
    ("jump_s", "left_s"),
    [(0, BRAKE_S), (-86400, BRAKE_S), (600, BRAKE_S - 600), (86400, 0), (10 * 86400, 0)],
)
def test_clock_jump_never_stretches_a_pause(jump_s: float, left_s: float) -> None:
    status = from_saved(kept(Event.BRAKED), "s", Now(1.0, NOW.wall_s + jump_s))
    assert remaining_s(status, Now(1.0, 0.0)) == left_s


def test_absurd_pause_is_bounded() -> None:
    saved = replace(kept(Event.BRAKED), until_epoch_s=NOW.wall_s + 1e9)
    assert remaining_s(from_saved(saved, "s", NOW), NOW) == MAX_PAUSE_S


def test_new_sign_in_heals_what_needs_one() -> None:
    for event in (Event.RENEWAL_DENIED, Event.SUSPENSION):
        assert from_saved(kept(event), "another", LATER).state is State.READY
    assert from_saved(kept(Event.QUOTA_SPENT), "another", LATER).state is State.EXHAUSTED


def test_what_is_not_kept() -> None:
    renewing = to_saved("a", advance(Status(), Event.RENEWAL_NEEDED, NOW), "s", NOW)
    assert renewing is not None and renewing.state is State.READY
    assert to_saved("a", advance(Status(), Event.SWITCHED_OFF, NOW), "s", NOW) is None


# -- the book


async def test_graver_word_of_another_process_stands(tmp_path: Path) -> None:
    base = Database.open(tmp_path / "state.db")
    one, two = StateBook(base), StateBook(base)
    assert await one.load() == {} == await two.load()
    one.save(kept(Event.SUSPENSION))
    two.save(kept(Event.THROTTLED))
    assert (await two.news())["a"].state is State.SUSPENDED
    assert await two.news() == {} == await one.news()
    two.save(replace(kept(Event.THROTTLED), state=State.READY))  # knows of the suspension by now
    assert (await one.news())["a"].state is State.READY
    one.save(kept(Event.THROTTLED))
    two.save(kept(Event.QUOTA_SPENT))
    assert (await one.news())["a"].state is State.EXHAUSTED
    assert (await StateBook(base).load())["a"] == kept(Event.QUOTA_SPENT)
    await base.close()


async def test_rows_that_make_no_sense_are_left_out(tmp_path: Path) -> None:
    base = Database.open(tmp_path / "state.db")
    book = StateBook(base)
    for name, state, until in (("a", "dancing", None), ("b", "ready", "soon"), ("c", "ready", 7)):
        row = (name, state, "", "internal", until, 1, 0, 0.0, "s", 1)
        base.submit(
            lambda c, r=row: c.execute(  # type: ignore[misc]
                "INSERT INTO account_states VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", r
            )
        )
    assert set(await book.load()) == {"c"}
    await base.run(lambda connection: connection.execute("DROP TABLE account_states"))
    assert await book.load() == {}
    await base.close()


# -- managers


class Process:
    """One manager with its own clock and database, as a process of its own would have."""

    def __init__(self, folder: Path, *credentials: Credential, skew_s: float = 0.0) -> None:
        self.clock = ManualClock()
        self.clock.skew_s = skew_s
        self.base = Database.open(folder / "state.db")
        self.service = FakeService()
        self.manager = AccountManager(
            credentials or (credential(1), credential(2)),
            TokenStore(folder, self.clock),
            self.service,
            self.clock,
            rand=lambda: 0.0,
            book=StateBook(self.base),
        )

    def states(self) -> list[State]:
        return [view.status.state for view in self.manager.accounts()]

    async def fail(self, health: Health, **more: float) -> None:
        """The first account that serves is refused."""
        lease = await self.manager.lease("")
        remedy = Remedy(Action.NEXT_ACCOUNT, health)
        error = UpstreamRefusedError("Words.", status=403, remedy=remedy, **more)  # type: ignore[arg-type]
        self.manager.release(lease, error)

    async def stop(self) -> None:
        await self.manager.stop()
        await self.base.close()


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    yield tmp_path


async def start(folder: Path, *credentials: Credential, skew_s: float = 0.0) -> Process:
    process = Process(folder, *credentials, skew_s=skew_s)
    await process.manager.restore()
    return process


@pytest.mark.parametrize(
    ("health", "state"),
    [
        (Health.SUSPEND, State.SUSPENDED),
        (Health.EXHAUST, State.EXHAUSTED),
        (Health.DAILY, State.EXHAUSTED),
        (Health.BRAKE, State.COOLING),
    ],
)
async def test_state_survives_a_restart(folder: Path, health: Health, state: State) -> None:
    first = await start(folder)
    await first.fail(health)
    await first.stop()
    second = await start(folder)
    assert second.states() == [state, State.READY]
    lease = await second.manager.lease("")
    assert lease.label == "account 2"
    await second.stop()


@pytest.mark.parametrize("skew_s", [-86400.0, 86400.0])
async def test_restart_after_a_clock_jump(folder: Path, skew_s: float) -> None:
    first = await start(folder, credential(1, expires_in_s=1e7))
    await first.fail(Health.BRAKE)
    await first.stop()
    second = await start(folder, credential(1, expires_in_s=1e7), skew_s=skew_s)
    if skew_s < 0:
        assert second.states() == [State.COOLING]
        await second.clock.advance(BRAKE_S)
    assert second.states() == [State.READY]
    await second.stop()


async def test_figures_that_lag_behind_do_not_undo_what_was_restored(folder: Path) -> None:
    first = await start(folder)
    await first.fail(Health.EXHAUST)
    await first.stop()
    second = await start(folder)
    account_id = second.manager.accounts()[0].id
    second.manager.set_remaining(account_id, 800.0, None)
    assert second.states()[0] is State.EXHAUSTED
    await second.clock.advance(301)
    second.manager.set_remaining(account_id, 800.0, None)
    assert second.states()[0] is State.READY
    await second.stop()


async def test_disabled_stays_what_the_configuration_says(folder: Path) -> None:
    first = await start(folder)
    await first.fail(Health.SUSPEND)
    await first.stop()
    second = await start(folder, credential(1, disabled=True))
    assert second.states() == [State.DISABLED]
    await second.stop()
    third = await start(folder)
    assert third.states()[0] is State.SUSPENDED
    await third.stop()


async def test_two_processes_tell_each_other(folder: Path) -> None:
    one, two = await start(folder), await start(folder)
    await one.manager.start()
    await two.manager.start()
    await settle()  # the first look at what others have written, which is nothing
    await two.base.run(lambda connection: None)
    await settle()
    await one.fail(Health.SUSPEND)
    await one.base.run(lambda connection: None)
    assert two.states() == [State.READY, State.READY]
    await two.clock.advance(31)
    await two.base.run(lambda connection: None)
    await settle()
    assert two.states() == [State.SUSPENDED, State.READY]
    await two.fail(Health.EXHAUST)
    with pytest.raises(NoAccountError):
        await two.manager.lease("")
    await two.base.run(lambda connection: None)
    await one.clock.advance(62)
    await one.base.run(lambda connection: None)
    await settle()
    assert one.states() == [State.SUSPENDED, State.EXHAUSTED]
    await one.stop()
    await two.stop()


async def test_manager_works_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "no-folder").write_text("")
    process = await start(tmp_path / "no-folder")
    await process.fail(Health.SUSPEND)
    assert (await process.manager.lease("")).label == "account 2"
    await process.stop()


KILLED = """
import asyncio, sys
from pathlib import Path
from kiroproxy.accounts.persistence import Saved, StateBook
from kiroproxy.accounts.state import State
from kiroproxy.database import Database
from kiroproxy.errors import Kind

async def main():
    base = Database.open(Path(sys.argv[1]))
    book = StateBook(base)
    await book.load()
    for n in range(10**9):
        for account in "abc":
            state = (State.READY, State.SUSPENDED)[n % 2]
            book.save(Saved(account, state, "x" * 300, Kind.QUOTA, None, False, n, 0.0, "s"))
        await base.run(lambda connection: None)
        print(n, flush=True)

asyncio.run(main())
"""


async def test_kill_9_in_the_middle_of_writes(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for number in range(6):
        command = [sys.executable, "-c", KILLED, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(5 + 7 * number):
                process.stdout.readline()
            process.kill()
            told = [line for line in process.stdout if line.endswith("\n")]
        assert process.returncode == -9
        last = int(told[-1]) if told else 4 + 7 * number
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        base = Database.open(path)
        rows = await StateBook(base).load()
        assert base.is_durable and set(rows) == {"a", "b", "c"}
        assert all(row.streak in (last, last + 1) for row in rows.values())
        await base.close()
