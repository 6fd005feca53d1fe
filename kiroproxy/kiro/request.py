"""The parts of a chat request, built as dicts in wire order, and the body spliced from them.

Key order is fixed so that the same conversation gives the same bytes: the service caches by prefix.
Whoever calls these keeps the rules of a conversation (``api/to_kiro``); here is only the spelling.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

Part = dict[str, Any]

ORIGIN: Final = "AI_EDITOR"
AGENT_TASK: Final = "vibe"
TRIGGER: Final = "MANUAL"


def user_message(
    content: str,
    model_id: str,
    *,
    images: list[Part] | None = None,
    documents: list[Part] | None = None,
    results: list[Part] | None = None,
    tools: list[Part] | None = None,
) -> Part:
    """One user message; ``tools`` only on the current one."""
    message: Part = {"content": content, "modelId": model_id, "origin": ORIGIN}
    if images:
        message["images"] = images
    if documents:
        message["documents"] = documents
    context: Part = {}
    if results:
        context["toolResults"] = results
    if tools:
        context["tools"] = tools
    if context:
        message["userInputMessageContext"] = context
    return {"userInputMessage": message}


def assistant_message(
    content: str, *, tool_uses: list[Part] | None = None, reasoning: Part | None = None
) -> Part:
    """One assistant message of the history."""
    message: Part = {"content": content}
    if tool_uses:
        message["toolUses"] = tool_uses
    if reasoning is not None:
        message["reasoningContent"] = reasoning
    return {"assistantResponseMessage": message}


def without_reasoning(history: list[Part]) -> list[Part]:
    """The same history with no reasoning in it; the parts given are not changed."""
    return [_stripped(entry) for entry in history]


def _stripped(entry: Part) -> Part:
    message = entry.get("assistantResponseMessage")
    if message is None or "reasoningContent" not in message:
        return entry
    kept = {key: value for key, value in message.items() if key != "reasoningContent"}
    return {"assistantResponseMessage": kept}


def tool_use(use_id: str, name: str, arguments: Part) -> Part:
    """``arguments`` is a JSON object, never its text."""
    return {"toolUseId": use_id, "name": name, "input": arguments}


def tool_result(use_id: str, text: str, *, is_error: bool) -> Part:
    """``text`` is not empty."""
    status = "error" if is_error else "success"
    return {"toolUseId": use_id, "status": status, "content": [{"text": text}]}


def tool_spec(name: str, description: str, schema_json: bytes) -> Part:
    """``schema_json``: the fitted schema, serialised already."""
    spec: Part = {"name": name, "description": description}
    spec["inputSchema"] = {"json": orjson.Fragment(schema_json)}
    return {"toolSpecification": spec}


def image(image_format: str, data: str) -> Part:
    """``data``: base64."""
    return {"format": image_format, "source": {"bytes": data}}


def document(name: str, document_format: str, data: str) -> Part:
    """``data``: base64."""
    return {"name": name, "format": document_format, "source": {"bytes": data}}


def reasoning_text(text: str, signature: str) -> Part:
    """The nested shape; the flat one is refused."""
    return {"reasoningText": {"text": text, "signature": signature}}


def reasoning_redacted(data: str) -> Part:
    """``data``: the base64 the service gave."""
    return {"redactedContent": data}


def encode_state(conversation_id: str, history: list[Part], current: Part) -> bytes:
    """conversationState as JSON; an empty history is left out."""
    state: Part = {
        "agentTaskType": AGENT_TASK,
        "chatTriggerType": TRIGGER,
        "conversationId": conversation_id,
    }
    if history:
        state["history"] = history
    state["currentMessage"] = current
    return orjson.dumps(state)


def encode_body(state: bytes, profile_arn: str | None, fields: Part | None) -> bytes:
    """The whole body around a serialised conversationState. The ARN belongs to the account of this
    attempt, hence spliced in last."""
    parts = [b'{"conversationState":', state]
    if profile_arn is not None:
        parts += (b',"profileArn":', orjson.dumps(profile_arn))
    if fields:
        parts += (b',"additionalModelRequestFields":', orjson.dumps(fields))
    parts.append(b"}")
    return b"".join(parts)
