"""What the benchmarks are fed: made here once, the same bytes for every contestant and every run."""

from __future__ import annotations

import orjson

from kiroproxy.eventstream.encoder import encode_event

#: One socket read of a busy connection; what asyncio reads at most is 256 KiB.
READ_BYTES = 16_384
SMALL_EVENTS = 5_000


def small_text(number: int) -> str:
    """A delta as a model sends it; with the frame around it 131 bytes."""
    return f" token {number:05d}"


def text_frame(text: str) -> bytes:
    return encode_event("assistantResponseEvent", orjson.dumps({"content": text}))


def small_texts(count: int = SMALL_EVENTS) -> list[str]:
    return [small_text(number) for number in range(count)]


def small_stream(count: int = SMALL_EVENTS) -> bytes:
    """``count`` small text events, one frame each."""
    return b"".join(map(text_frame, small_texts(count)))


def ending_stream() -> bytes:
    """What follows the text of a whole answer."""
    return (
        encode_event("metadataEvent", b'{"stopReason":"END_TURN"}')
        + encode_event("contextUsageEvent", b'{"contextUsagePercentage":1.5}')
        + encode_event("meteringEvent", b'{"usage":0.01,"unit":"credit","unitPlural":"credits"}')
    )


def reads(stream: bytes, size: int = READ_BYTES) -> list[bytes]:
    """``stream`` as it comes from a socket: frames are cut anywhere."""
    return [stream[at : at + size] for at in range(0, len(stream), size)]


# -- requests ---------------------------------------------------------------------------------------

_CODE = (
    "def handle(request: Request) -> Response:\n"
    '    """Answer one request; \\"quoted\\" words and a tab\\t on the way."""\n'
    "    for item in request.items:\n"
    "        if item.price > 1_000 and item.name != 'naïve – test':\n"
    '            return Response(400, f"too dear: {item.price}")\n'
    "    return Response(200, b'ok')\n\n"
)


def _tool(number: int) -> dict[str, object]:
    """A tool as coding agents declare them: a long description, a schema with some nesting."""
    text = {"type": "string", "description": "An absolute path, never a relative one."}
    edit = {
        "type": "object",
        "properties": {"old": {"type": "string"}, "new": {"type": "string"}},
        "required": ["old", "new"],
        "additionalProperties": False,
    }
    return {
        "name": f"tool_{number}",
        "description": f"Tool number {number}. " + "Use it when the task asks for it. " * 40,
        "input_schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "path": text,
                "limit": {"type": "number", "description": "How many lines."},
                "mode": {"type": "string", "enum": ["read", "write", "both"]},
                "edits": {"type": "array", "items": edit},
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    }


def _round(number: int, filling: str) -> list[dict[str, object]]:
    """The model calls a tool, the client answers with its result."""
    call_id = f"toolu_{number:024d}"
    call = {
        "type": "tool_use",
        "id": call_id,
        "name": f"tool_{number % 20}",
        "input": {"path": f"/src/module_{number}.py", "limit": 100, "mode": "read"},
    }
    result = {
        "type": "tool_result",
        "tool_use_id": call_id,
        "content": [{"type": "text", "text": f"{number}\n{filling}"}],
    }
    text = {"type": "text", "text": f"I look at module {number} first."}
    return [
        {"role": "assistant", "content": [text, call]},
        {"role": "user", "content": [result]},
    ]


def big_request(messages: int = 400, size: int = 1_500_000, *, stream: bool = True) -> bytes:
    """A Messages request late in a coding session: 20 tools, ``messages`` messages, ``size`` bytes."""
    rounds = (messages - 1) // 2
    filling = (_CODE * 200)[: (size - 60_000) // rounds - 450]
    conversation: list[dict[str, object]] = [{"role": "user", "content": "Mend the tests, please."}]
    for number in range(rounds):
        conversation += _round(number, filling)
    if len(conversation) < messages:
        conversation += [{"role": "assistant", "content": "Done."}]
        conversation += [{"role": "user", "content": "And now the docs."}]
    request = {
        "model": "claude-sonnet-4-5-20250929",
        "max_tokens": 32_000,
        "stream": stream,
        "system": [{"type": "text", "text": "You are a careful engineer. " * 400}],
        "tools": [_tool(number) for number in range(20)],
        "messages": conversation,
    }
    return orjson.dumps(request)
