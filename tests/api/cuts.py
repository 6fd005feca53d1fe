"""Text in every chunking, with the pieces of an answer put back together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kiroproxy.api.events import TEXT, THINKING, TOOL_INPUT, AnswerEvent
from tests.chunking import every_cut


def every_text_cut(text: str) -> Iterator[list[str]]:
    """As ``every_cut``, by characters."""
    for pieces in every_cut(b"x" * len(text)):
        at = 0
        chunk = []
        for piece in pieces:
            chunk.append(text[at : at + len(piece)])
            at += len(piece)
        yield chunk


def merged(events: Iterable[AnswerEvent]) -> list[AnswerEvent]:
    """Neighbouring deltas of one kind as one event: what no chunking may change."""
    out: list[AnswerEvent] = []
    for event in events:
        if out and event[0] in (TEXT, THINKING, TOOL_INPUT) and out[-1][0] == event[0]:
            out[-1] = (event[0], out[-1][1] + event[1])
        else:
            out.append(event)
    return out
