"""An independent, strict reader of Chat Completions streams.

Checks what the strictest clients check: every chunk against the official SDK's own model, the role
first, an index on every call delta, ids, types and names once, calls one after another, one finish
reason, the numbers only when asked for, ``[DONE]`` after a proper end and nothing else at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from openai.types.chat import ChatCompletionChunk


@dataclass
class Read:
    """What a stream said; ``calls`` as the message of a whole answer has them."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    thinking: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    function_call: dict[str, str] | None = None
    finish: str | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False


def read_stream(data: bytes) -> Read:
    """Raises AssertionError or ValidationError for anything a strict client would stumble over."""
    got = Read()
    assert data.endswith(b"\n\n")
    for line in data.decode().removesuffix("\n\n").split("\n\n"):
        assert not got.done and got.error is None, f"{line} after the end"
        if line.startswith(":"):
            continue
        payload = line.removeprefix("data: ")
        assert "\n" not in line and payload != line
        if payload == "[DONE]":
            assert got.finish is not None
            got.done = True
            continue
        document = orjson.loads(payload)
        if "error" in document:
            assert set(document) == {"error"}
            assert set(document["error"]) == {"message", "type", "param", "code"}
            got.error = document["error"]
            continue
        _chunk(got, document)
    assert got.done != (got.error is not None)
    return got


def _chunk(got: Read, chunk: dict[str, Any]) -> None:
    if b'"custom"' not in orjson.dumps(chunk):  # the SDK's model lacks what the API streams there
        ChatCompletionChunk.model_validate(chunk)
    heads = ("id", "object", "created", "model")
    assert not got.chunks or [chunk[k] for k in heads] == [got.chunks[0][k] for k in heads]
    got.chunks.append(chunk)
    if not chunk["choices"]:
        assert got.finish is not None and got.usage is None
        got.usage = chunk["usage"]
        return
    assert chunk.get("usage") is None and got.finish is None
    (choice,) = chunk["choices"]
    assert choice["index"] == 0
    delta = choice["delta"]
    assert (delta.get("role") == "assistant") == (len(got.chunks) == 1)
    got.finish = choice["finish_reason"]
    assert got.finish is None or delta == {}
    got.text += delta.get("content") or ""
    got.thinking += delta.get("reasoning_content") or ""
    for call in delta.get("tool_calls", ()):
        _call(got, call)
    if "function_call" in delta:
        _function_call(got, delta["function_call"])


def _call(got: Read, delta: dict[str, Any]) -> None:
    assert delta["index"] in (len(got.calls), len(got.calls) - 1)
    if delta["index"] == len(got.calls):
        kind = delta["type"]
        assert set(delta) == {"index", "id", "type", kind} and delta["id"] and delta[kind]["name"]
        got.calls.append({"id": delta["id"], "type": kind, kind: dict(delta[kind])})
        return
    call = got.calls[-1]
    kind = call["type"]
    key = "arguments" if kind == "function" else "input"
    assert set(delta) == {"index", kind} and set(delta[kind]) == {key}
    call[kind][key] += delta[kind][key]


def _function_call(got: Read, delta: dict[str, str]) -> None:
    if got.function_call is None:
        assert set(delta) == {"name", "arguments"}
        got.function_call = dict(delta)
    else:
        assert set(delta) == {"arguments"}
        got.function_call["arguments"] += delta["arguments"]
