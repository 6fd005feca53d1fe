"""Whether a request is likely to take long: it decides how long a whole answer may take.

The rule is kiro2api's, so that its users find the limits they know.
"""

from __future__ import annotations

from typing import Final

from kiroproxy.api.turn import Document, Image, Message, Text, ToolResult, Turn

MANY_TOKENS: Final = 4000  # of answer
LONG_CONTENT_CHARS: Final = 10_000
LONG_SYSTEM_CHARS: Final = 2000
WORDS: Final = (
    "分析",
    "详细",
    "总结",
    "重构",
    "优化",
    "analyze",
    "analyse",
    "detailed",
    "summarize",
    "comprehensive",
    "refactor",
    "review",
)


def is_complex(turn: Turn) -> bool:
    """Much to write (``max_tokens``), much to read, tools, or words that ask for a long answer."""
    if turn.tools or (turn.max_tokens or 0) > MANY_TOKENS:
        return True
    if sum(map(len, turn.system)) > LONG_SYSTEM_CHARS:
        return True
    texts: list[str] = []
    chars = 0
    for message in turn.messages:
        chars += _take(message, texts)
        if chars > LONG_CONTENT_CHARS:
            return True
    content = "\n".join(texts).lower()  # 10,000 characters at most
    for word in WORDS:  # any() would make a generator, which takes several times as long
        if word in content:
            return True
    return False


def _take(message: Message, texts: list[str]) -> int:
    """Characters of a message; pictures and documents count as they are sent. Texts are gathered."""
    chars = 0
    for block in message.blocks:
        for part in block.content if isinstance(block, ToolResult) else (block,):
            if isinstance(part, Text):
                texts.append(part.text)
                chars += len(part.text)
            elif isinstance(part, (Image, Document)):
                chars += len(part.data)
    return chars
