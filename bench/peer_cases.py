"""What a client is told in the cases that tell proxies apart: one answer of Chat Completions each.

A case is the bytes of the service's answer and what a client must get of them. The upstream here sends
them in small pieces, so that nothing comes out right by luck of how it was cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson

from bench.fast_upstream import LAST_CHUNK, MODELS, STREAM_HEAD, USAGE, chunk
from bench.load_client import dechunked
from bench.workloads import ending_stream, text_frame
from kiroproxy.eventstream.encoder import encode_event, encode_exception

ANSWER_TIMEOUT_S = 30.0
PIECE_BYTES = 7

_WORDS = [f"word {number} " for number in range(10)]
_FRAMES = [text_frame(word) for word in _WORDS]
_ODD = 'if (a) { return "}" } // {"content":"not this"} \\" 𝄞 é\n'


def _broken(frame: bytes) -> bytes:
    """One letter another; the checksum as it was."""
    return frame.replace(b"word", b"warp")


def _call(call_id: str, *parts: str, is_whole: bool = True) -> bytes:
    """Keys in the order of the alphabet: who reads events by their first key gets the best of it."""
    head: dict[str, Any] = {"name": "read", "toolUseId": call_id}
    events = [head, *({"input": part, **head} for part in parts)]
    if is_whole:
        events.append({"name": "read", "stop": True, "toolUseId": call_id})
    return b"".join(encode_event("toolUseEvent", orjson.dumps(event)) for event in events)


class Case(NamedTuple):
    """``text`` and ``calls`` (arguments): what a client gets. ``is_cut``: and that it is not all."""

    name: str
    frames: bytes
    text: str
    calls: tuple[str, ...] = ()
    is_cut: bool = False
    ends: bytes = LAST_CHUNK


CASES = (
    Case("the same word ten times", text_frame("ha ") * 10 + ending_stream(), "ha " * 10),
    Case("text full of braces, quotes, escapes", text_frame(_ODD) + ending_stream(), _ODD),
    Case(
        "the same call of a tool twice",
        _call("tooluse_1", '{"path":', '"a"}') + _call("tooluse_2", '{"path":"a"}') + ending_stream(),
        "",
        ('{"path":"a"}', '{"path":"a"}'),
    ),
    Case(
        "a byte turned over on the way",
        b"".join([*_FRAMES[:5], _broken(_FRAMES[5]), *_FRAMES[6:]]) + ending_stream(),
        "".join(_WORDS[:5]),
        is_cut=True,
    ),
    Case(
        "the connection breaks half-way",
        b"".join(_FRAMES[:5]),
        "".join(_WORDS[:5]),
        is_cut=True,
        ends=b"",
    ),
    Case(
        "the answer ends within a frame",
        b"".join(_FRAMES[:5]) + _FRAMES[5][:40],
        "".join(_WORDS[:5]),
        is_cut=True,
    ),
    Case(
        "an exception half-way",
        b"".join(_FRAMES[:5]) + encode_exception("throttlingException", b'{"message":"slow down"}'),
        "".join(_WORDS[:5]),
        is_cut=True,
    ),
    Case(
        "a call of a tool breaks off",
        b"".join(_FRAMES[:5]) + _call("tooluse_1", '{"path":', '"a', is_whole=False),
        "".join(_WORDS[:5]),
        is_cut=True,
        ends=b"",
    ),
)  # fmt: skip


class Outcome(NamedTuple):
    """``calls``: arguments of each. ``is_told``: an error, or a stream that visibly breaks off."""

    text: str
    calls: tuple[str, ...]
    is_told: bool

    def verdict(self, case: Case) -> str:
        if case.is_cut:
            # What was told as broken nobody takes for whole; more or less of it is no matter.
            wrong = [] if self.is_told else ["told as a finished answer"]
            if not case.text.startswith(self.text):
                wrong.append(
                    f"text that was not to be trusted: {self.text[len(case.text) :][:40]!r}"
                )
            return ", ".join(wrong) or "right: the client is told"
        if self.is_told:
            return "an error"
        wrong = [] if self.text == case.text else [f"text {self.text[:40]!r}"]
        if self.calls != case.calls:
            wrong.append(f"calls {list(self.calls)} and not {list(case.calls)}")
        return ", ".join(wrong) or "right"


class CaseUpstream:
    """The service in one case after the other: ``case`` is what the next answer is."""

    def __init__(self) -> None:
        self.case = CASES[0]
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[CaseUpstream]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                lengths = [
                    line for line in head.split(b"\r\n") if line.startswith(b"content-length:")
                ]
                await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
                if b"generateassistantresponse" in head:
                    writer.write(STREAM_HEAD)
                    for at in range(0, len(self.case.frames), PIECE_BYTES):
                        if writer.is_closing():  # it has seen enough
                            return
                        writer.write(chunk(self.case.frames[at : at + PIECE_BYTES]))
                        if at % 20 == 0:
                            await asyncio.sleep(0)
                    writer.write(self.case.ends)
                    await writer.drain()
                    if not self.case.ends:
                        return
                else:
                    body = MODELS if b"listavailablemodels" in head else USAGE
                    writer.write(
                        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                        b"content-length: %d\r\n\r\n%b" % (len(body), body)
                    )
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def _request(key: str, *, stream: bool) -> bytes:
    tool = {
        "type": "function",
        "function": {
            "name": "read",
            "description": "Reads a file.",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    body = orjson.dumps(
        {
            "model": "claude-sonnet-4-5",
            "stream": stream,
            "tools": [tool],
            "messages": [{"role": "user", "content": "Read the file."}],
        }
    )
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        b"content-type: application/json\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
        % (key.encode(), len(body), body)
    )


async def ask(port: int, key: str, *, stream: bool) -> Outcome:
    """One request on a connection of its own; what its client gets. Raises TimeoutError."""
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_request(key, stream=stream))
        try:
            answer = await reader.read(-1)
        except ConnectionError:
            answer = b""
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        if not body.endswith(LAST_CHUNK):
            return Outcome("", (), True)
        body = dechunked(body)
    if not head.startswith(b"HTTP/1.1 200"):
        return Outcome("", (), True)
    return _of_stream(body) if stream else _of_message(orjson.loads(body))


def _of_message(answer: dict[str, Any]) -> Outcome:
    message = answer["choices"][0]["message"]
    calls = tuple(call["function"]["arguments"] for call in message.get("tool_calls") or ())
    return Outcome(message.get("content") or "", _alike(calls), False)


def _of_stream(body: bytes) -> Outcome:
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    text, calls = "", dict[int, str]()
    is_told = b"[DONE]" not in lines
    for line in lines:
        event = orjson.loads(line) if line != b"[DONE]" else {}
        is_told = is_told or "error" in event
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            text += delta.get("content") or ""
            for call in delta.get("tool_calls") or ():
                index = call.get("index", 0)
                calls[index] = calls.get(index, "") + (call["function"].get("arguments") or "")
    return Outcome(text, _alike(tuple(calls.values())), is_told)


def _alike(calls: tuple[str, ...]) -> tuple[str, ...]:
    """Blanks between the marks of JSON are no difference."""
    made = []
    for call in calls:
        try:
            made.append(orjson.dumps(orjson.loads(call)).decode())
        except orjson.JSONDecodeError:
            made.append(call)
    return tuple(made)
