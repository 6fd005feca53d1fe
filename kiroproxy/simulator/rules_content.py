"""Rules about what messages hold: text, images, documents, results, reasoning, and the sum of it."""

from __future__ import annotations

import orjson

from kiroproxy.simulator import media, signatures
from kiroproxy.simulator.catalogue import JsonObject
from kiroproxy.simulator.shapes import Say
from kiroproxy.simulator.view import Turn, View

MAX_CONTENT_CHARS = 600_000  # API model; later revisions allow more
MAX_RESULT_CHARS = 800_000
CHARS_PER_TOKEN = 4
MESSAGE_TOKENS = 4  # what one message costs beside its text
THINKING_TAG = "<thinking_mode>"
_TEXT_FORMATS = frozenset({"txt", "md", "csv", "html"})


def not_empty(view: View, say: Say) -> None:
    """Every message has text; only tool results excuse a user message without it."""
    for turn in view.turns:
        if not turn.text and not turn.results:
            say(f"{turn.path}.content", "is empty")


def content_length(view: View, say: Say) -> None:
    """No message is longer than the API model allows."""
    for turn in view.turns:
        if len(turn.text) > MAX_CONTENT_CHARS:
            say(f"{turn.path}.content", f"more than {MAX_CONTENT_CHARS} characters")


def result_content(view: View, say: Say) -> None:
    """A result says something: at least one part, no empty text, none too long."""
    for turn in view.turns:
        for index, result in enumerate(turn.results):
            path = f"{turn.path}.userInputMessageContext.toolResults[{index}].content"
            if not result["content"]:
                say(path, "is empty")
            for at, part in enumerate(result["content"]):
                if not 1 <= len(part.get("text", " ")) <= MAX_RESULT_CHARS:
                    say(f"{path}[{at}].text", f"expected 1 to {MAX_RESULT_CHARS} characters")


def no_tags_with_results(view: View, say: Say) -> None:
    """Thinking tags at the head of a message that carries tool results draw the 400."""
    for turn in view.turns:
        if turn.results and turn.text.lstrip().startswith(THINKING_TAG):
            say(f"{turn.path}.content", "thinking tags beside tool results")


def image_count(view: View, say: Say) -> None:
    """At most ten images in one message."""
    for turn in view.turns:
        count = len(turn.message.get("images") or ())
        if count > media.MAX_IMAGES:
            say(f"{turn.path}.images", f"{count} images, at most {media.MAX_IMAGES}")


def images(view: View, say: Say) -> None:
    """Each image is base64, not too big in bytes and pixels, and what its format says."""
    for turn in view.turns:
        for index, image in enumerate(turn.message.get("images") or ()):
            path = f"{turn.path}.images[{index}]"
            data = _blob(image, path, say)
            if data is not None and media.image_format(data) != image["format"]:
                say(f"{path}.format", f"the bytes are not {image['format']}")
            size = media.image_size(data) if data is not None else None
            if size is not None and max(size) > media.MAX_SIDE:
                say(f"{path}.source.bytes", f"more than {media.MAX_SIDE} pixels a side")


def documents(view: View, say: Say) -> None:
    """Each document is base64, not too big, a PDF where it says so and UTF-8 text elsewhere."""
    for turn in view.turns:
        for index, document in enumerate(turn.message.get("documents") or ()):
            path = f"{turn.path}.documents[{index}]"
            data = _blob(document, path, say)
            if data is not None and not _is_document(data, document["format"]):
                say(f"{path}.format", f"the bytes are not {document['format']}")


def reasoning(view: View, say: Say) -> None:
    """Returned reasoning carries the signature this service gave for exactly this text."""
    owner = view.caller.owner if view.caller else ""
    for turn in view.turns:
        content = turn.message.get("reasoningContent")
        if content is not None and not _is_ours(content, owner):
            say(f"{turn.path}.reasoningContent", "the signature does not match the text")


def window(view: View, say: Say) -> None:
    """The whole request fits into the model's window."""
    if view.model is None:
        return
    tokens = count_tokens(view)
    if tokens > view.model.max_input_tokens:
        say("$", f"{tokens} tokens, the window is {view.model.max_input_tokens}")


def count_tokens(view: View) -> int:
    """The simulator's own idea of the input's size: a quarter of its characters, images flat."""
    total = 0
    for turn in view.turns:
        total += MESSAGE_TOKENS + _turn_chars(turn) // CHARS_PER_TOKEN
        total += media.IMAGE_TOKENS * len(turn.message.get("images") or ())
    for entry in view.tools:
        total += len(orjson.dumps(entry)) // CHARS_PER_TOKEN
    return total


def _turn_chars(turn: Turn) -> int:
    chars = len(turn.text)
    for result in turn.results:
        chars += sum(_part_chars(part) for part in result["content"])
    for use in turn.uses:
        chars += len(orjson.dumps(use["input"]))
    for document in turn.message.get("documents") or ():
        chars += len(document["source"]["bytes"]) * 3 // 4
    reasoning_text = (turn.message.get("reasoningContent") or {}).get("reasoningText") or {}
    return chars + len(reasoning_text.get("text", ""))


def _part_chars(part: JsonObject) -> int:
    return len(part["text"]) if "text" in part else len(orjson.dumps(part["json"]))


def _blob(holder: JsonObject, path: str, say: Say) -> bytes | None:
    data = media.decode_blob(holder["source"]["bytes"])
    if data is None:
        say(f"{path}.source.bytes", "not base64")
    elif not 1 <= len(data) <= media.MAX_BLOB_BYTES:
        say(f"{path}.source.bytes", f"expected 1 to {media.MAX_BLOB_BYTES} bytes")
        return None
    return data


def _is_document(data: bytes, wanted: str) -> bool:
    if wanted not in _TEXT_FORMATS:
        return data.startswith(b"%PDF-")
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_ours(content: JsonObject, owner: str) -> bool:
    if "redactedContent" in content:
        return signatures.is_redacted(content["redactedContent"])
    inner = content["reasoningText"]
    return signatures.is_valid(inner["text"], inner["signature"], owner)
