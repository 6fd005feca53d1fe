"""kiro2api's rule of what is complex."""

from __future__ import annotations

import pytest

from kiroproxy.api.complexity import is_complex
from kiroproxy.api.turn import Image, Message, Text, Tool, ToolResult, Turn


def _turn(text: str = "hello", **more: object) -> Turn:
    return Turn("m", [Message("user", [Text(text)])], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "turn",
    [
        _turn(),
        _turn(max_tokens=4000),
        _turn("x" * 10_000),
        _turn(system=["s" * 1000, "s" * 1000]),
        _turn("the analysis is done"),
    ],
)
def test_simple(turn: Turn) -> None:
    assert not is_complex(turn)


@pytest.mark.parametrize(
    "turn",
    [
        _turn(max_tokens=4001),
        _turn("x" * 10_001),
        _turn(system=["s" * 1000, "s" * 1001]),
        _turn(tools=[Tool("t", "", {})]),
        _turn("请详细说明"),
        _turn("分析"),
        _turn("Please ANALYZE this"),
        _turn("a detailed list"),
        Turn("m", [Message("user", [ToolResult("id", [Text("x" * 10_001)])])]),
        Turn("m", [Message("user", [Image("png", "A" * 10_001)])]),
    ],
)
def test_complex(turn: Turn) -> None:
    assert is_complex(turn)
