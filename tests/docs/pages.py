"""The pages as data: fenced blocks with their attributes, headings, links. Pure."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
"""What people read to use the program; its own benchmarks and changelog are not among it."""

_FENCE: Final = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[ \t]*(?P<words>.*)$")
_ATTRIBUTE: Final = re.compile(r'([a-z-]+)(?:="([^"]*)")?')
_COMMENT: Final = re.compile(r"(?:^|\s{2,})#(?: .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. ``attributes``: the words behind the language, ``name`` or ``name="text"``."""

    page: Path
    line: int
    language: str
    attributes: dict[str, str]
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks, in order."""
    found: list[Block] = []
    opening: re.Match[str] | None = None
    start, lines = 0, list[str]()
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opening is None and fence is not None:
            opening, start, lines = fence, number, []
        elif opening is not None and line.strip() == "```":
            attributes = dict(_ATTRIBUTE.findall(opening["words"]))
            text = "\n".join(lines) + "\n"
            found.append(Block(page, start, opening["language"], attributes, text))
            opening = None
        elif opening is not None:
            lines.append(line.removeprefix(opening["indent"]))
    assert opening is None, f"{page.name}:{start}: the block has no end"
    return found


def commands(block: Block) -> list[str]:
    """The block's commands: lines, put together until the shell takes them as whole; no comments."""
    found: list[str] = []
    kept = ""
    for line in block.text.splitlines():
        kept += line + "\n"
        if _is_whole(kept):
            if plain := without_comment(kept):
                found.append(plain)
            kept = ""
    assert not kept.strip(), f"{block}: not a whole command: {kept}"
    return found


def without_comment(command: str) -> str:
    """A command without the words beside it: a comment stands two blanks off, or on its own."""
    return _COMMENT.sub("", command).strip()


def _is_whole(text: str) -> bool:
    if text.endswith("\\\n"):
        return False
    checked = subprocess.run(
        ["bash", "-n"], input=text, text=True, capture_output=True, check=False
    )
    return checked.returncode == 0 and "here-document" not in checked.stderr


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    inside = False
    kept = []
    for line in page.read_text("utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def anchors(page: Path) -> set[str]:
    """The names GitHub gives to a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number, name = 0, anchor
        while name in found:
            number += 1
            name = f"{anchor}-{number}"
        found.add(name)
    return found


def links(page: Path) -> list[str]:
    """Targets of the page's links and pictures."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:href|src)="([^"]+)"', text)
