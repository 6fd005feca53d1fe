"""What clients do, against every dialect: gone, half-closed, slow, pipelining; before the first byte of
the answer and behind it."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from itertools import product

import orjson
import pytest

from kiroproxy.simulator import Settings
from tests.e2e.speakers import SPEAKERS, Wish
from tests.e2e.support import Answer, House, house, read_answer, request_bytes

CELLS = list(product(SPEAKERS, (True, False)))
MANY = 90_000  # more than the sockets on the way can hold
DEPARTURES: dict[str, Callable[[asyncio.StreamWriter], None]] = {
    "fin": lambda writer: writer.close(),
    "reset": lambda writer: writer.transport.abort(),
    "half": lambda writer: writer.write_eof(),
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One for all of this module: whatever a client does, the next one finds it as it was."""
    folder = tmp_path_factory.mktemp("house")
    async with house(folder, settings=Settings(pace_s=0.002)) as made:
        await made.ask("[[sim:say warm]]")
        yield made


async def _until(condition: Callable[[], object]) -> None:
    """The test's own timeout is the limit."""
    while not condition():
        await asyncio.sleep(0.002)


async def _begin(
    home: House, dialect: str, stream: bool, text: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    speaker = SPEAKERS[dialect]
    reader, writer = await home.connect()
    wish = Wish(text, max_tokens=1_000_000)
    body = orjson.dumps(speaker.request(wish, stream=stream))
    writer.write(request_bytes("POST", speaker.path, body))
    return reader, writer


async def _cancelled(home: House) -> int:
    """Requests that the figures count as given up by their client."""
    local = {"Host": "localhost", "x-api-key": ""}
    text = (await home.send("GET", "/metrics", headers=local)).body.decode()
    return sum(
        map(int, re.findall(r'^kiroproxy_requests_total\{.*"cancelled".*\} (\d+)$', text, re.M))
    )


@pytest.mark.parametrize("departure", DEPARTURES)
@pytest.mark.parametrize("begun", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize(("dialect", "stream"), CELLS)
async def test_client_that_leaves(
    dialect: str, stream: bool, begun: bool, departure: str, home: House
) -> None:
    """``begun``: the service is in the middle of its answer; else it has not said anything."""
    before = await _cancelled(home)
    if not begun:
        home.kiro.faults.next("slow_first_byte", seconds=600)
    seen = len(home.kiro.received("chat"))
    reader, writer = await _begin(home, dialect, stream, "[[sim:text 5000]]")
    await _until(lambda: len(home.kiro.received("chat")) > seen)
    entry = home.kiro.received("chat")[-1]
    if begun:
        await _until(lambda: home.kiro.open_streams == 1)
        if stream:
            await reader.readuntil(b"delta")
    DEPARTURES[departure](writer)
    await _until(lambda: entry.aborted and home.kiro.open_streams == 0)
    while await _cancelled(home) != before + 1:
        await asyncio.sleep(0.01)
    writer.close()


@pytest.mark.parametrize("dialect", SPEAKERS)
async def test_slow_client_of_a_stream_gets_everything(dialect: str, home: House) -> None:
    """The service has to wait for it. Read by hand: the strict readers take their time."""
    reader, _ = await _begin(home, dialect, True, f"[[sim:pace 0]][[sim:text {MANY}]]")
    await reader.readuntil(b"\r\n\r\n")
    await _until(lambda: home.kiro.open_streams == 1)
    await asyncio.sleep(0.2)  # long enough to send it all if nobody held it back
    assert home.kiro.open_streams == 1
    raw = bytearray()
    while not raw.endswith(b"\r\n0\r\n\r\n"):
        piece = await reader.read(50_000)
        assert piece, "the stream was cut"
        raw += piece
        await asyncio.sleep(0.0005)
    assert _words(dialect, bytes(raw)) == MANY


def _words(dialect: str, raw: bytes) -> int:
    body = io.BytesIO(raw)
    stream = bytearray()
    while size := int(body.readline(), 16):
        stream += body.read(size + 2)[:-2]
    documents = [line[6:] for line in bytes(stream).split(b"\n") if line.startswith(b"data: ")]
    if dialect == "chat":
        assert documents.pop() == b"[DONE]"
    events = [orjson.loads(document) for document in documents]
    if dialect == "chat":
        deltas = [e["choices"][0]["delta"].get("content", "") for e in events if e["choices"]]
    elif dialect == "messages":
        deltas = [e["delta"]["text"] for e in events if e["type"] == "content_block_delta"]
    else:
        deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    return len("".join(deltas).split())


@pytest.mark.parametrize("dialect", SPEAKERS)
async def test_slow_client_of_a_whole_answer_gets_everything(dialect: str, home: House) -> None:
    reader, _ = await _begin(home, dialect, False, "[[sim:pace 0]][[sim:text 30000]]")
    await _until(lambda: home.kiro.open_streams == 1)
    await _until(lambda: home.kiro.open_streams == 0)
    slow = asyncio.StreamReader(limit=1 << 30)
    answering = asyncio.create_task(read_answer(slow))
    while not answering.done():
        slow.feed_data(await reader.read(10_000))
        await asyncio.sleep(0.0005)
    heard = SPEAKERS[dialect].hear(await answering)
    assert (len(heard.text.split()), heard.stop) == (30_000, "end")


async def test_pipelining_is_in_order(home: House) -> None:
    """All dialects and modes behind one another on one connection, in one write, some of them broken."""
    reader, writer = await home.connect()
    sent, orders = b"", []
    for number, (dialect, stream) in enumerate(CELLS * 3):
        speaker = SPEAKERS[dialect]
        broken = number % 5 == 3
        fault = "[[sim:fault cut after=4]]" if broken else ""
        wish = Wish(f"[[sim:say answer {number}]]{fault}")
        body = orjson.dumps(speaker.request(wish, stream=stream))
        sent += request_bytes("POST", speaker.path, body)
        orders.append((speaker, stream, broken, f"answer {number}"))
    writer.write(sent)
    for speaker, stream, broken, text in orders:
        heard = speaker.hear(await _next_answer(reader))
        if broken:
            assert heard.error and text.startswith(heard.text) and bool(heard.text) == stream
        else:
            assert (heard.text, heard.stop) == (text, "end")


async def _next_answer(reader: asyncio.StreamReader) -> Answer:
    """Exactly one answer; what comes behind it stays in ``reader``."""
    head = await reader.readuntil(b"\r\n\r\n")
    one = asyncio.StreamReader()
    one.feed_data(head)
    lower = head.lower()
    if b"content-length: " in lower:
        length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
        one.feed_data(await reader.readexactly(length))
        return await read_answer(one)
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line, 16)
        one.feed_data(line + await reader.readexactly(size + 2))
        if size == 0:
            return await read_answer(one)


async def test_client_that_leaves_behind_pipelined_requests(home: House) -> None:
    """What it has asked for and not begun to get is never asked of the service."""
    before = len(home.kiro.received("chat"))
    reader, writer = await _begin(home, "chat", True, "[[sim:text 5000]]")
    speaker = SPEAKERS["messages"]
    later = orjson.dumps(speaker.request(Wish("[[sim:say later]]"), stream=False))
    writer.write(request_bytes("POST", speaker.path, later) * 5)
    await reader.readuntil(b"delta")
    writer.close()
    await _until(lambda: home.kiro.open_streams == 0)
    await home.ask("[[sim:say fine]]")
    assert len(home.kiro.received("chat")) == before + 2
