"""A defect of ours in an answer: the client of a stream is told by the dialect's error event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from kiroproxy.admission import Admission
from kiroproxy.api.events import TEXT, Ending, Stop, Usage
from kiroproxy.api.turn import Turn
from kiroproxy.clock import SystemClock
from kiroproxy.database import Database
from kiroproxy.handlers.answers import AnswerHandler, Dialect, Serving
from kiroproxy.handlers.dialects import CHAT, MESSAGES, RESPONSES
from kiroproxy.handlers.finishing import Finisher
from kiroproxy.handlers.gate import Gate
from kiroproxy.handlers.system_prompt import SystemPrompt
from kiroproxy.http import Route
from kiroproxy.metrics import Metrics
from kiroproxy.relay import Delivery, Outcome
from kiroproxy.secret import Secret
from kiroproxy.usage import Feed, Journal, Ledger, RequestRecord, Trace
from tests.e2e.speakers import SPEAKERS, Wish
from tests.e2e.support import read_answer
from tests.http.support import client_of, request, serving

TOO_LARGE = 2**64  # for the JSON writer
DIALECTS: dict[str, Dialect] = {"messages": MESSAGES, "chat": CHAT, "responses": RESPONSES}


class FakeRelay:
    """Says a word, then what ``end`` makes of it."""

    def __init__(self, end: Callable[[], Outcome]) -> None:
        self._end = end

    async def answer(self, turn: Turn, delivery: Delivery, trace: Trace) -> Outcome:
        delivery.begin("a", "m")
        delivery.deliver([(TEXT, "Hello")])
        return self._end()


def fails() -> Outcome:
    raise RuntimeError("a defect")


def ends_in_what_cannot_be_written() -> Outcome:
    return Outcome(Ending(Stop.END_TURN, Usage(TOO_LARGE, 1)))


@asynccontextmanager
async def answering(
    dialect: str, end: Callable[[], Outcome], path: Path
) -> AsyncIterator[tuple[int, list[RequestRecord]]]:
    """A server's port with this one route, and the records it makes."""
    clock, feed, records = SystemClock(), Feed(), list[RequestRecord]()
    feed.listen(records.append)
    database = Database.open(path / "state.db")
    made = Serving(
        FakeRelay(end),
        Gate(Secret("key")),
        Journal(Metrics(), Ledger(database, clock, 30), feed, clock),
        Admission(0, 1, 60),
        Finisher(None, None),
        clock,
        15.0,
        SystemPrompt(clock),
    )
    route = Route("POST", SPEAKERS[dialect].path, AnswerHandler(DIALECTS[dialect], made), api=True)
    try:
        async with serving([route]) as (_, port):
            yield port, records
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("end", "dialect"),
    [
        *((fails, dialect) for dialect in DIALECTS),
        (ends_in_what_cannot_be_written, "messages"),
        (ends_in_what_cannot_be_written, "chat"),
    ],
)
async def test_defect_in_a_stream_is_its_error_event(
    end: Callable[[], Outcome], dialect: str, tmp_path: Path
) -> None:
    speaker = SPEAKERS[dialect]
    body = orjson.dumps(speaker.request(Wish("hi"), stream=True))
    async with answering(dialect, end, tmp_path) as (port, records), client_of(port) as client:
        await client.send(request("POST", speaker.path, body, b"x-api-key: key"))
        answer = await read_answer(client.reader)
        assert (answer.status, answer.whole) == (200, True)
        heard = speaker.hear(answer)
        assert (heard.text, heard.stop, bool(heard.error)) == ("Hello", "", True)
        assert "internal error" in heard.message
    (record,) = records
    assert (record.outcome, record.error_kind) == ("failed", "internal")
