"""Two real instances behind the real nginx and HAProxy, with the files in deploy/."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from kiroproxy.simulator import Simulator
from tests.deploy.balancers import BALANCERS
from tests.e2e.support import KEY, Answer, request_bytes, turn
from tests.processes import Server, environment, serving, simulated, until

pytestmark = [pytest.mark.deploy, pytest.mark.parametrize("name", list(BALANCERS))]


@dataclass
class Site:
    """``port``: the balancer's."""

    port: int
    one: Server
    two: Server
    kiro: Simulator

    async def send(self, method: str, path: str, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.one.send(method, path, headers=given, port=self.port)

    async def ask(self, text: str, session: str = "") -> Answer:
        headers = {"x-claude-code-session-id": session}
        body = orjson.dumps(turn(text))
        return await self.one.send("POST", "/v1/messages", body, headers, self.port)

    async def counts(self) -> tuple[int, int]:
        """Answered requests of each instance's own clients; they keep one ledger each."""
        totals = []
        for server in (self.one, self.two):
            usage = (await server.send("GET", "/api/usage")).json
            totals.append(usage["totals"]["requests"])
        return totals[0], totals[1]


@asynccontextmanager
async def site(name: str, folder: Path, pace_s: float = 0.0) -> AsyncIterator[Site]:
    async with simulated(pace_s) as (kiro, url):
        homes = [folder / "one", folder / "two"]
        given = [
            environment(home, url, kiro.demo_credentials(label))
            for home, label in zip(homes, ("social", "idc"), strict=True)
        ]
        async with serving(given[0], homes[0]) as one, serving(given[1], homes[1]) as two:
            async with BALANCERS[name](folder, [one.port, two.port]) as port:
                yield Site(port, one, two, kiro)


async def test_events_are_not_held_back(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path, pace_s=0.05) as there:
        # It returns with the first piece of text, and the answer is hundreds of them.
        reader, _ = await there.one.stream("[[sim:text 2000]]", there.port)
        assert there.kiro.open_streams == 1
        await reader.readuntil(b"content_block_delta")
        assert there.kiro.open_streams == 1


async def test_each_piece_goes_out_as_it_comes(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path, pace_s=0.05) as there:
        reader, _ = await there.one.stream("[[sim:text 40]]", there.port)
        reads, received = 0, b""
        while b"event: message_stop" not in received:
            received += await reader.read(65536)
            reads += 1
        # A read now and then holds two; a balancer that gathers brings four and more in each.
        assert reads > received.count(b"content_block_delta") / 2


async def test_a_client_that_leaves_stops_the_service(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path, pace_s=0.02) as there:
        _, writer = await there.one.stream("[[sim:text 5000]]", there.port)
        assert there.kiro.open_streams == 1
        writer.close()
        await until(lambda: there.kiro.open_streams == 0)
        assert there.kiro.received("chat")[0].aborted


async def test_a_client_that_leaves_before_the_answer_stops_the_service(
    name: str, tmp_path: Path
) -> None:
    async with site(name, tmp_path) as there:
        there.kiro.faults.always("slow_first_frame", seconds=60)
        _, writer = await asyncio.open_connection("127.0.0.1", there.port)
        writer.write(request_bytes("POST", "/v1/messages", orjson.dumps(turn("hello"))))
        await until(lambda: there.kiro.received("chat"))
        writer.close()
        await until(lambda: there.kiro.received("chat")[0].aborted)


async def test_a_killed_instance_is_passed_over(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path) as there:
        for number in range(8):
            assert (await there.ask("[[sim:say here]]", f"session-{number}")).text == "here"
        there.one.tell(signal.SIGKILL)
        await there.one.process.wait()
        for number in range(8):
            assert (await there.ask("[[sim:say here]]", f"session-{number}")).text == "here"


async def test_an_instance_that_stops_finishes_what_it_has(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path, pace_s=0.01) as there:
        streams = [await there.one.stream("[[sim:text 100]]", there.port) for _ in range(6)]
        there.one.tell(signal.SIGTERM)
        for reader, _ in streams:
            assert b"event: message_stop" in await reader.readuntil(b"\r\n0\r\n\r\n")
        assert (await there.ask("[[sim:say other]]")).text == "other"


async def test_a_conversation_stays_on_one_instance(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path) as there:
        for _ in range(6):
            await there.ask("[[sim:say here]]", "c0ffee00-0000-4000-8000-000000000000")
        assert sorted(await there.counts()) == [0, 6]


async def test_the_rest_is_dealt_out(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path) as there:
        while not all(await there.counts()):
            await there.ask("[[sim:say here]]")


async def test_health_is_open_and_figures_are_not(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path) as there:
        nobody = {"x_api_key": "", "Host": "127.0.0.1"}
        assert (await there.send("GET", "/health", **nobody)).status == 200
        for key in ("", KEY):
            answer = await there.send("GET", "/metrics", x_api_key=key, Host="127.0.0.1")
            assert answer.status == 404
        for path in ("/api/usage", "/api/tokens", "/api/requests", "/api/events", "/v1/models"):
            assert (await there.send("GET", path, **nobody)).status == 401, path
        assert (await there.send("GET", "/api/usage", Host="127.0.0.1")).status == 200
        # The same without a balancer: this machine's own user needs no key.
        answer = await there.one.send(
            "GET", "/api/usage", headers={"Host": "localhost", "x-api-key": ""}
        )
        assert answer.status == 200


async def test_a_large_body_passes(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path) as there:
        body = orjson.dumps(turn("word " * 2_000_000))
        path = "/v1/messages/count_tokens"
        answer = await there.one.send("POST", path, body, port=there.port)
        assert answer.json["input_tokens"] > 1_000_000


async def test_what_is_too_large_is_refused_in_the_client_s_dialect(
    name: str, tmp_path: Path
) -> None:
    async with site(name, tmp_path) as there:
        body = orjson.dumps(turn("word " * 7_000_000))
        answer = await there.one.send("POST", "/v1/messages", body, port=there.port)
        assert answer.status == 413
        assert answer.json["error"]["type"] == "request_too_large"


async def test_long_headers_pass(name: str, tmp_path: Path) -> None:
    async with site(name, tmp_path) as there:
        answer = await there.send("GET", "/v1/models", x_codex_turn_metadata="m" * 14_000)
        assert answer.status == 200
