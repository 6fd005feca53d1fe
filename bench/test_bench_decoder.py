"""The frame decoder beside botocore's, on the same reads; both must find the same payloads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from bench.workloads import reads, small_stream, text_frame
from kiroproxy.eventstream import FrameDecoder

pytestmark = pytest.mark.benchmark(timer=time.process_time)  # others may use the machine as well

Decode = Callable[[list[bytes]], list[Any]]


def decode_ours(pieces: list[bytes]) -> list[Any]:
    decoder = FrameDecoder()
    frames = []
    for piece in pieces:
        frames += decoder.feed(piece)
    decoder.finish()
    return frames


def decode_botocore(pieces: list[bytes]) -> list[Any]:
    buffer = EventStreamBuffer()
    messages: list[Any] = []
    for piece in pieces:
        buffer.add_data(piece)
        messages += buffer
    return messages


def payload_of(found: Any) -> bytes:
    return bytes(found[1]) if isinstance(found, tuple) else found.payload


CONTESTANTS: dict[str, Decode] = {"kiroproxy": decode_ours, "botocore": decode_botocore}
STREAMS = {
    "small events": reads(small_stream()),
    "one frame a read": [text_frame(f" token {number:05d}") for number in range(5_000)],
    "10 KB frames": reads(b"".join(text_frame("x" * 10_000) for _ in range(200))),
    "1 MiB frame in 16 KiB reads": reads(text_frame("x" * 1_048_576)),
}


def _run(benchmark: Any, name: str, stream: str) -> None:
    benchmark.group = f"decoder: {stream}"
    pieces = STREAMS[stream]
    found = benchmark(CONTESTANTS[name], pieces)
    expected = [message.payload for message in decode_botocore(pieces)]
    assert [payload_of(one) for one in found] == expected


@pytest.mark.parametrize("name", CONTESTANTS)
def test_decode_small_events(benchmark: Any, name: str) -> None:
    _run(benchmark, name, "small events")


@pytest.mark.parametrize("stream", [stream for stream in STREAMS if stream != "small events"])
@pytest.mark.parametrize("name", CONTESTANTS)
def test_decode(benchmark: Any, name: str, stream: str) -> None:
    _run(benchmark, name, stream)
