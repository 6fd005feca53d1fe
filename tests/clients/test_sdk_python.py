"""The official Python SDK, every helper a program would use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic, beta_async_tool
from pydantic import BaseModel

from kiroproxy.simulator import Simulator
from tests.clients import samples
from tests.clients.harness import KEY, Proxy, noticed_abort, order, sign_in, tool

MODEL = "claude-sonnet-4.5"  # the SDK warns of names with an end of life
THINKER = "claude-opus-5-5"

WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def says(*content: Any) -> Any:
    """The arguments of a request with one user message."""
    blocks = [{"type": "text", "text": c} if isinstance(c, str) else c for c in content]
    message = {"role": "user", "content": blocks}
    return {"model": MODEL, "max_tokens": 4096, "messages": [message]}


def image(data: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "image/png", "data": samples.base64_text(data)}
    return {"type": "image", "source": source}


def document(data: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": "application/pdf", "data": samples.base64_text(data)}
    return {"type": "document", "source": source, "title": "paper.pdf"}


@pytest.fixture
async def sdk(proxy: Proxy) -> AsyncIterator[AsyncAnthropic]:
    """A client that does not hide failures by retrying."""
    async with AsyncAnthropic(base_url=proxy.url, api_key=KEY, max_retries=0) as client:
        yield client


def texts(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_create(sdk: AsyncAnthropic) -> None:
    message = await sdk.messages.create(**says(order("say", "Grüße, 世界")))
    assert texts(message) == "Grüße, 世界"
    assert (message.role, message.model, message.stop_reason) == ("assistant", MODEL, "end_turn")
    assert message.id.startswith("msg_")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id is not None


@pytest.mark.parametrize("labels", [("idc",), ("builder",), ("api_key",), ("social", "idc")])
async def test_every_kind_of_sign_in(
    kiro: Simulator, kiro_url: str, tmp_path: Path, labels: tuple[str, ...]
) -> None:
    proxy = await Proxy.start(tmp_path, sign_in(kiro, kiro_url, *labels))
    asked = says(order("say", "signed in") + tool("weather", city="Oslo"))
    async with AsyncAnthropic(base_url=proxy.url, api_key=KEY) as client:
        message = await client.messages.create(**asked, tools=[WEATHER])
        async with client.messages.stream(**asked, tools=[WEATHER]) as stream:
            streamed = await stream.get_final_message()
    await proxy.stop()
    for one in (message, streamed):
        assert (texts(one), one.stop_reason) == ("signed in", "tool_use")
    assert {entry.account for entry in kiro.received("chat")} <= set(labels)


async def test_next_account_when_one_is_refused(
    kiro: Simulator, kiro_url: str, tmp_path: Path
) -> None:
    proxy = await Proxy.start(tmp_path, sign_in(kiro, kiro_url, "social", "idc"))
    kiro.faults.always("suspended", account="social")
    async with AsyncAnthropic(base_url=proxy.url, api_key=KEY, max_retries=0) as client:
        assert texts(await client.messages.create(**says(order("say", "still")))) == "still"
    await proxy.stop()


async def test_both_ways_to_give_the_key(proxy: Proxy) -> None:
    async with AsyncAnthropic(base_url=proxy.url, auth_token=KEY) as bearer:
        assert texts(await bearer.messages.create(**says(order("say", "by bearer")))) == "by bearer"
    headers = {"x-api-key": KEY, "authorization": "Bearer another"}  # then x-api-key counts
    async with AsyncAnthropic(base_url=proxy.url, api_key="x", default_headers=headers) as classic:
        assert texts(await classic.messages.create(**says(order("say", "by key")))) == "by key"


async def test_synchronous_client(proxy: Proxy) -> None:
    def ask() -> str:
        with anthropic.Anthropic(base_url=proxy.url, api_key=KEY) as client:
            with client.messages.stream(**says(order("text", "40"))) as stream:
                return "".join(stream.text_stream)

    assert len((await asyncio.to_thread(ask)).split()) == 40


async def test_stream_helper(sdk: AsyncAnthropic) -> None:
    async with sdk.messages.stream(**says(order("text", "60"))) as stream:
        pieces = [piece async for piece in stream.text_stream]
        message = await stream.get_final_message()
    assert len(pieces) > 5
    assert texts(message) == "".join(pieces)
    assert len(texts(message).split()) == 60
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 40


async def test_raw_events(sdk: AsyncAnthropic) -> None:
    stream = await sdk.messages.create(**says(order("say", "a b") + tool("weather", city="Oslo")),
                                       tools=[WEATHER], stream=True)  # fmt: skip
    events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    starts = [event.index for event in events if event.type == "content_block_start"]
    stops = [event.index for event in events if event.type == "content_block_stop"]
    assert starts == stops == [0, 1]
    pieces = [
        event.delta.partial_json
        for event in events
        if event.type == "content_block_delta" and event.delta.type == "input_json_delta"
    ]
    assert "".join(pieces) == '{"city":"Oslo"}'


async def test_same_answer_with_and_without_stream(sdk: AsyncAnthropic) -> None:
    asked = says(order("say", "the same") + tool("weather", city="Oslo"))
    whole = await sdk.messages.create(**asked, tools=[WEATHER])
    async with sdk.messages.stream(**asked, tools=[WEATHER]) as stream:
        streamed = await stream.get_final_message()
    shapes = [
        [block.model_dump(exclude={"id"}) for block in message.content]
        for message in (whole, streamed)
    ]
    assert shapes[0] == shapes[1]
    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    assert whole.usage.input_tokens == streamed.usage.input_tokens


async def test_tool_runner(sdk: AsyncAnthropic) -> None:
    asked: list[str] = []

    @beta_async_tool
    async def weather_of_a_city_with_a_name_that_is_far_too_long_for_the_service(city: str) -> str:
        """The weather.

        Args:
            city: Where.
        """
        asked.append(city)
        return f"{city}: rain"

    runner = sdk.beta.messages.tool_runner(
        **says(
            "Call weather_of_a_city_with_a_name_that_is_far_too_long_for_the_service "
            'with {"city": "Bergen"}'
        ),
        tools=[weather_of_a_city_with_a_name_that_is_far_too_long_for_the_service],
    )
    message = await runner.until_done()
    assert asked == ["Bergen"]
    assert "Bergen: rain" in texts(message)


async def test_parallel_calls_and_their_results(sdk: AsyncAnthropic) -> None:
    asked = says(tool("weather", city="Oslo") + tool("weather", city="Bergen"))
    message = await sdk.messages.create(**asked, tools=[WEATHER])
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [call.input for call in calls] == [{"city": "Oslo"}, {"city": "Bergen"}]
    assert calls[0].id != calls[1].id
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"{call.input['city']}: dry"}
        for call in reversed(calls)  # clients answer in order of completion
    ]
    asked["messages"] += [
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": results},
    ]
    answer = texts(await sdk.messages.create(**asked, tools=[WEATHER]))
    assert "Oslo: dry" in answer
    assert "Bergen: dry" in answer


async def test_image_and_document(sdk: AsyncAnthropic) -> None:
    seen = await sdk.messages.create(**says(image(samples.png(17, 9)), "What is it?"))
    assert "a 17x9 PNG image" in texts(seen)
    read = await sdk.messages.create(**says(document(samples.pdf(2)), "And this?"))
    assert "with 2 pages" in texts(read)


async def test_thinking(sdk: AsyncAnthropic) -> None:
    asked = says(order("think", "Let me see.") + order("say", "seen"))
    for model, thinking in (
        (THINKER, {"type": "adaptive"}),
        (MODEL, {"type": "enabled", "budget_tokens": 2000}),
    ):
        message = await sdk.messages.create(**{**asked, "model": model, "thinking": thinking})
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert message.content[0].thinking.strip() == "Let me see."
        assert message.content[0].signature
        asked_again = {
            **asked,
            "model": model,
            "thinking": thinking,
            "messages": [
                *asked["messages"],
                {"role": "assistant", "content": message.content},
                {"role": "user", "content": order("say", "still here")},
            ],
        }
        assert texts(await sdk.messages.create(**asked_again)) == "still here"


async def test_parse_into_a_model(sdk: AsyncAnthropic) -> None:
    class City(BaseModel):
        name: str
        rank: int

    fenced = '```json\n{"name": "Paris", "rank": 1}\n```'
    message = await sdk.messages.parse(**says(order("say", fenced)), output_format=City)
    assert message.parsed_output == City(name="Paris", rank=1)


async def test_stop_sequence(sdk: AsyncAnthropic) -> None:
    asked = says(order("say", "one two STOP three"))
    for stops in (["STOP"], ["never", "O three", "STOP"]):
        message = await sdk.messages.create(**asked, stop_sequences=stops)
        assert texts(message) == "one two "
        assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "STOP")


async def test_max_tokens(sdk: AsyncAnthropic) -> None:
    asked = {**says(order("text", "500")), "max_tokens": 20}
    async with sdk.messages.stream(**asked) as stream:
        message = await stream.get_final_message()
    assert message.stop_reason == "max_tokens"
    assert 0 < len(texts(message).split()) < 60


async def test_models(sdk: AsyncAnthropic) -> None:
    listed = [model async for model in await sdk.models.list()]
    assert {"claude-sonnet-4.5", "claude-opus-5.5"} <= {model.id for model in listed}
    for model in listed[:3]:
        assert model.type == "model"
        assert model.display_name
        assert (await sdk.models.retrieve(model.id)).id == model.id
    with pytest.raises(anthropic.NotFoundError):
        await sdk.models.retrieve("no-such-model")


async def test_count_tokens_agrees_with_the_usage(sdk: AsyncAnthropic) -> None:
    asked = says("word " * 400, order("say", "ok"))
    counted = await sdk.messages.count_tokens(model=MODEL, messages=asked["messages"])
    assert 300 < counted.input_tokens < 900
    stream = await sdk.messages.create(**asked, stream=True)
    async for event in stream:
        if event.type == "message_start":
            assert event.message.usage.input_tokens == counted.input_tokens


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("too_long", anthropic.BadRequestError, "prompt is too long"),
        ("bad_model", anthropic.APIStatusError, "model"),
        ("suspended", anthropic.PermissionDeniedError, "suspended"),
        ("quota", anthropic.APIStatusError, "limit"),
        ("rate", anthropic.RateLimitError, "requests"),
        ("capacity", anthropic.APIStatusError, ""),
        ("high_load", anthropic.OverloadedError, "load"),
        ("internal", anthropic.InternalServerError, ""),
        ("bad_gateway", anthropic.InternalServerError, ""),
        ("html", anthropic.InternalServerError, ""),
    ],
)
async def test_errors_have_their_classes(
    sdk: AsyncAnthropic, kiro: Simulator, fault: str, kind: type[Exception], words: str
) -> None:
    kiro.faults.always(fault)
    for ask in (sdk.messages.create, partial(drain, sdk)):
        with pytest.raises(kind) as caught:
            await ask(**says("hi"))
        error: Any = caught.value
        assert words in error.message
        assert error.body["type"] == "error"
        assert error.body["error"]["message"]
        assert error.request_id


async def drain(sdk: AsyncAnthropic, **asked: Any) -> None:
    async with sdk.messages.stream(**asked) as stream:
        await stream.until_done()


async def test_own_errors_have_their_classes(sdk: AsyncAnthropic, proxy: Proxy) -> None:
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        await sdk.messages.create(model=MODEL, max_tokens=10, messages="no list")  # type: ignore[arg-type]
    async with AsyncAnthropic(base_url=proxy.url, api_key="wrong") as stranger:
        with pytest.raises(anthropic.AuthenticationError):  # at once: not worth a retry
            await stranger.messages.create(**says("hi"))
    with pytest.raises(anthropic.NotFoundError):
        await sdk.get("/v1/nowhere", cast_to=object)
    broken = says({"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                               "data": "not base64!"}})  # fmt: skip
    with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.content\.0"):
        await sdk.messages.create(**broken)


@pytest.mark.parametrize("fault", ["cut", "cut_mid_frame", "corrupt", "eof", "exception", "stall"])
async def test_broken_stream_raises(sdk: AsyncAnthropic, kiro: Simulator, fault: str) -> None:
    kiro.faults.next(fault, after=6, **({"seconds": 0.5} if fault == "stall" else {}))
    asked = says(order("text", "200"))
    if fault == "stall":  # only a pause: the answer goes on and is whole
        async with sdk.messages.stream(**asked) as stream:
            assert len(texts(await stream.get_final_message()).split()) == 200
        return
    heard = ""
    with pytest.raises(anthropic.APIStatusError) as caught:
        async with sdk.messages.stream(**asked) as stream:
            async for piece in stream.text_stream:
                heard += piece
    assert heard  # what had come was passed on
    assert caught.value.body


async def test_truncated_tool_call_is_never_shown_as_whole(
    sdk: AsyncAnthropic, kiro: Simulator
) -> None:
    kiro.faults.always("truncated_tool")
    asked = says(tool("weather", city="a long name " * 20))
    with pytest.raises(anthropic.APIStatusError):
        await sdk.messages.create(**asked, tools=[WEATHER])
    ended = []
    with pytest.raises(anthropic.APIStatusError):
        async for event in await sdk.messages.create(**asked, tools=[WEATHER], stream=True):
            ended.append(event.type)
    assert "message_stop" not in ended
    assert "content_block_stop" not in ended


async def test_closing_the_stream_reaches_the_service(sdk: AsyncAnthropic, kiro: Simulator) -> None:
    asked = says(order("pace", "0.05") + order("text", "2000"))
    async with sdk.messages.stream(**asked) as stream:
        async for _ in stream.text_stream:
            break
    await noticed_abort(kiro)
    assert texts(await sdk.messages.create(**says(order("say", "next")))) == "next"


async def test_giving_up_without_a_stream_reaches_the_service_too(
    sdk: AsyncAnthropic, kiro: Simulator
) -> None:
    asked = says(order("pace", "0.05") + order("text", "2000"))
    waiting = asyncio.create_task(sdk.messages.create(**asked))
    while kiro.open_streams == 0:
        await asyncio.sleep(0.01)
    waiting.cancel()
    await noticed_abort(kiro)


async def test_pings_while_the_service_is_silent(
    kiro: Simulator, kiro_url: str, tmp_path: Path
) -> None:
    more = {"KIROPROXY_PING_INTERVAL_S": "0.1"}
    proxy = await Proxy.start(tmp_path, {**sign_in(kiro, kiro_url, "social"), **more})
    kiro.faults.next("slow_first_byte", seconds=1)
    async with AsyncAnthropic(base_url=proxy.url, api_key=KEY) as client:
        asked = {**says(order("say", "late")), "stream": True}
        async with client.messages.with_streaming_response.create(**asked) as response:
            lines = [line async for line in response.iter_lines()]  # the SDK itself hides pings
    await proxy.stop()
    events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert events[:2] == ["message_start", "ping"]
    assert events.count("message_start") == 1
    assert events[-1] == "message_stop"


async def test_running_answer_is_finished_at_shutdown(sdk: AsyncAnthropic, proxy: Proxy) -> None:
    asked = says(order("pace", "0.01") + order("text", "100"))
    async with sdk.messages.stream(**asked) as stream:
        heard = [await anext(aiter(stream.text_stream))]
        proxy.terminate()
        heard += [piece async for piece in stream.text_stream]
        message = await stream.get_final_message()
    assert len("".join(heard).split()) == 100
    assert message.stop_reason == "end_turn"
    with pytest.raises(anthropic.APIConnectionError):
        await sdk.messages.create(**says("hi"))


async def test_many_at_once(sdk: AsyncAnthropic) -> None:
    async def ask(number: int) -> None:
        async with sdk.messages.stream(**says(order("say", f"answer {number}"))) as stream:
            assert texts(await stream.get_final_message()) == f"answer {number}"

    await asyncio.gather(*(ask(number) for number in range(30)))
