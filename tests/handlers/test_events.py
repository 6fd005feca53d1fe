"""One watcher's stream: what is told, what is not, and readers that fall behind."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import orjson

from kiroproxy.handlers.events import Watcher
from kiroproxy.http import Exchange, SSEWriter
from tests.usage.test_ledger import RECORD


class FakeExchange:
    """The two flags that a watcher looks at."""

    write_paused = False
    finished = False


class FakeWriter:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def write(self, data: bytes) -> None:
        name, value = data.decode().removesuffix("\n\n").split("\n")
        self.events.append((name.removeprefix("event: "), orjson.loads(value[6:])))


def watcher() -> tuple[Watcher, FakeExchange, FakeWriter]:
    exchange, writer = FakeExchange(), FakeWriter()
    return Watcher(cast(Exchange, exchange), cast(SSEWriter, writer)), exchange, writer


def account(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "state": "ready", "active": 0, "until_epoch_s": None, **changes}


def test_the_number_of_streams_is_told_when_it_changes() -> None:
    stream, _, writer = watcher()
    for number in (0, 0, 2, 2, 1):
        stream.tell_active(number)
    assert writer.events == [("active", {"streams": n}) for n in (0, 2, 1)]


def test_accounts_are_told_when_they_change_and_not_for_their_clocks() -> None:
    stream, _, writer = watcher()
    stream.tell_accounts([account()])
    stream.tell_accounts([account(active=3, until_epoch_s=1.5)])
    assert writer.events == []
    stream.tell_accounts([account(state="cooling", until_epoch_s=9.0)])
    stream.tell_accounts([account(state="cooling", until_epoch_s=9.1)])
    assert writer.events == [("account", account(state="cooling", until_epoch_s=9.0))]


def test_a_reader_that_falls_behind_is_let_go() -> None:
    stream, exchange, writer = watcher()
    exchange.write_paused = True
    stream.tell_request(RECORD)
    assert stream.is_over
    exchange.write_paused = False
    stream.tell_request(RECORD)  # events are missing by now: the stream stays over
    assert writer.events == []


def test_nothing_is_written_after_the_end() -> None:
    stream, exchange, writer = watcher()
    exchange.finished = True
    stream.tell_request(RECORD)
    assert stream.is_over
    assert writer.events == []


async def test_pause_ends_with_the_stream() -> None:
    stream, _, _ = watcher()
    pause = asyncio.ensure_future(stream.pause(3600.0))
    stream.end()
    await pause
    assert stream.is_over
