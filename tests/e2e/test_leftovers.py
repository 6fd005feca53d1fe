"""What a request was made of is gone with it: whatever became of it, nothing of ours waits for a garbage
collection."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import CoroutineType, FrameType, FunctionType, MethodType

import orjson
import pytest

from tests.e2e.speakers import SPEAKERS, Speaker, Wish
from tests.e2e.support import House, house, request_bytes

WORDS = "[[sim:think Hm.]][[sim:say Some words in an answer.]]"
CALL = '[[sim:say So.]][[sim:tool Read {"path":"a"}]]'
Way = Callable[[House, Speaker], Awaitable[None]]


async def _ended(home: House, speaker: Speaker) -> None:
    for wish in (Wish(WORDS, think=True), Wish(CALL, tools=("Read",))):
        answer = await home.send("POST", speaker.path, speaker.request(wish, stream=True))
        assert answer.status == 200


async def _whole(home: House, speaker: Speaker) -> None:
    answer = await home.send("POST", speaker.path, speaker.request(Wish(WORDS), stream=False))
    assert answer.status == 200


async def _local_stop(home: House, speaker: Speaker) -> None:
    wish = Wish("[[sim:text 400]]", max_tokens=10)
    assert (await home.send("POST", speaker.path, speaker.request(wish, stream=True))).whole


def _faulty(fault: str, **params: int) -> Way:
    """Cut, or refused for good."""

    async def way(home: House, speaker: Speaker) -> None:
        home.kiro.faults.always(fault, **params)
        answer = await home.send("POST", speaker.path, speaker.request(Wish(WORDS), stream=True))
        assert b"error" in answer.body
        home.kiro.faults.clear()

    return way


async def _tried_again(home: House, speaker: Speaker) -> None:
    for fault in ("internal", "close_at_once", "error_frame", "token_invalid"):
        home.kiro.faults.next(fault)
        answer = await home.send("POST", speaker.path, speaker.request(Wish(WORDS), stream=True))
        assert answer.status == 200


async def _cancelled(home: House, speaker: Speaker) -> None:
    """The client leaves in the middle of an answer."""
    home.kiro.faults.next("stall", after=2)
    before = asyncio.all_tasks()
    reader, writer = await home.connect()
    body = orjson.dumps(speaker.request(Wish(WORDS), stream=True))
    writer.write(request_bytes("POST", speaker.path, body))
    await reader.readuntil(b"data: ")
    writer.transport.abort()
    while asyncio.all_tasks() - before:
        await asyncio.sleep(0.001)


async def _refused_here(home: House, speaker: Speaker) -> None:
    answer = await home.send("POST", speaker.path, b'{"model":')
    assert answer.status == 400


WAYS: dict[str, Way] = {
    "ended": _ended,
    "whole": _whole,
    "stopped here": _local_stop,
    **{fault: _faulty(fault, after=2) for fault in ("cut", "corrupt", "exception", "garbage")},
    "refused by the service": _faulty("body_invalid"),
    "tried again": _tried_again,
    "cancelled": _cancelled,
    "refused here": _refused_here,
}


@pytest.fixture
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def _is_ours(found: object) -> bool:
    if isinstance(found, FrameType):
        module = found.f_globals.get("__name__", "")
    elif isinstance(found, CoroutineType):
        module = found.cr_frame.f_globals.get("__name__", "") if found.cr_frame else ""
    elif isinstance(found, (FunctionType, MethodType)):
        module = found.__module__
    else:
        module = type(found).__module__
    return module.startswith("kiroproxy.") and not module.startswith("kiroproxy.simulator.")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("speaker", SPEAKERS)
async def test_nothing_of_ours_waits_for_a_collection(
    tmp_path: Path, speaker: str, way: str, no_collections: None
) -> None:
    async with house(tmp_path) as home:
        await WAYS[way](home, SPEAKERS[speaker])  # what is made once and kept
        await home.send("GET", "/health")
        gc.collect()
        await WAYS[way](home, SPEAKERS[speaker])
        await home.send("GET", "/health")
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        ours = sorted(
            {f"{type(f).__module__}.{type(f).__qualname__}" for f in gc.garbage if _is_ours(f)}
        )
        assert ours == []
