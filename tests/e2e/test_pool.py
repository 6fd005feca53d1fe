"""Several accounts as one: strategies, limits, restarts, kills, two processes on one folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from kiroproxy.simulator import Settings, Simulator
from tests.e2e.support import KEY, Answer, House, house, read_answer, request_bytes, turn

BOTH = ("social", "idc")


def served(home: House) -> list[str | None]:
    return [e.account for e in home.kiro.received("chat") if e.status == 200]


def environment(kiro: Simulator, *labels: str) -> dict[str, str]:
    return {
        "KIRO_AUTH_TOKEN": orjson.dumps(kiro.demo_credentials(*labels)).decode(),
        "KIRO_API_URL": kiro.base_url,
        "KIRO_SOCIAL_AUTH_URL": kiro.base_url,
        "KIRO_OIDC_URL": kiro.base_url,
    }


# -- selection


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        ("sequential", ["social"] * 4),
        ("round_robin", ["social", "idc", "social", "idc"]),
        ("least_loaded", ["social", "idc", "social", "idc"]),
    ],
)
async def test_strategy(strategy: str, order: list[str], tmp_path: Path) -> None:
    async with house(tmp_path, *BOTH, TOKEN_SELECTION_STRATEGY=strategy) as home:
        await home.ask("[[sim:say ok]]")
        while set(order) - set(served(home)):  # who has no token yet is passed over
            await home.ask("[[sim:say ok]]", system=str(len(served(home))))
        before = len(served(home))
        for number in range(4):
            assert (await home.ask(f"[[sim:say ok]] {number}")).status == 200
        assert served(home)[before:] in (order, order[::-1])


async def test_conversation_without_a_session_stays_on_its_account(tmp_path: Path) -> None:
    async with house(tmp_path, *BOTH, TOKEN_SELECTION_STRATEGY="round_robin") as home:
        first = {"role": "user", "content": "Shall we talk? [[sim:say yes]]"}
        for length in range(3):
            more = [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "and?"}]
            body = {**turn(""), "messages": [first, *more * length]}
            assert (await home.send("POST", "/v1/messages", body)).status == 200
            await home.ask(f"[[sim:say something else]] {length}")
        assert len(set(served(home)[::2])) == 1


# -- limits


async def stay(home: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose answer begins and does not end."""
    body = orjson.dumps(turn("[[sim:fault stall after=3]] One two three four.", stream=True))
    reader, writer = await home.connect()
    writer.write(request_bytes("POST", "/v1/messages", body))
    await reader.readuntil(b"content_block_delta")
    return reader, writer


async def test_server_is_full(tmp_path: Path) -> None:
    limits = {"MAX_CONCURRENT_SESSIONS": "1", "KIROPROXY_QUEUE_WAIT_S": "0.05"}
    async with house(tmp_path, **limits) as home:
        _, writer = await stay(home)
        answer = await home.ask("hello")
        assert (answer.status, answer.error["type"]) == (529, "overloaded_error")
        assert answer.headers["retry-after"] == "5"
        writer.close()
        while (answer := await home.ask("[[sim:say free again]]")).status == 529:
            await asyncio.sleep(0.01)
        assert answer.text == "free again"


async def test_line_of_the_server_is_served(tmp_path: Path) -> None:
    async with house(tmp_path, MAX_CONCURRENT_SESSIONS="2") as home:
        answers: list[Answer] = await asyncio.gather(
            *(home.ask(f"[[sim:say ok]] {n}", stream=n % 2 == 0) for n in range(18))
        )
        assert {answer.text for answer in answers} == {"ok"}


async def test_account_is_full(tmp_path: Path) -> None:
    limits = {"KIROPROXY_ACCOUNT_CONCURRENCY": "1", "KIROPROXY_QUEUE_WAIT_S": "0.05"}
    async with house(tmp_path, *BOTH, **limits) as home:
        await stay(home)
        assert (await home.ask("[[sim:say ok]]")).headers["x-kiroproxy-account"]
        assert served(home)[-1] == "idc"
        await stay(home)
        answer = await home.ask("hello")
        assert (answer.status, answer.error["type"]) == (529, "overloaded_error")
        assert "busy" in answer.error["message"] and answer.headers["retry-after"] == "5"


async def test_client_that_leaves_is_no_success_of_the_account(tmp_path: Path) -> None:
    """Throttles in a row are counted until an answer comes, not until somebody gives up."""
    async with house(tmp_path) as home:
        home.kiro.faults.next("rate", retry_after=0)
        assert (await home.ask("hello")).status == 429
        _, writer = await stay(home)
        writer.transport.abort()
        while home.app.metrics.active:
            await asyncio.sleep(0.01)
        await home.app.stop()
        with contextlib.closing(sqlite3.connect(home.state_dir / "state.db")) as connection:
            assert connection.execute("SELECT streak FROM account_states").fetchall() == [(1,)]


# -- what outlives a process


@pytest.mark.parametrize(
    ("fault", "status"), [("quota", 402), ("suspended", 403), ("suspicious", 429), ("daily", 429)]
)
async def test_state_survives_a_restart(fault: str, status: int, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.next(fault)
        assert (await home.ask("hello")).status == status
        asked = len(home.chats())
        await home.app.stop()
        async with house(tmp_path, **environment(home.kiro, "social")) as second:
            assert (await second.ask("hello again")).status == status
        assert len(home.chats()) == asked  # the service was not asked again


async def test_revoked_sign_in_survives_a_restart_until_a_new_one(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.kiro.tokens.revoke_refresh("social")
        assert (await home.ask("hello")).status == 401
        renewals = len(home.kiro.received("refresh"))
        await home.app.stop()
        async with house(tmp_path, **environment(home.kiro, "social")) as second:
            assert (await second.ask("hello")).status == 401
        assert len(home.kiro.received("refresh")) == renewals


async def test_two_servers_on_one_folder(tmp_path: Path) -> None:
    async with house(tmp_path, *BOTH) as one:
        async with house(tmp_path, **environment(one.kiro, *BOTH)) as two:
            answers = await asyncio.gather(
                *(home.ask(f"[[sim:say ok]] {n}") for n in range(20) for home in (one, two))
            )
            assert {answer.text for answer in answers} == {"ok"}
            one.kiro.faults.always("quota", account="social")
            assert (await one.ask("[[sim:say from the second]]")).text == "from the second"
            assert (await two.ask("[[sim:say from the second]]")).text == "from the second"
    with sqlite3.connect(tmp_path / "state" / "state.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        states = connection.execute("SELECT state FROM account_states ORDER BY 1").fetchall()
    connection.close()
    assert states in ([("exhausted",)], [("exhausted",), ("ready",)])


async def test_damaged_state_file_does_not_stop_the_server(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "state.db").write_bytes(b"rubbish" * 1000)
    async with house(tmp_path) as home:
        assert (await home.ask("[[sim:say fine]]")).text == "fine"
    assert list((tmp_path / "state").glob("state.db.broken-*"))


async def ask_at(port: int, text: str) -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request_bytes("POST", "/v1/messages", orjson.dumps(turn(text))))
        return await read_answer(reader)
    finally:
        writer.close()


async def test_kill_9_under_load(tmp_path: Path) -> None:
    """Killed in the middle of everything, again and again: what was known stays known."""
    kiro = Simulator(Settings(pace_s=0))
    await kiro.start()
    kiro.faults.always("quota", account="social")
    env = {
        **{k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH")},
        **environment(kiro, *BOTH),
        "HOME": str(tmp_path),
        "KIRO_CLIENT_TOKEN": KEY,
        "KIROPROXY_STATE_DIR": str(tmp_path / "state"),
    }
    for number in range(3):
        command = [sys.executable, "-m", "kiroproxy", "server", "--port", "0"]
        process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            url = next(w for line in lines for w in line.split() if w.startswith("http://127"))
            port = int(url.rstrip("/,.").rsplit(":", 1)[1])
            for _ in range(5):
                assert (await ask_at(port, "[[sim:say ok]]")).text == "ok"
            load = [asyncio.create_task(ask_at(port, f"[[sim:say ok]] {n}")) for n in range(20)]
            await asyncio.sleep(0.01 * number)
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        await asyncio.gather(*load, return_exceptions=True)
        with sqlite3.connect(tmp_path / "state" / "state.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    await kiro.stop()
    refused = [e for e in kiro.received("chat") if e.account == "social"]
    assert [e.status for e in refused] == [402]  # once, by the first of the three
