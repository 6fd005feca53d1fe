"""A client without any of the proxy's code: http.client in a thread, botocore for the frames."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import botocore.eventstream

from kiroproxy.simulator import Settings, Simulator
from tests.simulator.bodies import Body

AGENT = {"user-agent": "test/1"}
SOCIAL = {**AGENT, "authorization": "Bearer aoaDemoSocialAccess"}
IDC = {**AGENT, "authorization": "Bearer aoaDemoIdcAccess"}
BUILDER = {**AGENT, "authorization": "Bearer aoaDemoBuilderAccess"}
KEY = {
    **AGENT,
    "authorization": "Bearer ksk_DemoKeyForTheSimulatorOnly000000",
    "tokentype": "API_KEY",
}
REST = {"content-type": "application/json"}
CHAT_TARGET = "AmazonCodeWhispererStreamingService.GenerateAssistantResponse"
JSON10 = {"content-type": "application/x-amz-json-1.0"}


@dataclass
class Reply:
    """``cut``: the body ended before HTTP said so."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: bool = False

    def json(self) -> Any:
        return json.loads(self.body)

    def frames(self) -> list[tuple[dict[str, str], Any]]:
        """(headers, payload) of each frame, by botocore."""
        buffer = botocore.eventstream.EventStreamBuffer()
        buffer.add_data(self.body)
        return [
            (event.headers, json.loads(event.payload) if event.payload else None)
            for event in buffer
        ]

    def events(self, kind: str) -> list[Any]:
        return [payload for headers, payload in self.frames() if headers.get(":event-type") == kind]

    def text(self) -> str:
        return "".join(event.get("content", "") for event in self.events("assistantResponseEvent"))


@asynccontextmanager
async def simulator(**settings: Any) -> AsyncIterator[Simulator]:
    sim = Simulator(Settings(**{"pace_s": 0.0, **settings}))
    await sim.start()
    try:
        yield sim
    finally:
        await sim.stop()


def _exchange(base: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        parts, cut = [], False
        try:
            while data := response.read1(65536):
                parts.append(data)
        except (http.client.IncompleteRead, ConnectionError) as error:
            parts.append(getattr(error, "partial", b""))
            cut = True
        return Reply(response.status, found, b"".join(parts), cut)
    finally:
        connection.close()


async def call(
    sim: Simulator,
    method: str,
    path: str,
    headers: dict[str, str],
    body: Body | bytes = b"",
) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await anyio.to_thread.run_sync(_exchange, sim.base_url, method, path, headers, data)


async def chat(sim: Simulator, body: Body, headers: dict[str, str] = SOCIAL) -> Reply:
    return await call(sim, "POST", "/generateAssistantResponse", {**headers, **REST}, body)


async def until(test: Any) -> None:
    """Wait for something another task brings about; the test's own timeout is the limit."""
    while not test():
        await asyncio.sleep(0.005)
