"""The sources of an answer, as the OpenAI dialects show them: ``url_citation`` annotations.

Chat Completions nests the fields, Responses has them flat. ``*_index`` count characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from kiroproxy.api.events import SearchHit

# What an address goes on with where it is not over yet: /1 is no mention of it in /12 or in /1.html.
_GOES_ON: Final = r"(?![\w/?&=%#~+-]|[.:,;@!]\w)"


class Citations:
    """Takes in the text and the searches of one answer, whose texts on both sides of a search are two: an
    empty line goes between them, since here they become one. ``gap``: it is due before the next text."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._hits: dict[str, SearchHit] = {}
        self.searched = False
        self.gap = False

    def add_text(self, texts: list[str]) -> None:
        """Further text of the answer, while no ``gap`` is due."""
        self._text += texts

    def take_text(self, text: str) -> str:
        """Further text, as it is shown: with the empty line in front if that is due."""
        if self.gap and not (self._text[-1][-1:].isspace() or text[:1].isspace()):
            text = f"\n\n{text}"
        self.gap = False
        self._text.append(text)
        return text

    def add_hits(self, hits: list[SearchHit]) -> None:
        """What a search found; of several findings with one address the first counts."""
        self.searched = True
        self.gap = bool(self._text)
        for hit in hits:
            self._hits.setdefault(hit.url, hit)

    def annotations(self) -> list[dict[str, Any]]:
        """Those of the whole text, for Chat Completions."""
        found = flat_citations("".join(self._text), self._hits.values())
        return [{"type": cited.pop("type"), "url_citation": cited} for cited in found]


def flat_citations(text: str, hits: Iterable[SearchHit]) -> list[dict[str, Any]]:
    """One for each finding whose address stands in ``text``, in the text's order: where it stands first,
    with the link's words if it is one. As the Responses API has them."""
    places = [(_place(text, hit.url), hit) for hit in hits]
    found = sorted((place, hit) for place, hit in places if place is not None)
    return [_annotation(*place, hit) for place, hit in found]


def _place(text: str, url: str) -> tuple[int, int] | None:
    if url not in text:
        return None
    match = re.search(re.escape(url) + _GOES_ON, text)
    if match is None:
        return None
    start, end = match.span()
    if text.startswith(")", end) and text.endswith("](", 0, start):
        opening = text.rfind("[", 0, start)
        if opening >= 0:
            return opening, end + 1
    return start, end


def _annotation(start: int, end: int, hit: SearchHit) -> dict[str, Any]:
    return {
        "type": "url_citation",
        "start_index": start,
        "end_index": end,
        "title": hit.title or hit.url,
        "url": hit.url,
    }
