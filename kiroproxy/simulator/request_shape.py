"""The shape of a GenerateAssistantResponse body, as the service's public API model has it.

Unknown members are refused: the real service may ignore some, but a proxy that sends one has either
misspelled a name or hopes for an effect that nobody has seen.
"""

from __future__ import annotations

from typing import Any

from kiroproxy.simulator.shapes import (
    Say,
    any_object,
    anything,
    boolean,
    items,
    one_of,
    record,
    sized_text,
    text,
    union,
)

TRIGGERS = frozenset({"MANUAL", "DIAGNOSTIC", "INLINE_CHAT"})
TASK_TYPES = frozenset({"vibe", "spectask"})
STATUSES = frozenset({"success", "error"})
IMAGE_FORMATS = frozenset({"png", "jpeg", "gif", "webp"})
DOCUMENT_FORMATS = frozenset({"pdf", "txt", "md", "csv", "html"})
ORIGINS = frozenset(
    "AI_EDITOR CHATBOT CLI CONSOLE DOCUMENTATION GITLAB IDE INLINE_CHAT MARKETING MD MD_CE MD_IDE "
    "MOBILE OPENSEARCH_DASHBOARD Q_DEV_BEXT SAGE_MAKER SERVICE_INTERNAL SM_AI_STUDIO_IDE "
    "UNIFIED_SEARCH UNKNOWN KIRO_CLI".split()  # the last is not in the model, but accepted live
)

MAX_HISTORY = 10_000  # where the official CLI trims
MAX_ENV_CWD = 256
MAX_ENTRIES = 20

_CACHE_POINT = record({"type": one_of(frozenset({"default"}))})
_BYTES = record({"bytes": text})
_IMAGE = record({"format": one_of(IMAGE_FORMATS), "source": _BYTES})
_DOCUMENT = record(
    {"name": sized_text(1, 200), "format": one_of(DOCUMENT_FORMATS), "source": _BYTES}
)
_TOOL_RESULT = record(
    {
        "toolUseId": text,
        "status": one_of(STATUSES),
        "content": items(union({"text": text, "json": any_object})),
    }
)
_TOOL_SPECIFICATION = record(
    {"name": text, "description": text, "inputSchema": record({"json": any_object})}
)
_TOOL = union({"toolSpecification": _TOOL_SPECIFICATION, "cachePoint": anything})
_ENV_STATE = record(
    {},
    {
        "operatingSystem": text,
        "currentWorkingDirectory": sized_text(0, MAX_ENV_CWD),
        "environmentVariables": items(record({"key": text, "value": text})),
        "timezoneOffset": anything,
    },
)
_USER_CONTEXT = record(
    {},
    {
        "tools": items(_TOOL),
        "toolResults": items(_TOOL_RESULT),
        "envState": _ENV_STATE,
        "editorState": any_object,
        "shellState": any_object,
        "gitState": any_object,
        "appStudioContext": any_object,
        "diagnostic": any_object,
        "consoleState": any_object,
        "userSettings": any_object,
        "additionalContext": items(any_object, MAX_ENTRIES),
    },
)
_USER = record(
    {"content": text},
    {
        "modelId": text,
        "origin": one_of(ORIGINS),
        "images": items(_IMAGE),
        "documents": items(_DOCUMENT),
        "userInputMessageContext": _USER_CONTEXT,
        "userIntent": text,
        "cachePoint": _CACHE_POINT,
        "clientCacheConfig": record({"useClientCachingOnly": boolean}),
    },
)
_TOOL_USE = record({"toolUseId": text, "name": text, "input": anything})
_REASONING = union(
    {
        "reasoningText": record({"text": text, "signature": text}),
        "redactedContent": text,
    }
)
_ASSISTANT = record(
    {"content": text},
    {
        "messageId": text,
        "toolUses": items(_TOOL_USE),
        "reasoningContent": _REASONING,
        "supplementaryWebLinks": items(any_object),
        "references": items(any_object),
        "followupPrompt": any_object,
        "cachePoint": _CACHE_POINT,
    },
)
_MESSAGE = union({"userInputMessage": _USER, "assistantResponseMessage": _ASSISTANT})
_STATE = record(
    {
        "conversationId": text,
        "chatTriggerType": one_of(TRIGGERS),
        "currentMessage": _MESSAGE,
    },
    {
        "history": items(_MESSAGE, MAX_HISTORY),
        "agentContinuationId": text,
        "agentTaskType": one_of(TASK_TYPES),
        "workspaceId": text,
        "customizationArn": text,
    },
)
BODY = record(
    {"conversationState": _STATE},
    {
        "profileArn": text,
        "agentMode": one_of(frozenset({"vibe", "spec"})),
        "additionalModelRequestFields": any_object,
    },
)


def check_body_shape(body: Any, say: Say) -> None:
    """Report every member of ``body`` that is missing, unknown or of the wrong type."""
    BODY(body, "$", say)
