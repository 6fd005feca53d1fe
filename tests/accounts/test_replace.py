"""Sign-ins that are read again while the program runs: what is kept, what is taken, who finishes."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kiroproxy.accounts import (
    UNTRIED,
    AccountManager,
    AccountSettings,
    Credential,
    State,
    TokenStore,
)
from kiroproxy.accounts.entries import Place, Tokens
from kiroproxy.accounts.pace import PaceLimits
from kiroproxy.accounts.persistence import StateBook
from kiroproxy.accounts.selection import Strategy
from kiroproxy.database import Database
from kiroproxy.errors import CredentialError, NoAccountError
from kiroproxy.kiro.identity import CredentialKind
from kiroproxy.kiro.models import ModelInfo
from kiroproxy.secret import Secret
from tests.accounts.fakes import ARN, MARK, START_EPOCH_S, FakeService, ManualClock, credential
from tests.accounts.fakes import settle as settled

SETTINGS = AccountSettings(profile_wait_s=0.5, catalogue_wait_s=0.2)


class Pool:
    """A manager with everything around it."""

    def __init__(self, folder: Path, *credentials: Credential, book: StateBook | None = None):
        self.clock = ManualClock()
        self.service = FakeService(models=[ModelInfo("m1", "M1")])
        store = TokenStore(folder / "state", self.clock)
        self.manager = AccountManager(
            credentials, store, self.service, self.clock, SETTINGS, lambda: 0.0, book
        )

    @property
    def labels(self) -> list[str]:
        return [view.label for view in self.manager.accounts()]

    @property
    def states(self) -> list[State]:
        return [view.status.state for view in self.manager.accounts()]

    async def take(self, *credentials: Credential, settings: AccountSettings = SETTINGS) -> None:
        await self.manager.replace(credentials, settings)
        await settled()


MakePool = Callable[..., Pool]


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[MakePool]:
    made: list[Pool] = []

    def make(*credentials: Credential, book: StateBook | None = None) -> Pool:
        made.append(Pool(tmp_path, *credentials, book=book))
        return made[-1]

    yield make
    for item in made:
        await item.manager.stop()


def idc(number: int = 1, **changes: object) -> Credential:
    return credential(number, kind=CredentialKind.IDC, builder_id=True, **changes)  # type: ignore[arg-type]


# -- AccountManager.replace


async def test_order_additions_and_removals(pool: MakePool) -> None:
    p = pool(credential(1), credential(2))
    await p.take(credential(3), credential(1))
    assert p.labels == ["account 3", "account 1"]
    assert (await p.manager.lease("")).label == "account 3"


async def test_none_left_is_no_account_and_one_that_comes_serves(pool: MakePool) -> None:
    p = pool(credential(1))
    await p.take()
    with pytest.raises(NoAccountError):
        await p.manager.lease("")
    await p.take(credential(2))
    assert (await p.manager.lease("")).label == "account 2"


async def test_what_is_known_of_one_that_stays_is_kept(pool: MakePool) -> None:
    p = pool(credential(1, expires_in_s=-5), credential(2))
    p.service.errors = [CredentialError("dead")]
    with pytest.raises(NoAccountError):
        await p.manager.lease("", exclude=UNTRIED.leave(credential(2).id))
    p.manager.set_remaining(credential(2).id, 7.0, None)
    await p.take(credential(2), credential(1, expires_in_s=-5))
    assert p.states == [State.READY, State.REVOKED]
    assert p.manager.accounts()[0].remaining == 7.0


async def test_renewed_tokens_are_not_replaced_by_what_was_read_before(pool: MakePool) -> None:
    p = pool(credential(1, expires_in_s=-5))
    assert (await p.manager.lease("")).identity.token.reveal() == f"aoa{MARK}1"
    await p.take(credential(1, expires_in_s=-5))
    assert (await p.manager.lease("")).identity.token.reveal() == f"aoa{MARK}1"
    assert len(p.service.refreshes) == 1


async def test_switched_off_and_on_again(pool: MakePool) -> None:
    p = pool(credential(1), credential(2))
    await p.take(credential(1, disabled=True), credential(2))
    assert p.states == [State.DISABLED, State.READY]
    assert (await p.manager.lease("")).label == "account 2"
    await p.take(credential(1), credential(2))
    assert (await p.manager.lease("")).label == "account 1"


async def test_new_limits_and_strategy_count_for_requests_under_way_too(pool: MakePool) -> None:
    p = pool(credential(1), credential(2))
    lease = await p.manager.lease("")
    settings = replace(SETTINGS, pace=PaceLimits(concurrency=1))
    await p.take(credential(1), credential(2), settings=settings)
    assert (await p.manager.lease("")).label == "account 2"
    p.manager.release(lease, None)
    assert (await p.manager.lease("")).label == "account 1"
    await p.take(
        credential(1), credential(2), settings=replace(SETTINGS, strategy=Strategy("least_loaded"))
    )
    assert [view.active for view in p.manager.accounts()] == [1, 1]


async def test_who_waits_for_room_gets_the_new_account(pool: MakePool) -> None:
    full = replace(SETTINGS, pace=PaceLimits(concurrency=1))
    p = pool(credential(1))
    await p.take(credential(1), settings=full)
    await p.manager.lease("")
    waiting = asyncio.create_task(p.manager.lease(""))
    await settled()
    assert not waiting.done()
    await p.take(credential(1), credential(2), settings=full)
    assert (await waiting).label == "account 2"


async def test_one_that_comes_back_has_the_state_that_it_left_with(
    pool: MakePool, tmp_path: Path
) -> None:
    database = Database.open(tmp_path / "state.db")
    p = pool(credential(1, expires_in_s=-5), book=StateBook(database))
    p.service.errors = [CredentialError("dead")]
    with pytest.raises(NoAccountError):
        await p.manager.lease("")
    await p.take()
    await p.take(credential(1, expires_in_s=-5))
    assert p.states == [State.REVOKED]
    await database.close()


# -- a lease whose account is gone


async def test_refused_token_of_a_removed_account_is_renewed_for_its_request(
    pool: MakePool,
) -> None:
    p = pool(credential(1))
    lease = await p.manager.lease("s")
    await p.take(credential(2))
    again = await p.manager.refresh(lease)
    assert (again.label, again.was_renewed, len(p.service.refreshes)) == ("account 1", True, 1)
    assert again.identity.token != lease.identity.token
    p.manager.release(again, None)
    assert (await p.manager.lease("s")).label == "account 2"


async def test_removed_account_that_cannot_be_renewed_is_followed_by_another(
    pool: MakePool,
) -> None:
    p = pool(credential(1))
    lease = await p.manager.lease("s")
    await p.take(credential(2))
    p.service.errors = [CredentialError("dead")]
    assert (await p.manager.refresh(lease)).label == "account 2"
    assert p.states == [State.READY]


async def test_lease_that_was_given_back_before_its_account_went(pool: MakePool) -> None:
    p = pool(credential(1))
    lease = await p.manager.lease("s")
    p.manager.release(lease, None)
    await p.take(credential(2))
    p.manager.release(lease, None)
    assert (await p.manager.refresh(lease)).label == "account 2"


# -- Account.revise


async def test_name_region_and_profile_are_as_found(pool: MakePool) -> None:
    p = pool(credential(1))
    found = credential(1, label="work", region_override="eu-central-1")
    await p.take(found.with_tokens(replace(found.tokens, profile_arn=ARN)))
    lease = await p.manager.lease("")
    assert (lease.label, lease.identity.region_override) == ("work", "eu-central-1")
    assert lease.identity.profile_arn == ARN


async def test_corrected_registration_is_used_and_gives_another_try(pool: MakePool) -> None:
    p = pool(idc(expires_in_s=-5))
    p.service.errors = [CredentialError("dead")]
    with pytest.raises(NoAccountError):
        await p.manager.lease("")
    await p.take(idc(expires_in_s=-5))
    assert p.states == [State.REVOKED]  # nothing has changed
    right = Secret(f"eyJ{MARK}right")
    await p.take(idc(expires_in_s=-5, client_secret=right, sso_region="eu-west-1"))
    await p.manager.lease("")
    assert p.service.refreshes[-1].client_secret == right
    assert p.service.refreshes[-1].sso_region == "eu-west-1"


async def test_revised_during_a_renewal(pool: MakePool) -> None:
    p = pool(credential(1, expires_in_s=-5))
    p.service.gate = asyncio.Event()
    asked = asyncio.create_task(p.manager.lease(""))
    await settled()
    await p.take(credential(1, expires_in_s=-5, label="work", region_override="eu-central-1"))
    p.service.gate.set()
    lease = await asked
    assert lease.identity.token.reveal() == f"aoa{MARK}1"
    assert (lease.label, lease.identity.region_override) == ("work", "eu-central-1")


async def test_a_refusal_of_what_was_corrected_meanwhile_counts_for_nothing(
    pool: MakePool, tmp_path: Path
) -> None:
    """The renewal under way was asked with the registration from before."""
    database = Database.open(tmp_path / "state.db")
    p = pool(idc(expires_in_s=-5), book=StateBook(database))
    p.service.gate = asyncio.Event()
    p.service.errors = [CredentialError("dead")]
    asked = asyncio.create_task(p.manager.lease(""))
    await settled()
    right = Secret(f"eyJ{MARK}right")
    await p.take(idc(expires_in_s=-5, client_secret=right))
    p.service.gate.set()
    lease = await asked
    assert [inputs.client_secret for inputs in p.service.refreshes[1:]] == [right]
    assert lease.identity.token.reveal() == f"aoa{MARK}2"
    assert p.states == [State.READY]
    assert await StateBook(database).load() == {}
    await database.close()


async def test_a_refusal_of_another_sign_in_that_has_come_meanwhile(
    pool: MakePool, tmp_path: Path
) -> None:
    """The new one has a token that works: nothing is to be renewed."""
    path = tmp_path / "token.json"
    async with _in_file(pool, path, credential(1, expires_in_s=-5)) as p:
        fields = {"refreshToken": f"aor{MARK}old1", "accessToken": "aoaOLD", "expiresAt": 1}
        path.write_text(json.dumps(fields))
        p.service.gate = asyncio.Event()
        p.service.errors = [CredentialError("dead")]
        asked = asyncio.create_task(p.manager.lease(""))
        await settled()
        fields = {"refreshToken": "aor" + "n" * 120, "accessToken": "aoaFRESH"}
        path.write_text(json.dumps({**fields, "expiresAt": START_EPOCH_S + 9000}))
        await p.take(credential(1, expires_in_s=-5, path=path))
        p.service.gate.set()
        assert (await asked).identity.token.reveal() == "aoaFRESH"
        assert p.states == [State.READY] and len(p.service.refreshes) == 1


async def test_a_restart_with_another_registration_is_another_try(
    pool: MakePool, tmp_path: Path
) -> None:
    database = Database.open(tmp_path / "state.db")
    first = pool(idc(expires_in_s=-5), book=StateBook(database))
    first.service.errors = [CredentialError("dead")]
    with pytest.raises(NoAccountError):
        await first.manager.lease("")
    same = pool(idc(expires_in_s=-5), book=StateBook(database))
    await same.manager.restore()
    assert same.states == [State.REVOKED]
    right = Secret(f"eyJ{MARK}right")
    corrected = pool(idc(expires_in_s=-5, client_secret=right), book=StateBook(database))
    await corrected.manager.restore()
    assert corrected.states == [State.READY]
    await database.close()


@asynccontextmanager
async def _in_file(pool: MakePool, path: Path, made: Credential) -> AsyncIterator[Pool]:
    made = replace(made, place=Place("file", path))
    yield pool(replace(made, origin=made.current))


async def test_another_token_in_the_file_is_taken(pool: MakePool, tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    async with _in_file(pool, path, credential(1)) as p:
        fields = {"refreshToken": "aor" + "n" * 120, "accessToken": "aoaFRESH"}
        path.write_text(json.dumps({**fields, "expiresAt": START_EPOCH_S + 9000}))
        await p.take(credential(1, path=path))
        assert (await p.manager.lease("")).identity.token.reveal() == "aoaFRESH"


async def test_another_api_key_in_the_file_is_taken(pool: MakePool, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    made = credential(1, kind=CredentialKind.API_KEY)
    made = made.with_tokens(Tokens(Secret(f"ksk_{MARK}"), Secret(""), math.inf))
    async with _in_file(pool, path, made) as p:
        path.write_text(json.dumps({"auth": "api_key", "apiKey": "ksk_another_one"}))
        await p.take(replace(made, place=Place("file", path)))
        assert (await p.manager.lease("")).identity.token.reveal() == "ksk_another_one"
