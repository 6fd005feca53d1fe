"""Fifty accounts and two hundred clients against a real process: nobody starves, no account gets more than
its share, those that pause come back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kiroproxy.simulator import Settings, Simulator
from kiroproxy.simulator.settings import SOCIAL, SOCIAL_ARN, Account
from tests.processes import Server, environment, serving

pytestmark = pytest.mark.timeout(180)  # a thousand connections; many on a machine with other work

ACCOUNTS, CLIENTS, EACH = 50, 200, 4
PAUSING = [f"a{number}" for number in range(5)]
OUT_OF_CREDITS = [f"a{number}" for number in range(5, 8)]
LOCKED = [f"a{number}" for number in range(8, 10)]
REVOKED = [f"a{number}" for number in range(10, 12)]
WELL = [f"a{number}" for number in range(12, ACCOUNTS)]
RENEWED = WELL[::8]


def account(label: str) -> Account:
    return Account(
        label, SOCIAL, refresh_token=f"aor{label}{'x' * 150}", arn=SOCIAL_ARN, user_id=f"d-{label}"
    )


@asynccontextmanager
async def fleet(home: Path, strategy: str) -> AsyncIterator[tuple[Server, Simulator]]:
    accounts = [account(f"a{number}") for number in range(ACCOUNTS)]
    kiro = Simulator(Settings(pace_s=0, keep_requests=100_000, accounts=accounts))
    url = await kiro.start()
    entries = kiro.demo_credentials(*(item.label for item in accounts))
    limits = {
        "TOKEN_SELECTION_STRATEGY": strategy,
        "KIROPROXY_ACCOUNT_CONCURRENCY": str(EACH),
        "KIROPROXY_QUEUE_WAIT_S": "100",
        "MAX_CONCURRENT_SESSIONS": "0",
    }
    try:
        async with serving(environment(home, url, entries, **limits), home) as server:
            yield server, kiro
    finally:
        await kiro.stop()


def served(kiro: Simulator) -> Counter[str | None]:
    return Counter(entry.account for entry in kiro.received("chat") if entry.status == 200)


async def without_token(server: Server) -> int:
    """Accounts that are passed over for want of one, while others have theirs."""
    tokens = (await server.send("GET", "/api/tokens")).json["tokens"]
    return sum(not token["expires_at"] for token in tokens)


def break_always(kiro: Simulator, fault: str, labels: Iterable[str], route: str = "chat") -> None:
    for label in labels:
        kiro.faults.always(fault, account=label, route=route)


async def test_as_many_clients_as_there_is_room_for(tmp_path: Path) -> None:
    """Each has a place in the end, the last ones on accounts that paused meanwhile."""
    async with fleet(tmp_path, "round_robin") as (server, kiro):
        for label in PAUSING:
            kiro.faults.next("rate", account=label, retry_after=1)
        text = "[[sim:text 200]][[sim:pace 1]]"
        await asyncio.gather(*(server.stream(f"{text} {n}") for n in range(CLIENTS)))
        assert kiro.open_streams == CLIENTS == ACCOUNTS * EACH
        assert set(served(kiro).values()) == {EACH} and len(served(kiro)) == ACCOUNTS
        refused = Counter(e.account for e in kiro.received("chat") if e.status == 429)
        assert refused == Counter(PAUSING)
        # One more has to wait until somebody goes.
        last = asyncio.create_task(server.ask("[[sim:say at last]]"))
        first = len(kiro.received("chat"))
        await server.ask("not a model's business", max_tokens=-1)
        assert len(kiro.received("chat")) == first and not last.done()
        server.open[0].transport.abort()
        assert (await last).text == "at last"


async def test_accounts_that_fail_cost_no_request_and_the_others_share_alike(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path, "round_robin") as (server, kiro):
        while await without_token(server):
            await asyncio.sleep(0.1)
        break_always(kiro, "quota", OUT_OF_CREDITS)
        break_always(kiro, "suspended", LOCKED)
        break_always(kiro, "invalid_grant", REVOKED, route="refresh")
        for label in REVOKED:
            kiro.tokens.expire_access(label)
        for label in PAUSING:
            kiro.faults.next("rate", account=label, retry_after=1)
        ended = False

        async def client(number: int) -> set[str]:
            return {(await server.ask(f"[[sim:say ok]] {number} {n}")).text for n in range(3)}

        async def expire() -> None:
            """Tokens end while they are used, one account's after the other's."""
            for label in RENEWED:
                while served(kiro)[label] < 3 and not ended:
                    await asyncio.sleep(0.2)
                kiro.tokens.expire_access(label)

        expiring = asyncio.create_task(expire())
        texts = await asyncio.gather(*(client(number) for number in range(CLIENTS)))
        ended = True
        await expiring
        assert set().union(*texts) == {"ok"}
        counts = served(kiro)
        assert sum(counts.values()) == 3 * CLIENTS
        assert not set(counts) & {*OUT_OF_CREDITS, *LOCKED, *REVOKED}
        # Once each of them was refused: what was under way together may have been refused together.
        asked = Counter(entry.account for entry in kiro.received("chat"))
        assert all(asked[label] <= EACH for label in (*OUT_OF_CREDITS, *LOCKED, *REVOKED))
        assert all(counts[label] > 0 for label in RENEWED)
        steady = [counts[label] for label in WELL if label not in RENEWED]
        even = sum(steady) / len(steady)
        assert all(0.6 * even < count < 1.4 * even for count in steady), counts
