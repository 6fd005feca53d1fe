"""One connection's states: every pair of state and move."""

from __future__ import annotations

import asyncio
import socket

import pytest

from kiroproxy.errors import InternalError, StaleConnectionError
from kiroproxy.upstream.connection import TRANSITIONS, Connection, State
from kiroproxy.upstream.origin import Origin
from tests.upstream.fakes import FakeReceiver, FakeTransport

ORIGIN = Origin("http", "kiro.example", 80)


class Rig:
    """A connection on a fake transport, brought into a state."""

    def __init__(self, state: State) -> None:
        self.told: list[Connection] = []
        self.connection = Connection(ORIGIN, self.told.append)
        self.transport = FakeTransport(self.connection)
        self.receiver = FakeReceiver()
        if state is State.CLOSED:
            self.connection.abort()
        elif state is not State.NEW:
            self.connection.begin([b"one"], self.receiver)
            if state is State.IDLE:
                self.connection.finish()


@pytest.mark.parametrize("state", State)
async def test_begin(state: State) -> None:
    rig = Rig(state)
    receiver = FakeReceiver()
    if State.ACTIVE in TRANSITIONS[state]:
        rig.connection.begin([b"a", b"b"], receiver)
        rig.connection.data_received(b"answer")
        assert receiver.data == [b"answer"]
        assert rig.transport.written[-2:] == [b"a", b"b"]
        assert rig.connection.reused is (state is State.IDLE)
    else:
        with pytest.raises(StaleConnectionError):
            rig.connection.begin([b"a"], receiver)
        assert b"a" not in rig.transport.written


@pytest.mark.parametrize("state", State)
async def test_finish(state: State) -> None:
    rig = Rig(state)
    if state is State.ACTIVE:
        rig.connection.pause_reading()
        rig.connection.finish()
        assert rig.transport.reading  # or the peer's close would go unnoticed
    else:
        with pytest.raises(InternalError):
            rig.connection.finish()


@pytest.mark.parametrize("state", State)
async def test_abort_tells_once(state: State) -> None:
    rig = Rig(state)
    rig.connection.abort()
    rig.connection.abort()
    assert rig.connection.state is State.CLOSED
    assert rig.transport.aborted
    assert rig.told == [rig.connection]
    assert len(rig.receiver.causes) == (1 if state is State.ACTIVE else 0)
    await rig.connection.closed


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", ["data", "eof", "lost"])
async def test_transport_events(state: State, event: str) -> None:
    rig = Rig(state)
    if event == "data":
        rig.connection.data_received(b"x")
    elif event == "eof":
        rig.connection.eof_received()
    else:
        rig.connection.connection_lost(None)
    stays_open = event == "data" and state is State.ACTIVE
    assert rig.connection.state is (State.ACTIVE if stays_open else State.CLOSED)
    assert rig.told == ([] if stays_open else [rig.connection])
    assert rig.receiver.data == ([b"x"] if stays_open else [])
    assert rig.receiver.causes == ([None] if state is State.ACTIVE and not stays_open else [])


async def test_abort_before_the_transport_is_there() -> None:
    connection = Connection(ORIGIN, lambda _: None)
    connection.abort()
    await asyncio.wait_for(connection.closed, 5)
    assert FakeTransport(connection).aborted


@pytest.mark.parametrize("state", [State.NEW, State.IDLE])
@pytest.mark.parametrize("waiting", ["nothing", "bytes", "eof", "closed"])
async def test_usable_asks_the_kernel_about_an_idle_connection(state: State, waiting: str) -> None:
    rig = Rig(state)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        rig.transport.socket = ours
        if waiting == "bytes":
            theirs.send(b"x")
        elif waiting == "eof":
            theirs.close()
        elif waiting == "closed":
            ours.close()
        assert rig.connection.usable() is (state is State.NEW or waiting == "nothing")


async def test_use_before_the_transport_is_there() -> None:
    connection = Connection(ORIGIN, lambda _: None)
    assert not connection.usable()
    with pytest.raises(StaleConnectionError):
        connection.begin([b"a"], FakeReceiver())


async def test_unsent_follows_the_write_buffer() -> None:
    rig = Rig(State.ACTIVE)
    assert rig.transport.limits == (1, 0)
    seen = [rig.connection.unsent]
    for event in (rig.connection.pause_writing, rig.connection.resume_writing):
        event()
        seen.append(rig.connection.unsent)
    assert seen == [False, True, False]


@pytest.mark.parametrize("state", State)
async def test_reading_is_paused_in_an_exchange_only(state: State) -> None:
    rig = Rig(state)
    rig.connection.pause_reading()
    assert rig.transport.reading is (state is not State.ACTIVE)
    rig.connection.resume_reading()
    assert rig.transport.reading
