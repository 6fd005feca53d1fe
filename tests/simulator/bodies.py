"""Request bodies for the simulator's tests, written out by hand from the service's API model."""

from __future__ import annotations

import base64
import copy
import struct
import zlib
from typing import Any

Body = dict[str, Any]

CONVERSATION = "3f2b8c1e-5a77-4f0e-9f0b-0b6f4f1f2a10"


def user(content: str = "Say hi", model: str = "auto", **more: Any) -> Body:
    """A user message as it stands in the history."""
    message = {"content": content, "modelId": model, "origin": "AI_EDITOR", **more}
    return {"userInputMessage": message}


def assistant(content: str = "Hello.", **more: Any) -> Body:
    return {"assistantResponseMessage": {"content": content, **more}}


def tool(name: str = "Bash", schema: Body | None = None, description: str = "Run it") -> Body:
    if schema is None:
        schema = {"type": "object", "properties": {"command": {"type": "string"}}}
    return {
        "toolSpecification": {
            "name": name,
            "description": description,
            "inputSchema": {"json": schema},
        }
    }


def use(id_: str = "toolu_01", name: str = "Bash", input_: Any = None) -> Body:
    return {
        "toolUseId": id_,
        "name": name,
        "input": {"command": "ls"} if input_ is None else input_,
    }


def result(id_: str = "toolu_01", text: str = "a.txt\nb.txt", status: str = "success") -> Body:
    return {"toolUseId": id_, "status": status, "content": [{"text": text}]}


def body(*messages: Body, **top: Any) -> Body:
    """Messages, the last one current; ``top`` adds top-level members."""
    turns = messages or (user(),)
    state: Body = {
        "chatTriggerType": "MANUAL",
        "conversationId": CONVERSATION,
        "currentMessage": copy.deepcopy(turns[-1]),
    }
    if len(turns) > 1:
        state["history"] = [copy.deepcopy(turn) for turn in turns[:-1]]
    return {"conversationState": state, **top}


def tool_turn() -> Body:
    """A whole round: asked, called, answered."""
    context = {"toolResults": [result()], "tools": [tool()]}
    return body(
        user("SYSTEM TEXT\n\nList the files"),
        assistant("Looking.", toolUses=[use()]),
        user(" ", userInputMessageContext=context),
    )


def offering(content: str, *tools: Body, model: str = "auto") -> Body:
    """One user message with tools on offer."""
    return body(user(content, model, userInputMessageContext={"tools": list(tools) or [tool()]}))


def png(width: int = 2, height: int = 3) -> bytes:
    """A real, tiny, grey PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def image(data: bytes | None = None, format_: str = "png") -> Body:
    return {"format": format_, "source": {"bytes": b64(png() if data is None else data)}}


def document(data: bytes = b"%PDF-1.4\n", format_: str = "pdf", name: str = "paper") -> Body:
    return {"name": name, "format": format_, "source": {"bytes": b64(data)}}
