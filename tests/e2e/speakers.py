"""The same conversation in every dialect: how it is asked, and what was heard.

A ``Speaker`` writes a ``Wish`` as one dialect's request and reads either kind of answer as ``Heard``, in
neutral words, so that one table of scenarios holds for all dialects.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from kiroproxy.api import anthropic, openai
from kiroproxy.errors import Kind
from tests.api.anthropic.reader import read_stream as read_messages
from tests.api.openai.reader import read_stream as read_chat
from tests.api.openai.responses_reader import read_stream as read_responses
from tests.e2e.support import Answer

Json = dict[str, Any]
OBJECT: Json = {"type": "object"}


@dataclass(frozen=True)
class Wish:
    """What is asked for. ``rounds``: finished tool rounds as (name, input, result)."""

    prompt: str
    system: str = ""
    model: str = "claude-sonnet-4-5"
    tools: tuple[str, ...] = ()
    choice: str = "auto"  # auto, none, required, or a tool's name
    parallel: bool = True
    rounds: tuple[tuple[str, Json, str], ...] = ()
    image: str = ""  # base64 PNG
    stop: tuple[str, ...] = ()
    max_tokens: int = 4096
    think: bool = False
    schema: Json | None = None


@dataclass
class Heard:
    """What came. ``stop``: end, tools, length, sequence or refused; empty for an error. ``error``: its
    type in the dialect's words."""

    status: int = 200
    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    stop: str = ""
    input_tokens: int = 0
    error: str = ""
    message: str = ""


class Speaker(Protocol):
    """One dialect."""

    path: str

    def request(self, wish: Wish, *, stream: bool) -> Json:
        """The request's body."""

    def hear(self, answer: Answer) -> Heard:
        """Either kind of answer, or an error."""

    def error_of(self, kind: Kind) -> tuple[int, str]:
        """Status and type that the dialect gives this kind of error."""


class Messages:
    """The Messages API."""

    path = "/v1/messages"
    _stops = {  # noqa: RUF012
        "end_turn": "end",
        "tool_use": "tools",
        "max_tokens": "length",
        "stop_sequence": "sequence",
        "refusal": "refused",
    }

    def request(self, wish: Wish, *, stream: bool) -> Json:
        content: list[Json] = [{"type": "text", "text": wish.prompt}]
        if wish.image:
            source = {"type": "base64", "media_type": "image/png", "data": wish.image}
            content.append({"type": "image", "source": source})
        messages: list[Json] = [{"role": "user", "content": content}]
        for number, (name, value, result) in enumerate(wish.rounds):
            use = {"type": "tool_use", "id": f"t{number}", "name": name, "input": value}
            done = {"type": "tool_result", "tool_use_id": f"t{number}", "content": result}
            messages += [
                {"role": "assistant", "content": [use]},
                {"role": "user", "content": [done]},
            ]
        choice: Json = {"type": {"required": "any"}.get(wish.choice, wish.choice)}
        if wish.choice in wish.tools:
            choice = {"type": "tool", "name": wish.choice}
        body: Json = {
            "model": wish.model,
            "messages": messages,
            "max_tokens": wish.max_tokens,
            "stop_sequences": list(wish.stop),
            "tools": [{"name": name, "input_schema": OBJECT} for name in wish.tools],
            "tool_choice": choice | {"disable_parallel_tool_use": not wish.parallel},
            "stream": stream,
        }
        if wish.system:
            body["system"] = wish.system
        if wish.think:
            body["thinking"] = {"type": "adaptive"}
        if wish.schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": wish.schema}}
        return body

    def hear(self, answer: Answer) -> Heard:
        if not answer.headers["content-type"].startswith("text/event-stream"):
            message = answer.json
            if answer.status != 200:
                return _failed(answer.status, message["error"])
            return self._whole(message["content"], message["stop_reason"], message["usage"])
        got = read_messages(answer.body)
        if got.error is not None:
            heard = self._whole(got.blocks, "", {}, whole=False)
            heard.error, heard.message = got.error["type"], got.error["message"]
            return heard
        return self._whole(got.blocks, got.stop["stop_reason"], got.usage)

    def _whole(self, blocks: list[Json], stop: str, usage: Json, *, whole: bool = True) -> Heard:
        def joined(kind: str) -> str:
            return "".join(block[kind] for block in blocks if block["type"] == kind)

        uses = [block for block in blocks if block["type"] == "tool_use"]
        return Heard(
            text=joined("text"),
            thinking=joined("thinking"),
            calls=[(use["name"], use["input"]) for use in uses] if whole else [],
            stop=self._stops.get(stop, stop),
            input_tokens=usage.get("input_tokens", 0),
        )

    def error_of(self, kind: Kind) -> tuple[int, str]:
        row = anthropic.TABLE[kind]
        return row.status, row.type


class Chat:
    """Chat Completions."""

    path = "/v1/chat/completions"
    _stops = {  # noqa: RUF012
        "stop": "end",
        "tool_calls": "tools",
        "length": "length",
        "content_filter": "refused",
    }

    def request(self, wish: Wish, *, stream: bool) -> Json:
        content: list[Json] = [{"type": "text", "text": wish.prompt}]
        if wish.image:
            url = f"data:image/png;base64,{wish.image}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        messages: list[Json] = [{"role": "user", "content": content}]
        if wish.system:
            messages.insert(0, {"role": "system", "content": wish.system})
        for number, (name, value, result) in enumerate(wish.rounds):
            function = {"name": name, "arguments": orjson.dumps(value).decode()}
            call = {"id": f"t{number}", "type": "function", "function": function}
            messages += [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": f"t{number}", "content": result},
            ]
        choice: Any = wish.choice
        if choice in wish.tools:
            choice = {"type": "function", "function": {"name": choice}}
        functions = [{"name": name, "parameters": OBJECT} for name in wish.tools]
        body: Json = {
            "model": wish.model,
            "messages": messages,
            "max_completion_tokens": wish.max_tokens,
            "stop": list(wish.stop),
            "tools": [{"type": "function", "function": function} for function in functions],
            "tool_choice": choice,
            "parallel_tool_calls": wish.parallel,
            "stream": stream,
        }
        if stream:
            body["stream_options"] = {"include_usage": True}
        if wish.think:
            body["reasoning_effort"] = "high"
        if wish.schema is not None:
            form = {"name": "answer", "schema": wish.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        return body

    def hear(self, answer: Answer) -> Heard:
        if not answer.headers["content-type"].startswith("text/event-stream"):
            if answer.status != 200:
                return _failed(answer.status, answer.json["error"])
            (choice,) = answer.json["choices"]
            message = choice["message"]
            heard = Heard(
                text=message["content"] or "", thinking=message.get("reasoning_content", "")
            )
            return self._ended(
                heard, message.get("tool_calls", []), choice["finish_reason"], answer.json["usage"]
            )
        got = read_chat(answer.body)
        heard = Heard(text=got.text, thinking=got.thinking)
        if got.error is not None:
            heard.error, heard.message = got.error["type"], got.error["message"]
            return heard
        return self._ended(heard, got.calls, got.finish or "", got.usage or {})

    def _ended(self, heard: Heard, calls: list[Json], finish: str, usage: Json) -> Heard:
        functions = [call["function"] for call in calls]
        heard.calls = [(f["name"], orjson.loads(f["arguments"])) for f in functions]
        heard.stop = self._stops.get(finish, finish)
        heard.input_tokens = usage["prompt_tokens"]
        return heard

    def error_of(self, kind: Kind) -> tuple[int, str]:
        row = openai.TABLE[kind]
        return row.status, row.type


class Responses:
    """The Responses API."""

    path = "/v1/responses"
    _reasons = {"max_output_tokens": "length", "content_filter": "refused"}  # noqa: RUF012

    def request(self, wish: Wish, *, stream: bool) -> Json:
        content: list[Json] = [{"type": "input_text", "text": wish.prompt}]
        if wish.image:
            url = f"data:image/png;base64,{wish.image}"
            content.append({"type": "input_image", "image_url": url})
        items: list[Json] = [{"type": "message", "role": "user", "content": content}]
        for number, (name, value, result) in enumerate(wish.rounds):
            call = {"name": name, "arguments": orjson.dumps(value).decode()}
            items += [
                {"type": "function_call", "call_id": f"t{number}", **call},
                {"type": "function_call_output", "call_id": f"t{number}", "output": result},
            ]
        choice: Any = wish.choice
        if choice in wish.tools:
            choice = {"type": "function", "name": choice}
        body: Json = {
            "model": wish.model,
            "input": items,
            "max_output_tokens": wish.max_tokens,
            "stop": list(wish.stop),
            "tools": [{"type": "function", "name": n, "parameters": OBJECT} for n in wish.tools],
            "tool_choice": choice,
            "parallel_tool_calls": wish.parallel,
            "stream": stream,
        }
        if wish.system:
            body["instructions"] = wish.system
        if wish.think:
            body["reasoning"] = {"effort": "high", "summary": "auto"}
        if wish.schema is not None:
            form = {"type": "json_schema", "name": "answer", "schema": wish.schema, "strict": True}
            body["text"] = {"format": form}
        return body

    def hear(self, answer: Answer) -> Heard:
        if answer.headers["content-type"].startswith("text/event-stream"):
            got = read_responses(answer.body)
            heard = self._whole(got.response)
            if got.open is not None and got.open["type"] == "message":
                heard.text += got.texts[-1]
            return heard
        if answer.status != 200:
            return _failed(answer.status, answer.json["error"])
        return self._whole(answer.json)

    def _whole(self, response: Json) -> Heard:
        heard = Heard()
        for item in response["output"]:
            if item["type"] == "message":
                heard.text += item["content"][0]["text"]
            elif item["type"] == "reasoning":
                heard.thinking += "".join(part["text"] for part in item["summary"])
            else:
                heard.calls.append((item["name"], orjson.loads(item["arguments"])))
        if response["error"] is not None:
            heard.error, heard.message = response["error"]["code"], response["error"]["message"]
            return heard
        heard.stop = "tools" if heard.calls else "end"
        if response["status"] == "incomplete":
            heard.stop = self._reasons[response["incomplete_details"]["reason"]]
        heard.input_tokens = response["usage"]["input_tokens"]
        return heard

    def error_of(self, kind: Kind) -> tuple[int, str]:
        row = openai.TABLE[kind]
        return row.status, row.type


def _failed(status: int, error: Json) -> Heard:
    return Heard(status, error=error["type"], message=error["message"])


SPEAKERS: dict[str, Speaker] = {"messages": Messages(), "chat": Chat(), "responses": Responses()}
