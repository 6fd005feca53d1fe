"""Names are looked up in a few threads of our own; where the system starts none, it is an error."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from kiroproxy.errors import ConnectError
from kiroproxy.upstream import UpstreamClient
from kiroproxy.upstream.lookup import MOST_THREADS, Lookups
from tests.threads import no_threads
from tests.upstream.peers import PATIENT


def names() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "names"]


async def test_many_at_once_share_a_few_threads_that_end() -> None:
    lookups = Lookups()
    asking = [asyncio.create_task(lookups.addresses(b"localhost", 80 + n)) for n in range(100)]
    most = 0
    while not all(task.done() for task in asking):
        most = max(most, len(names()))
        await asyncio.sleep(0)
    for number, task in enumerate(asking):
        assert {info[4][1] for info in task.result()} == {80 + number}
    assert most <= MOST_THREADS
    while names():
        await asyncio.sleep(0.001)
    assert await lookups.addresses("127.0.0.1", 1)


async def test_failure_is_told_as_it_is() -> None:
    with pytest.raises(socket.gaierror):
        await Lookups().addresses(b"name.invalid", 80)
    with pytest.raises(UnicodeError):
        await Lookups().addresses("a" * 64 + ".\u00e9", 80)


async def test_nobody_waits_for_what_was_given_up() -> None:
    lookups = Lookups()
    given_up = [asyncio.create_task(lookups.addresses(b"localhost", 80)) for _ in range(20)]
    await asyncio.sleep(0)
    for task in given_up:
        task.cancel()
    assert await lookups.addresses(b"localhost", 81)
    await asyncio.gather(*given_up, return_exceptions=True)


async def test_without_a_thread_it_is_an_error_and_the_next_one_is_served() -> None:
    lookups = Lookups()
    with no_threads(), pytest.raises(ConnectError, match="no more threads"):
        await lookups.addresses(b"localhost", 80)
    assert await lookups.addresses(b"localhost", 80)


async def test_client_tells_of_it_like_of_any_failure_to_connect() -> None:
    client = UpstreamClient()
    while names():  # of other tests: one that is still there would serve this look-up as well
        await asyncio.sleep(0.001)
    with no_threads(), pytest.raises(ConnectError, match="no more threads"):
        await client.send("GET", "http://localhost:1/", [], b"", PATIENT)
    with pytest.raises(ConnectError, match="Connection refused"):
        await client.send("GET", "http://localhost:1/", [], b"", PATIENT)
    await client.aclose()
