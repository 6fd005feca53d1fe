"""What takes text apart as it comes: thinking tags, code fences, stop sequences, a custom tool's input,
a tool's input in fragments. Cut anywhere, the result is the same, and nothing of a text is lost."""

from __future__ import annotations

import json

from fuzz.source import Source
from kiroproxy.api.events import THINKING_END, TOOL_INPUT, AnswerEvent
from kiroproxy.api.fences import FenceStripper
from kiroproxy.api.openai.unwrap import InputUnwrapper, unwrapped
from kiroproxy.api.stops import StopMatcher
from kiroproxy.api.thinking import CLOSE, OPEN, ThinkingSplitter
from kiroproxy.api.tooluse import ToolAssembler
from kiroproxy.errors import IncompleteAnswerError

_WORDS = (OPEN, CLOSE, "\n\n", "\n", " ", "```json\n", "\n```", "`", '"', "STOP", "STO", '{"input":"',
          "\\u00e9",
          "\\ud83d\\ude00", "\\ud83d", '"}', "\\", "x", "\r\n", "~~~\n")  # fmt: skip


def target(data: bytes) -> None:
    source = Source(data)
    kind = source.byte() % 5
    cuts = source.block()
    text = _text(source)
    cut = _pieces(text, Source(cuts))
    (_thinking, _fence, _stops, _unwrap, _tool)[kind](text, cut, cuts)


def _text(source: Source) -> str:
    """Bytes above 0x7f are words from the table, so that tags are found at all; the rest is text."""
    return "".join(
        chr(byte) if byte < 0x80 else _WORDS[byte % len(_WORDS)] for byte in source.rest()
    )


def _pieces(text: str, source: Source) -> list[str]:
    found, at = [], 0
    while at < len(text):
        size = (source.byte() or 1) if source.left else len(text)
        found.append(text[at : at + size])
        at += size
    return found


def _thinking(text: str, cut: list[str], _cuts: bytes) -> None:
    whole, parts = _split([text]), _split(cut)
    assert whole == parts
    said = "".join(words for _, words in whole)
    kept = "".join(said.split())
    lost = "".join(text.replace(OPEN, "", 1).split())
    assert kept in ("".join(text.split()), lost) or kept == _without_close(lost, kept), text


def _without_close(text: str, kept: str) -> str:
    """``text`` without the one closing tag that was taken out, if that makes it ``kept``."""
    at = text.find(CLOSE)
    while at >= 0:
        if text[:at] + text[at + len(CLOSE) :] == kept:
            return kept
        at = text.find(CLOSE, at + 1)
    return text


def _split(chunks: list[str]) -> list[tuple[int, str]]:
    splitter = ThinkingSplitter()
    out: list[AnswerEvent] = []
    for chunk in chunks:
        out += splitter.feed(chunk)
    out += splitter.finish()
    merged: list[tuple[int, str]] = []
    for kind, words in out:
        if merged and merged[-1][0] == kind and kind != THINKING_END:
            merged[-1] = (kind, merged[-1][1] + words)
        else:
            merged.append((kind, words))
    return merged


def _fence(text: str, cut: list[str], _cuts: bytes) -> None:
    whole = _stripped([text])
    assert _stripped(cut) == whole
    assert whole in text


def _stripped(chunks: list[str]) -> str:
    stripper = FenceStripper()
    return "".join(map(stripper.feed, chunks)) + stripper.finish()


def _stops(text: str, cut: list[str], cuts: bytes) -> None:
    sequences = ("STOP", "\n\n", cuts[:3].decode("latin-1"), "STO\n")
    whole = _matched([text], sequences)
    assert _matched(cut, sequences) == whole
    shown, hit = whole
    if hit is None:
        assert shown == text
        assert not any(sequence and sequence in text for sequence in sequences)
    else:
        assert text.startswith(shown + hit)


def _matched(chunks: list[str], sequences: tuple[str, ...]) -> tuple[str, str | None]:
    matcher = StopMatcher(sequences)
    shown = "".join(map(matcher.feed, chunks))
    return (shown if matcher.hit is not None else shown + matcher.finish()), matcher.hit


def _unwrap(text: str, cut: list[str], _cuts: bytes) -> None:
    whole, parts = _unwrapped([text]), _unwrapped(cut)
    whole.encode()
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return
    assert whole == parts
    if isinstance(value, dict) and list(value) == ["input"]:
        assert whole == unwrapped(text)


def _unwrapped(chunks: list[str]) -> str:
    unwrapper = InputUnwrapper()
    return "".join(map(unwrapper.feed, chunks)) + unwrapper.finish()


def _tool(text: str, cut: list[str], _cuts: bytes) -> None:
    """A ``{}`` in front of another object is left out only where it comes by itself."""
    whole, parts = _assembled([text]), _assembled(cut)
    assert whole == parts or text.lstrip().startswith("{}"), text
    assert whole is None or isinstance(whole, dict)


def _assembled(chunks: list[str]) -> object:
    """The call's input; None when it is refused."""
    assembler = ToolAssembler({}, lambda: "made")
    out: list[AnswerEvent] = []
    try:
        assembler.feed("id", "f", None, False, out)
        for chunk in chunks:
            assembler.feed("id", None, chunk, False, out)
        assembler.feed("id", None, None, True, out)
        assembler.settle(out, at_end=True)
    except IncompleteAnswerError:
        return None
    said = "".join(event[1] for event in out if event[0] == TOOL_INPUT)
    return json.loads(said) if said else {}


def seeds() -> list[bytes]:
    texts = [
        b"\x80well\x81\x82Hi", b"\x80a `\x81` b\x81\x83\x83text", b" \x80\x81",
        b"\x80\x85x\x86\x81\x82y",
        b"\x85{}\x86",
        b"\x85{}\x86 more", b"abSTOPcd", b"abSTO", b'{"input":"a\\nb"}', b"\x8bx\x8d\x8e\x8f",
        b'{"path":"a"}', b'{"path":', b'{"a":1}{"b":2}', b'{"other":"x"}', b"",
    ]  # fmt: skip
    return [
        bytes([kind]) + cut + text
        for kind in range(5)
        for cut in (b"\x00", b"\x02\x01\x03")
        for text in texts
    ]
