"""Requests and answers that use as much of each dialect as fits, to be changed by ``source.edited``."""

from __future__ import annotations

from typing import Any, Final

PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAB4AAAAoCAIAAAA="
PDF: Final = "JVBERi0xLjQKMSAwIG9iago="
SCHEMA: Final[dict[str, Any]] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "path": {"type": ["string", "null"], "description": "Where", "default": None},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}, "minItems": 1},
        "kind": {"anyOf": [{"const": 1}, {"enum": ["a", None]}], "exclusiveMinimum": True},
    },
    "required": ["path"],
    "additionalProperties": False,
    "$defs": {"line": {"type": "integer", "minimum": 0, "multipleOf": 0.5}},
}
_EPHEMERAL: Final = {"type": "ephemeral"}
_IMAGE: Final = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
}

MESSAGES: Final[tuple[dict[str, Any], ...]] = (
    {
        "model": "claude-sonnet-4-5-20250929",
        "max_tokens": 1024,
        "stream": True,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": _EPHEMERAL}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, _IMAGE]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Well", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "cmVk"},
                    {"type": "text", "text": "Reading."},
                    {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "is_error": False,
                        "content": [{"type": "text", "text": "words"}, _IMAGE],
                    },
                    {
                        "type": "document",
                        "title": "a.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    },
                ],
            },
        ],
        "tools": [
            {"name": "Read", "description": "Reads a file.", "input_schema": SCHEMA},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3,
             "allowed_domains": ["example.org"]},
        ],
        "tool_choice": {"type": "tool", "name": "Read", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "stop_sequences": ["STOP"],
        "metadata": {"user_id": "user_0a_account__session_3f2b8c1e-5a77-4f0e-9f0b-0b6f4f1f2a10"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    },
    {
        "model": "claude-opus-4.8[1m]",
        "max_tokens": 9,
        "system": "S",
        "messages": [
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": [
                    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search",
                     "input": {"query": "q"}},
                    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
                        {"type": "web_search_result", "url": "https://e.org", "title": "T",
                         "encrypted_content": "eA==", "page_age": None}]},
                ],
            },
            {"role": "system", "content": "late"},
            {"role": "user", "content": [{"type": "document", "context": "c", "source":
                {"type": "content", "content": [{"type": "text", "text": "t"}]}}]},
        ],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "temperature": 0.5,
    },
)  # fmt: skip

CHAT: Final[tuple[dict[str, Any], ...]] = (
    {
        "model": "gpt-5",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            {"role": "user", "content": [
                {"type": "text", "text": "Hi"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                {"type": "file", "file": {"filename": "a.pdf",
                                          "file_data": f"data:application/pdf;base64,{PDF}"}},
            ]},
            {"role": "assistant", "content": None, "reasoning_content": "Well", "tool_calls": [
                {"id": "call_1", "type": "function",
                 "function": {"name": "Read", "arguments": "{\"path\":\"a\"}"}},
                {"id": "call_2", "type": "custom", "custom": {"name": "patch", "input": "x"}},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "words"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "w"}]},
        ],
        "tools": [
            {"type": "function", "function": {"name": "Read", "description": "d",
                                              "parameters": SCHEMA, "strict": True}},
            {"type": "custom", "custom": {"name": "patch", "description": "d", "format":
                {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: \"a\""}}}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "Read"}},
        "parallel_tool_calls": False,
        "reasoning_effort": "high",
        "max_completion_tokens": 100,
        "stop": ["a", "b"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
        "web_search_options": {"search_context_size": "low",
                               "user_location": {"type": "approximate", "approximate": {}}},
        "n": 1,
        "user": "u",
    },
    {
        "model": "claude-haiku-4.5",
        "messages": [
            {"role": "user", "content": "a", "name": "n"},
            {"role": "assistant", "content": "b",
             "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "r"},
        ],
        "functions": [{"name": "f", "parameters": {}}],
        "function_call": {"name": "f"},
        "stop": "x",
        "max_tokens": 5,
    },
    {"model": "gpt-5", "input": [{"role": "user", "content": "a"}], "instructions": "b",
     "tools": [{"type": "function", "name": "f", "parameters": {}}]},
)  # fmt: skip

RESPONSES: Final[tuple[dict[str, Any], ...]] = (
    {
        "model": "gpt-5-codex",
        "instructions": "Be brief.",
        "stream": True,
        "store": False,
        "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Hi"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                {"type": "input_file", "filename": "a.pdf",
                 "file_data": f"data:application/pdf;base64,{PDF}"},
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "w"}],
             "encrypted_content": "kiroproxy.1.eyJ0ZXh0IjoiYSIsInNpZ25hdHVyZSI6ImIifQ=="},
            {"type": "function_call", "call_id": "call_1", "name": "shell",
             "arguments": "{\"path\":\"a\"}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "words"},
            {"type": "custom_tool_call", "call_id": "call_2", "name": "apply_patch", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "call_2",
             "output": [{"type": "input_text", "text": "ok"}]},
            {"type": "local_shell_call", "call_id": "call_3", "status": "completed",
             "action": {"type": "exec", "command": ["ls"], "env": {}}},
            {"type": "local_shell_call_output", "call_id": "call_3", "output": "x"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed",
             "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "u"}]}},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "b", "annotations": []},
                {"type": "refusal", "refusal": "no"}]},
        ],
        "tools": [
            {"type": "function", "name": "shell", "description": "d", "parameters": SCHEMA,
             "strict": False},
            {"type": "custom", "name": "apply_patch", "format": {"type": "text"}},
            {"type": "local_shell"},
            {"type": "web_search", "filters": {"allowed_domains": ["e.org"]}},
            {"type": "namespace", "name": "ns", "description": "d", "tools": [
                {"type": "function", "name": "inner", "parameters": {}}]},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "text": {"verbosity": "low",
                 "format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
        "max_output_tokens": 100,
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
    },
    {"model": "claude-sonnet-4.5", "input": "a",
     "tool_choice": {"type": "function", "name": "x"},
     "tools": [{"type": "function", "name": "x", "parameters": None}]},
)  # fmt: skip

#: A stored response object, as ``ResponsesFold`` writes it.
RESPONSE: Final[dict[str, Any]] = {
    "id": "resp_0123456789abcdef01234567",
    "object": "response",
    "status": "completed",
    "model": "gpt-5",
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "w"}],
         "encrypted_content": "x"},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Hi", "annotations": [
                {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}],
             "logprobs": []}]},
        {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}",
         "status": "completed"},
        {"id": "ctc_1", "type": "custom_tool_call", "call_id": "c2", "name": "f", "input": "x",
         "status": "completed"},
        {"id": "ws_1", "type": "web_search_call", "status": "completed",
         "action": {"type": "search", "query": "q"}},
    ],
    "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
}  # fmt: skip

#: Events of the service: type and payload.
EVENTS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("assistantResponseEvent", {"content": "Hi <thinking>"}),
    ("assistantResponseEvent", {"content": "<thinking>\nWell</thinking>\n\nHi", "modelId": "m"}),
    ("assistantResponseEvent", {"content": "```json\n{\"path\": \"a\"}\n```"}),
    ("toolUseEvent", {"toolUseId": "tooluse_1", "name": "Read"}),
    ("toolUseEvent", {"toolUseId": "tooluse_1", "name": "Read", "input": "{\"path\":"}),
    ("toolUseEvent", {"toolUseId": "tooluse_1", "name": "Read", "input": "\"a\"}"}),
    ("toolUseEvent", {"toolUseId": "tooluse_1", "name": "Read", "stop": True}),
    ("toolUseEvent", {"toolUseId": "tooluse_2", "name": "x", "input": {"a": 1}, "stop": True}),
    ("reasoningContentEvent", {"text": "Well"}),
    ("reasoningContentEvent", {"signature": "c2ln"}),
    ("reasoningContentEvent", {"redactedContent": "cmVk"}),
    ("messageMetadataEvent", {"conversationId": "c", "utteranceId": "u"}),
    ("metadataEvent", {"tokenUsage": {"uncachedInputTokens": 5, "outputTokens": 2,
                                      "totalTokens": 7, "cacheReadInputTokens": 0}}),
    ("metadataEvent", {"stopReason": "END_TURN"}),
    ("meteringEvent", {"unit": "credit", "unitPlural": "credits", "usage": 0.5}),
    ("contextUsageEvent", {"contextUsagePercentage": 4.5}),
    ("codeReferenceEvent", {"references": []}),
    ("followupPromptEvent", {}),
)  # fmt: skip
