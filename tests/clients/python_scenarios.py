"""LangChain and litellm as clients, every call a program would make. Run by test_python_clients.py with
the Python of their own environment as ``python python_scenarios.py SCENARIO``; prints one JSON object."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Seen = dict[str, Any]

ROOT = os.environ["BASE_URL"]
KEY = os.environ["KEY"]
MODEL = "claude-sonnet-4-5"
CITY = {
    "type": "object",
    "title": "City",
    "description": "A city",
    "properties": {"name": {"type": "string"}, "rank": {"type": "integer"}},
    "required": ["name", "rank"],
    "additionalProperties": False,
}
PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather of a city", "parameters": PLACE},
}
WORDS = "[[sim:text 60]]"
HELLO = "[[sim:say Grüße, 世界]]"
CALLS = '[[sim:tool weather {"city": "Oslo"}]][[sim:tool weather {"city": "Bergen"}]]'


def failure(ask: Callable[[], object]) -> Seen:
    """The class and the words of what ``ask`` raises."""
    try:
        ask()
    except Exception as error:
        status = getattr(error, "status_code", None)
        return {"class": type(error).__name__, "status": status, "message": str(error)}
    return {"class": "none"}


# -- LangChain --------------------------------------------------------------------------------------


def chat_openai(**more: Any) -> Any:
    from langchain_openai import ChatOpenAI

    given = {"model": MODEL, "base_url": f"{ROOT}/v1", "api_key": KEY, "max_retries": 0}
    return ChatOpenAI(**{**given, "stream_usage": True, **more})


def chat_anthropic(**more: Any) -> Any:
    from langchain_anthropic import ChatAnthropic

    given = {"model": MODEL, "base_url": ROOT, "api_key": KEY, "max_retries": 0}
    return ChatAnthropic(**{**given, "max_tokens": 4096, **more})


def langchain(chat: Callable[..., Any]) -> Seen:
    """The same with either class."""
    from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage

    model = chat()
    hello = model.invoke([SystemMessage("Be brief."), HumanMessage(HELLO)])
    pieces = list(model.stream(WORDS))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    handy = model.bind_tools([WEATHER])
    asked = HumanMessage(CALLS)
    called = handy.invoke([asked])
    streamed = None
    for piece in handy.stream([asked]):
        streamed = piece if streamed is None else streamed + piece
    results = [
        ToolMessage(f"{c['args']['city']}: dry", tool_call_id=c["id"]) for c in called.tool_calls
    ]
    return {
        "text": hello.text,
        "usage": hello.usage_metadata,
        "pieces": len([piece for piece in pieces if piece.text]),
        "streamed": whole.text,
        "streamed_usage": whole.usage_metadata,
        "calls": [call["args"] for call in called.tool_calls],
        "streamed_calls": [call["args"] for call in streamed.tool_calls] if streamed else [],
        "after": handy.invoke([asked, called, *results]).text,
        "wrong_key": failure(lambda: chat(api_key="wrong").invoke("hi")),
    }


def langchain_openai() -> Seen:
    asked = '[[sim:json {"name": "Paris", "rank": 1}]]'
    structured = chat_openai().with_structured_output(CITY, method="json_schema")
    responses = chat_openai(use_responses_api=True)
    return {
        **langchain(chat_openai),
        "structured": structured.invoke(asked),
        "responses": responses.invoke(HELLO).text,
        "responses_streamed": "".join(piece.text for piece in responses.stream(WORDS)),
        "responses_calls": [
            call["args"] for call in responses.bind_tools([WEATHER]).invoke(CALLS).tool_calls
        ],
    }


def langchain_anthropic() -> Seen:
    asked = '[[sim:tool City {"name": "Paris", "rank": 1}]]'
    structured = chat_anthropic().with_structured_output(CITY, method="function_calling")
    return {**langchain(chat_anthropic), "structured": structured.invoke(asked)}


# -- litellm ----------------------------------------------------------------------------------------


def litellm() -> Seen:
    """Both providers, each with its own names for things."""
    import litellm as library

    library.telemetry = False
    return {
        "openai": _litellm(library, model=f"openai/{MODEL}", api_base=f"{ROOT}/v1"),
        "anthropic": _litellm(library, model=f"anthropic/{MODEL}", api_base=ROOT),
    }


def _litellm(library: Any, **where: Any) -> Seen:
    given = {"api_key": KEY, "max_retries": 0, **where}

    def ask(content: str, **more: Any) -> Any:
        messages = more.pop("messages", [{"role": "user", "content": content}])
        return library.completion(messages=messages, **{**given, **more})

    hello = ask(HELLO)
    chunks = list(ask(WORDS, stream=True, stream_options={"include_usage": True}))
    whole = library.stream_chunk_builder(chunks)
    called = ask(CALLS, tools=[WEATHER]).choices[0].message
    streamed = library.stream_chunk_builder(list(ask(CALLS, tools=[WEATHER], stream=True)))
    results = [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": f"{json.loads(call.function.arguments)['city']}: dry",
        }
        for call in called.tool_calls
    ]
    history = [{"role": "user", "content": CALLS}, called.model_dump(), *results]
    return {
        "text": hello.choices[0].message.content,
        "usage": hello.usage.model_dump(),
        "streamed": whole.choices[0].message.content,
        "streamed_usage": whole.usage.model_dump(),
        "calls": _arguments(called),
        "streamed_calls": _arguments(streamed.choices[0].message),
        "after": ask("", messages=history, tools=[WEATHER]).choices[0].message.content,
        "wrong_key": failure(lambda: ask("hi", api_key="wrong")),
    }


def _arguments(message: Any) -> list[Any]:
    return [json.loads(call.function.arguments) for call in message.tool_calls]


# -- failures ---------------------------------------------------------------------------------------


def failing() -> Seen:
    """What refusals of the service come to."""
    return {fault: _failing(f"[[sim:fault {fault}]]") for fault in ("too_long", "rate")}


def _failing(order: str) -> Seen:
    import litellm as library

    where = {"model": f"openai/{MODEL}", "api_base": f"{ROOT}/v1", "api_key": KEY}
    says = [{"role": "user", "content": order}]
    return {
        "langchain_openai": failure(lambda: chat_openai().invoke(order)),
        "langchain_anthropic": failure(lambda: chat_anthropic().invoke(order)),
        "litellm": failure(lambda: library.completion(messages=says, max_retries=0, **where)),
    }


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
