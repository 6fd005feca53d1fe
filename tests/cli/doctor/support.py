"""The doctor as a user calls it, and the troubles it is shown."""

from __future__ import annotations

import asyncio
import http.client
import http.server
import json
import os
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kiroproxy.simulator import Simulator
from tests.clients.harness import secrets_in, sign_in

KEY = "key-of-the-doctor-test"


@dataclass
class Findings:
    """What ``kiroproxy doctor --json`` says."""

    code: int
    checks: list[dict[str, Any]]
    output: str

    def of(self, check: str) -> list[dict[str, Any]]:
        return [line for line in self.checks if line["check"] == check]

    def levels(self, check: str) -> list[str]:
        return [line["level"] for line in self.of(check)]

    def one(self, check: str, level: str) -> str:
        """The text of the check's one line of this level; a warning or failure has a remedy."""
        (line,) = [line for line in self.of(check) if line["level"] == level]
        assert bool(line["remedy"]) == (level in ("warn", "fail")), line
        text: str = line["text"]
        return text

    def failed(self) -> list[str]:
        return [line["check"] for line in self.checks if line["level"] == "fail"]


def environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    base = {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": os.getcwd()}
    return (
        base
        | {"KIRO_CLIENT_TOKEN": KEY, "PORT": "0", "CLAUDE_CODE_AUTO_COMPACT_WINDOW": "1"}
        | dict(more)
    )


async def doctor(home: Path, *arguments: str, **more: str) -> Findings:
    """A run to its end. No secret of the environment is in the output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kiroproxy", "doctor", "--json", *arguments,
        cwd=home,
        env=environment(home, more),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), 50)
    except TimeoutError:
        process.kill()
        raise
    said = out.decode() + err.decode()
    assert "Traceback" not in said, said
    assert [secret for secret in [KEY, *secrets_in(more)] if secret in said] == []
    assert process.returncode is not None
    value = json.loads(out) if out.startswith(b"{") else {"ok": False, "checks": []}
    assert value["ok"] == (process.returncode == 0), said
    return Findings(process.returncode, value["checks"], said)


@asynccontextmanager
async def service() -> AsyncIterator[tuple[Simulator, dict[str, str]]]:
    """A simulator, and the environment that leads to it."""
    simulator = Simulator()
    url = await simulator.start()
    try:
        yield simulator, sign_in(simulator, url, "social")
    finally:
        await simulator.stop()


@asynccontextmanager
async def serving(home: Path, **more: str) -> AsyncIterator[int]:
    """A running demo server with KEY; its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kiroproxy", "server", "--demo",
        cwd=home,
        env=environment(home, more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        said = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        yield int(said.rpartition(":")[2])
    finally:
        process.terminate()
        await process.communicate()


@contextmanager
def http_server(
    handler: type[http.server.BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """On a free port of loopback, in a thread of its own."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            pass  # whoever asked has gone


class Dated(Quiet):
    """A service in another time."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Sat, 01 Jan 2000 00:00:00 GMT"

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()


def buffering(target: str) -> type[Quiet]:
    """A reverse proxy that hands an answer on when it has all of it."""

    class Buffering(Quiet):
        def do_GET(self) -> None:
            self._pass(b"")

        def do_POST(self) -> None:
            self._pass(self.rfile.read(int(self.headers["Content-Length"])))

        def _pass(self, body: bytes) -> None:
            parts = urlsplit(target)
            upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
            kept = {
                n: v for n, v in self.headers.items() if n.lower() not in ("host", "connection")
            }
            upstream.request(self.command, self.path, body, kept)
            answer = upstream.getresponse()
            whole = answer.read()
            upstream.close()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole)

    return Buffering


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]
