"""The items of a Responses answer, one class a type: what it is, and the events around it.

Both the stream and the whole answer are made of these, so the two cannot differ. An item takes the
fragments of its content with ``add`` and, once complete, is what ``item`` gives. Events are pairs of type
and fields; who writes them adds the sequence number. Around an item's own events the stream puts
``response.output_item.added`` (with ``first``) and ``response.output_item.done`` (with ``item``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Final

from kiroproxy.api.checks import load_exactly, load_input
from kiroproxy.api.events import SearchHit
from kiroproxy.api.openai.citations import flat_citations
from kiroproxy.api.openai.responses_style import FormKind, ToolForm
from kiroproxy.api.openai.sealed import seal
from kiroproxy.api.openai.unwrap import InputUnwrapper

Json = dict[str, Any]
Event = tuple[str, Json]

COMPLETED: Final = "completed"
INCOMPLETE: Final = "incomplete"
IN_PROGRESS: Final = "in_progress"
_NO_DETAILS: Final[list[Any]] = []


class Item(ABC):
    """The base: an item without events of its own."""

    prefix: ClassVar[str]
    delta: ClassVar[str] = ""
    """The type of the event that carries a fragment; empty if fragments are not shown."""

    def __init__(self, key: str, index: int) -> None:
        self.id = f"{self.prefix}_{key}{index:02x}"
        self.index = index
        self._parts: list[str] = []

    @property
    def at(self) -> Json:
        """Fields that every event of the item has."""
        return {"item_id": self.id, "output_index": self.index}

    def delta_fields(self) -> Json:
        """Constant fields of the delta events."""
        return self.at

    def first(self) -> Json:
        """The item as it stands in ``output_item.added``: without content."""
        return self.item(IN_PROGRESS)

    @abstractmethod
    def item(self, status: str) -> Json:
        """The item with what it holds by now."""

    def opened(self) -> list[Event]:
        """Events between ``output_item.added`` and the first fragment."""
        return []

    def add(self, fragment: str) -> str:
        """Take in a fragment; what of it can be shown now."""
        self._parts.append(fragment)
        return fragment

    def add_all(self, fragments: list[str]) -> None:
        """As ``add`` for each, where all of it can be shown."""
        self._parts += fragments

    def rest(self) -> str:
        """What was kept back until the item's end."""
        return ""

    def closed(self, status: str) -> list[Event]:
        """Events between the last fragment and ``output_item.done``."""
        return []

    @property
    def text(self) -> str:
        """All of it: joined for good, as the item's end asks for it again and again."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""


class MessageItem(Item):
    """The answer's words. ``hits``: what the searches before them have found."""

    prefix = "msg"
    delta = "response.output_text.delta"

    def __init__(self, key: str, index: int, hits: Iterable[SearchHit] = ()) -> None:
        super().__init__(key, index)
        self._hits = [*hits]

    def delta_fields(self) -> Json:
        return {**self.at, "content_index": 0, "logprobs": _NO_DETAILS}

    def item(self, status: str) -> Json:
        content = [] if status == IN_PROGRESS else [self._part()]
        return {
            "id": self.id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _part(self) -> Json:
        return {
            "type": "output_text",
            "text": self.text,
            "annotations": flat_citations(self.text, self._hits) if self._hits else [],
            "logprobs": _NO_DETAILS,
        }

    def opened(self) -> list[Event]:
        return [
            ("response.content_part.added", {**self.at, "content_index": 0, "part": self._part()})
        ]

    def closed(self, status: str) -> list[Event]:
        at = {**self.at, "content_index": 0}
        part = self._part()
        cited = [
            {**at, "annotation_index": number, "annotation": annotation}
            for number, annotation in enumerate(part["annotations"])
        ]
        return [
            *(("response.output_text.annotation.added", fields) for fields in cited),
            ("response.output_text.done", {**at, "text": part["text"], "logprobs": _NO_DETAILS}),
            ("response.content_part.done", {**at, "part": part}),
        ]


class ReasoningItem(Item):
    """The model's thinking, as a summary of one part. ``sealed``: what makes it usable again."""

    prefix = "rs"
    delta = "response.reasoning_summary_text.delta"
    sealed: str | None = None

    def delta_fields(self) -> Json:
        return {**self.at, "summary_index": 0}

    def item(self, status: str) -> Json:
        summary = [self._part()] if self._parts and status != IN_PROGRESS else []
        fields: Json = {"id": self.id, "type": "reasoning", "summary": summary}
        if self.sealed is not None:
            fields["encrypted_content"] = self.sealed
        return fields

    def _part(self) -> Json:
        return {"type": "summary_text", "text": self.text}

    def opened(self) -> list[Event]:
        fields = {**self.at, "summary_index": 0, "part": self._part()}
        return [("response.reasoning_summary_part.added", fields)]

    def closed(self, status: str) -> list[Event]:
        at = {**self.at, "summary_index": 0}
        return [
            ("response.reasoning_summary_text.done", {**at, "text": self.text}),
            ("response.reasoning_summary_part.done", {**at, "part": self._part()}),
        ]

    def seal_signature(self, signature: str) -> None:
        """Keep the service's signature, without which the thinking cannot be sent back."""
        if signature:
            self.sealed = seal({"signature": signature})


class HiddenReasoningItem(ReasoningItem):
    """Thinking whose text is not shown, only sealed: an item without a summary and without events."""

    delta = ""

    def item(self, status: str) -> Json:
        return {**super().item(status), "summary": []}

    def opened(self) -> list[Event]:
        return []

    def closed(self, status: str) -> list[Event]:
        return []

    def seal_signature(self, signature: str) -> None:
        if signature:
            self.sealed = seal({"signature": signature, "text": self.text})


class RedactedItem(HiddenReasoningItem):
    """Thinking that the service shows to nobody."""

    def __init__(self, key: str, index: int, data: str) -> None:
        super().__init__(key, index)
        self.sealed = seal({"redacted": data}) if data else None


class CallItem(Item):
    """A call of a tool: ``form`` says which, ``call_id`` comes back with its output."""

    def __init__(self, key: str, index: int, call_id: str, form: ToolForm) -> None:
        super().__init__(key, index)
        self._call_id = call_id
        self._form = form

    def _fields(self, kind: str, status: str, content: Json) -> Json:
        fields: Json = {
            "id": self.id,
            "type": kind,
            "status": status,
            "call_id": self._call_id,
            **content,
        }
        if self._form.namespace:
            fields["namespace"] = self._form.namespace
        return fields

    def _input(self) -> Json:
        """The arguments as an object."""
        value = load_input(self.text)
        return load_exactly(self.text) if isinstance(value, dict) and value else {}


class FunctionCallItem(CallItem):
    """Arguments are JSON text, as it came; none at all are an empty object."""

    prefix = "fc"
    delta = "response.function_call_arguments.delta"

    def rest(self) -> str:
        if self.text.strip():
            return ""
        self._parts.append("{}")
        return "{}"

    def item(self, status: str) -> Json:
        content = {"name": self._form.name, "arguments": self.text}
        return self._fields("function_call", status, content)

    def closed(self, status: str) -> list[Event]:
        fields = {**self.at, "name": self._form.name, "arguments": self.text}
        return [("response.function_call_arguments.done", fields)]


class CustomCallItem(CallItem):
    """A tool that takes plain text, which is taken out of the JSON around it while it comes."""

    prefix = "ctc"
    delta = "response.custom_tool_call_input.delta"

    def __init__(self, key: str, index: int, call_id: str, form: ToolForm) -> None:
        super().__init__(key, index, call_id, form)
        self._unwrapper = InputUnwrapper()

    def add(self, fragment: str) -> str:
        return super().add(self._unwrapper.feed(fragment))

    def rest(self) -> str:
        return super().add(self._unwrapper.finish())

    def item(self, status: str) -> Json:
        content = {"name": self._form.name, "input": self.text}
        return self._fields("custom_tool_call", status, content)

    def closed(self, status: str) -> list[Event]:
        return [("response.custom_tool_call_input.done", {**self.at, "input": self.text})]


class LocalShellItem(CallItem):
    """The provider's shell tool, run by the client."""

    prefix = "lsh"

    def item(self, status: str) -> Json:
        given = self._input()
        action = {
            "type": "exec",
            "command": given.get("command", []),
            "env": given.get("env") or {},
            "timeout_ms": given.get("timeout_ms"),
            "user": None,
            "working_directory": given.get("working_directory"),
        }
        return self._fields("local_shell_call", status, {"action": action})


class ToolSearchItem(CallItem):
    """The client's own search for more tools."""

    prefix = "tsc"

    def item(self, status: str) -> Json:
        content = {"execution": "client", "arguments": self._input()}
        return self._fields("tool_search_call", status, content)


class WebSearchItem(Item):
    """A finished web search of the service."""

    prefix = "ws"

    def __init__(self, key: str, index: int, query: str, hits: list[SearchHit], error: str) -> None:
        super().__init__(key, index)
        sources = [{"type": "url", "url": hit.url} for hit in hits]
        self._action = {"type": "search", "query": query, "queries": [query], "sources": sources}
        self._error = error

    def item(self, status: str) -> Json:
        status = "failed" if self._error and status != IN_PROGRESS else status
        return {"id": self.id, "type": "web_search_call", "status": status, "action": self._action}

    def opened(self) -> list[Event]:
        steps = ("in_progress", "searching")
        return [(f"response.web_search_call.{step}", self.at) for step in steps]

    def closed(self, status: str) -> list[Event]:
        return [] if self._error else [("response.web_search_call.completed", self.at)]


class CompactionItem(Item):
    """A summary in place of the conversation, for the client to send back and not to read."""

    prefix = "cmp"

    def item(self, status: str) -> Json:
        sealed = "" if status == IN_PROGRESS else seal({"summary": self.text})
        return {"id": self.id, "type": "compaction", "encrypted_content": sealed}


_CALLS: Final[dict[FormKind, type[CallItem]]] = {
    FormKind.FUNCTION: FunctionCallItem,
    FormKind.CUSTOM: CustomCallItem,
    FormKind.LOCAL_SHELL: LocalShellItem,
    FormKind.TOOL_SEARCH: ToolSearchItem,
}


def call_item(key: str, index: int, call_id: str, form: ToolForm) -> CallItem:
    """An item of the type that ``form`` asks for."""
    return _CALLS[form.kind](key, index, call_id, form)
