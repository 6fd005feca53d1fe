"""Flow control and sockets."""

import asyncio
import socket

import pytest

from kiroproxy.net import (
    FlowControl,
    disable_nagle,
    format_address,
    lookup_name,
    peer_address,
    reset_on_close,
)


class RecordingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


def test_reading_is_paused_and_resumed_once() -> None:
    transport = RecordingTransport()
    flow = FlowControl(transport)
    flow.resume_reading()
    flow.pause_reading()
    flow.pause_reading()
    assert flow.read_paused
    flow.resume_reading()
    flow.resume_reading()
    assert transport.calls == ["pause", "resume"]


def test_writing_tells_whoever_produces() -> None:
    calls: list[str] = []
    flow = FlowControl(RecordingTransport())
    flow.pause_writing()
    assert flow.write_paused
    flow.set_callbacks(lambda: calls.append("pause"), lambda: calls.append("resume"))
    assert calls == ["pause"]
    flow.resume_writing()
    assert not flow.write_paused
    flow.clear_callbacks()
    flow.pause_writing()
    assert calls == ["pause", "resume"]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/socket", ""),
        ((), ""),
        (None, ""),
    ],
)
def test_addresses(address: object, text: str) -> None:
    assert format_address(address) == text


async def test_options_of_a_real_socket() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sock = writer.get_extra_info("socket")
    disable_nagle(writer.transport)
    reset_on_close(writer.transport)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER)
    assert peer_address(writer.transport) == f"127.0.0.1:{port}"
    writer.close()
    await reader.read()
    server.close()
    await server.wait_closed()


def test_options_of_something_without_a_socket_do_nothing() -> None:
    transport = RecordingTransport()
    disable_nagle(transport)
    reset_on_close(transport)
    assert peer_address(transport) == ""


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", b"127.0.0.1"),
        ("::1", b"::1"),
        ("localhost", b"localhost"),
        ("bücher.example", "bücher.example"),  # the standard library knows what to do
        ("", b""),
    ],
)
def test_names_for_the_resolver(host: str, name: str | bytes) -> None:
    assert lookup_name(host) == name
