"""Faults that change bytes, timing or the connection; the events stay as they were."""

from __future__ import annotations

import random
from collections.abc import Callable

from kiroproxy.simulator.params import Params
from kiroproxy.simulator.scripts import Cut, Hang, Send, Step, Wait

Change = Callable[[list[Step], Params], list[Step]]

_GARBAGE_BYTES = 200


def _cut(steps: list[Step], params: Params) -> list[Step]:
    return [*_frames(steps, _after(params)), Cut()]


def _cut_mid_frame(steps: list[Step], params: Params) -> list[Step]:
    return [*_frames(steps, _after(params)), _half(steps, params), Cut()]


def _cut_mid_chunk(steps: list[Step], params: Params) -> list[Step]:
    return [*_frames(steps, _after(params)), Cut(mid_chunk=True)]


def _reset(steps: list[Step], params: Params) -> list[Step]:
    return [*_frames(steps, _after(params)), Cut(reset=True)]


def _eof(steps: list[Step], params: Params) -> list[Step]:
    return _frames(steps, _after(params))


def _eof_mid_frame(steps: list[Step], params: Params) -> list[Step]:
    return [*_frames(steps, _after(params)), _half(steps, params)]


def _nothing(steps: list[Step], params: Params) -> list[Step]:
    return []


def _stall(steps: list[Step], params: Params) -> list[Step]:
    """Silence after some frames: for ever, or for ``seconds``."""
    head = _frames(steps, _after(params))
    if "seconds" not in params:
        return [*head, Hang()]
    return [*head, Wait(params.number("seconds", 1)), *steps[len(head) :]]


def _slow_first_frame(steps: list[Step], params: Params) -> list[Step]:
    return [Wait(params.number("seconds", 1)), *steps]


def _slow_drip(steps: list[Step], params: Params) -> list[Step]:
    """Every frame in pieces of ``bytes``, ``seconds`` apart."""
    size, wait = max(1, params.count("bytes", 1)), Wait(params.number("seconds", 0.001))
    slow: list[Step] = []
    for step in steps:
        if not isinstance(step, Send):
            slow.append(step)
            continue
        for at in range(0, len(step.data), size):
            slow += [wait, Send(step.data[at : at + size])]
    return slow


def _corrupt(steps: list[Step], params: Params) -> list[Step]:
    """One flipped bit in frame ``after``, at byte ``at`` (negative: from the end)."""
    head = _frames(steps, _after(params))
    tail = steps[len(head) :]
    for index, step in enumerate(tail):
        if isinstance(step, Send):
            data = bytearray(step.data)
            data[params.count("at", -6) % len(data)] ^= 1
            return [*head, *tail[:index], Send(bytes(data)), *tail[index + 1 :]]
    return steps


def _garbage(steps: list[Step], params: Params) -> list[Step]:
    """Bytes that are no frame, then the rest."""
    head = _frames(steps, _after(params))
    noise = random.Random(7).randbytes(_GARBAGE_BYTES)  # noqa: S311 - noise, not a secret
    return [*head, Send(noise), *steps[len(head) :]]


def _after(params: Params) -> int:
    return params.count("after", 3)


def _frames(steps: list[Step], count: int) -> list[Step]:
    """The steps up to and with the ``count``-th frame."""
    sent = 0
    for index, step in enumerate(steps):
        if sent >= count:
            return steps[:index]
        sent += isinstance(step, Send)
    return list(steps)


def _half(steps: list[Step], params: Params) -> Send:
    """The first half of the frame after those of ``_frames``."""
    rest = steps[len(_frames(steps, _after(params))) :]
    data = next((step.data for step in rest if isinstance(step, Send)), b"\0\0\0\x60\0\0\0\0")
    return Send(data[: len(data) // 2])


CHANGES: dict[str, Change] = {
    "cut": _cut,  # after=3: the connection closes between two frames
    "cut_mid_frame": _cut_mid_frame,  # after=3
    "cut_mid_chunk": _cut_mid_chunk,  # after=3
    "reset": _reset,  # after=3: as cut, but by a TCP reset
    "eof": _eof,  # after=3: the body ends properly, but early
    "eof_mid_frame": _eof_mid_frame,  # after=3
    "nothing": _nothing,  # an empty body
    "stall": _stall,  # after=3 seconds=(for ever)
    "slow_first_frame": _slow_first_frame,  # seconds=1
    "slow_drip": _slow_drip,  # bytes=1 seconds=0.001
    "corrupt": _corrupt,  # after=3 at=-6
    "garbage": _garbage,  # after=3
}
