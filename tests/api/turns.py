"""Hypothesis strategies for Turns, mostly ill-formed ones: every fault a client's history may hold."""

import base64
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from kiroproxy.api.turn import (
    Block,
    Document,
    Image,
    Message,
    Reasoning,
    RedactedReasoning,
    Text,
    Thinking,
    ThinkingKind,
    Tool,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    ToolUse,
    Turn,
    WebSearch,
)

# The first example builds character tables, which is slow on a busy machine and no fault here.
PROPERTY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    + (30).to_bytes(4, "big")
    + (40).to_bytes(4, "big")
    + b"\x08"
).decode()
GIF = base64.b64encode(b"GIF89a\x05\x00\x07\x00\x00").decode()
JPEG = base64.b64encode(
    b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08\x00\x14\x00\x1e\x01\x01\x11\x00"
).decode()
WEBP = base64.b64encode(
    b"RIFF\x1a\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + b"\x09\x00\x00\x13\x00\x00"
).decode()
BMP = base64.b64encode(
    b"BM" + bytes(12) + (40).to_bytes(4, "little") + b"\x06\x00\x00\x00" + b"\xf8\xff\xff\xff"
).decode()
PDF = base64.b64encode(b"%PDF-1.4\n1 0 obj\n").decode()

SCALARS: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, width=16)
    | st.text(max_size=4)
)  # fmt: skip
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
OBJECTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(st.text(max_size=4), JSON, max_size=3)

# Small sets, so that the same names and ids meet again, in and out of shape.
NAMES = st.sampled_from(
    [
        "Bash", "bash", "Read", "mcp__srv__tool", "mcp.srv/tool", "mcp srv tool", "9lives", "", "é", "-",
        "a" * 64, "a" * 65, "a" * 66, "mcp__" + "x" * 90, "mcp__" + "x" * 91, "_", "tool_",
    ]
)  # fmt: skip
IDS = st.sampled_from(
    ["toolu_1", "toolu_2", "toolu_3", "call:1", "call;1", "x" * 64, "x" * 65, "é"]
)
TEXTS = st.text(max_size=12) | st.sampled_from(["", " ", "hi", "<system-reminder>x"])

IMAGES = st.sampled_from(
    [Image("png", PNG), Image("gif", GIF), Image("jpeg", JPEG), Image("webp", WEBP)]
)
DOCUMENTS = st.builds(
    Document, st.sampled_from(["", "a.pdf", "a/b?.pdf", "é"]), st.just("pdf"), st.just(PDF)
)
RESULTS = st.builds(
    ToolResult,
    IDS,
    st.lists(st.builds(Text, TEXTS) | IMAGES | DOCUMENTS, max_size=3),
    st.booleans(),
)
REASONING = st.builds(Reasoning, TEXTS, st.sampled_from(["", "sig"])) | st.builds(
    RedactedReasoning, st.just("cmVk")
)
USES = st.builds(ToolUse, IDS, NAMES, OBJECTS)
BLOCKS: st.SearchStrategy[Block] = (
    st.builds(Text, TEXTS) | USES | RESULTS | IMAGES | DOCUMENTS | REASONING
)
MESSAGES = st.builds(
    Message, st.sampled_from(["user", "assistant", "system"]), st.lists(BLOCKS, max_size=4)
)

_KEYWORDS = st.sampled_from(
    [
        "type", "properties", "required", "items", "anyOf", "oneOf", "$ref", "$defs", "enum", "default",
        "additionalProperties", "$schema", "description", "not", "exclusiveMinimum", "prefixItems",
    ]
)  # fmt: skip
_POINTERS = st.sampled_from(
    ["#", "#/$defs/a", "#/properties/a", "#/anyOf/0", "#/x", "http://x/y", ""]
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    SCALARS | _POINTERS | st.sampled_from(["object", "string", ["string", "null"], []]),
    lambda inner: (
        st.dictionaries(_KEYWORDS | st.sampled_from(["a", ""]), inner, max_size=4)
        | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)
ROOT_SCHEMAS = st.dictionaries(_KEYWORDS, SCHEMAS, max_size=5)
TOOLS = st.builds(
    Tool,
    NAMES,
    st.sampled_from(["", " ", "Does things.", "d" * 10_240, "d" * 10_241]),
    ROOT_SCHEMAS,
)
TURNS = st.builds(
    Turn,
    model=st.just("claude-sonnet-4-5"),
    messages=st.lists(MESSAGES, max_size=8),
    system=st.lists(TEXTS, max_size=2),
    tools=st.lists(TOOLS, max_size=4),
    tool_choice=st.builds(ToolChoice, st.sampled_from(ToolChoiceKind), NAMES),
    thinking=st.builds(
        Thinking,
        st.sampled_from(ThinkingKind),
        st.integers(0, 100_000),
        st.sampled_from(["", "low", "medium", "high", "xhigh", "max"]),
        st.booleans(),
    ),
    max_tokens=st.none() | st.integers(1, 200_000),
    session=st.sampled_from(["", "3f2b8c1e-5a77-4f0e-9f0b-0b6f4f1f2a10", "my session"]),
    output_schema=st.none() | ROOT_SCHEMAS,
    web_search=st.none() | st.just(WebSearch("web_search")),
)
