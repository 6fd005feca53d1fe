"""LangChain's chat models and litellm; what they do stands in python_scenarios.py, what they must see here.

They are heavy and hold the SDKs back at older versions, so they live in an environment of their own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import need
from tests.clients.harness import CLIENTS, HERE, KEY, Proxy, bare_environment, outputs

Play = Callable[[str], Awaitable[dict[str, Any]]]

PYTHON = CLIENTS.parent / "python" / "bin" / "python"
CITIES = [{"city": "Oslo"}, {"city": "Bergen"}]
# Neither looks at prices or prompts on the Internet, nor tells anyone that it runs.
QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "*",
}


@pytest.fixture
def play(proxy: Proxy, tmp_path: Path) -> Play:
    """Run one scenario."""
    need(PYTHON)

    async def run(scenario: str) -> dict[str, Any]:
        home = tmp_path / "home"
        process = await asyncio.create_subprocess_exec(
            str(PYTHON), str(HERE / "python_scenarios.py"), scenario,
            cwd=tmp_path,
            env=bare_environment(home, BASE_URL=proxy.url, KEY=KEY, **QUIET),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await outputs(process, scenario)
        assert process.returncode == 0, out + err
        seen: dict[str, Any] = json.loads(out.splitlines()[-1])
        return seen

    return run


def check(seen: dict[str, Any]) -> None:
    """What all of them must have seen."""
    assert seen["text"] == "Grüße, 世界"
    assert len(seen["streamed"].split()) == 60
    assert seen["calls"] == seen["streamed_calls"] == CITIES
    assert "Oslo: dry" in seen["after"]
    assert "Bergen: dry" in seen["after"]
    assert seen["wrong_key"]["class"].endswith("AuthenticationError")


def check_langchain(seen: dict[str, Any]) -> None:
    """What its two classes have in common."""
    check(seen)
    assert seen["pieces"] > 5
    for usage in (seen["usage"], seen["streamed_usage"]):
        assert min(usage["input_tokens"], usage["output_tokens"]) > 0
    assert seen["structured"] == {"name": "Paris", "rank": 1}


async def test_langchain_speaks_anthropic(play: Play) -> None:
    check_langchain(await play("langchain_anthropic"))


async def test_langchain_speaks_both_of_openais_ways(play: Play) -> None:
    seen = await play("langchain_openai")
    check_langchain(seen)
    assert seen["responses"] == "Grüße, 世界"
    assert len(seen["responses_streamed"].split()) == 60
    assert seen["responses_calls"] == CITIES


async def test_litellm(play: Play) -> None:
    for seen in (await play("litellm")).values():
        check(seen)
        for usage in (seen["usage"], seen["streamed_usage"]):
            assert min(usage["prompt_tokens"], usage["completion_tokens"]) > 0


async def test_failures_have_their_classes(play: Play) -> None:
    seen = await play("failing")
    assert {name: error["class"] for name, error in seen["too_long"].items()} == {
        "langchain_openai": "OpenAIContextOverflowError",
        "langchain_anthropic": "AnthropicContextOverflowError",
        "litellm": "ContextWindowExceededError",
    }
    for error in seen["rate"].values():
        assert error["class"].endswith("RateLimitError")
