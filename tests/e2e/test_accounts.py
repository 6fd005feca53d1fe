"""Sign-ins at work: renewal, failover, what is kept, who is told what."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import orjson
import pytest

from kiroproxy.simulator import Settings
from tests.e2e.support import Answer, house


async def test_expired_token_is_renewed_once_for_a_hundred_requests(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        answers = await asyncio.gather(*(home.ask("[[sim:say hi]]") for _ in range(100)))
        assert {answer.text for answer in answers} == {"hi"}
        assert len(home.kiro.received("refresh")) == 1


async def test_token_that_dies_early_is_renewed_and_the_request_repeated(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.ask("hello")
        home.kiro.tokens.revoke_access("social")
        answer = await home.ask("[[sim:say still here]]")
        assert answer.text == "still here"
        assert len(home.kiro.received("refresh")) == 2


@pytest.mark.parametrize(
    "fault", ["quota", "suspended", "daily", "rate", "suspicious", "bad_model", "not_authorized"]
)
async def test_next_account_serves_when_one_is_refused(fault: str, tmp_path: Path) -> None:
    async with house(tmp_path, "social", "idc") as home:
        home.kiro.faults.always(fault, account="social")
        answer = await home.ask("[[sim:say from the second]]", stream=True)
        assert (answer.status, answer.text) == (200, "from the second")
        served = [e.account for e in home.kiro.received("chat") if e.status == 200]
        assert served == ["idc"]


async def test_revoked_sign_in_is_not_asked_again(tmp_path: Path) -> None:
    async with house(tmp_path, "social", "idc") as home:
        home.kiro.tokens.revoke_refresh("social")
        for _ in range(3):
            assert (await home.ask("[[sim:say ok]]")).text == "ok"
        renewals = [e.account for e in home.kiro.received("refresh")]
        assert len(renewals) <= 3


async def test_all_refused_gives_the_truest_error(tmp_path: Path) -> None:
    async with house(tmp_path, "social", "idc") as home:
        home.kiro.faults.always("quota")
        answer = await home.ask("hello")
        assert (answer.status, answer.error["type"]) == (402, "billing_error")
        again = await home.ask("hello")
        assert again.status == 402
        assert len(home.chats()) == 2  # nobody is asked again before the reset


SOONER = [
    (("rate", 5), ("rate", 300), 429, 5),
    (("rate", 7), ("suspended", None), 429, 7),
    (("suspended", None), ("rate", 7), 429, 7),
    (("quota", None), ("suspended", None), 402, None),
    (("rate", 7), ("quota", None), 429, 7),
]


@pytest.mark.parametrize(("first", "second", "status", "wait_s"), SOONER)
async def test_last_account_s_word_is_not_the_truest(
    first: tuple[str, int | None],
    second: tuple[str, int | None],
    status: int,
    wait_s: int | None,
    tmp_path: Path,
) -> None:
    """The account that is back first decides, not the one that was asked last."""
    async with house(tmp_path, "social", "idc") as home:
        for label, (fault, retry_after) in (("social", first), ("idc", second)):
            more = {} if retry_after is None else {"retry_after": retry_after}
            home.kiro.faults.always(fault, account=label, **more)
        for _ in range(2):  # whoever finds it so is told the same as whoever found it out
            answer = await home.ask("hello")
            assert answer.status == status
            told_s = int(answer.headers["retry-after"])
            assert told_s > 86400 if wait_s is None else wait_s - 2 <= told_s <= wait_s
        assert len(home.chats()) == 2


async def test_figures_are_asked_once_when_many_requests_find_the_credits_gone(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, settings=Settings(pace_s=0, latency_s=0.2)) as home:
        await home.ask("[[sim:say ok]]")
        while not home.kiro.received("usage"):
            await asyncio.sleep(0.01)
        home.kiro.faults.always("quota")
        answers = await asyncio.gather(*(home.ask(f"hello {n}") for n in range(20)))
        assert {answer.status for answer in answers} == {402}
        usage = await home.send("GET", "/api/usage")
        assert usage.json["accounts"][0]["state"] == "exhausted"
        assert len(home.kiro.received("usage")) <= 2


async def test_state_folder_that_cannot_be_had_does_not_stop_renewals(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file, and no folder")
    async with house(tmp_path) as home:
        assert (await home.ask("[[sim:say one]]")).text == "one"
        home.kiro.tokens.revoke_access("social")
        assert (await home.ask("[[sim:say two]]")).text == "two"


async def test_state_folder_is_for_its_user_alone(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        await home.ask("[[sim:say one]]")
        for path in (home.state_dir, *home.state_dir.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_rate_limit_of_the_only_account_tells_when_to_come_back(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.next("rate", retry_after=20)
        first = await home.ask("hello")
        assert (first.status, first.headers["retry-after"]) == (429, "20")
        second = await home.ask("hello")
        assert second.status == 429
        assert 0 < int(second.headers["retry-after"]) <= 20
        assert len(home.chats()) == 1


@pytest.mark.parametrize("label", ["social", "idc", "builder", "api_key"])
async def test_every_kind_of_sign_in_serves(label: str, tmp_path: Path) -> None:
    async with house(tmp_path, label) as home:
        answer: Answer = await home.ask("[[sim:say hello]]", stream=True)
        assert answer.text == "hello"


@pytest.mark.parametrize("label", ["social", "idc", "builder", "api_key"])
async def test_every_kind_serves_where_a_profile_is_required(label: str, tmp_path: Path) -> None:
    async with house(tmp_path, label, settings=Settings(pace_s=0, arn_required=True)) as home:
        answer = await home.ask("[[sim:say hello]]", stream=True)
        assert answer.text == "hello"


async def test_rotated_token_survives_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert (await home.ask("[[sim:say one]]")).text == "one"
        kept = list((tmp_path / "state" / "credentials").glob("*.json"))
        assert kept
        for path in kept:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        entries = home.kiro.demo_credentials("social")
        # The environment still holds the first refresh token, which is dead by now.
        again = {
            "KIRO_AUTH_TOKEN": orjson.dumps(entries).decode(),
            "KIRO_API_URL": home.kiro.base_url,
            "KIRO_SOCIAL_AUTH_URL": home.kiro.base_url,
            "KIRO_OIDC_URL": home.kiro.base_url,
        }
        home.kiro.tokens.expire_access("social")
        async with house(tmp_path, **again) as second:
            assert (await second.ask("[[sim:say two]]")).text == "two"


async def test_no_secret_is_logged_or_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="kiroproxy")
    async with house(tmp_path, "social", "idc", "api_key") as home:
        secrets = [home.key]
        for entry in home.kiro.demo_credentials():
            secrets += [
                str(entry[name])
                for name in ("refreshToken", "clientSecret", "kiroApiKey")
                if name in entry
            ]
        answers = []
        for fault in ("token_invalid", "suspended", "improper", "internal"):
            home.kiro.faults.next(fault)
            answers.append(await home.ask("hello"))
        answers.append(await home.send("POST", "/v1/messages", b"{", {"x-api-key": "wrong"}))
        answers.append(await home.ask("[[sim:say fine]]"))
        for entry in home.kiro.requests:
            bearer = entry.headers.get("authorization", "").removeprefix("Bearer ")
            if bearer:
                secrets.append(bearer)
        said = caplog.text + "".join(f"{a.headers}{a.body.decode()}" for a in answers)
        assert len(set(secrets)) >= 6
        assert [s for s in secrets if s in said] == []
