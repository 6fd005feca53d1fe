"""The content of a whole message of either OpenAI dialect → neutral blocks.

Beside the dialects' own parts it may hold what the Messages API has there: Cursor, and tools that have
been taught both families, send calls, results and thinking as blocks.
"""

from __future__ import annotations

from kiroproxy.api.anthropic.blocks import parse_block
from kiroproxy.api.checks import Object, Path, filled_text, flag, mapping
from kiroproxy.api.ignored import Ignored, note_unread
from kiroproxy.api.openai.keys import TOOL_RESULT
from kiroproxy.api.openai.parts import is_own, parse_content, parse_part
from kiroproxy.api.turn import Block, ToolResult


def parse_blocks(content: object, path: Path, ignored: Ignored) -> list[Block]:
    """A string, a list of parts and blocks, or nothing. Raises RequestError."""
    if not isinstance(content, list):
        return [*parse_content(content, path, ignored)]
    blocks: list[Block] = []
    for index, item in enumerate(content):
        at = (*path, index)
        if isinstance(item, str) or is_own(mapping(item, at)):
            blocks += parse_part(item, at, ignored)
        else:
            parse = _tool_result if item.get("type") == "tool_result" else parse_block
            blocks += parse(item, at, ignored)
    return blocks


def _tool_result(block: Object, path: Path, ignored: Ignored) -> list[Block]:
    """Its content may be of either family, too."""
    use_id = filled_text(block.get("tool_use_id"), path, "tool_use_id")
    is_error = flag(block.get("is_error"), path, "is_error")
    note_unread(block, TOOL_RESULT, "content.tool_result", ignored)
    content = parse_content(block.get("content"), (*path, "content"), ignored)
    return [ToolResult(use_id, content, is_error)]
