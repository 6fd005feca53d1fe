"""The keys that objects inside the OpenAI dialects' requests may have without being named as ignored.

They are read, or by the API's own definition they say nothing to the model: ids and states, and what
clients send back of an answer as it came (``annotations``, ``logprobs``, the SDK's ``parsed``).
"""

from __future__ import annotations

from typing import Final

Keys = frozenset[str]
NO_KEYS: Final[Keys] = frozenset()

# -- messages of Chat Completions -------------------------------------------------------------------

_MESSAGE: Final = frozenset({"role", "content", "name"})
MESSAGES: Final[dict[str, Keys]] = {
    "system": _MESSAGE,
    "developer": _MESSAGE,
    "user": _MESSAGE,
    "assistant": _MESSAGE
    | {
        "tool_calls", "function_call", "refusal", "audio", "reasoning_content", "reasoning",
        "annotations", "parsed",
    },
    "tool": _MESSAGE | {"tool_call_id"},
    "function": _MESSAGE,
}  # fmt: skip
CALL: Final[dict[str, Keys]] = {
    "function": frozenset({"id", "type", "function", "index"}),
    "custom": frozenset({"id", "type", "custom", "index"}),
}
CALLED_FUNCTION: Final = frozenset({"name", "arguments", "parsed_arguments"})
CALLED_CUSTOM: Final = frozenset({"name", "input"})

# -- content parts of both --------------------------------------------------------------------------

_TEXT: Final = frozenset({"type", "text", "annotations", "logprobs"})
_IMAGE: Final = frozenset({"type", "image_url", "detail"})
_FILE: Final = frozenset({"type", "file", "filename", "file_data", "file_url", "file_id", "detail"})
PARTS: Final[dict[str, Keys]] = {
    "text": _TEXT | {"citations"},  # a text of the Messages API looks the same
    "input_text": _TEXT,
    "output_text": _TEXT,
    "refusal": frozenset({"type", "refusal"}),
    "image_url": _IMAGE,
    "input_image": _IMAGE,
    "file": _FILE,
    "input_file": _FILE,
    "input_audio": NO_KEYS,
}
IMAGE_URL: Final = frozenset({"url", "detail"})
FILE_OUTSIDE: Final = frozenset({"type", "file"})
FILE_DATA: Final = frozenset({"type", "filename", "file_data", "detail"})
FILE_URL: Final = frozenset({"type", "filename", "file_url", "detail"})
TOOL_RESULT: Final = frozenset({"type", "tool_use_id", "content", "is_error", "caller"})

# -- tools ------------------------------------------------------------------------------------------

# ``defer_loading``, ``eager_input_streaming``: every tool is offered and its input streams at once.
_TOOL: Final = frozenset({"type", "name", "description", "defer_loading", "eager_input_streaming"})
FUNCTION: Final = _TOOL | {"strict", "parameters", "input_schema"}
CUSTOM: Final = _TOOL | {"format"}
NAMESPACE: Final = _TOOL | {"tools"}
LOCAL_SHELL: Final = frozenset({"type"})
TOOL_SEARCH: Final = frozenset({"type", "execution", "description", "parameters"})
GRAMMAR: Final = frozenset({"type", "syntax", "definition"})
CHOSEN: Final = frozenset({"type", "name", "namespace"})
ALLOWED: Final = frozenset({"type", "mode", "tools"})

# -- options ----------------------------------------------------------------------------------------

# A schema is always kept to, so that ``strict`` is honoured either way; its name is for the client.
FORMATS: Final[dict[str, Keys]] = {
    "text": frozenset({"type"}),
    "json_object": frozenset({"type"}),
    "json_schema": frozenset({"type", "name", "strict", "schema", "description"}),
}
TEXT_OPTIONS: Final = frozenset({"format", "verbosity"})

# -- items of Responses -----------------------------------------------------------------------------

_ITEM: Final = frozenset({"type", "id", "status", "created_by"})
_CALL: Final = _ITEM | {"call_id", "caller"}
_OUTPUT: Final = _CALL | {"output"}
ITEMS: Final[dict[str, Keys]] = {
    "message": _ITEM | {"role", "content"},
    "function_call": _CALL | {"name", "namespace", "arguments", "parsed_arguments"},
    "function_call_output": _OUTPUT,
    "custom_tool_call": _CALL | {"name", "namespace", "input"},
    "custom_tool_call_output": _OUTPUT,
    "local_shell_call": _CALL | {"action"},
    "local_shell_call_output": _OUTPUT,
    "tool_search_call": _CALL | {"arguments", "execution"},
    "tool_search_output": _CALL | {"tools", "execution"},
    "additional_tools": _ITEM | {"role", "tools"},
    "reasoning": _ITEM | {"summary", "content", "encrypted_content"},
    "web_search_call": _ITEM | {"action"},
    "compaction": _ITEM | {"encrypted_content"},
    "compaction_summary": _ITEM | {"encrypted_content"},
    "item_reference": frozenset({"type", "id"}),
}
THOUGHT: Final = frozenset({"type", "text"})
SEARCH_ACTION: Final = frozenset({"type", "query", "queries", "sources", "url", "pattern"})
# Codex's own provider writes these into items, for its server alone.
INTERNAL: Final = "internal_"
