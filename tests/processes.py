"""The program as processes of the system, in front of a simulator in this one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from kiroproxy.simulator import Settings, Simulator
from tests.e2e.support import KEY, Answer, Json, read_answer, request_bytes, turn

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def until(condition: Callable[[], object]) -> None:
    """The test's own timeout is the limit."""
    while not condition():
        await asyncio.sleep(0.01)


@dataclass
class Server:
    """A started ``kiroproxy server``. ``said``: its output so far, both streams together."""

    process: asyncio.subprocess.Process
    port: int
    said: list[str]
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.said)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | Json = b"",
        headers: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> Answer:
        """One request on a connection of its own; the whole answer."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        writer.write(request_bytes(method, path, data, headers))
        answer = await read_answer(reader, method)
        writer.close()
        return answer

    async def ask(self, text: str, **more: object) -> Answer:
        return await self.send("POST", "/v1/messages", turn(text, **more))

    async def stream(self, text: str, port: int | None = None) -> Stream:
        """A streamed answer that has begun."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        self.open.append(writer)
        body = orjson.dumps(turn(text, stream=True, max_tokens=1_000_000))
        writer.write(request_bytes("POST", "/v1/messages", body))
        await reader.readuntil(b"content_block_delta")
        return reader, writer

    def workers(self) -> set[int]:
        """The process's children."""
        pid = self.process.pid
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:
            return set()
        return {int(word) for word in text.split()}

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def environment(home: Path, kiro: str = "", entries: object = None, **more: str) -> dict[str, str]:
    """A whole environment: nothing of the user's own. ``kiro``: the simulator's URL."""
    home.mkdir(exist_ok=True)
    given = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PORT": "0",
        "KIRO_CLIENT_TOKEN": KEY,
        "KIROPROXY_STATE_DIR": str(home / "state"),
        "KIROPROXY_DRAIN_S": "20",
    }
    if kiro:
        urls = ("KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL", "KIRO_OIDC_URL")
        given |= dict.fromkeys(urls, kiro)
        given["KIRO_AUTH_TOKEN"] = orjson.dumps(entries).decode()
    return given | more


@asynccontextmanager
async def serving(
    given: Mapping[str, str], cwd: Path, *arguments: str, under: Sequence[str] = ()
) -> AsyncIterator[Server]:
    """``kiroproxy server`` until the block ends; started when it says where. ``under``: a command that runs
    it, replacing itself."""
    process = await asyncio.create_subprocess_exec(
        *under, sys.executable, "-m", "kiroproxy", "server", *arguments,
        cwd=cwd, env={"PYTHONPATH": str(Path(__file__).parent.parent), **given},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    server = Server(process, 0, [])
    assert process.stdout is not None
    reading = asyncio.create_task(_read(process.stdout, server))
    children: set[int] = set()
    try:
        while not server.port:
            assert not reading.done(), server.text
            await asyncio.sleep(0.01)
        yield server
    finally:
        children = server.workers()
        for writer in server.open:
            writer.close()
        if process.returncode is None:
            process.kill()
        for pid in children:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        await process.wait()
        await reading


async def _read(stream: asyncio.StreamReader, server: Server) -> None:
    """``serves on`` is the welcome's first line, and it is printed as one piece."""
    while line := await stream.readline():
        text = line.decode()
        server.said.append(text)
        if " serves on http://" in text:
            server.port = int(text.strip().split(", ")[0].rsplit(":", 1)[1])


@asynccontextmanager
async def simulated(pace_s: float = 0.0) -> AsyncIterator[tuple[Simulator, str]]:
    """A simulator and its URL."""
    kiro = Simulator(Settings(pace_s=pace_s))
    url = await kiro.start()
    try:
        yield kiro, url
    finally:
        await kiro.stop()


@asynccontextmanager
async def servers(
    home: Path, *arguments: str, pace_s: float = 0.0, **more: str
) -> AsyncIterator[tuple[Server, Simulator]]:
    """One server in front of a simulator."""
    async with simulated(pace_s) as (kiro, url):
        given = environment(home, url, kiro.demo_credentials("social"), **more)
        async with serving(given, home, *arguments) as server:
            yield server, kiro
