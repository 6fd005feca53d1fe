"""The neutral request: every dialect parses into a Turn, and ``to_kiro`` reads nothing else.

Plain data. Text is ``str``; binary content stays base64 text as it came (checked by the parser, never
decoded here), since it leaves as base64 text again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final, Literal


@dataclass(slots=True)
class Text:
    text: str


@dataclass(slots=True)
class Image:
    """``format``: png, jpeg, gif or webp (bmp only while unfinished). ``data``: base64."""

    format: str
    data: str


@dataclass(slots=True)
class Document:
    """``format``: pdf, txt, md, csv or html. ``data``: base64. ``name``: the file's name, may be empty."""

    name: str
    format: str
    data: str


@dataclass(slots=True)
class Reasoning:
    """A thinking block that comes back. ``signature`` may be empty or our placeholder."""

    text: str
    signature: str


@dataclass(slots=True)
class RedactedReasoning:
    """Opaque base64 from upstream."""

    data: str


@dataclass(slots=True)
class ToolUse:
    id: str
    name: str
    input: dict[str, Any]


@dataclass(slots=True)
class ToolResult:
    """``content`` holds Text, Image and Document blocks only."""

    tool_use_id: str
    content: list[Text | Image | Document]
    is_error: bool = False


Block = Text | Image | Document | Reasoning | RedactedReasoning | ToolUse | ToolResult


@dataclass(slots=True)
class Unfinished:
    """A picture or document that cannot go out as it stands: its content is elsewhere (``url``), or, with
    an empty ``url``, it is over the service's limits.

    ``block`` stands in a message or a tool result already; whoever finishes it fills it in place.
    ``path``: the request field that errors name.
    """

    block: Image | Document
    path: tuple[str | int, ...]
    url: str = ""


@dataclass(slots=True)
class Message:
    """One message as the client sent it; ``role`` system stays where it stood."""

    role: Literal["user", "assistant", "system"]
    blocks: list[Block]


@dataclass(slots=True)
class Tool:
    """``schema`` is the client's JSON schema, untouched."""

    name: str
    description: str
    schema: dict[str, Any]


class ToolChoiceKind(enum.Enum):
    AUTO = "auto"
    ANY = "any"
    NONE = "none"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    kind: ToolChoiceKind = ToolChoiceKind.AUTO
    name: str = ""


AUTO: Final = ToolChoice()
"""What nearly every request wants."""


class ThinkingKind(enum.Enum):
    OFF = "off"
    BUDGET = "budget"  # a number of tokens
    ADAPTIVE = "adaptive"  # the model decides, guided by effort


@dataclass(slots=True)
class Thinking:
    """``effort``: low, medium, high, xhigh, max or empty. ``budget_tokens`` counts for BUDGET only."""

    kind: ThinkingKind = ThinkingKind.OFF
    budget_tokens: int = 0
    effort: str = ""
    omit: bool = False  # the client asked not to be shown the text


@dataclass(slots=True)
class WebSearch:
    """The client offered the provider's own web search.

    ``max_uses`` bounds the searches of one answer. Domains are names of hosts, perhaps with a path;
    they stand for their subdomains too. ``comes_back``: the client's next request brings the findings
    of a search along, so a search may stand beside calls that the client has to run. ``query``: when it
    is not empty, the whole turn is this one search, made without the model.
    """

    name: str
    max_uses: int = 8
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    comes_back: bool = False
    query: str = ""


@dataclass(slots=True)
class Turn:
    """One request of any dialect.

    ``model``: as asked, echoed in the answer. ``session``: a stable key of the conversation from the
    client, or empty. ``output_schema``: the JSON schema the answer's text must fit, or None.
    ``parallel_tools`` False: at most one tool call an answer. ``ignored``: request fields that were
    understood to exist and have no effect, as paths. ``unfinished``: blocks to be completed before the
    Turn may be answered. ``style``: what the dialect's own encoder has to know of the request; nobody
    else looks at it.
    """

    model: str
    messages: list[Message]
    system: list[str] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice = AUTO
    thinking: Thinking = field(default_factory=Thinking)
    max_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    stream: bool = False
    session: str = ""
    output_schema: dict[str, Any] | None = None
    web_search: WebSearch | None = None
    parallel_tools: bool = True
    ignored: list[str] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)
    style: object = None
