"""What the benchmarks are fed: made here once, the same bytes for every contestant and every run."""

from __future__ import annotations

import orjson

from kiroproxy.eventstream import encode_event

#: One socket read of a busy connection; what asyncio reads at most is 256 KiB.
READ_BYTES = 16_384
SMALL_EVENTS = 5_000


def small_text(number: int) -> str:
    """A delta as a model sends it; with the frame around it 131 bytes."""
    return f" token {number:05d}"


def text_frame(text: str) -> bytes:
    return encode_event("assistantResponseEvent", orjson.dumps({"content": text}))


def small_texts(count: int = SMALL_EVENTS) -> list[str]:
    return [small_text(number) for number in range(count)]


def small_stream(count: int = SMALL_EVENTS) -> bytes:
    """``count`` small text events, one frame each."""
    return b"".join(map(text_frame, small_texts(count)))


def ending_stream() -> bytes:
    """What follows the text of a whole answer."""
    return (
        encode_event("metadataEvent", b'{"stopReason":"END_TURN"}')
        + encode_event("contextUsageEvent", b'{"contextUsagePercentage":1.5}')
        + encode_event("meteringEvent", b'{"usage":0.01,"unit":"credit","unitPlural":"credits"}')
    )


def reads(stream: bytes, size: int = READ_BYTES) -> list[bytes]:
    """``stream`` as it comes from a socket: frames are cut anywhere."""
    return [stream[at : at + size] for at in range(0, len(stream), size)]
