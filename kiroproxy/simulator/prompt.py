"""What the simulated model reads in a request: the prompt, the tools, the pictures, the results."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kiroproxy.simulator import media
from kiroproxy.simulator.catalogue import JsonObject
from kiroproxy.simulator.directives import Order, has_directive, parse_orders
from kiroproxy.simulator.view import Turn, View

_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
_THINKING_TAGS = re.compile(
    r"<thinking_mode>(enabled|adaptive)</thinking_mode>"
    r"(<(max_thinking_length|thinking_effort)>[^<]*</\3>)?"
)
_LINES_READ = 12  # natural orders are looked for in this many last lines

_FORMAT_NAMES = {"png": "PNG", "jpeg": "JPEG", "gif": "GIF", "webp": "WebP"}


@dataclass(frozen=True, slots=True)
class Tool:
    """One offered tool."""

    name: str
    properties: JsonObject
    required: list[str]
    schema: JsonObject


@dataclass(frozen=True, slots=True)
class Prompt:
    """``text``: the words to answer, without reminders, tags and directives. ``said``: the current
    message's own words; others than ``text`` while tools are being run. ``order``: this round's
    directives. ``after_tools``: the current message answers calls. ``sights``: what the images and
    documents are, in words.
    """

    text: str
    said: str
    order: Order
    after_tools: bool
    tools: list[Tool]
    results: list[str]
    sights: list[str]
    native_thinking: bool
    tag_thinking: bool

    @property
    def lines(self) -> list[str]:
        """The last lines, the last one first."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-_LINES_READ:][::-1]

    def tool(self, asked: str) -> Tool | None:
        """The tool of this name, in any case; a name that had to be shortened is found by its head."""
        exact = {tool.name: tool for tool in self.tools}
        lower = {tool.name.lower(): tool for tool in self.tools}
        return exact.get(asked) or lower.get(asked.lower()) or self._shortened(asked)

    def _shortened(self, asked: str) -> Tool | None:
        wanted = _plain(asked)
        shared = [(_shared_head(wanted, _plain(tool.name)), tool) for tool in self.tools]
        best = max(shared, key=lambda pair: pair[0], default=None)
        return best[1] if best is not None and best[0] >= _MIN_SHARED_CHARS else None


_MIN_SHARED_CHARS = 16


def read_prompt(view: View) -> Prompt:
    """Everything the model wants to know about a request whose shape is right."""
    asking, rounds = _asking_turn(view)
    orders = parse_orders(asking.text)
    order = orders[rounds] if rounds < len(orders) else Order()
    native = _native_thinking(view)
    return Prompt(
        text=_plain_words(order.prompt),
        said=_plain_words(view.current.text),
        order=order,
        after_tools=rounds > 0,
        tools=[_tool(specification) for _, specification in view.specifications()],
        results=[_result_text(result) for result in view.current.results],
        sights=_sights(view.current),
        native_thinking=native,
        tag_thinking=not native and _asks_for_tags(view),
    )


def _asking_turn(view: View) -> tuple[Turn, int]:
    """The user message that started the current rounds of tool calls, and how many rounds ago."""
    users = [turn for turn in view.turns if turn.role == "user"]
    rounds = 0
    while rounds < len(users) - 1:
        turn = users[-1 - rounds]
        if not turn.results or has_directive(turn.text):
            break
        rounds += 1
    return users[-1 - rounds], rounds


def _plain_words(text: str) -> str:
    return _THINKING_TAGS.sub("", _REMINDER.sub("", text)).strip()


def _asks_for_tags(view: View) -> bool:
    users = [turn for turn in view.turns if turn.role == "user"]
    return any(_THINKING_TAGS.search(turn.text) for turn in (users[0], users[-1]))


def _native_thinking(view: View) -> bool:
    fields = view.body.get("additionalModelRequestFields") or {}
    if view.model is None or not view.model.thinks:
        return False
    thinking = fields.get("thinking") or {}
    return thinking.get("type") == "adaptive" or "reasoning" in fields


def _tool(specification: JsonObject) -> Tool:
    schema = specification["inputSchema"]["json"]
    properties, required = schema.get("properties"), schema.get("required")
    return Tool(
        specification["name"],
        properties if isinstance(properties, dict) else {},
        [n for n in required if isinstance(n, str)] if isinstance(required, list) else [],
        schema,
    )


def _result_text(result: JsonObject) -> str:
    parts = (part.get("text") or str(part.get("json", "")) for part in result["content"])
    text = "\n".join(parts)
    return f"(failed) {text}" if result["status"] == "error" else text


def _sights(turn: Turn) -> list[str]:
    seen = [_image_words(image) for image in turn.message.get("images") or ()]
    return seen + [_document_words(entry) for entry in turn.message.get("documents") or ()]


def _image_words(image: JsonObject) -> str:
    data = media.decode_blob(image["source"]["bytes"]) or b""
    name = _FORMAT_NAMES.get(image["format"], image["format"])
    size = media.image_size(data)
    return f"a {size[0]}x{size[1]} {name} image" if size else f"a {name} image of unknown size"


def _document_words(document: JsonObject) -> str:
    data = media.decode_blob(document["source"]["bytes"]) or b""
    if document["format"] != "pdf":
        return f"a {document['format']} document named {document['name']}, {len(data)} bytes"
    pages = media.page_count(data)
    plural = "page" if pages == 1 else "pages"
    return f"a PDF named {document['name']} with {pages} {plural}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower())


def _shared_head(one: str, other: str) -> int:
    for index, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return index
    return min(len(one), len(other))
