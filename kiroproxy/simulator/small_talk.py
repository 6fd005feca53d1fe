"""The sentences of the simulated model; the same prompt always gets the same ones."""

from __future__ import annotations

import re
import zlib
from itertools import cycle, islice

_GREETING = re.compile(r"^(hi|hello|hey|good (morning|evening|day))\b", re.I)
_TITLE_WORDS = 6
_QUOTED_CHARS = 120
_TAG = re.compile(r"</?[a-zA-Z_-]+>")

_INTRODUCTION = (
    "Hello! I am the demo model that runs inside kiroproxy. "
    "I am only a simulation, so no account is used and nothing leaves this machine. "
    "Ask me to run a command or to read a file, and I will call your tools as a real model would."
)
_OPENINGS = (
    "You said: “{prompt}”.",
    "I read your message: “{prompt}”.",
    "Your words were: “{prompt}”.",
)
_MIDDLES = (
    "This answer is streamed in small pieces, just like a real one.",
    "The demo model does not know much, but the whole way from your client to here is real.",
    "Everything between your client and this sentence works as it would with a Kiro account.",
)
_CLOSINGS = (
    "Try “run echo hi”, attach an image, or ask for a long text.",
    "Sign in with Kiro and restart without the demo flag to talk to a real model.",
    "Is there anything you would like me to try with your tools?",
)
_WORDS = (
    "the quick proxy carries every small event from the service to the client and keeps its order "
    "while a patient reader counts the words and finds that none of them was lost on the way"
).split()


def chat(prompt: str) -> str:
    """A few sentences on whatever was said."""
    if _GREETING.match(prompt) or not prompt:
        return _INTRODUCTION
    quoted = " ".join(prompt[-_QUOTED_CHARS:].split())
    seed = zlib.crc32(prompt.encode("utf-8", "replace"))
    chosen = (_OPENINGS[seed % 3], _MIDDLES[seed // 3 % 3], _CLOSINGS[seed // 9 % 3])
    return " ".join(chosen).replace("{prompt}", quoted)


def words(count: int) -> str:
    """``count`` words in sentences of ten."""
    out = []
    for index, word in enumerate(islice(cycle(_WORDS), count)):
        first, last = index % 10 == 0, index % 10 == 9 or index == count - 1
        out.append((word.capitalize() if first else word) + ("." if last else ""))
    return " ".join(out)


def title(prompt: str) -> str:
    """A title out of the prompt's own last words."""
    lines = [line for line in _TAG.sub("\n", prompt).splitlines() if _is_matter(line)]
    chosen = re.findall(r"\w+", lines[-1] if lines else "")[:_TITLE_WORDS]
    return " ".join(chosen).capitalize() or "A short conversation"


def _is_matter(line: str) -> bool:
    """Whether a line can be what the talk is about, rather than how to answer."""
    return bool(line.strip()) and "{" not in line and "json" not in line.lower()


def summary(asked: list[str]) -> str:
    """A conversation's summary in the form that compaction asks for."""
    points = [" ".join(text.split())[:_QUOTED_CHARS] for text in asked]
    listed = "\n".join(f"   - {point}" for point in points if point) or "   - Nothing yet"
    return (
        "<analysis>\nI went through the messages in order.\n</analysis>\n\n"
        "<summary>\n1. Primary Request and Intent:\n"
        f"{listed}\n\n2. Current Work:\n   The conversation goes on from here.\n</summary>"
    )
