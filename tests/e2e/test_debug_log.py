"""LOG_LEVEL=debug: what became of one request, step by step, and nothing of what was said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kiroproxy import logs
from tests.e2e.speakers import SPEAKERS, Wish
from tests.e2e.support import House, house, request_bytes, turn

SAID = "[[sim:say MARKED words of the answer]] MARKED words of the prompt"


class Kept(logging.Handler):
    """Every record of ours, as its message and fields."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"request_id": logs.request_id.get(), **getattr(record, "fields", {})}
        self.lines.append((record.getMessage(), fields))

    def all(self, message: str) -> list[dict[str, Any]]:
        return [fields for said, fields in self.lines if said == message]

    def one(self, message: str) -> dict[str, Any]:
        (found,) = self.all(message)
        return found


@pytest.fixture
def kept() -> Iterator[Kept]:
    logger, handler = logging.getLogger("kiroproxy"), Kept()
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def only(kept: Kept, request_id: str, message: str) -> list[dict[str, Any]]:
    return [fields for fields in kept.all(message) if fields["request_id"] == request_id]


async def test_try_is_told_from_the_account_to_the_first_event(tmp_path: Path, kept: Kept) -> None:
    async with house(tmp_path) as home:
        first = (await home.ask(SAID)).headers["request-id"]
        again = (await home.ask(SAID, stream=True)).headers["request-id"]
    (began,) = only(kept, first, "try begins")
    assert began["label"] and began["account"]
    assert (began["try"], began["model"], began["excluded"]) == (1, "claude-sonnet-4-5", 0)
    assert began["upstream_model"] == "claude-sonnet-4.5"
    assert began["waited_ms"] >= 0
    (ended,) = only(kept, first, "try ended")
    assert 0 < ended["first_event_ms"] <= ended["ms"]
    for request_id, connection in ((first, {"new", "reused"}), (again, {"reused"})):
        answers = only(kept, request_id, "upstream answers")
        call = next(a for a in answers if a["path"] == "/generateAssistantResponse")
        assert (call["method"], call["host"], call["status"]) == ("POST", "127.0.0.1", 200)
        assert call["connection"] in connection
        assert call["sent_bytes"] > 100
        assert call["head_ms"] > 0


async def test_connections_are_told_from_open_to_close(tmp_path: Path, kept: Kept) -> None:
    async with house(tmp_path) as home:
        await home.ask(SAID)
        home.kiro.faults.next("close_at_once")
        await home.ask(SAID)
    opened = kept.all("connection opened")
    assert opened[0]["host"] == "127.0.0.1" and opened[0]["ms"] > 0 and opened[0]["open"] >= 1
    assert kept.all("connection kept")[0]["idle"] == 1
    assert len(kept.all("connection closed")) == len(opened)
    assert "its answer was the last, or cut" in {f["why"] for f in kept.all("connection closed")}


@pytest.mark.parametrize(
    ("fault", "step", "why"),
    [
        ("internal", "retry", "what this refusal asks for"),
        ("rate", "next_account", "what this refusal asks for"),
        ("close_at_once", "retry", "the answer did not come whole, and may be billed"),
        ("token_invalid", "refresh", "what this refusal asks for"),
    ],
)
async def test_decision_and_its_reason_are_told(
    tmp_path: Path, kept: Kept, fault: str, step: str, why: str
) -> None:
    async with house(tmp_path, "social", "idc") as home:
        home.kiro.faults.next(fault)
        answer = await home.ask(SAID)
        assert answer.status == 200
    request_id = answer.headers["request-id"]
    (decided,) = only(kept, request_id, "what to do")
    assert (decided["try"], decided["step"], decided["why"]) == (1, step, why)
    assert [fields["try"] for fields in only(kept, request_id, "try begins")] == [1, 2]


async def test_call_without_an_answer_is_told(tmp_path: Path, kept: Kept) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.next("close_at_once")
        await home.ask(SAID)
    failed = kept.one("no answer from upstream")
    assert (failed["error"], failed["path"]) == (
        "ConnectionLostError",
        "/generateAssistantResponse",
    )


async def test_renewal_is_told_from_its_begin_to_the_next(tmp_path: Path, kept: Kept) -> None:
    async with house(tmp_path) as home:
        home.kiro.faults.next("token_invalid")
        await home.ask(SAID)
    done = kept.all("renewal done")[-1]
    assert len(kept.all("renewal begins")) == len(kept.all("renewal done"))
    assert 0 < done["next_in_s"] < done["expires_in_s"]
    assert done["label"]


async def _leave(home: House) -> None:
    home.kiro.faults.next("stall", after=2)
    reader, writer = await home.connect()
    writer.write(request_bytes("POST", "/v1/messages", orjson.dumps(turn(SAID, stream=True))))
    await reader.readuntil(b"content_block_delta")
    writer.transport.abort()


async def test_clients_that_leave_are_told(tmp_path: Path, kept: Kept) -> None:
    async with house(tmp_path) as home:
        await _leave(home)
        _, writer = await home.connect()
        whole = request_bytes("POST", "/v1/messages", b"x" * 1_000)
        writer.write(whole[:-500])
        await writer.drain()
        writer.close()
        while not (
            kept.all("cancelled") and kept.all("the connection of an unfinished request is gone")
        ):
            await asyncio.sleep(0.001)
    request_id = kept.one("cancelled")["request_id"]
    (gone,) = only(kept, request_id, "the connection of an unfinished answer is gone")
    assert gone["peer"].startswith("127.0.0.1:") and gone["unsent_bytes"] == 0


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("fault", ["", "body_invalid", "cut", "exception", "rate"])
async def test_no_line_holds_what_was_said(
    tmp_path: Path, kept: Kept, speaker: str, fault: str
) -> None:
    async with house(tmp_path) as home:
        if fault:
            home.kiro.faults.always(fault)
        wish = Wish(SAID, system="MARKED instructions", tools=("MARKED_tool",))
        for stream in (False, True):
            sent = SPEAKERS[speaker].request(wish, stream=stream)
            await home.send("POST", SPEAKERS[speaker].path, sent)
    assert kept.all("try begins")
    assert [line for line in kept.lines if "MARKED" in repr(line)] == []
