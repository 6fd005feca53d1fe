"""Content parts of both OpenAI dialects → neutral blocks.

Chat Completions and Responses spell the same things differently (``text`` and ``input_text``), and some
clients mix the two, so one table knows all spellings. Any other type is read as the Messages API has it
(``image`` with a ``source``, ``document``); what is not known there either is named in ``ignored``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kiroproxy.api.anthropic.blocks import parse_block
from kiroproxy.api.checks import Object, Path, fail, filled_text, mapping, optional_text, text
from kiroproxy.api.files import checked_image, checked_pdf, data_url, decoded_text, titled
from kiroproxy.api.ignored import Ignored, note_unread
from kiroproxy.api.media import head
from kiroproxy.api.openai.keys import (
    FILE_DATA,
    FILE_OUTSIDE,
    FILE_URL,
    IMAGE_URL,
    PARTS,
)
from kiroproxy.api.pictures import image_by_url, noted, pdf_by_url
from kiroproxy.api.turn import Block, Document, Image, Text

Part = Text | Image | Document
_PART_KINDS: Final = (Text, Image, Document)

_BY_ID: Final = "stored files are not supported; send the content as a data: URL (base64)"
_FILE_RULE: Final = "must be a PDF or a text in UTF-8, in base64"
_UNTOLD: Final = ("", "application/octet-stream")
_NEVER_TEXT: Final = ("image/", "audio/")
_PDF_HEAD_CHARS: Final = 1400  # as far as readers look for its signature


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
        parts += parse_part(item, (*path, index), ignored)
    return parts


def is_own(part: Object) -> bool:
    """Whether it is one of these dialects' parts; any other type is of the Messages API, or unknown."""
    kind = part.get("type")
    return isinstance(kind, str) and kind in _PARSERS


def parse_texts(content: object, path: Path, ignored: Ignored) -> list[str]:
    """Content that is only words, as instructions are; anything else in it is an error."""
    words = []
    for index, part in enumerate(parse_content(content, path, ignored)):
        if not isinstance(part, Text):
            fail((*path, index), "must be text")
        words.append(part.text)
    return words


def parse_part(value: object, path: Path, ignored: Ignored) -> list[Part]:
    """One part; a string is a text."""
    if isinstance(value, str):
        return [Text(value)]
    part = mapping(value, path)
    kind = filled_text(part.get("type"), path, "type")
    parse = _PARSERS.get(kind)
    if parse is None:
        return [_only_part(block, path) for block in parse_block(part, path, ignored)]
    if not part.keys() <= PARTS[kind]:
        note_unread(part, PARTS[kind], f"content.{kind}", ignored)
    return parse(part, path, ignored)


def _only_part(block: Block, path: Path) -> Part:
    if not isinstance(block, _PART_KINDS):
        fail(path, "calls, results and thinking can stand in a user's or assistant's message only")
    return block


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
        note_unread(image, IMAGE_URL, "content.image_url", ignored)
        detail = image.get("detail") or detail
        image, at = image.get("url"), (*at, "url")
    if detail not in (None, "auto"):
        ignored.add("content.image_url.detail")
    url = filled_text(image, at)
    found = data_url(url)
    if found is None:
        return [image_by_url(url, at, ignored)]
    return [noted(checked_image(*found, at, one_url=True), at, ignored)]


def _file(part: Object, path: Path, ignored: Ignored) -> list[Part]:
    """The file's fields stand in ``file`` in Chat Completions and in the part itself in Responses."""
    place = f"content.{part['type']}"
    if part.get("file") is not None:
        note_unread(part, FILE_OUTSIDE, place, ignored)
        path = (*path, "file")
        part = mapping(part["file"], path)
    if part.get("detail") not in (None, "auto"):
        ignored.add(f"{place}.detail")
    name = optional_text(part.get("filename"), path, "filename")
    if part.get("file_data") is None and part.get("file_id") is not None:
        fail((*path, "file_id"), _BY_ID)
    if part.get("file_data") is None and part.get("file_url") is not None:
        note_unread(part, FILE_URL, place, ignored)
        at: Path = (*path, "file_url")
        return [pdf_by_url(name, filled_text(part["file_url"], at), at, ignored)]
    note_unread(part, FILE_DATA, place, ignored)
    at = (*path, "file_data")
    given = filled_text(part.get("file_data"), at)
    media_type, data = data_url(given) or ("", given)
    if media_type == "application/pdf" or (media_type in _UNTOLD and _is_pdf(name, data)):
        return [checked_pdf(name, data, at)]
    if media_type.startswith(_NEVER_TEXT):
        fail(at, _FILE_RULE)
    # Whatever the type is called: browsers call .ts a video and most code nothing at all.
    return [titled(name, _words(data, at))]


def _is_pdf(name: str, data: str) -> bool:
    return name.lower().endswith(".pdf") or b"%PDF-" in head(data, _PDF_HEAD_CHARS)


def _words(data: str, at: Path) -> str:
    words = decoded_text(data, at)
    if "\0" in words:
        fail(at, _FILE_RULE)
    return words


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
