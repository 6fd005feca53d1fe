"""Token estimates: one estimator for count_tokens, message_start and message_delta.

The service names no tokenizer, so these are estimates: four ASCII characters are one token (the
official Q CLI divides bytes by four), a CJK character is one token, a two-byte letter 5/8. Both come
out of one formula over the text's length in characters and in UTF-8 bytes, so that 1.5 MB cost
about a millisecond and no Python loop ever runs over characters. The context percentage that comes
with an answer corrects them later.
"""

from __future__ import annotations

from typing import Final

import orjson

from kiroproxy.api.media import head, pixels
from kiroproxy.api.signatures import is_placeholder
from kiroproxy.api.turn import (
    Block,
    Document,
    Image,
    Reasoning,
    Text,
    ToolResult,
    ToolUse,
    Turn,
)

MESSAGE_TOKENS: Final = 4  # role and separators of one message
CALL_TOKENS: Final = 10  # ids and framing of one tool use or result
TOOL_TOKENS: Final = 12  # framing of one declared tool
TOOLS_TOKENS: Final = 320  # the hidden instructions that any tool brings (measured by kiro2api)
IMAGE_TOKENS: Final = 1500  # an image whose size cannot be read
_PIXELS_PER_TOKEN: Final = 750  # Anthropic's published rule
_IMAGE_MAX_TOKENS: Final = 1640  # larger images are scaled down before they are looked at
_IMAGE_MIN_TOKENS: Final = 16
# A PDF page is 1,500 to 3,000 tokens by Anthropic's figures and mostly 40 to 100 KB of file.
_PDF_BYTES_PER_TOKEN: Final = 40
_PDF_MIN_TOKENS: Final = 1500
_PDF_MAX_TOKENS: Final = 200_000


def estimate_text(text: str) -> int:
    """Tokens of ``text``; 0 only for empty text."""
    chars = len(text)
    if text.isascii():
        return (chars + 3) >> 2
    return (3 * len(text.encode("utf-8", "surrogatepass")) - chars + 7) >> 3


def estimate_image(image: Image) -> int:
    """By its area where the head tells the size, else a flat figure."""
    size = pixels(image)
    if size is None:
        return IMAGE_TOKENS
    tokens = size[0] * size[1] // _PIXELS_PER_TOKEN
    return min(max(tokens, _IMAGE_MIN_TOKENS), _IMAGE_MAX_TOKENS)


def estimate_document(document: Document) -> int:
    """By the file's size: exact in kind for text, a rule of thumb for PDF."""
    size = len(document.data) * 3 // 4
    if document.format == "pdf":
        return min(max(size // _PDF_BYTES_PER_TOKEN, _PDF_MIN_TOKENS), _PDF_MAX_TOKENS)
    sample = head(document.data, 4096).decode("utf-8", "replace")
    return (size * max(estimate_text(sample), 1)) // max(len(sample.encode()), 1)


def estimate_block(block: Block) -> int:
    """Tokens of one block as it will be sent: thinking without a real signature is not sent."""
    kind = type(block)
    if kind is Text:
        return estimate_text(block.text)  # type: ignore[union-attr]
    if isinstance(block, ToolUse):
        return CALL_TOKENS + estimate_text(block.name) + (len(orjson.dumps(block.input)) + 3) // 4
    if isinstance(block, ToolResult):
        return CALL_TOKENS + sum(map(estimate_block, block.content))
    if isinstance(block, Image):
        return estimate_image(block)
    if isinstance(block, Document):
        return estimate_document(block)
    if isinstance(block, Reasoning):
        return 0 if is_placeholder(block.signature) else estimate_text(block.text)
    return 0


def estimate_turn(turn: Turn) -> int:
    """Tokens of the whole prompt: system, tools, messages. At least 1."""
    tokens = sum(map(estimate_text, turn.system))
    for message in turn.messages:
        tokens += MESSAGE_TOKENS
        for block in message.blocks:
            tokens += estimate_text(block.text) if type(block) is Text else estimate_block(block)
    if turn.tools:
        tokens += TOOLS_TOKENS
    for tool in turn.tools:
        tokens += TOOL_TOKENS + estimate_text(tool.name) + estimate_text(tool.description)
        tokens += (len(orjson.dumps(tool.schema)) + 3) // 4
    return max(tokens, 1)
