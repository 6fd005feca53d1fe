"""Faults of the service, in one table: each against every dialect, streamed or not, before the first byte
of the answer and behind it, passing and lasting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import orjson
import pytest

from kiroproxy.errors import Kind
from kiroproxy.kiro.replies import classify_reply
from kiroproxy.simulator import Settings
from tests.e2e.speakers import SPEAKERS, Heard, Wish
from tests.e2e.support import Answer, House, house, read_answer, request_bytes

WORDS = "one two three four five six seven eight nine ten"
CELLS = list(product(SPEAKERS, (True, False)))
PACE = Settings(pace_s=0.001)  # a reset must not overtake what was sent before it


@dataclass(frozen=True)
class Fault:
    """``mends``: another try is allowed while nothing is out. ``kind``: what the client is told."""

    name: str
    kind: Kind = Kind.UPSTREAM_FAILED
    mends: bool = True
    params: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        return self.name + "".join(f"-{value}" for _, value in self.params)

    def given(self, after: int) -> dict[str, object]:
        return {"after": after, **dict(self.params)}


def corrupt(at: int) -> Fault:
    return Fault("corrupt", params=(("at", at),))


# Faults that break the answer at a frame.
BREAKS = [
    Fault("cut"),
    Fault("reset"),
    Fault("cut_mid_frame"),
    Fault("cut_mid_chunk"),
    Fault("eof"),
    Fault("eof_mid_frame"),
    Fault("garbage"),
    Fault("stall", Kind.UPSTREAM_TIMEOUT, mends=False),
    Fault("exception", params=(("name", "InternalServerException"),)),
    Fault("error_frame"),
    *map(corrupt, (0, 3, 4, 8, 12, 13, 40, 90, -5, -1)),
]
# Faults that leave nothing of the answer.
REFUSALS = [
    Fault("close_at_once"),
    Fault("nothing"),
    Fault("wrong_type", mends=False),
    Fault("html", params=(("status", 200),), mends=False),
    Fault("openai_shape"),
    Fault("internal"),
]


async def _ask(home: House, dialect: str, wish: Wish, stream: bool) -> Heard:
    speaker = SPEAKERS[dialect]
    answer = await home.send("POST", speaker.path, speaker.request(wish, stream=stream))
    assert answer.whole
    return speaker.hear(answer)


def _say(number: int) -> Wish:
    """Each asked with words of its own, so that no conversation is taken for another."""
    return Wish(f"{number} [[sim:say {WORDS}]]")


async def _sound(home: House, dialect: str, stream: bool) -> None:
    """After whatever has happened the next one is served."""
    heard = await _ask(home, dialect, Wish(f"[[sim:say {WORDS}]]"), stream)
    assert (heard.text, heard.stop, heard.error) == (WORDS, "end", "")


def _patience(fault: Fault) -> dict[str, str]:
    """Short where it has to run out, and nowhere else: a busy machine is slow too."""
    if fault.name != "stall":
        return {}
    return {"KIROPROXY_IDLE_TIMEOUT_S": "0.15", "KIROPROXY_FIRST_BYTE_TIMEOUT_S": "0.15"}


@pytest.mark.parametrize("fault", BREAKS, ids=str)
async def test_answer_that_breaks(fault: Fault, tmp_path: Path) -> None:
    async with house(tmp_path, settings=PACE, **_patience(fault)) as home:
        for number, (dialect, stream) in enumerate(CELLS):
            refused = SPEAKERS[dialect].error_of(fault.kind)
            # Behind the first byte: what came is shown, then an error.
            home.kiro.faults.always(fault.name, **fault.given(4))
            heard = await _ask(home, dialect, _say(number), stream)
            home.kiro.faults.clear()
            assert heard.error and heard.message and heard.stop == ""
            assert WORDS.startswith(heard.text)
            assert bool(heard.text) == stream
            if not stream:
                assert (heard.status, heard.error) == refused
            # Nothing is out yet: a real status.
            home.kiro.faults.always(fault.name, **fault.given(0))
            heard = await _ask(home, dialect, _say(number), stream)
            home.kiro.faults.clear()
            assert (heard.status, heard.error, heard.text) == (*refused, "")
            # A fault that passes is not seen, as long as nothing is out.
            if fault.mends:
                home.kiro.faults.next(fault.name, **fault.given(0 if stream else 4))
                heard = await _ask(home, dialect, _say(number), stream)
                assert (heard.text, heard.stop, heard.error) == (WORDS, "end", "")
            await _sound(home, dialect, stream)
        assert home.kiro.open_streams == 0


@pytest.mark.parametrize("fault", REFUSALS, ids=str)
async def test_answer_that_never_begins(fault: Fault, tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for number, (dialect, stream) in enumerate(CELLS):
            refused = SPEAKERS[dialect].error_of(fault.kind)
            home.kiro.faults.always(fault.name, **dict(fault.params))
            heard = await _ask(home, dialect, _say(number), stream)
            home.kiro.faults.clear()
            assert (heard.status, heard.error, heard.text) == (*refused, "")
            assert heard.message
            if fault.mends:
                home.kiro.faults.next(fault.name, **dict(fault.params))
            await _sound(home, dialect, stream)


@pytest.mark.parametrize("ending", ["0", "1"], ids=["cut", "ended"])
async def test_half_a_tool_call(ending: str, tmp_path: Path) -> None:
    call = '[[sim:tool Write {"path":"/tmp/x","content":"some words to write"}]]'
    async with house(tmp_path) as home:
        home.kiro.faults.always("truncated_tool", ending=ending)
        for number, (dialect, stream) in enumerate(CELLS):
            wish = Wish(f"{number} [[sim:say First.]]{call}", tools=("Write",))
            heard = await _ask(home, dialect, wish, stream)
            assert (heard.calls, heard.stop) == ([], "")
            assert heard.text == ("First." if stream else "")
            assert "Write" in heard.message and (heard.status == 200) == stream


# -- every status


def _kinds() -> Iterator[tuple[int, Kind]]:
    for status in range(400, 530):
        yield status, classify_reply(status, {}.get, b"").kind


# What these say is about the account, so each gets a house of its own; see test_dialects.ERRORS.
OF_THE_ACCOUNT = {401, 402, 403, 423, 429}


@pytest.mark.parametrize(("dialect", "stream"), CELLS)
@pytest.mark.parametrize("reply", ["empty_reply", "html"])
async def test_every_status(reply: str, dialect: str, stream: bool, tmp_path: Path) -> None:
    speaker = SPEAKERS[dialect]
    async with house(tmp_path) as home:
        for status, kind in _kinds():
            if status in OF_THE_ACCOUNT:
                continue
            home.kiro.faults.clear()
            home.kiro.faults.always(reply, status=status)
            body = speaker.request(Wish(f"hello {status}"), stream=stream)
            answer: Answer = await home.send("POST", speaker.path, body)
            heard = speaker.hear(answer)
            if reply == "empty_reply":
                assert (status, heard.status, heard.error) == (status, *speaker.error_of(kind))
            assert (status, 400 <= heard.status <= 599, bool(heard.error)) == (status, True, True)
            assert heard.message and "<" not in heard.message
        home.kiro.faults.clear()
        await _sound(home, dialect, stream)


# -- the sign-in is renewed in front of the answer


@dataclass(frozen=True)
class Renewal:
    """``heals``: the request is served."""

    fault: str
    heals: bool
    times: int = 1
    params: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        return "-".join([self.fault, str(self.times), *(str(value) for _, value in self.params)])


RENEWALS = [
    Renewal("internal", heals=True),
    Renewal("close_at_once", heals=True),
    Renewal("html", heals=True),
    Renewal("no_rotation", heals=True),
    Renewal("slow_first_byte", heals=True, params=(("seconds", 0.1),)),
    # past the time it has: once, and each time
    Renewal("slow_first_byte", heals=True, params=(("seconds", 600),)),
    Renewal("slow_first_byte", heals=False, times=50, params=(("seconds", 600),)),
    Renewal("internal", heals=False, times=50),
    Renewal("html", heals=False, times=50, params=(("status", 403),)),
    Renewal("close_at_once", heals=False, times=50),
    Renewal("invalid_grant", heals=False, times=50),
    Renewal("bad_credentials", heals=False, times=50),
]


@pytest.mark.parametrize("case", RENEWALS, ids=str)
async def test_renewal(case: Renewal, tmp_path: Path) -> None:
    """The access token dies early; the service's refusal makes the proxy renew it."""
    async with house(tmp_path, TOKEN_REFRESH_TIMEOUT="1") as home:
        await _sound(home, "messages", True)
        for number, (dialect, stream) in enumerate(CELLS):
            home.kiro.faults.clear()
            home.kiro.faults.next(
                case.fault, route="refresh", times=case.times, **dict(case.params)
            )
            home.kiro.tokens.revoke_access("social")
            heard = await _ask(home, dialect, _say(number), stream)
            if case.heals:
                assert (heard.text, heard.stop) == (WORDS, "end")
            else:
                assert (heard.status >= 400, heard.text) == (True, "")
                assert heard.error and heard.message
                home.clock.pass_by(3600)  # whatever pause the account was given is over
        if case.heals or case.fault in ("internal", "close_at_once", "html"):
            home.kiro.faults.clear()
            await _sound(home, "chat", False)


# -- clocks


@pytest.mark.parametrize("jump_s", [-86_400 * 365, -3_600, 3_600, 86_400 * 365], ids=str)
async def test_clock_that_jumps(jump_s: float, tmp_path: Path) -> None:
    """Somebody sets the machine's clock between two requests, and in the middle of one."""
    async with house(tmp_path, settings=PACE) as home:
        for dialect, stream in CELLS:
            await _sound(home, dialect, stream)
            home.clock.skew_s += jump_s
            await _sound(home, dialect, stream)
            speaker = SPEAKERS[dialect]
            reader, writer = await home.connect()
            body = orjson.dumps(speaker.request(Wish(f"[[sim:say {WORDS}]]"), stream=stream))
            writer.write(request_bytes("POST", speaker.path, body))
            await _until(lambda: home.kiro.open_streams == 1)
            home.clock.skew_s = 0
            heard = speaker.hear(await read_answer(reader))
            assert (heard.text, heard.stop) == (WORDS, "end")


async def _until(condition: Callable[[], object]) -> None:
    """The test's own timeout is the limit."""
    while not condition():
        await asyncio.sleep(0.001)
