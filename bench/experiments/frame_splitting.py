"""Ways to split a read into frames. Run: ``python -m bench.experiments.frame_splitting``.

Verdict, CPU µs per 131-byte frame alone and with its block looked up and its JSON parsed (CPython 3.11
on a machine where botocore's decoder alone takes 10.2):

| variant | split | with use |
|---|---|---|
| views: a memoryview slice for everything | 1.18 | 1.61 |
| copies: bytes slices for everything | 0.96 | 1.33 |
| views_remembered: views, preludes looked up instead of unpacked and checked | 0.97 | 1.39 |
| copies_remembered: the same with copies | 0.81 | 1.20 |
| mixed: block copied, payload viewed, the checksum continued over both | 0.90 | 1.31 |
| heads (decoder.py): prelude and block looked up together, with their checksum | 0.64 | 1.02 |

A checksum costs about 1.5 ns a byte and three quarters of a small frame repeat from frame to frame, so the
look-up that saves that part wins; it also hands out one and the same block object, whose hash is known
when the block serves as a key. Making a memoryview costs more than copying a hundred bytes, but once
only payloads are sliced the difference is 15 ns, and a view keeps big payloads uncopied.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from struct import Struct
from typing import Any
from zlib import crc32

import orjson

from bench.workloads import small_stream
from kiroproxy.eventstream import FrameDecoder

_prelude = Struct(">III").unpack_from
_u32 = Struct(">I").unpack_from


def views(data: bytes) -> list[Any]:
    view = memoryview(data)
    frames = []
    at = 0
    while at < len(data):
        total, size, checksum = _prelude(data, at)
        assert crc32(view[at : at + 8]) == checksum
        stop = at + total
        assert crc32(view[at + 8 : stop - 4], checksum) == _u32(data, stop - 4)[0]
        frames.append((view[at + 12 : at + 12 + size], view[at + 12 + size : stop - 4]))
        at = stop
    return frames


def views_remembered(data: bytes) -> list[Any]:
    return _remembered(data, memoryview(data))


def copies(data: bytes) -> list[Any]:
    frames = []
    at = 0
    while at < len(data):
        total, size, checksum = _prelude(data, at)
        assert crc32(data[at : at + 8]) == checksum
        stop = at + total
        assert crc32(data[at + 8 : stop - 4], checksum) == _u32(data, stop - 4)[0]
        frames.append((data[at + 12 : at + 12 + size], data[at + 12 + size : stop - 4]))
        at = stop
    return frames


def copies_remembered(data: bytes) -> list[Any]:
    return _remembered(data, data)


def _remembered(data: bytes, source: Any) -> list[Any]:
    """Prelude from memory; the message checksum over a slice of its own."""
    known: dict[bytes, tuple[int, int, int]] = {}
    frames = []
    at = 0
    while at < len(data):
        prelude = data[at : at + 12]
        checked = known.get(prelude)
        if checked is None:
            total, size, checksum = _prelude(prelude)
            assert crc32(prelude[:8]) == checksum
            checked = known[prelude] = (total, 12 + size, checksum)
        total, body, checksum = checked
        stop = at + total
        assert crc32(source[at + 8 : stop - 4], checksum) == _u32(data, stop - 4)[0]
        frames.append((data[at + 12 : at + body], source[at + body : stop - 4]))
        at = stop
    return frames


def mixed(data: bytes) -> list[Any]:
    view = memoryview(data)
    known: dict[bytes, tuple[int, int, int]] = {}
    frames = []
    at = 0
    while at < len(data):
        prelude = data[at : at + 12]
        checked = known.get(prelude)
        if checked is None:
            total, size, checksum = _prelude(prelude)
            assert crc32(prelude[:8]) == checksum
            checked = known[prelude] = (total, 12 + size, crc32(prelude))
        total, body, checksum = checked
        stop = at + total
        headers = data[at + 12 : at + body]
        payload = view[at + body : stop - 4]
        assert crc32(payload, crc32(headers, checksum)) == _u32(data, stop - 4)[0]
        frames.append((headers, payload))
        at = stop
    return frames


def heads(data: bytes) -> list[Any]:
    return FrameDecoder().feed(data)


def use(frames: list[Any]) -> None:
    cache: dict[bytes, int] = {}
    for headers, payload in frames:
        cache.get(bytes(headers))
        orjson.loads(payload)


def _used(split: Callable[[bytes], list[Any]], data: bytes) -> None:
    use(split(data))


def fastest_us(run: Callable[[], object], events: int, rounds: int = 30) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
    return best / events * 1e6


def main() -> None:
    events = 1_000
    data = small_stream(events)
    for variant in (views, copies, views_remembered, copies_remembered, mixed, heads):
        assert len(variant(data)) == events
        split = fastest_us(functools.partial(variant, data), events)
        used = fastest_us(functools.partial(_used, variant, data), events)
        print(f"{variant.__name__:20} {split:.2f} µs, with use {used:.2f} µs")


if __name__ == "__main__":
    main()
