"""Ten thousand requests over five accounts that fail in every way: nobody is lost, nobody is wronged.

The relay, the accounts and their limits are the real ones. Only the service is played, and time, which
jumps from one thing that happens to the next.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from kiroproxy.accounts import (
    AccountManager,
    AccountSettings,
    PaceLimits,
    State,
    Strategy,
    TokenStore,
)
from kiroproxy.api.anthropic.request import parse_messages_request
from kiroproxy.api.events import AnswerEvent
from kiroproxy.errors import ConnectError, ConnectionLostError, KiroProxyError
from kiroproxy.eventstream.encoder import encode_event
from kiroproxy.kiro.identity import Identity
from kiroproxy.kiro.replies import classify_reply
from kiroproxy.metrics import Metrics
from kiroproxy.relay import Relay
from kiroproxy.usage.record import Trace
from tests.accounts.fakes import FakeService, ManualClock, credential
from tests.threads import threads_idle

WORKERS = 48
CONCURRENCY = 16
STEADY, THROTTLED, POOR, SUSPECT, SHAKY = range(1, 6)
CREDITS = 900
CRIMES = 700
TICK_S = 0.05

GOOD = encode_event("assistantResponseEvent", b'{"content":"ok"}') + encode_event(
    "meteringEvent", b'{"usage":0.1,"unit":"credit"}'
)
RATE = b'{"message":"Too many requests","reason":"USER_REQUEST_RATE_EXCEEDED"}'
QUOTA = b'{"message":"You have reached the limit.","reason":"MONTHLY_REQUEST_COUNT"}'
LOCKED = b'{"message":"Your User ID is suspended.","reason":"TEMPORARILY_SUSPENDED"}'
TOKEN = b'{"message":"The bearer token included in the request is invalid."}'


class JumpingClock(ManualClock):
    """Virtual time. ``drive`` moves it on whenever nobody has anything left to do."""

    async def drive(self, work: asyncio.Future[object]) -> None:
        while not work.done():
            for _ in range(16):
                await asyncio.sleep(0)
            await threads_idle()
            self._wake()

    def _wake(self) -> None:
        """The next one who sleeps, and all who would wake within the tick after."""
        end_s = self._sleepers[0][0] + TICK_S if self._sleepers else 0.0
        while self._sleepers and self._sleepers[0][0] <= end_s:
            self.now_s, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)


class Response:
    """An answer of the service: its bytes, in one read."""

    def __init__(self, body: bytes | KiroProxyError) -> None:
        self._body = body

    async def pipe(self, sink: Callable[[bytes], None]) -> None:
        if isinstance(self._body, KiroProxyError):
            raise self._body
        sink(self._body)

    def close(self) -> None:
        pass


class Service(FakeService):
    """The truth about each account, and what was asked of it."""

    def __init__(self, clock: JumpingClock, rand: random.Random) -> None:
        super().__init__(expires_in_s=600.0)
        self.clock = clock
        self.rand = rand
        self.numbers = {credential(n).id: n for n in range(1, 6)}
        self.served: Counter[int] = Counter()
        self.active: Counter[int] = Counter()
        self.most_active: Counter[int] = Counter()
        self.asked: dict[str, list[int]] = {}
        self.told_s: dict[int, float] = {}  # when an account was said to be out for good
        self.after: Counter[int] = Counter()  # calls that began later than that
        self.shaken: set[str] = set()

    async def generate(
        self,
        identity: Identity,
        encode: Callable[[str | None], bytes],
        *,
        invocation_id: str,
        attempt: int,
    ) -> Response:
        number = self.numbers[identity.account_id]
        self.asked.setdefault(invocation_id, []).append(number)
        if self.clock.now_s > self.told_s.get(number, 1e18):
            self.after[number] += 1
        self.active[number] += 1
        self.most_active[number] = max(self.most_active[number], self.active[number])
        try:
            await self.clock.sleep(self.rand.uniform(0.1, 2.0))
            return self._reply(number, invocation_id)
        finally:
            self.active[number] -= 1

    def _reply(self, number: int, invocation_id: str) -> Response:
        if number == THROTTLED and self.rand.random() < 0.1:
            raise classify_reply(429, {}.get, RATE)
        if number == POOR and self.served[POOR] >= CREDITS:
            self.told_s.setdefault(POOR, self.clock.now_s)
            raise classify_reply(402, {}.get, QUOTA)
        if number == SUSPECT and self.served[SUSPECT] >= CRIMES:
            self.told_s.setdefault(SUSPECT, self.clock.now_s)
            raise classify_reply(403, {}.get, LOCKED)
        if number == SHAKY and invocation_id not in self.shaken and self.rand.random() < 0.1:
            self.shaken.add(invocation_id)
            self._shake()
            return Response(ConnectionLostError("The line broke."))
        self.served[number] += 1
        return Response(GOOD)

    def _shake(self) -> None:
        match self.rand.randrange(4):
            case 0:
                raise ConnectError("Nobody there.")
            case 1:
                raise classify_reply(500, {}.get, b"{}")
            case 2:
                raise classify_reply(403, {}.get, TOKEN)


class Inbox:
    """One client."""

    def __init__(self) -> None:
        self.committed = False
        self.events: list[AnswerEvent] = []

    def begin(self, account_id: str, model_id: str) -> None:
        self.events = []

    def deliver(self, batch: list[AnswerEvent]) -> None:
        self.committed = True
        self.events += batch

    def attach(self, response: object) -> None:
        pass


class Fleet:
    """Everything together."""

    def __init__(self, folder: Path, strategy: Strategy) -> None:
        rand = random.Random(20260)  # the same story every time
        self.clock = JumpingClock()
        self.service = Service(self.clock, rand)
        settings = AccountSettings(
            strategy=strategy, pace=PaceLimits(CONCURRENCY), busy_wait_s=600.0
        )
        self.manager = AccountManager(
            [credential(n, expires_in_s=300.0) for n in range(1, 6)],
            TokenStore(folder, self.clock),
            self.service,
            self.clock,
            settings,
            rand.random,
        )
        self.relay = Relay(
            self.manager,
            self.service,  # type: ignore[arg-type]
            self.clock,
            Metrics(),
            rand=rand.random,
        )
        self.answered = 0
        self.errors: list[KiroProxyError] = []

    async def request(self, number: int) -> None:
        body = orjson.dumps(
            {
                "model": "claude-sonnet-4.5",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": f"question {number}"}],
            }
        )
        turn = parse_messages_request(body, {}.get)
        inbox = Inbox()
        trace = Trace(str(number), "", "messages", self.clock.monotonic())
        try:
            await self.relay.answer(turn, inbox, trace)
        except KiroProxyError as error:
            self.errors.append(error)
        else:
            assert inbox.events
            self.answered += 1

    async def run(self, requests: int) -> None:
        numbers = iter(range(requests))

        async def worker() -> None:
            for number in numbers:
                await self.request(number)

        await self.manager.start()
        work = asyncio.gather(*(worker() for _ in range(WORKERS)))
        await self.clock.drive(work)
        await work
        await self.manager.stop()

    def states(self) -> dict[int, State]:
        return {
            self.service.numbers[view.id]: view.status.state for view in self.manager.accounts()
        }


@pytest.mark.timeout(180)  # seconds of computing; many on a machine with other work
@pytest.mark.parametrize(
    ("strategy", "requests"), [(Strategy.ROUND_ROBIN, 10_000), (Strategy.LEAST_LOADED, 5_000)]
)
async def test_many_requests(tmp_path: Path, strategy: Strategy, requests: int) -> None:
    fleet = Fleet(tmp_path, strategy)
    service = fleet.service
    await fleet.run(requests)

    # No request is lost.
    assert (fleet.answered, fleet.errors) == (requests, [])
    assert sum(service.served.values()) == requests  # and none was answered twice

    # An account that is out is not asked again, and only the word of the service puts it out.
    assert fleet.states()[POOR] is State.EXHAUSTED and fleet.states()[SUSPECT] is State.SUSPENDED
    assert service.served[POOR] == CREDITS and service.served[SUSPECT] == CRIMES
    assert set(service.after) <= {POOR, SUSPECT} and sum(service.after.values()) == 0
    assert fleet.states()[STEADY] in (State.READY, State.REFRESHING)
    assert fleet.states()[SHAKY] in (State.READY, State.REFRESHING)

    # Each account is left at most once by a request; one that pauses, once more after its pause.
    for numbers in service.asked.values():
        changes = Counter(number for number, _ in itertools.groupby(numbers))
        assert changes.pop(THROTTLED, 0) <= 2
        assert max(changes.values(), default=0) <= 1

    # Fair: those that were able all the time have served alike (the shaky one's requests take longer);
    # the throttled one less, but not nothing.
    assert abs(service.served[STEADY] - service.served[SHAKY]) < 0.2 * service.served[STEADY]
    assert 0 < service.served[THROTTLED] < service.served[STEADY]

    # Limits were kept, and nothing is left behind.
    assert max(service.most_active.values()) <= CONCURRENCY
    assert [view.active for view in fleet.manager.accounts()] == [0] * 5


@pytest.mark.parametrize("jump_s", [86400.0, -86400.0])
async def test_clock_jumps_lose_nothing(tmp_path: Path, jump_s: float) -> None:
    fleet = Fleet(tmp_path, Strategy.ROUND_ROBIN)

    async def jump() -> None:
        await fleet.clock.sleep(5.0)
        fleet.clock.skew_s = jump_s
        await fleet.clock.sleep(5.0)
        fleet.clock.skew_s = 0.0

    jumping = asyncio.create_task(jump())
    await fleet.run(1000)
    await jumping
    assert (fleet.answered, fleet.errors) == (1000, [])
    assert set(fleet.states().values()) <= {State.READY, State.REFRESHING, State.COOLING}
