"""One client of the soak: a request in one dialect, and what a client makes of the answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson

from bench.load_client import dechunked

Json = dict[str, Any]
PATHS = {
    "messages": "/v1/messages",
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
}
TOOL = "Bash"
_SCHEMA = {"type": "object", "properties": {"command": {"type": "string"}}}
READ_BYTES = 65_536


@dataclass
class Heard:
    """``ends``: proper ends and errors that were told, which must be one in all."""

    status: int = 0
    text: str = ""
    calls: list[str] = field(default_factory=list)
    proper: int = 0
    errors: int = 0


def request(dialect: str, text: str, *, stream: bool, tool: bool, key: str) -> bytes:
    """The whole HTTP request."""
    body: Json = {"model": "claude-sonnet-4-5", "stream": stream}
    if dialect == "responses":
        body |= {"input": text, "store": False}
        tools: list[Json] = [{"type": "function", "name": TOOL, "parameters": _SCHEMA}]
    else:
        body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 100_000}
        function = {"name": TOOL, "parameters": _SCHEMA}
        tools = [{"type": "function", "function": function}]
        if dialect == "messages":
            tools = [{"name": TOOL, "input_schema": _SCHEMA}]
    if tool:
        body["tools"] = tools
    data = orjson.dumps(body)
    head = (
        f"POST {PATHS[dialect]} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\nconnection: close\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


async def read(reader: asyncio.StreamReader, *, rest_s: float) -> bytes:
    """All that comes; ``rest_s``: between two small reads of a slow client."""
    parts = []
    while piece := await reader.read(512 if rest_s else READ_BYTES):
        parts.append(piece)
        if rest_s:
            await asyncio.sleep(rest_s)
    return b"".join(parts)


def hear(dialect: str, raw: bytes) -> Heard:
    """Raises for an answer that is cut or malformed."""
    head, _, body = raw.partition(b"\r\n\r\n")
    heard = Heard(int(head[9:12]))
    lower = head.lower()
    if b"transfer-encoding: chunked" not in lower:
        length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
        assert len(body) == length, "the answer was cut"
        _whole(dialect, orjson.loads(body), heard)
        return heard
    assert body.endswith(b"\r\n0\r\n\r\n"), "the stream was cut"
    for block in dechunked(body).split(b"\n\n"):
        assert heard.proper + heard.errors == 0 or not block, "something behind the end"
        data = block.rpartition(b"data: ")[2] if b"data: " in block else b""
        if data == b"[DONE]":
            heard.proper += 1
        elif data:
            _event(dialect, orjson.loads(data), heard)
    return heard


def _event(dialect: str, event: Json, heard: Heard) -> None:
    kind = event.get("type", "")
    if dialect == "chat":
        if "error" in event:
            heard.errors += 1
        for choice in event.get("choices", ()):
            heard.text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls", ()):
                if call.get("id"):
                    heard.calls.append("")
                heard.calls[-1] += call["function"].get("arguments", "")
    elif kind in ("message_stop", "response.completed"):
        heard.proper += 1
    elif kind in ("error", "response.failed", "response.incomplete"):
        heard.errors += 1
    elif kind == "content_block_start" and event["content_block"]["type"] == "tool_use":
        heard.calls.append("")
    elif kind == "content_block_delta":
        delta = event["delta"]
        heard.text += delta.get("text", "")
        if "partial_json" in delta:
            heard.calls[-1] += delta["partial_json"]
    elif kind == "response.output_text.delta":
        heard.text += event["delta"]
    elif kind == "response.function_call_arguments.done":
        heard.calls.append(event["arguments"])


def _whole(dialect: str, value: Json, heard: Heard) -> None:
    if heard.status != 200:
        assert value["error"]["message"]
        heard.errors += 1
        return
    heard.proper += 1
    if dialect == "messages":
        for block in value["content"]:
            heard.text += block.get("text", "")
            if block["type"] == "tool_use":
                heard.calls.append(orjson.dumps(block["input"]).decode())
    elif dialect == "chat":
        message = value["choices"][0]["message"]
        heard.text = message["content"] or ""
        heard.calls = [call["function"]["arguments"] for call in message.get("tool_calls", ())]
    else:
        for item in value["output"]:
            if item["type"] == "message":
                heard.text += item["content"][0]["text"]
            elif item["type"] == "function_call":
                heard.calls.append(item["arguments"])
