"""The pool: decisions as a table, actions seen in its repr."""

from __future__ import annotations

import asyncio
import random

import pytest

from kiroproxy.clock import SystemClock
from kiroproxy.errors import ConnectError
from kiroproxy.upstream.connection import Connection, State
from kiroproxy.upstream.origin import Origin
from kiroproxy.upstream.pool import Census, Choice, Pool, PoolLimits, decide
from tests.upstream.fakes import FakeDialer, FakeReceiver, ManualClock

A = Origin("https", "a.example", 443)
B = Origin("https", "b.example", 443)
LIMITS = PoolLimits(total=3, per_origin=2, idle=2, idle_expiry_s=50)


@pytest.mark.parametrize(
    ("idle_here", "open_here", "idle_total", "open_total", "fresh", "expected"),
    [
        # 1: an idle connection is there
        (1, 1, 1, 1, False, Choice.REUSE),
        (1, 2, 1, 3, False, Choice.REUSE),
        # 2: room under both limits
        (0, 0, 0, 0, False, Choice.OPEN),
        (0, 1, 0, 2, False, Choice.OPEN),
        (0, 0, 2, 2, False, Choice.OPEN),
        (1, 1, 1, 1, True, Choice.OPEN),
        # 3: an idle connection makes place
        (0, 0, 1, 3, False, Choice.EVICT_ANY),
        (0, 1, 2, 3, False, Choice.EVICT_ANY),
        (1, 2, 1, 2, True, Choice.EVICT_HERE),
        (1, 2, 2, 3, True, Choice.EVICT_HERE),
        (1, 1, 1, 3, True, Choice.EVICT_ANY),
        # 4: all are in use
        (0, 2, 0, 2, False, Choice.WAIT),
        (0, 2, 1, 3, False, Choice.WAIT),
        (0, 0, 0, 3, False, Choice.WAIT),
        (0, 2, 0, 2, True, Choice.WAIT),
    ],
)
def test_decide(
    idle_here: int, open_here: int, idle_total: int, open_total: int, fresh: bool, expected: Choice
) -> None:
    assert (
        decide(Census(idle_here, open_here, idle_total, open_total), LIMITS, fresh=fresh)
        is expected
    )


def use(connection: Connection) -> Connection:
    connection.begin([b"request"], FakeReceiver())
    return connection


def give_back(pool: Pool, connection: Connection) -> None:
    connection.finish()
    pool.release(connection)


class Rig:
    def __init__(self, limits: PoolLimits = LIMITS) -> None:
        self.clock = ManualClock()
        self.dialer = FakeDialer()
        self.pool = Pool(limits, self.clock, self.dialer.dial)

    async def lease(self, origin: Origin = A, *, fresh: bool = False) -> Connection:
        return use(await self.pool.acquire(origin, fresh=fresh))

    def leasing(self, origin: Origin = A) -> asyncio.Task[Connection]:
        return asyncio.create_task(self.lease(origin))


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_lifecycle() -> None:
    rig = Rig()
    assert repr(rig.pool) == "<Pool [] waiting=0>"
    first = await rig.lease()
    assert repr(rig.pool) == "<Pool [https://a.example 1 open 0 idle] waiting=0>"
    give_back(rig.pool, first)
    assert repr(rig.pool) == "<Pool [https://a.example 1 open 1 idle] waiting=0>"
    assert await rig.lease() is first
    first.abort()
    assert repr(rig.pool) == "<Pool [] waiting=0>"
    await rig.pool.aclose()


async def test_most_recently_used_first() -> None:
    rig = Rig()
    one, two = await rig.lease(), await rig.lease()
    give_back(rig.pool, two)
    give_back(rig.pool, one)
    assert await rig.lease() is one
    assert await rig.lease() is two
    await rig.pool.aclose()


async def test_fresh_does_not_reuse() -> None:
    rig = Rig()
    one = await rig.lease()
    give_back(rig.pool, one)
    assert await rig.lease(fresh=True) is not one
    assert repr(rig.pool) == "<Pool [https://a.example 2 open 1 idle] waiting=0>"
    assert await rig.lease(fresh=False) is one
    give_back(rig.pool, one)
    assert await rig.lease(fresh=True) is not one  # this origin is full: the idle one makes place
    assert one.state is State.CLOSED
    assert repr(rig.pool) == "<Pool [https://a.example 2 open 0 idle] waiting=0>"
    await rig.pool.aclose()


async def test_full_pool_closes_the_least_recently_used_idle_one_elsewhere() -> None:
    rig = Rig()
    old, new, other = await rig.lease(A), await rig.lease(A), await rig.lease(B)
    give_back(rig.pool, old)
    give_back(rig.pool, new)
    await rig.lease(B)
    assert (old.state, new.state, other.state) == (State.CLOSED, State.IDLE, State.ACTIVE)
    await rig.pool.aclose()


async def test_waiters_are_served_first_come_first_served() -> None:
    rig = Rig()
    one, two = await rig.lease(), await rig.lease()
    waiting = [rig.leasing() for _ in range(3)]
    await turns()
    assert repr(rig.pool) == "<Pool [https://a.example 2 open 0 idle] waiting=3>"
    give_back(rig.pool, one)
    await turns()
    assert [task.done() for task in waiting] == [True, False, False]
    assert waiting[0].result() is one
    two.abort()  # a place, not a connection, comes free
    await turns()
    assert [task.done() for task in waiting] == [True, True, False]
    assert waiting[1].result() not in (one, two)
    assert repr(rig.pool) == "<Pool [https://a.example 2 open 0 idle] waiting=1>"
    await rig.pool.aclose()
    with pytest.raises(ConnectError):
        await waiting[2]


async def test_waiter_of_a_full_origin_does_not_hold_up_others() -> None:
    rig = Rig(PoolLimits(total=3, per_origin=2))
    held = [await rig.lease(A), await rig.lease(A), await rig.lease(B)]
    first, second = rig.leasing(A), rig.leasing(B)
    await turns()
    held[2].abort()
    await turns()
    assert (first.done(), second.done()) == (False, True)
    await rig.pool.aclose()
    with pytest.raises(ConnectError):
        await first


async def test_failed_opening_gives_its_place_to_the_next() -> None:
    rig = Rig(PoolLimits(per_origin=1))
    rig.dialer.gate.clear()
    failing, waiting = rig.leasing(), rig.leasing()
    await turns()
    assert repr(rig.pool) == "<Pool [https://a.example 1 open 0 idle] waiting=1>"
    failing.cancel()
    await turns()
    rig.dialer.gate.set()
    await waiting
    assert repr(rig.pool) == "<Pool [https://a.example 1 open 0 idle] waiting=0>"
    await rig.pool.aclose()


async def test_opening_error_comes_out_and_leaves_nothing() -> None:
    rig = Rig()
    rig.dialer.error = ConnectError("no route")
    with pytest.raises(ConnectError, match="no route"):
        await rig.lease()
    assert repr(rig.pool) == "<Pool [] waiting=0>"


@pytest.mark.parametrize("gets", ["connection", "place"])
async def test_waiter_cancelled_in_the_moment_it_is_served_passes_it_on(gets: str) -> None:
    rig = Rig(PoolLimits(per_origin=1))
    held = await rig.lease()
    first, second = rig.leasing(), rig.leasing()
    await turns()
    if gets == "connection":
        give_back(rig.pool, held)
    else:
        held.abort()
    first.cancel()  # granted already, but its task has not run since
    await turns()
    assert first.cancelled()
    assert (await second is held) is (gets == "connection")
    assert repr(rig.pool) == "<Pool [https://a.example 1 open 0 idle] waiting=0>"
    await rig.pool.aclose()


async def test_waiter_cancelled_just_before_it_is_served() -> None:
    rig = Rig(PoolLimits(per_origin=1))
    held = await rig.lease()
    first, second = rig.leasing(), rig.leasing()
    await turns()
    first.cancel()  # its task has not run: it still stands in the queue
    give_back(rig.pool, held)
    assert await second is held
    await rig.pool.aclose()


async def test_dead_idle_connection_is_skipped() -> None:
    rig = Rig()
    one, two = await rig.lease(), await rig.lease()
    give_back(rig.pool, one)
    give_back(rig.pool, two)
    two.eof_received()
    assert repr(rig.pool) == "<Pool [https://a.example 1 open 1 idle] waiting=0>"
    assert await rig.lease() is one
    await rig.pool.aclose()


async def test_idle_limit_closes_the_oldest() -> None:
    rig = Rig(PoolLimits(idle=2))
    leased = [await rig.lease() for _ in range(4)]
    for connection in leased:
        give_back(rig.pool, connection)
    assert [c.state for c in leased] == [State.CLOSED, State.CLOSED, State.IDLE, State.IDLE]
    assert repr(rig.pool) == "<Pool [https://a.example 2 open 2 idle] waiting=0>"
    await rig.pool.aclose()


async def test_idle_connections_expire() -> None:
    dialer = FakeDialer()
    pool = Pool(PoolLimits(idle_expiry_s=0.05), SystemClock(), dialer.dial)
    for origin in (A, B):
        give_back(pool, use(await pool.acquire(origin)))
        await asyncio.sleep(0.01)
    for connection in dialer.opened:
        await connection.closed
    assert repr(pool) == "<Pool [] waiting=0>"


async def test_released_after_aclose_is_closed() -> None:
    rig = Rig()
    rig.dialer.gate.clear()
    opening = rig.leasing()
    await turns()
    await rig.pool.aclose()
    rig.dialer.gate.set()
    with pytest.raises(ConnectError):
        await opening
    assert rig.dialer.opened[0].state is State.CLOSED
    with pytest.raises(ConnectError):
        await rig.lease()
    assert repr(rig.pool) == "<Pool [] waiting=0>"


@pytest.mark.parametrize("seed", range(20))
async def test_random_traffic_keeps_the_limits_and_serves_everybody(seed: int) -> None:
    source = random.Random(seed)
    rig = Rig(PoolLimits(total=5, per_origin=3, idle=3))

    async def user(origin: Origin) -> None:
        connection = await rig.lease(origin, fresh=source.random() < 0.2)
        assert connection.origin == origin
        open_now = [c for c in rig.dialer.opened if c.state is not State.CLOSED]
        assert len(open_now) <= 5
        assert sum(c.origin == origin for c in open_now) <= 3
        ends_well = False
        try:
            await turns(source.randrange(4))
            ends_well = source.random() < 0.7
        finally:
            if ends_well:
                give_back(rig.pool, connection)
            else:
                connection.abort()

    tasks = []
    for _ in range(60):
        tasks.append(asyncio.create_task(user(source.choice((A, B)))))
        if source.random() < 0.2:
            source.choice(tasks).cancel()
        await turns(source.randrange(2))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(r is None or isinstance(r, asyncio.CancelledError) for r in results)
    assert "waiting=0" in repr(rig.pool)
    await rig.pool.aclose()
    assert repr(rig.pool) == "<Pool [] waiting=0>"
