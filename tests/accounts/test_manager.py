"""Leases, renewals, health and catalogues, on a clock and a service that the test owns."""

from __future__ import annotations

import asyncio
import json
import logging
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
    Lease,
    State,
    TokenStore,
)
from kiroproxy.accounts.account import HEALTH_EVENTS
from kiroproxy.accounts.entries import Place, Tokens
from kiroproxy.errors import (
    ConnectError,
    CredentialError,
    Kind,
    KiroProxyError,
    NoAccountError,
    RequestError,
    UpstreamError,
    UpstreamRefusedError,
)
from kiroproxy.kiro.hosts import BUILDER_SHARED_ARN, parse_arn
from kiroproxy.kiro.identity import CredentialKind
from kiroproxy.kiro.models import FALLBACK, ModelInfo
from kiroproxy.kiro.replies import Action, Health, Remedy, classify_reply
from kiroproxy.kiro.usage import UsageLimits
from kiroproxy.secret import Secret
from tests.accounts.fakes import (
    ARN,
    ARN_EU,
    MARK,
    START_EPOCH_S,
    FakeService,
    ManualClock,
    credential,
    settle,
)

SETTINGS = AccountSettings(profile_wait_s=0.5, catalogue_wait_s=0.2)


class World:
    """A manager with everything around it."""

    def __init__(self, tmp_path: Path, *credentials: Credential) -> None:
        self.clock = ManualClock()
        self.service = FakeService(models=[ModelInfo("m1", "M1")])
        self.store = TokenStore(tmp_path / "state", self.clock)
        self.manager = AccountManager(
            credentials, self.store, self.service, self.clock, SETTINGS, lambda: 0.0
        )

    def state(self, index: int = 0) -> State:
        return self.manager.accounts()[index].status.state


MakeWorld = Callable[..., World]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[MakeWorld]:
    made: list[World] = []

    def make(*credentials: Credential) -> World:
        made.append(World(tmp_path, *credentials))
        return made[-1]

    yield make
    for item in made:
        await item.manager.stop()


def expired(number: int = 1, **changes: object) -> Credential:
    return credential(number, expires_in_s=-5, **changes)  # type: ignore[arg-type]


def api_key(number: int = 1) -> Credential:
    made = credential(number, kind=CredentialKind.API_KEY)
    return made.with_tokens(Tokens(Secret(f"ksk_{MARK}"), Secret(""), math.inf))


def refused(
    health: Health, action: Action = Action.NEXT_ACCOUNT, **kw: object
) -> UpstreamRefusedError:
    return UpstreamRefusedError(
        "The service's words.",
        status=403,
        remedy=Remedy(action, health),
        **kw,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def started(world: World) -> AsyncIterator[World]:
    await world.manager.start()
    await settle()
    yield world


# -- leases


async def test_ready_account_is_leased_without_a_renewal(world: MakeWorld) -> None:
    w = world(credential(1), credential(2))
    lease = await w.manager.lease("s")
    assert (lease.label, lease.was_renewed, w.service.refreshes) == ("account 1", False, [])
    assert lease.identity.token.reveal() == f"aoa{MARK}old1"
    assert lease.identity.account_id == lease.account_id == credential(1).id
    assert lease.model("m1").name == "M1"
    assert lease.model("unheard-of").id == "unheard-of"


async def test_no_account_at_all(world: MakeWorld) -> None:
    with pytest.raises(NoAccountError, match="No Kiro account is configured"):
        await world().manager.lease("")


async def test_disabled_account_is_seen_but_never_used(world: MakeWorld) -> None:
    w = world(credential(1, disabled=True), credential(2))
    assert (await w.manager.lease("")).label == "account 2"
    assert w.state(0) is State.DISABLED


async def test_conversation_stays_on_its_account(world: MakeWorld) -> None:
    w = world(credential(1), credential(2))
    first = await w.manager.lease("talk")
    w.manager.release(first, refused(Health.COOL, retry_after_s=5.0))
    assert (await w.manager.lease("talk")).label == "account 2"
    await w.clock.advance(6)
    assert (await w.manager.lease("talk")).label == "account 2"
    assert (await w.manager.lease("new")).label == "account 1"


async def test_excluded_accounts_are_not_leased_again(world: MakeWorld) -> None:
    w = world(credential(1), credential(2))
    first = await w.manager.lease("s")
    second = await w.manager.lease("s", UNTRIED.leave(first.account_id))
    assert second.label == "account 2"
    with pytest.raises(NoAccountError, match="tried already"):
        await w.manager.lease("s", second.exclude.leave(second.account_id))


# -- renewal


async def test_hundred_leases_at_expiry_make_one_renewal(world: MakeWorld) -> None:
    w = world(expired())
    w.service.gate = asyncio.Event()
    leases = [asyncio.create_task(w.manager.lease("")) for _ in range(100)]
    await settle()
    assert w.state() is State.REFRESHING and len(w.service.refreshes) == 1
    w.service.gate.set()
    done = await asyncio.gather(*leases)
    assert {lease.identity.token.reveal() for lease in done} == {f"aoa{MARK}1"}
    assert len(w.service.refreshes) == 1 and w.state() is State.READY


async def test_hundred_refused_requests_make_one_renewal(world: MakeWorld) -> None:
    w = world(credential())
    leases = [await w.manager.lease("") for _ in range(100)]
    renewed = await asyncio.gather(*(w.manager.refresh(lease) for lease in leases))
    assert len(w.service.refreshes) == 1
    assert all(lease.was_renewed for lease in renewed)
    late = await w.manager.refresh(leases[0])  # its token is old news by now
    assert late.identity.token.reveal() == f"aoa{MARK}1" and len(w.service.refreshes) == 1


async def test_rejected_token_is_not_handed_to_others_meanwhile(world: MakeWorld) -> None:
    w = world(credential())
    lease = await w.manager.lease("")
    w.service.gate = asyncio.Event()
    forced = asyncio.create_task(w.manager.refresh(lease))
    await settle()
    other = asyncio.create_task(w.manager.lease(""))
    await settle()
    assert not other.done()
    w.service.gate.set()
    assert (await other).identity.token == (await forced).identity.token


async def test_cancelled_waiter_does_not_stop_the_renewal(world: MakeWorld, tmp_path: Path) -> None:
    w = world(expired())
    w.service.gate = asyncio.Event()
    waiter = asyncio.create_task(w.manager.lease(""))
    await settle()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    w.service.gate.set()
    lease = await w.manager.lease("")
    assert len(w.service.refreshes) == 1
    assert lease.identity.token.reveal() == f"aoa{MARK}1"


async def test_stop_lets_a_renewal_finish_and_store_its_token(
    world: MakeWorld, tmp_path: Path
) -> None:
    w = world(expired())
    w.service.gate = asyncio.Event()
    waiter = asyncio.create_task(w.manager.lease(""))
    await settle()
    waiter.cancel()
    stopping = asyncio.create_task(w.manager.stop())
    await settle()
    assert not stopping.done()
    w.service.gate.set()
    await stopping
    record = json.loads((tmp_path / f"state/credentials/{expired().id}.json").read_text())
    assert record["refreshToken"] == f"aor{MARK}1"


async def test_token_is_on_disk_before_it_is_used(world: MakeWorld, tmp_path: Path) -> None:
    w = world(expired())
    await w.manager.lease("")
    path = tmp_path / f"state/credentials/{expired().id}.json"
    assert json.loads(path.read_text())["accessToken"] == f"aoa{MARK}1"

    again = world(expired())  # a restart, and the same environment as before
    lease = await again.manager.lease("")
    assert again.service.refreshes == []
    assert lease.identity.token.reveal() == f"aoa{MARK}1"


async def test_reply_without_refresh_token_keeps_the_old_one(
    world: MakeWorld, tmp_path: Path
) -> None:
    w = world(expired())
    w.service.rotate = False
    await w.manager.lease("")
    path = tmp_path / f"state/credentials/{expired().id}.json"
    assert json.loads(path.read_text())["refreshToken"] == f"aor{MARK}old1"


async def test_two_managers_on_one_state_folder_renew_once(world: MakeWorld) -> None:
    one, two = world(expired()), world(expired())
    leases = [asyncio.create_task(w.manager.lease("")) for w in (one, two)]
    for w in (one, two):
        await w.clock.advance(1)  # one of them polls the lock
    both = await asyncio.gather(*leases)
    assert len(one.service.refreshes) + len(two.service.refreshes) == 1
    assert both[0].identity.token == both[1].identity.token


async def test_background_renews_ahead_while_requests_go_on(world: MakeWorld) -> None:
    async with started(world(credential())) as w:
        await w.clock.advance(3600 - 15 * 60 - 2)
        assert w.service.refreshes == []
        w.service.gate = asyncio.Event()
        await w.clock.advance(3)
        assert len(w.service.refreshes) == 1 and w.state() is State.READY
        assert (await w.manager.lease("")).identity.token.reveal() == f"aoa{MARK}old1"
        w.service.gate.set()
        await settle()
        assert (await w.manager.lease("")).identity.token.reveal() == f"aoa{MARK}1"
        await w.clock.advance(3600)
        assert len(w.service.refreshes) == 2


async def test_failed_background_renewal_leaves_a_working_token_alone(world: MakeWorld) -> None:
    async with started(world(credential(expires_in_s=600))) as w:
        w.service.errors = [ConnectError("down")] * 3
        await w.clock.advance(460)
        assert len(w.service.refreshes) == 3 and w.state() is State.READY
        assert (await w.manager.lease("")).identity.token.reveal() == f"aoa{MARK}old1"
        await w.clock.advance(40)  # the next try comes by itself
        assert (await w.manager.lease("")).identity.token.reveal() == f"aoa{MARK}4"


async def test_denied_background_renewal_uses_the_token_to_its_end(world: MakeWorld) -> None:
    async with started(world(credential(expires_in_s=600))) as w:
        w.service.errors = [CredentialError("dead"), CredentialError("dead")]
        await w.clock.advance(460)
        assert len(w.service.refreshes) == 1 and w.state() is State.READY
        await w.clock.advance(160)
        assert w.state() is State.REVOKED and len(w.service.refreshes) == 2


async def test_network_fault_cools_and_heals_by_itself(world: MakeWorld) -> None:
    w = world(expired())
    w.service.errors = [ConnectError("no route to host")] * 3
    lease = asyncio.create_task(w.manager.lease(""))
    await w.clock.advance(2)
    with pytest.raises(NoAccountError, match="no route to host") as caught:
        await lease
    assert caught.value.kind is Kind.UPSTREAM_FAILED
    assert caught.value.retry_after_s is not None and caught.value.should_retry
    assert w.state() is State.COOLING
    await w.clock.advance(60)
    assert (await w.manager.lease("")).identity.token.reveal() == f"aoa{MARK}4"


async def test_revoked_sign_in_goes_to_the_next_account_and_is_not_asked_again(
    world: MakeWorld,
) -> None:
    w = world(expired(1), expired(2))
    w.service.errors = [CredentialError("The sign-in is no longer valid.")]
    assert (await w.manager.lease("")).label == "account 2"
    assert w.state(0) is State.REVOKED
    await w.manager.lease("")
    assert len(w.service.refreshes) == 2


async def test_revoked_alone_says_what_to_do(world: MakeWorld) -> None:
    w = world(expired())
    w.service.errors = [CredentialError("The sign-in is no longer valid.")]
    with pytest.raises(NoAccountError, match="sign in to Kiro again") as caught:
        await w.manager.lease("")
    assert caught.value.kind is Kind.UPSTREAM_UNAUTHENTICATED


async def test_revoked_file_heals_when_somebody_signs_in_again(
    world: MakeWorld, tmp_path: Path
) -> None:
    path = tmp_path / "kiro-auth-token.json"
    fields = {"refreshToken": f"aor{MARK}old1" + "x" * 100, "accessToken": "aoaOLD"}
    path.write_text(json.dumps(fields))
    made = replace(expired(), place=Place("IDE", path))
    made = made.with_tokens(replace(made.tokens, refresh=Secret(fields["refreshToken"])))
    dying = world(replace(made, origin=made.current))
    dying.service.errors = [CredentialError("dead")] * 4
    async with started(dying) as w:
        assert w.state() is State.REVOKED
        calls = len(w.service.refreshes)
        await w.clock.advance(120)
        assert len(w.service.refreshes) == calls
        w.service.errors = []
        fields = {"refreshToken": "aor" + "n" * 120, "accessToken": "aoaFRESH"}
        path.write_text(json.dumps({**fields, "expiresAt": START_EPOCH_S + 9000}))
        await w.clock.advance(61)
        assert w.state() is State.READY
        assert (await w.manager.lease("")).identity.token.reveal() == "aoaFRESH"


async def test_suspended_file_heals_when_somebody_signs_in_again(
    world: MakeWorld, tmp_path: Path
) -> None:
    path = tmp_path / "kiro-auth-token.json"
    fields = {"refreshToken": f"aor{MARK}old1" + "x" * 100, "accessToken": "aoaOLD"}
    path.write_text(json.dumps({**fields, "expiresAt": START_EPOCH_S + 9000}))
    made = replace(credential(), place=Place("IDE", path))
    made = made.with_tokens(replace(made.tokens, refresh=Secret(fields["refreshToken"])))
    async with started(world(replace(made, origin=made.current))) as w:
        w.manager.release(await w.manager.lease(""), refused(Health.SUSPEND))
        await w.clock.advance(120)
        assert w.state() is State.SUSPENDED
        fields = {"refreshToken": "aor" + "n" * 120, "accessToken": "aoaFRESH"}
        path.write_text(json.dumps({**fields, "expiresAt": START_EPOCH_S + 9000}))
        await w.clock.advance(61)
        assert w.state() is State.READY
        assert (await w.manager.lease("")).identity.token.reveal() == "aoaFRESH"


async def test_file_renewed_by_the_ide_in_the_same_moment(world: MakeWorld, tmp_path: Path) -> None:
    """The refresh is denied because the IDE was first: its token is used, nobody is revoked."""
    path = tmp_path / "tokens.json"
    old = credential(expires_in_s=-5)
    path.write_text(json.dumps({"refreshToken": old.tokens.refresh.reveal()}))
    w = world(replace(old, place=Place("file", path)))

    class Racing(FakeService):
        async def refresh(self, kind, inputs):  # type: ignore[no-untyped-def]
            self.refreshes.append(inputs)
            path.write_text(
                json.dumps(
                    {
                        "refreshToken": "aorIDE",
                        "accessToken": "aoaIDE",
                        "expiresAt": START_EPOCH_S + 3600,
                    }
                )
            )
            raise CredentialError("invalid_grant")

    racing = Racing(models=[])
    manager = AccountManager(
        [replace(old, place=Place("file", path))], w.store, racing, w.clock, SETTINGS
    )
    lease = await manager.lease("")
    assert lease.identity.token.reveal() == "aoaIDE" and len(racing.refreshes) == 1
    await manager.stop()


async def test_forced_renewal_that_fails_moves_on(world: MakeWorld) -> None:
    w = world(credential(1), credential(2))
    lease = await w.manager.lease("s")
    w.service.errors = [CredentialError("dead")]
    other = await w.manager.refresh(lease)
    assert (other.label, other.was_renewed) == ("account 2", False)
    assert w.state(0) is State.REVOKED


async def test_refused_api_key_moves_on_and_is_revoked_in_the_end(world: MakeWorld) -> None:
    w = world(api_key())
    for state in (State.COOLING, State.COOLING, State.REVOKED):
        lease = await w.manager.lease("")
        w.manager.release(lease, refused(Health.REVOKE, Action.REFRESH))
        with pytest.raises(NoAccountError, match="API key"):
            await w.manager.refresh(lease)
        assert w.state() is state
        await w.clock.advance(3600)
    assert w.service.refreshes == []


# -- health

ALL_HEALTH = {
    Health.NONE: State.READY,
    Health.COOL: State.COOLING,
    Health.EXHAUST: State.EXHAUSTED,
    Health.DAILY: State.EXHAUSTED,
    Health.REVOKE: State.COOLING,
    Health.SUSPEND: State.SUSPENDED,
    Health.BRAKE: State.COOLING,
}


def test_every_health_has_its_row() -> None:
    assert set(ALL_HEALTH) == set(Health) == set(HEALTH_EVENTS) | {Health.NONE}


@pytest.mark.parametrize("health", Health)
async def test_health_of_a_renewed_lease(world: MakeWorld, health: Health) -> None:
    w = world(credential(1), credential(2))
    lease = await w.manager.refresh(await w.manager.lease(""))
    w.manager.release(lease, refused(health))
    assert w.state(0) is ALL_HEALTH[health]
    assert w.state(1) is State.READY


async def test_refused_token_counts_only_after_its_renewal(world: MakeWorld) -> None:
    w = world(credential())
    lease = await w.manager.lease("")
    w.manager.release(lease, refused(Health.REVOKE, Action.REFRESH))
    assert w.state() is State.READY
    renewed = await w.manager.refresh(lease)
    await w.manager.refresh(renewed)  # somebody else forced one more meanwhile
    w.manager.release(renewed, refused(Health.REVOKE, Action.REFRESH))
    assert w.state() is State.READY


INNOCENT: list[KiroProxyError | None] = [
    None,
    ConnectError("down"),
    UpstreamError("broken"),
    RequestError("bad"),
    classify_reply(400, lambda name: None, b'{"message":"Improperly formed request."}'),
    classify_reply(400, lambda name: None, b'{"message":"Input is too long."}'),
    classify_reply(500, lambda name: None, b""),
    classify_reply(503, lambda name: None, b"<html>"),
    classify_reply(404, lambda name: None, b""),
]


@pytest.mark.parametrize("error", INNOCENT, ids=repr)
async def test_what_never_counts_against_an_account(
    world: MakeWorld, error: KiroProxyError | None
) -> None:
    w = world(credential())
    lease = await w.manager.lease("")
    for _ in range(20):
        w.manager.release(lease, error)
    assert w.state() is State.READY


async def test_throttled_alone_tells_its_deadline(world: MakeWorld) -> None:
    w = world(credential())
    lease = await w.manager.lease("")
    error = refused(Health.COOL, kind=Kind.RATE_LIMITED, retry_after_s=12.0)
    w.manager.release(lease, error)
    with pytest.raises(NoAccountError) as caught:
        await w.manager.lease("")
    assert (caught.value.kind, caught.value.retry_after_s) == (Kind.RATE_LIMITED, 12.0)
    await w.clock.advance(12)
    await w.manager.lease("")


async def test_quota_waits_for_the_service_s_own_reset(world: MakeWorld) -> None:
    w = world(credential())
    w.service.usage = UsageLimits(next_reset_epoch_s=START_EPOCH_S + 500)
    w.manager.release(await w.manager.lease(""), refused(Health.EXHAUST, kind=Kind.QUOTA))
    await settle()
    with pytest.raises(NoAccountError) as caught:
        await w.manager.lease("")
    assert (caught.value.kind, caught.value.retry_after_s) == (Kind.QUOTA, 500.0)
    await w.clock.advance(500)
    await w.manager.lease("")


async def test_suspended_account_is_never_asked_again(world: MakeWorld) -> None:
    async with started(world(credential(expires_in_s=400))) as w:
        w.manager.release(await w.manager.lease(""), refused(Health.SUSPEND))
        await w.clock.advance(900)
        assert w.service.refreshes == [] and w.state() is State.SUSPENDED
        with pytest.raises(NoAccountError) as caught:
            await w.manager.lease("")
        assert caught.value.kind is Kind.PERMISSION


# -- profiles


def idc(**changes: object) -> Credential:
    return credential(kind=CredentialKind.IDC, **changes)  # type: ignore[arg-type]


async def test_organisation_s_profile_is_looked_up_once(world: MakeWorld) -> None:
    w = world(idc())
    w.service.profiles = [parse_arn(ARN_EU), parse_arn(ARN)]
    leases = await asyncio.gather(*(w.manager.lease("") for _ in range(10)))
    assert {lease.identity.profile_arn for lease in leases} == {ARN_EU}
    assert w.service.profile_calls == 1
    renewed = await w.manager.refresh(leases[0])
    assert renewed.identity.profile_arn == ARN_EU and w.service.profile_calls == 1


async def test_builder_id_is_learned_and_keeps_no_arn(world: MakeWorld) -> None:
    w = world(idc())
    body = b'{"message":"AWS Builder ID is not supported for this operation."}'
    w.service.profiles = classify_reply(403, lambda name: None, body)
    lease = await w.manager.lease("")
    assert lease.identity.builder_id and lease.identity.profile_arn is None
    await w.manager.lease("")
    assert w.service.profile_calls == 1
    w.service.profile_arn = BUILDER_SHARED_ARN
    assert (await w.manager.refresh(lease)).identity.profile_arn is None


async def test_profile_fault_does_not_stop_requests(world: MakeWorld) -> None:
    w = world(idc(builder_id=False))
    w.service.profiles = ConnectError("down")
    assert (await w.manager.lease("")).identity.profile_arn is None
    await w.manager.lease("")
    assert w.service.profile_calls == 1
    w.service.profiles = [parse_arn(ARN)]
    await w.clock.advance(61)
    assert (await w.manager.lease("")).identity.profile_arn == ARN


async def test_social_arn_comes_with_the_renewal(world: MakeWorld) -> None:
    w = world(expired())
    w.service.profile_arn = ARN
    assert (await w.manager.lease("")).identity.profile_arn == ARN
    assert w.service.profile_calls == 0


# -- catalogues


async def test_slow_catalogue_does_not_hold_a_request(world: MakeWorld) -> None:
    w = world(credential())
    w.service.model_gate = asyncio.Event()
    lease = await w.manager.lease("")
    assert lease.models is FALLBACK
    w.service.model_gate.set()
    await settle()
    assert (await w.manager.lease("")).models != FALLBACK
    assert w.service.model_calls == 1


async def test_catalogue_is_kept_an_hour_and_refetched_after_a_refused_model(
    world: MakeWorld,
) -> None:
    w = world(credential(expires_in_s=100_000))
    lease = await w.manager.lease("")
    await w.clock.advance(3599)
    await w.manager.lease("")
    assert w.service.model_calls == 1
    w.manager.release(lease, refused(Health.NONE, kind=Kind.MODEL_NOT_FOUND))
    w.service.models = [ModelInfo("m2", "M2")]
    await w.manager.lease("")
    await settle()
    assert w.service.model_calls == 2
    assert (await w.manager.lease("")).models[0].id == "m2"
    await w.clock.advance(3601)
    await w.manager.lease("")
    await settle()
    assert w.service.model_calls == 3


async def test_catalogue_fault_means_the_built_in_table_for_a_minute(world: MakeWorld) -> None:
    w = world(credential())
    w.service.models = UpstreamError("down")
    assert (await w.manager.lease("")).models is FALLBACK
    await w.manager.lease("")
    assert w.service.model_calls == 1
    assert await w.manager.models() == list(FALLBACK)
    w.service.models = [ModelInfo("m1", "M1")]
    await w.clock.advance(61)
    assert (await w.manager.lease("")).models[0].id == "m1"


async def test_models_are_the_union_of_the_living(world: MakeWorld) -> None:
    w = world(expired(1), credential(2), credential(3, disabled=True))
    w.service.models = [ModelInfo("m1", "M1"), ModelInfo("m2", "M2")]
    assert [model.id for model in await w.manager.models()] == ["m1", "m2"]
    assert w.service.model_calls == 2
    assert await world().manager.models() == list(FALLBACK)


# -- secrets


async def test_no_secret_in_logs_errors_or_reprs(
    world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    w = world(expired(1), api_key(2))
    w.service.errors = [CredentialError("dead")]
    lease: Lease = await w.manager.lease("")
    w.manager.release(lease, refused(Health.SUSPEND))
    with pytest.raises(NoAccountError) as caught:
        await w.manager.lease("")
    shown = [repr(lease), repr(w.manager.accounts()), repr(caught.value), caplog.text]
    shown += [repr(w.service.refreshes)]
    assert "suspended" in caplog.text
    assert not [text for text in shown if MARK in text]
