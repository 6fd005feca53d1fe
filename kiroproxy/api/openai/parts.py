"""Content parts of both OpenAI dialects → neutral blocks.

Chat Completions and Responses spell the same things differently (``text`` and ``input_text``), and some
clients mix the two, so one table knows all spellings. Types nobody here knows are named in ``ignored``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kiroproxy.api.checks import Object, Path, fail, filled_text, mapping, optional_text, text
from kiroproxy.api.files import (
    TEXT_TYPES,
    checked_image,
    checked_pdf,
    data_url,
    decoded_text,
    titled,
)
from kiroproxy.api.ignored import Ignored
from kiroproxy.api.turn import Document, Image, Text

Part = Text | Image | Document

_BY_URL: Final = "fetching URLs is not supported; send the content as a data: URL (base64)"
_BY_ID: Final = "stored files are not supported; send the content as a data: URL (base64)"
# Files whose bytes are text whatever their type is called.
_TEXT_LIKE: Final = frozenset(
    {"application/json", "application/xml", "application/yaml", "application/x-yaml", *TEXT_TYPES}
)
_TEXT_SUFFIXES: Final = (".txt", ".md", ".csv", ".html", ".json", ".xml", ".yaml", ".yml")


def parse_content(content: object, path: Path, ignored: Ignored) -> list[Part]:
    """A string, a list of parts, or nothing."""
    if isinstance(content, str):
        return [Text(content)]
    if content is None:
        return []
    if not isinstance(content, list):
        fail(path, "must be a string or a list of content parts")
    parts: list[Part] = []
    for index, item in enumerate(content):
        if isinstance(item, str):
            parts.append(Text(item))
        else:
            parts += _parse_part(item, (*path, index), ignored)
    return parts


def parse_texts(content: object, path: Path, ignored: Ignored) -> list[str]:
    """Content that is only words, as instructions are; anything else in it is an error."""
    words = []
    for index, part in enumerate(parse_content(content, path, ignored)):
        if not isinstance(part, Text):
            fail((*path, index), "must be text")
        words.append(part.text)
    return words


def _parse_part(value: object, path: Path, ignored: Ignored) -> list[Part]:
    part = mapping(value, path)
    kind = filled_text(part.get("type"), path, "type")
    if "cache_control" in part:
        ignored.add("cache_control")
    parse = _PARSERS.get(kind)
    if parse is None:
        ignored.add(f"content.{kind}")
        return []
    return parse(part, path, ignored)


def _text(part: Object, path: Path, _ignored: Ignored) -> list[Part]:
    return [Text(text(part.get("text"), path, "text"))]


def _refusal(part: Object, path: Path, _ignored: Ignored) -> list[Part]:
    return [Text(text(part.get("refusal"), path, "refusal"))]


def _image(part: Object, path: Path, ignored: Ignored) -> list[Part]:
    """``image_url`` is an object in Chat Completions and the URL itself in Responses."""
    if part.get("image_url") is None and part.get("file_id") is not None:
        fail((*path, "file_id"), _BY_ID)
    at: Path = (*path, "image_url")
    image = part.get("image_url")
    detail = part.get("detail")
    if isinstance(image, dict):
        detail = image.get("detail")
        image, at = image.get("url"), (*at, "url")
    if detail not in (None, "auto"):
        ignored.add("content.image_url.detail")
    found = data_url(filled_text(image, at))
    if found is None:
        fail(at, _BY_URL)
    return [checked_image(*found, at, one_url=True)]


def _file(part: Object, path: Path, _ignored: Ignored) -> list[Part]:
    """The file's fields stand in ``file`` in Chat Completions and in the part itself in Responses."""
    if part.get("file") is not None:
        path = (*path, "file")
        part = mapping(part["file"], path)
    name = optional_text(part.get("filename"), path, "filename")
    for key, rule in (("file_id", _BY_ID), ("file_url", _BY_URL)):
        if part.get("file_data") is None and part.get(key) is not None:
            fail((*path, key), rule)
    at = (*path, "file_data")
    given = filled_text(part.get("file_data"), at)
    media_type, data = data_url(given) or ("", given)
    if media_type in ("", "application/octet-stream"):
        media_type = _type_of(name)
    if media_type == "application/pdf":
        return [checked_pdf(name, data, at)]
    if media_type.startswith("text/") or media_type in _TEXT_LIKE:
        return [titled(name, decoded_text(data, at))]
    fail(at, "must be a data: URL of a PDF or a text file, in base64")


def _type_of(name: str) -> str:
    return "text/plain" if name.lower().endswith(_TEXT_SUFFIXES) else "application/pdf"


def _audio(_part: Object, path: Path, _ignored: Ignored) -> list[Part]:
    fail(path, "audio is not supported")


_Parser = Callable[[Object, Path, Ignored], list[Part]]
_PARSERS: Final[dict[str, _Parser]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_image": _image,
    "file": _file,
    "input_file": _file,
    "input_audio": _audio,
}
