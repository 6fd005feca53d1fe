"""The keys that objects inside a Messages request may have without being named as ignored.

They are read, or by the API's own definition they say nothing to the model: ids, and what clients send
back of an answer as it came (``citations`` of a text, ``caller`` of a call, the head of a message).
"""

from __future__ import annotations

from typing import Final

Keys = frozenset[str]

MESSAGE: Final = frozenset(
    {
        "role", "content", "output_config",
        "id", "type", "model", "stop_reason", "stop_sequence", "stop_details", "usage",
    }
)  # fmt: skip
SYSTEM: Final = frozenset({"type", "text", "citations"})

# ``citations`` of documents and search results have a name of their own.
_TEXT: Final = SYSTEM
_CALL: Final = frozenset({"type", "id", "name", "input", "caller"})
_RESULT: Final = frozenset({"type", "tool_use_id", "content", "is_error", "caller"})
BLOCKS: Final[dict[str, Keys]] = {
    "text": _TEXT,
    "image": frozenset({"type", "source"}),
    "document": frozenset({"type", "source", "title", "context", "citations"}),
    "search_result": frozenset({"type", "source", "title", "content", "citations"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": _CALL,
    "tool_result": _RESULT,
    "tool_reference": frozenset({"type", "tool_name"}),
    "compaction": frozenset({"type", "content", "encrypted_content", "signature"}),
    "server_tool_use": _CALL,
    "web_search_tool_result": _RESULT,
}
SERVER_BLOCK: Final = _CALL | _RESULT

SOURCES: Final[dict[str, Keys]] = {
    "base64": frozenset({"type", "media_type", "data"}),
    "text": frozenset({"type", "media_type", "data"}),
    "content": frozenset({"type", "content"}),
    "url": frozenset({"type", "url"}),
}

_TOOL: Final = frozenset({"type", "name", "strict", "input_examples", "allowed_callers"})
# Input streams eagerly and every tool is offered, whatever these say.
FUNCTION: Final = _TOOL | {"description", "input_schema", "defer_loading", "eager_input_streaming"}
FAMILY_TOOL: Final = _TOOL | {"defer_loading", "eager_input_streaming"}
TOOL_CHOICE: Final = frozenset({"type", "disable_parallel_tool_use"})

OUTPUT_CONFIG: Final = frozenset({"effort", "format"})
FORMAT: Final = frozenset({"type", "schema", "name", "strict"})  # two as OpenAI has them
METADATA: Final = frozenset({"user_id"})
