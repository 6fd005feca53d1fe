"""Content blocks of the Messages API → neutral blocks.

One table: block type → parser. What a type must hold is checked exactly; types nobody here knows are
named in ``ignored`` instead of failing, since new ones appear every few weeks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson

from kiroproxy.api.anthropic.keys import BLOCKS, SERVER_BLOCK, SOURCES
from kiroproxy.api.checks import (
    Object,
    Path,
    exact_form,
    fail,
    filled_text,
    flag,
    mapping,
    optional_text,
    text,
)
from kiroproxy.api.events import SearchHit
from kiroproxy.api.files import (
    TEXT_TYPES,
    checked_image,
    checked_pdf,
    data_url,
    decoded_text,
    plain_type,
    titled,
)
from kiroproxy.api.ignored import CACHE, Ignored, is_set, note_unread
from kiroproxy.api.pictures import image_by_url, noted, pdf_by_url
from kiroproxy.api.search import (
    SEARCH_TOOL,
    findings,
    hosted_result,
    hosted_use,
    no_findings,
)
from kiroproxy.api.tools import sent_name
from kiroproxy.api.turn import (
    Block,
    Document,
    Image,
    Reasoning,
    RedactedReasoning,
    Text,
    ToolResult,
    ToolUse,
)

_RESULT_RULE: Final = (
    "a tool result holds text, images, documents, search results and tool references"
)
_MAX_PATH: Final = 16  # a document of blocks inside a tool result has 9 steps
_NO_KEYS: Final[frozenset[str]] = frozenset()
ResultBlock = Text | Image | Document
_RESULT_KINDS: Final = (Text, Image, Document)  # a tuple: a union would be built on each use

_UNSUPPORTED: Final = "is not supported here; send the content as base64"


def parse_content(content: object, path: Path, ignored: Ignored) -> list[Block]:
    """A string or a list of blocks."""
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        fail(path, "must be a string or a list of content blocks")
    if len(path) > _MAX_PATH:
        fail(path, "content must not be nested this deep")
    blocks: list[Block] = []
    for index, block in enumerate(content):
        # The commonest block of all, without detours.
        if (
            isinstance(block, dict)
            and block.get("type") == "text"
            and isinstance(words := block.get("text"), str)
        ):
            if len(block) > 2:
                note_unread(block, BLOCKS["text"], "content.text", ignored)
            blocks.append(Text(words))
        else:
            blocks += parse_block(block, (*path, index), ignored)
    return blocks


def parse_block(value: object, path: Path, ignored: Ignored) -> list[Block]:
    if not isinstance(value, dict):
        fail(path, "must be an object")
    kind = value.get("type")
    if not isinstance(kind, str) or not kind:
        fail((*path, "type"), "must be a string and not empty")
    parse = _PARSERS.get(kind)
    if parse is not None:
        if not value.keys() <= BLOCKS[kind]:
            note_unread(value, BLOCKS[kind], f"content.{kind}", ignored)
        return parse(value, path, ignored)
    if kind.endswith(("_tool_use", "_tool_result")):
        note_unread(value, SERVER_BLOCK, f"content.{kind}", ignored)
        return [_server_block(kind, value)]
    if is_set(value.get(CACHE)):
        ignored.add(CACHE)
    ignored.add(f"content.{kind}")
    return []


def _text(block: Object, path: Path, _ignored: Ignored) -> list[Block]:
    return [Text(text(block.get("text"), path, "text"))]


def _image(block: Object, path: Path, ignored: Ignored) -> list[Block]:
    at = (*path, "source")
    source = mapping(block.get("source"), at)
    kind = filled_text(source.get("type"), at, "type")
    note_unread(source, SOURCES.get(kind, _NO_KEYS), "content.image.source", ignored)
    if kind == "base64":
        media_type = text(source.get("media_type"), at, "media_type")
        image = checked_image(media_type, text(source.get("data"), at, "data"), at)
        return [noted(image, (*at, "data"), ignored)]
    if kind == "url":
        at = (*at, "url")
        url = filled_text(source.get("url"), at)
        found = data_url(url)
        if found is None:
            return [image_by_url(url, at, ignored)]
        return [noted(checked_image(*found, at, one_url=True), at, ignored)]
    if kind == "file":
        fail(at, f"an image by file {_UNSUPPORTED}")
    fail((*at, "type"), "must be base64 or url")


def _document(block: Object, path: Path, ignored: Ignored) -> list[Block]:
    at = (*path, "source")
    source = mapping(block.get("source"), at)
    title = optional_text(block.get("title"), path, "title")
    context = optional_text(block.get("context"), path, "context")
    _note_citations(block, ignored)
    kind = filled_text(source.get("type"), at, "type")
    parse = _DOCUMENT_SOURCES.get(kind)
    if parse is None:
        if kind == "file":
            fail(at, f"a document by file {_UNSUPPORTED}")
        fail((*at, "type"), "must be base64, text, content or url")
    note_unread(source, SOURCES[kind], "content.document.source", ignored)
    blocks: list[Block] = [*parse(source, title, at, ignored)]
    if context:
        blocks.insert(0, Text(f'[about the document "{title}"]\n{context}'))
    return blocks


def _note_citations(block: Object, ignored: Ignored) -> None:
    wanted = block.get("citations")
    if wanted and not (isinstance(wanted, dict) and wanted.get("enabled") is False):
        ignored.add("citations")


def _document_base64(source: Object, title: str, at: Path, _ignored: Ignored) -> list[Block]:
    media_type = plain_type(text(source.get("media_type"), at, "media_type"))
    data = text(source.get("data"), at, "data")
    if media_type == "application/pdf":
        return [checked_pdf(title, data, (*at, "data"))]
    if media_type in TEXT_TYPES:
        return [titled(title, decoded_text(data, (*at, "data")))]
    fail((*at, "media_type"), f"must be application/pdf or {', '.join(TEXT_TYPES)}")


def _document_text(source: Object, title: str, at: Path, _ignored: Ignored) -> list[Block]:
    return [titled(title, text(source.get("data"), at, "data"))]


def _document_content(source: Object, title: str, at: Path, ignored: Ignored) -> list[Block]:
    head = [titled(title, "")] if title else []
    return [*head, *parse_content(source.get("content"), (*at, "content"), ignored)]


def _document_url(source: Object, title: str, at: Path, ignored: Ignored) -> list[Block]:
    at = (*at, "url")
    url = filled_text(source.get("url"), at)
    found = data_url(url)
    if found is None:
        return [pdf_by_url(title, url, at, ignored)]
    if found[0] != "application/pdf":
        fail(at, "must be a data: URL of a PDF in base64, or an http:// or https:// URL")
    return [checked_pdf(title, found[1], at)]


_DocumentParser = Callable[[Object, str, Path, Ignored], list[Block]]
_DOCUMENT_SOURCES: Final[dict[str, _DocumentParser]] = {
    "base64": _document_base64,
    "text": _document_text,
    "content": _document_content,
    "url": _document_url,
}


def _search_result(block: Object, path: Path, ignored: Ignored) -> list[Block]:
    title = optional_text(block.get("title"), path, "title")
    source = optional_text(block.get("source"), path, "source")
    content = parse_content(block.get("content"), (*path, "content"), ignored)
    _note_citations(block, ignored)
    head = "\n".join(filter(None, (f"[search result] {title}".strip(), source)))
    return [Text(head), *content]


def _thinking(block: Object, path: Path, _ignored: Ignored) -> list[Block]:
    signature = optional_text(block.get("signature"), path, "signature")
    return [Reasoning(text(block.get("thinking"), path, "thinking"), signature)]


def _redacted(block: Object, path: Path, _ignored: Ignored) -> list[Block]:
    return [RedactedReasoning(text(block.get("data"), path, "data"))]


def _tool_use(block: Object, path: Path, _ignored: Ignored) -> list[Block]:
    use_id = filled_text(block.get("id"), path, "id")
    name = filled_text(block.get("name"), path, "name")
    return [ToolUse(use_id, name, exact_form(block.get("input", {}), path, "input"))]


def _tool_result(block: Object, path: Path, ignored: Ignored) -> list[Block]:
    use_id = filled_text(block.get("tool_use_id"), path, "tool_use_id")
    is_error = flag(block.get("is_error"), path, "is_error")
    content = block.get("content")
    if content is None:
        return [ToolResult(use_id, [], is_error)]
    if isinstance(content, str):
        return [ToolResult(use_id, [Text(content)], is_error)]
    at = (*path, "content")
    kept: list[ResultBlock] = []
    for part in parse_content(content, at, ignored):
        if not isinstance(part, _RESULT_KINDS):
            fail(at, _RESULT_RULE)
        kept.append(part)
    return [ToolResult(use_id, kept, is_error)]


def _tool_reference(block: Object, path: Path, _ignored: Ignored) -> list[Block]:
    name = filled_text(block.get("tool_name"), path, "tool_name")
    return [Text(f"Tool {sent_name(name)} is available now.")]


def _compaction(block: Object, path: Path, _ignored: Ignored) -> list[Block]:
    """A summary that a provider's server put in the place of what it stands for."""
    summary = optional_text(block.get("content"), path, "content")
    return [Text(summary)] if summary else []


def _server_block(kind: str, block: Object) -> Text:
    """A call or result of a tool that ran on a server, as words: nothing upstream knows its form."""
    shown = {key: block[key] for key in ("name", "input", "content", "is_error") if key in block}
    return Text(f"[{kind}] {_json(shown)}")


def _server_tool_use(block: Object, path: Path, _ignored: Ignored) -> list[Block]:
    """A web search is the call that the model has made of it."""
    arguments = block.get("input")
    query = arguments.get("query") if isinstance(arguments, dict) else None
    use_id = optional_text(block.get("id"), path, "id")
    if use_id and block.get("name") == SEARCH_TOOL and isinstance(query, str):
        return [hosted_use(use_id, query)]
    return [_server_block("server_tool_use", block)]


def _search_answer(block: Object, path: Path, _ignored: Ignored) -> list[Block]:
    """Titles and addresses; ``encrypted_content`` only where it is words (our own answers put the
    snippet there), since another provider's is of no use to anyone."""
    use_id = optional_text(block.get("tool_use_id"), path, "tool_use_id")
    content = block.get("content")
    if not isinstance(content, list):
        code = content.get("error_code") if isinstance(content, dict) else None
        words = code if isinstance(code, str) else _json(content)
        return [hosted_result(use_id, no_findings(words), failed=True)]
    hits = []
    for hit in content:
        if isinstance(hit, dict):
            title, url, age, snippet = (
                value if isinstance(value := hit.get(key), str) else ""
                for key in ("title", "url", "page_age", "encrypted_content")
            )
            hits.append(SearchHit(title, url, snippet if " " in snippet else "", age))
    return [hosted_result(use_id, findings(hits))]


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return "(nested too deeply to be shown)"


_Parser = Callable[[Object, Path, Ignored], list[Block]]
_PARSERS: Final[dict[str, _Parser]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "tool_reference": _tool_reference,
    "compaction": _compaction,
    "server_tool_use": _server_tool_use,
    "web_search_tool_result": _search_answer,
}
