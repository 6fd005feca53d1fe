"""``kiroproxy server --workers``: real processes, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path

import orjson
import pytest

from tests.e2e.support import KEY, request_bytes, turn
from tests.processes import Server, environment, is_alive, servers, serving, simulated, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

TWO = ("--workers", "2")


def sockets_of(pid: int) -> int:
    """Open sockets of a process."""
    folder = Path(f"/proc/{pid}/fd")
    return sum(os.readlink(folder / name).startswith("socket:") for name in os.listdir(folder))


def listening(port: int, pid: int) -> set[str]:
    """The listening sockets at a port that a process holds, by inode."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    at_port = {f[9] for f in lines if f[3] == "0A" and int(f[1].rpartition(":")[2], 16) == port}
    folder = Path(f"/proc/{pid}/fd")
    held = {os.readlink(folder / name) for name in os.listdir(folder)}
    return {inode for inode in at_port if f"socket:[{inode}]" in held}


async def counted(server: Server) -> int:
    """Answered requests, as ``/metrics`` has them."""
    text = (await server.send("GET", "/metrics")).body.decode()
    found = re.findall(r'^kiroproxy_requests_total\{.*outcome="answered"\} (\d+)$', text, re.M)
    return sum(map(int, found))


async def settled(server: Server, count: int) -> None:
    """Whoever is asked says so, ten times in a row."""
    right = 0
    while right < 10:
        right = right + 1 if await counted(server) == count else 0
        await asyncio.sleep(0.02)


async def test_connections_are_spread(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO) as (server, _):
        before = {pid: sockets_of(pid) for pid in server.workers()}
        assert len(before) == 2
        streams = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(24)]
        server.open += [writer for _, writer in streams]
        await until(lambda: sum(map(sockets_of, before)) >= sum(before.values()) + 24)
        assert all(sockets_of(pid) > count for pid, count in before.items())


async def test_figures_are_everybodys(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO) as (server, _):
        for _ in range(12):
            assert (await server.ask("[[sim:say one]]")).text == "one"
        await settled(server, 12)
        os.kill(min(server.workers()), signal.SIGKILL)
        await settled(server, 12)
        assert (await server.ask("[[sim:say one]]")).text == "one"
        await settled(server, 13)
        usage = (await server.send("GET", "/api/usage")).json
        assert usage["totals"]["requests"] == 13
        text = (await server.send("GET", "/metrics")).body.decode()
        assert re.findall(r'^process_open_fds\{worker="(\d)"\}', text, re.M) == ["0", "1"]


async def test_streams_under_way_are_summed_over_accounts_too(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO, pace_s=0.05) as (server, _):
        for _ in range(8):
            await server.stream("[[sim:text 5000]]")
        wanted = ("kiroproxy_active_streams 8\n", "kiroproxy_account_active_requests")
        while True:
            text = (await server.send("GET", "/metrics")).body.decode()
            if wanted[0] in text:
                break
        (line,) = [line for line in text.splitlines() if line.startswith(wanted[1])]
        assert line.endswith(" 8")


async def test_connections_are_summed_over_workers(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO) as (server, _):
        for _ in range(8):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            server.open.append(writer)
        while True:
            text = (await server.send("GET", "/metrics")).body.decode()
            if "\nkiroproxy_client_connections 9\n" in text:  # the one that asks is the ninth
                break
        assert "\nkiroproxy_request_held_bytes 0\n" in text


async def test_events_of_all_workers_come_to_whoever_watches(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        server.open.append(writer)
        writer.write(request_bytes("GET", "/api/events"))
        await reader.readuntil(b"event: active")
        ids: list[str] = []
        asked = 0
        while len(ids) < 10:
            if asked < 10:
                asked += 1
                await server.ask("[[sim:say one]]")
            await reader.readuntil(b"event: request\ndata: ")
            ids.append(orjson.loads(await reader.readline())["id"])
        assert len(set(ids)) == 10


async def _end_of(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_a_killed_worker_loses_its_own_streams_and_is_replaced(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO, pace_s=0.05) as (server, kiro):
        streams = [await server.stream("[[sim:text 5000]]") for _ in range(16)]
        ends = [asyncio.create_task(_end_of(reader)) for reader, _ in streams]
        victim = min(server.workers())
        os.kill(victim, signal.SIGKILL)
        await until(lambda: kiro.open_streams < 16)
        await until(lambda: len(server.workers()) == 2 and victim not in server.workers())
        await until(lambda: sum(end.done() for end in ends) + kiro.open_streams == 16)
        lost = [end.result() for end in ends if end.done()]
        assert 0 < len(lost) < 16
        assert not any(b"message_stop" in end for end in lost)
        for end in ends:
            end.cancel()
        for _ in range(8):
            assert (await server.ask("[[sim:say still here]]")).text == "still here"
        assert "ended by SIGKILL; a new one starts now" in server.text


async def test_many_workers_killed_at_once_are_all_replaced(tmp_path: Path) -> None:
    """Ends that the parent learns of in two ways in the same moment."""
    async with servers(tmp_path, "--workers", "8") as (server, _):
        workers = server.workers()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(server.workers() - workers) == 8)
        assert server.process.returncode is None
        assert (await server.ask("[[sim:say one]]")).text == "one"


async def test_sigterm_lets_the_answers_of_all_workers_finish(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO, pace_s=0.02) as (server, _):
        streams = [await server.stream("[[sim:text 30]]") for _ in range(8)]
        server.tell(signal.SIGTERM)
        for reader, _ in streams:
            assert b"event: message_stop" in await reader.readuntil(b"\r\n0\r\n\r\n")
        assert await server.process.wait() == 0
        assert server.text.count(" serves on ") == 1


async def test_whoever_tells_every_process_to_stop_cuts_no_answer(tmp_path: Path) -> None:
    """As systemd does without ``KillMode=mixed``: each worker is told twice, by it and by the parent."""
    async with servers(tmp_path, *TWO, pace_s=0.02) as (server, _):
        streams = [await server.stream("[[sim:text 30]]") for _ in range(8)]
        for pid in server.workers():
            os.kill(pid, signal.SIGTERM)
        server.tell(signal.SIGTERM)
        for reader, _ in streams:
            assert b"event: message_stop" in await reader.readuntil(b"\r\n0\r\n\r\n")
        assert await server.process.wait() == 0


async def test_a_worker_that_is_told_to_stop_finishes_and_gets_nothing_new(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO, pace_s=0.02) as (server, kiro):
        streams = [await server.stream("[[sim:text 5000]]") for _ in range(8)]
        ends = [asyncio.create_task(_end_of(reader)) for reader, _ in streams]
        workers = server.workers()
        os.kill(min(workers), signal.SIGTERM)
        await until(lambda: len(listening(server.port, server.process.pid)) == 1)
        for _ in range(16):
            assert (await server.ask("[[sim:say at once]]")).text == "at once"
        assert kiro.open_streams == 8 and not any(end.done() for end in ends)
        assert server.workers() == workers
        for end in ends:
            end.cancel()
        for _, writer in streams:
            writer.transport.abort()
        await until(lambda: min(workers) not in server.workers() and len(server.workers()) == 2)
        await until(lambda: "ended with exit code 0; a new one starts now" in server.text)


async def test_workers_killed_while_nobody_reads_the_log_are_replaced(tmp_path: Path) -> None:
    async with simulated() as (kiro, url):
        given = environment(tmp_path, url, kiro.demo_credentials("social"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kiroproxy", "server", *TWO, env=given, cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        server = Server(process, 0, [])
        assert process.stdout is not None
        try:
            while b" serves on " not in await process.stdout.readline():
                pass
            process.stdout._transport.close()  # type: ignore[attr-defined]
            workers = server.workers()
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            await until(lambda: len(server.workers() - workers) == 2)
            server.tell(signal.SIGTERM)
            assert await process.wait() == 0  # an unread log is no failure
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_a_worker_that_stands_still_is_replaced_and_what_waits_for_it_served(
    tmp_path: Path,
) -> None:
    async with servers(tmp_path, *TWO, KIROPROXY_WORKER_HANG_S="3") as (server, _):
        still, other = sorted(server.workers())
        os.kill(still, signal.SIGSTOP)
        answers = [asyncio.create_task(server.ask("[[sim:say one]]")) for _ in range(12)]
        assert {(await answer).text for answer in answers} == {"one"}
        await until(lambda: len(server.workers() - {still}) == 2)
        assert other in server.workers() and not is_alive(still)
        assert f"(process {still}) has stood still for 3 s and is killed" in server.text


async def test_a_worker_may_stand_still_for_ever_if_that_is_wanted(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO, KIROPROXY_WORKER_HANG_S="0") as (server, _):
        assert {(await server.ask("[[sim:say one]]")).text for _ in range(4)} == {"one"}
        server.tell(signal.SIGTERM)
        assert await server.process.wait() == 0


async def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO, pace_s=0.05) as (server, _):
        reader, _ = await server.stream("[[sim:text 5000]]")
        server.tell(signal.SIGINT)
        await until(lambda: "stopping" in server.text)
        server.tell(signal.SIGINT)
        assert await server.process.wait() == 130
        assert b"message_stop" not in await reader.read()


async def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO) as (server, _):
        workers = server.workers()
        assert len(workers) == 2
        server.tell(signal.SIGKILL)
        await until(lambda: not any(map(is_alive, workers)))


async def test_sighup_ends_nobody(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO) as (server, _):
        workers = server.workers()
        server.tell(signal.SIGHUP)
        for _ in range(8):
            assert (await server.ask("[[sim:say one]]")).text == "one"
        assert server.workers() == workers


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sighup_ends_nobody_who_starts_or_stops(workers: str, tmp_path: Path) -> None:
    async with simulated() as (kiro, url):
        given = environment(tmp_path, url, kiro.demo_credentials("social"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kiroproxy", "server", "--workers", workers, env=given,
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            await until((tmp_path / "state").exists)
            process.send_signal(signal.SIGHUP)
            while b" serves on " not in (line := await process.stdout.readline()):
                assert line, "it has ended"
            process.send_signal(signal.SIGTERM)
            while process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)  # send_signal would wait for it, too
                await asyncio.sleep(0.001)
            assert process.returncode == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def ask_with(server: Server, key: str) -> int:
    """The status of an answer to this key."""
    body = turn("[[sim:say one]]")
    return (await server.send("POST", "/v1/messages", body, {"x-api-key": key})).status


async def test_sighup_reloads_all_workers_and_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'kiro_client_token = "{KEY}"\nno_such = 1\n')
    file.chmod(0o600)
    more = {"KIRO_CLIENT_TOKEN": "", "KIROPROXY_CONFIG": str(file)}
    async with servers(tmp_path, *TWO, **more) as (server, _):
        assert (
            server.text.count("no such setting: no_such") == 2
        )  # a line of the log, and the welcome
        assert [await ask_with(server, KEY) for _ in range(8)] == [200] * 8
        workers = server.workers()
        reader, _ = await server.stream("[[sim:text 60]][[sim:pace 0.02]]")
        file.write_text('kiro_client_token = "second-key"\nmetrics_enabled = false\nno_such = 1\n')
        server.tell(signal.SIGHUP)
        await until(lambda: server.text.count("reloaded: 1 accounts") == 2)
        assert b"message_stop" in await reader.readuntil(b"\r\n0\r\n\r\n")
        assert [await ask_with(server, KEY) for _ in range(8)] == [401] * 8
        assert [await ask_with(server, "second-key") for _ in range(8)] == [200] * 8
        assert server.workers() == workers
        assert server.text.count("need a restart: METRICS_ENABLED") == 1
        assert server.text.count("no such setting: no_such") == 3


async def test_a_worker_that_replaces_another_has_the_reloaded_settings(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'kiro_client_token = "{KEY}"\n')
    file.chmod(0o600)
    more = {"KIRO_CLIENT_TOKEN": "", "KIROPROXY_CONFIG": str(file)}
    async with servers(tmp_path, *TWO, **more) as (server, _):
        file.write_text('kiro_client_token = "second-key"\n')
        server.tell(signal.SIGHUP)
        await until(lambda: server.text.count("reloaded: 1 accounts") == 2)
        file.write_text("broken and not told of")
        workers = server.workers()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: len(server.workers() - workers) == 2)
        assert [await ask_with(server, KEY) for _ in range(8)] == [401] * 8
        assert [await ask_with(server, "second-key") for _ in range(8)] == [200] * 8


async def test_sighup_to_a_worker_is_the_parents_business(tmp_path: Path) -> None:
    async with servers(tmp_path, *TWO) as (server, _):
        for pid in server.workers():
            os.kill(pid, signal.SIGHUP)
        line = f"SIGHUP to a worker does nothing; it is for process {server.process.pid}"
        await until(lambda: server.text.count(line) == 2)
        server.tell(signal.SIGHUP)
        await until(lambda: server.text.count("reloaded: 1 accounts") == 2)


async def test_sighup_of_a_demo_changes_nothing(tmp_path: Path) -> None:
    given = environment(tmp_path, KIROPROXY_STATE_DIR="")
    for arguments in ((), TWO):
        async with serving(given, tmp_path, "--demo", *arguments) as server:
            server.tell(signal.SIGHUP)
            for _ in range(4):
                assert (await server.ask("[[sim:say one]]")).text == "one"
            server.tell(signal.SIGTERM)
            assert await server.process.wait() == 0


@pytest.mark.parametrize("first", ["1", "2"])
async def test_a_taken_port_is_told_once(first: str, tmp_path: Path) -> None:
    async with servers(tmp_path, "--workers", first) as (server, _):
        given = environment(tmp_path, PORT=str(server.port))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kiroproxy", "server", *TWO, env=given, cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        assert process.returncode == 2
        assert said.decode().count("PORT: cannot listen") == 1


async def test_a_setting_that_only_a_worker_finds_wrong_is_told_once(tmp_path: Path) -> None:
    given = environment(tmp_path, SSL_CERT_FILE=str(tmp_path / "nothing.pem"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kiroproxy", "server", *TWO, env=given, cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 2
    assert said.decode().count("SSL_CERT_FILE") == 1


async def test_demo_with_workers_has_one_simulator(tmp_path: Path) -> None:
    given = environment(tmp_path, KIROPROXY_STATE_DIR="")
    async with serving(given, tmp_path, "--demo", *TWO) as server:
        assert len(server.workers()) == 3
        (simulator,) = [pid for pid in server.workers() if len(listening(server.port, pid)) != 1]
        assert not listening(server.port, simulator), "it takes connections that nobody accepts"
        for _ in range(6):
            answer = await server.send(
                "POST", "/v1/messages",
                {"model": "claude-sonnet-4-5", "max_tokens": 99,
                 "messages": [{"role": "user", "content": "[[sim:say demo]]"}]},
                {"x-api-key": KEY},
            )  # fmt: skip
            assert answer.text == "demo"
        children = server.workers()
        server.tell(signal.SIGTERM)
        assert await server.process.wait() == 0
        assert not any(map(is_alive, children))
