"""Signing in with a code: the waiting, its ends, and the sign-in that comes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kiroproxy.accounts import (
    AccountManager,
    AccountSettings,
    State,
    TokenStore,
    load_credentials,
    sign_ins,
)
from kiroproxy.accounts.files import FileLock
from kiroproxy.accounts.login import SignedIn, sign_in_to_portal
from kiroproxy.clock import SystemClock
from kiroproxy.errors import CredentialError, KiroProxyError, NoAccountError, UpstreamError
from kiroproxy.kiro.hosts import Overrides
from kiroproxy.kiro.renewal import RefreshedTokens
from kiroproxy.kiro.sign_in import (
    DeviceCode,
    Portal,
    Registration,
    Wait,
)
from kiroproxy.secret import Secret
from kiroproxy.simulator import Settings, Simulator
from kiroproxy.upstream import Timeouts, UpstreamClient
from kiroproxy.upstream.calls import CallTimeouts, KiroCalls
from kiroproxy.upstream.sign_in import SignInCalls
from tests.accounts.fakes import MARK, START_EPOCH_S, ManualClock, settle
from tests.e2e.support import QuickClock

TOKENS = RefreshedTokens(Secret(f"aoa{MARK}"), Secret(f"aor{MARK}"), 3600.0)
TEAM = Portal("https://team.awsapps.com/start", "eu-west-1")
TIMEOUTS = CallTimeouts(chat=Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=10))


@dataclass
class FakeDesk:
    """Answers polls from ``answers``; then says pending."""

    answers: list[RefreshedTokens | Wait | KiroProxyError] = field(default_factory=list)
    asked_at_s: list[float] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)

    async def register(self, portal: Portal) -> Registration:
        return Registration("client", Secret(f"eyJ{MARK}"), START_EPOCH_S + 7776000)

    async def authorize(self, portal: Portal, registration: Registration) -> DeviceCode:
        return DeviceCode(Secret("d"), "ABCD-EFGH", "https://page.example/", 60.0, 2.0)

    async def poll(
        self, portal: Portal, registration: Registration, code: Secret
    ) -> RefreshedTokens | Wait:
        self.asked_at_s.append(self.clock.now_s)
        answer = self.answers.pop(0) if self.answers else Wait.PENDING
        if isinstance(answer, KiroProxyError):
            raise answer
        return answer


@dataclass
class Said:
    """What a person would have seen."""

    codes: list[str] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def announce(self, code: DeviceCode) -> None:
        self.codes.append(code.user_code)

    def waiting(self, left_s: float) -> None:
        self.left_s.append(left_s)

    def trouble(self, message: str) -> None:
        self.troubles.append(message)


async def run(desk: FakeDesk, said: Said, seconds: float = 100) -> SignedIn:
    task = asyncio.create_task(sign_in_to_portal(desk, desk.clock, TEAM, said))
    await settle()
    await desk.clock.advance(seconds)
    return await task


async def test_asks_at_the_pace_it_is_told_until_confirmed() -> None:
    desk, said = FakeDesk([Wait.PENDING, Wait.SLOWER, Wait.PENDING, TOKENS]), Said()
    await run(desk, said)
    assert desk.asked_at_s == [2, 4, 11, 18]
    assert (said.codes, said.left_s, said.troubles) == (["ABCD-EFGH"], [60, 58, 56, 49], [])


async def test_ends_when_the_code_expires() -> None:
    desk = FakeDesk()
    with pytest.raises(CredentialError, match="expired before it was confirmed"):
        await run(desk, Said())
    assert desk.asked_at_s[-1] == 60 and len(desk.asked_at_s) == 30


async def test_fault_on_the_way_ends_nothing() -> None:
    desk, said = FakeDesk([UpstreamError("the line broke"), TOKENS]), Said()
    await run(desk, said)
    assert said.troubles == ["the line broke"]


async def test_declined_ends_at_once() -> None:
    desk = FakeDesk([CredentialError("declined")])
    with pytest.raises(CredentialError, match="declined"):
        await run(desk, Said())
    assert desk.asked_at_s == [2]


async def test_fields_are_a_token_file_of_the_ide_s_spelling() -> None:
    found = await run(FakeDesk([TOKENS]), Said())
    assert found.title == "team.awsapps.com"
    assert found.fields == {
        "authMethod": "IdC",
        "provider": "Enterprise",
        "region": "eu-west-1",
        "startUrl": "https://team.awsapps.com/start",
        "clientId": "client",
        "clientSecret": f"eyJ{MARK}",
        "clientSecretExpiresAt": "2026-12-20T14:13:20.000Z",
        "accessToken": f"aoa{MARK}",
        "refreshToken": f"aor{MARK}",
        "expiresAt": "2026-09-21T15:13:22.000Z",
        "createdAt": "2026-09-21T14:13:22.000Z",
    }
    assert MARK not in repr(found)


# -- against the simulator, over sockets


@asynccontextmanager
async def simulated(**settings: object) -> AsyncIterator[tuple[Simulator, SignInCalls, KiroCalls]]:
    kiro = Simulator(Settings(pace_s=0, **settings))  # type: ignore[arg-type]
    url = await kiro.start()
    client = UpstreamClient()
    overrides = Overrides(url, url, url)
    try:
        yield kiro, SignInCalls(client, overrides), KiroCalls(client, overrides, TIMEOUTS)
    finally:
        await client.aclose()
        await kiro.stop()


async def sign_in(calls: SignInCalls, target: Portal, said: Said) -> SignedIn:
    return await sign_in_to_portal(calls, QuickClock(), target, said)


TARGETS = {"builder": Portal(), "idc": TEAM}


@pytest.mark.parametrize("label", TARGETS)
async def test_kept_sign_in_is_loaded_renewed_and_written_back(label: str, tmp_path: Path) -> None:
    async with simulated(device_polls=2) as (kiro, calls, service):
        said = Said()
        found = await sign_in(calls, TARGETS[label], said)
        assert len(said.left_s) == 3
        kept = sign_ins.save(tmp_path / "state", found.id, "mine", found.fields)
        loaded = load_credentials({}, tmp_path, tmp_path / "state")
        (credential,) = loaded.credentials
        assert (credential.id, credential.label, loaded.problems) == (kept.id, "mine", [])
        assert credential.builder_id is (label == "builder")

        store = TokenStore(tmp_path / "state", SystemClock())
        manager = AccountManager(loaded.credentials, store, service, SystemClock())
        await manager.start()
        try:
            lease = await manager.lease("")
            kiro.tokens.revoke_access(label)
            await manager.refresh(lease)
        finally:
            await manager.stop()
        saved = json.loads(kept.path.read_text())
        assert saved["refreshToken"] != found.fields["refreshToken"]
        assert (saved["description"], saved["createdAt"]) == ("mine", found.fields["createdAt"])
        again = load_credentials({}, tmp_path, tmp_path / "state").credentials[0]
        assert (again.id, again.tokens.refresh.reveal()) == (kept.id, saved["refreshToken"])


async def test_running_server_takes_a_repeated_sign_in_up(tmp_path: Path) -> None:
    async with simulated(device_polls=0) as (kiro, calls, service):
        for _ in range(2):
            found = await sign_in(calls, Portal(), Said())
            kept = sign_ins.save(tmp_path, found.id, "work", found.fields)
            if kept.id == found.id:  # the first: serve with it until the service revokes it
                (credential,) = load_credentials({}, tmp_path, tmp_path).credentials
                store, clock = TokenStore(tmp_path, SystemClock()), SystemClock()
                quick = AccountSettings(source_poll_s=0.1)
                manager = AccountManager([credential], store, service, clock, quick)
                await manager.start()
                kiro.tokens.revoke_access("builder")
                kiro.tokens.revoke_refresh("builder")
                with pytest.raises(NoAccountError, match="sign in"):
                    await manager.refresh(await manager.lease(""))
        try:
            while manager.accounts()[0].status.state is State.REVOKED:
                await asyncio.sleep(0.05)
            lease = await manager.lease("")
            # Only the new client may renew the new token.
            await manager.refresh(lease)
            assert json.loads(kept.path.read_text())["clientId"] == found.fields["clientId"]
        finally:
            await manager.stop()


async def test_two_servers_share_a_sign_in(tmp_path: Path) -> None:
    async with simulated(device_polls=0) as (kiro, calls, service):
        found = await sign_in(calls, TEAM, Said())
        kept = sign_ins.save(tmp_path, found.id, "mine", found.fields)
        managers = []
        for _ in range(2):
            loaded = load_credentials({}, tmp_path, tmp_path).credentials
            store = TokenStore(tmp_path, SystemClock())
            managers.append(AccountManager(loaded, store, service, SystemClock()))
        try:
            leases = [await manager.lease("") for manager in managers]
            kiro.tokens.revoke_access("idc")
            pairs = zip(managers, leases, strict=True)
            renewed = await asyncio.gather(*(m.refresh(lease) for m, lease in pairs))
            assert renewed[0].identity.token == renewed[1].identity.token
            asked = [entry.json["grantType"] for entry in kiro.received("refresh")]
            assert asked.count("refresh_token") == 1
        finally:
            for manager in managers:
                await manager.stop()
        token = renewed[0].identity.token.reveal()
        assert json.loads(kept.path.read_text())["accessToken"] == token


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"device_end": "access_denied"}, "declined on the page"),
        ({"device_ttl_s": 0.0}, "has expired"),
    ],
)
async def test_ends_without_a_sign_in(settings: dict[str, object], words: str) -> None:
    async with simulated(**settings) as (_, calls, _service):
        with pytest.raises(CredentialError, match=words):
            await sign_in(calls, Portal(), Said())


async def test_wrong_portal_is_told(tmp_path: Path) -> None:
    async with simulated() as (_, calls, _service):
        with pytest.raises(CredentialError, match="Invalid start url provided"):
            await sign_in(calls, Portal("team", "us-east-1"), Said())


async def test_service_that_is_not_there() -> None:
    client = UpstreamClient()
    nowhere = "http://127.0.0.1:9"
    try:
        with pytest.raises(UpstreamError):
            await sign_in(SignInCalls(client, Overrides(nowhere, nowhere, nowhere)), TEAM, Said())
    finally:
        await client.aclose()


# -- what is kept

FIELDS = {"authMethod": "social", "refreshToken": "r1", "createdAt": "2026-01-01"}


def test_kept_privately_listed_and_removed(tmp_path: Path) -> None:
    state = tmp_path / "a/state"
    first = sign_ins.save(state, "0123abcd", "one", FIELDS)
    second = sign_ins.save(state, "fedc9876", "", {**FIELDS, "refreshToken": "r2"})
    assert first.path == state / "sign-ins/0123abcd.json"
    assert first.path.stat().st_mode & 0o777 == 0o600
    for folder in (state, state / "sign-ins"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert sign_ins.own_sign_ins(state) == [first, second]
    record = state / "credentials/fedc9876.json"
    record.parent.mkdir()
    record.write_text("{}")
    left = second.path.with_name(f".{second.path.name}.7.ab.tmp")  # by a writer that was killed
    left.write_text("{}")
    assert sign_ins.remove(state, "nobody") is None
    assert sign_ins.remove(state, "fedc9876") == second
    assert not record.exists() and not left.exists()
    assert sign_ins.remove(state, "one") == first
    assert sign_ins.own_sign_ins(state) == []


def test_same_name_is_signed_in_again_under_its_id(tmp_path: Path) -> None:
    first = sign_ins.save(tmp_path, "0123abcd", "work", FIELDS)
    again = sign_ins.save(tmp_path, "fedc9876", "work", {**FIELDS, "refreshToken": "r2"})
    assert again == first
    assert json.loads(first.path.read_text())["refreshToken"] == "r2"


def test_free_names_are_numbered(tmp_path: Path) -> None:
    for number, name in enumerate(("Google", "Google 2", "Google 3")):
        assert sign_ins.free_name(tmp_path, "Google") == name
        sign_ins.save(tmp_path, f"0000000{number}", name, FIELDS)


def test_name_that_several_have_is_not_guessed(tmp_path: Path) -> None:
    for id_ in ("0123abcd", "fedc9876"):
        sign_ins.save(tmp_path, id_, "", {**FIELDS, "description": "twin"})
    with pytest.raises(CredentialError, match="0123abcd, fedc9876"):
        sign_ins.remove(tmp_path, "twin")


async def test_sign_out_waits_for_a_renewal_and_is_not_undone_by_it(tmp_path: Path) -> None:
    kept = sign_ins.save(tmp_path, "0123abcd", "one", FIELDS)
    (credential,) = load_credentials({}, tmp_path, tmp_path).credentials
    store = TokenStore(tmp_path, SystemClock())
    async with store.locked(credential):
        removal = asyncio.create_task(asyncio.to_thread(sign_ins.remove, tmp_path, "one"))
        await asyncio.sleep(0.05)
        assert kept.path.exists()
    assert await removal == kept
    lock = FileLock(kept.path)
    assert lock.try_acquire()
    lock.release()
    with pytest.raises(CredentialError, match="gone"):
        await store.reread(credential)
