"""Completing Turns: how many fetches at once, for how long, how much, and what becomes of the others."""

from __future__ import annotations

import base64
import threading

import anyio
import pytest

from kiroproxy.api.turn import Image, Message, Turn, Unfinished
from kiroproxy.errors import MediaError, RequestError
from kiroproxy.handlers.finishing import FETCHED_BYTES, FETCHES_AT_ONCE, MAX_URLS, Finisher
from kiroproxy.upstream.fetch import Fetched, Room
from tests.api.turns import BMP, PNG

CONTENT = base64.b64decode(PNG)


class FakeWeb:
    """Fetches when it is let; counts who is at it."""

    def __init__(self) -> None:
        self.gate = anyio.Event()
        self.at_once = 0
        self.most_at_once = 0
        self.cancelled = 0
        self.size = len(CONTENT)

    async def fetch(self, url: str, room: Room) -> Fetched:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if url == "bad":
                raise MediaError("cannot be fetched")
            await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        room.take(self.size)
        return Fetched("image/png", CONTENT)


def turn_of(*urls: str) -> Turn:
    images = [Image("", "") for _ in urls]
    turn = Turn("m", [Message("user", [*images])])
    turn.unfinished = [
        Unfinished(image, ("at", index), url)
        for index, (image, url) in enumerate(zip(images, urls, strict=True))
    ]
    return turn


async def test_a_finished_turn_needs_nothing() -> None:
    turn = Turn("m", [Message("user", [Image("png", PNG)])])
    await Finisher(None, None).finish(turn)
    assert turn == Turn("m", [Message("user", [Image("png", PNG)])])


async def test_fetches_side_by_side_but_not_all() -> None:
    web, turn = FakeWeb(), turn_of(*map(str, range(MAX_URLS)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Finisher(web, None).finish, turn)
        while web.at_once < FETCHES_AT_ONCE:
            await anyio.sleep(0.001)
        for _ in range(20):
            await anyio.sleep(0)
        assert web.at_once == FETCHES_AT_ONCE
        web.gate.set()
    assert web.most_at_once == FETCHES_AT_ONCE
    assert turn.messages[0].blocks == [Image("png", PNG)] * MAX_URLS
    assert turn.unfinished == []


async def test_one_failure_ends_the_others() -> None:
    web = FakeWeb()
    with pytest.raises(RequestError) as caught:
        await Finisher(web, None).finish(turn_of("a", "b", "bad"))
    assert (caught.value.param, caught.value.message) == ("at.2", "at.2: cannot be fetched")
    assert (web.cancelled, web.at_once) == (2, 0)


async def test_all_fetches_together_have_a_time_limit() -> None:
    web = FakeWeb()
    with pytest.raises(RequestError, match=r"at\.0: .* within 0\.05 s"):
        await Finisher(web, None, request_s=0.05).finish(turn_of("a", "b"))
    assert web.at_once == 0


async def test_all_fetches_share_one_room() -> None:
    web = FakeWeb()
    web.gate.set()
    web.size = FETCHED_BYTES // 2 + 1
    with pytest.raises(RequestError, match="must not have more than 24 MB"):
        await Finisher(web, None).finish(turn_of("a", "b"))
    await Finisher(web, None).finish(turn_of("a", "a"))  # one file, fetched once


async def test_scaling_happens_in_a_thread_and_two_at_once() -> None:
    inside, most, release = [0], [0], threading.Event()

    def scale(content: bytes, kind: str) -> tuple[str, bytes]:
        assert threading.current_thread() is not threading.main_thread()
        assert (content, kind) == (base64.b64decode(BMP), "bmp")
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        release.wait(30)
        inside[0] -= 1
        return "png", CONTENT

    turns = [Turn("m", [Message("user", [Image("bmp", BMP)])]) for _ in range(5)]
    finisher = Finisher(None, scale)
    async with anyio.create_task_group() as tasks:
        for turn in turns:
            block = turn.messages[0].blocks[0]
            assert isinstance(block, Image)
            turn.unfinished = [Unfinished(block, ("at",))]
            tasks.start_soon(finisher.finish, turn)
        while inside[0] < 2:
            await anyio.sleep(0.001)
        release.set()
    assert most[0] == 2
    assert all(turn.messages[0].blocks == [Image("png", PNG)] for turn in turns)


async def test_what_cannot_be_scaled_names_the_field() -> None:
    def scale(content: bytes, kind: str) -> tuple[str, bytes]:
        raise MediaError("is damaged")

    image = Image("bmp", BMP)
    turn = Turn("m", [Message("user", [image])], unfinished=[Unfinished(image, ("at",))])
    with pytest.raises(RequestError, match="at: is damaged"):
        await Finisher(None, scale).finish(turn)
    with pytest.raises(RequestError, match=r"at: a BMP .* pip install 'kiroproxy\[images\]'"):
        await Finisher(None, None).finish(turn)
