"""SYSTEM_PROMPT_FILE_PATH: the operator's own system prompt, in every request of every dialect."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiroproxy.api.turn import Turn
from kiroproxy.clock import Clock
from kiroproxy.config import Prompt
from kiroproxy.errors import ConfigError
from kiroproxy.regular import open_regular

_log = logging.getLogger("kiroproxy.prompt")

LOOK_S: Final = 1.0  # between two looks at the file, however many requests come
MOST_BYTES: Final = 1024 * 1024

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """Settings with what their file held; ``stamp`` None: there is no file."""

    prompt: Prompt
    text: str
    stamp: _Stamp | None


class SystemPrompt:
    """The file's text as it is now. A request looks for a change, at most once a second; what became
    unreadable keeps its last text, with one warning."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._prompt = Prompt()
        self._text = ""
        self._stamp: _Stamp | None = None
        self._look_at_s = 0.0
        self._is_lost = False

    async def use(self, prompt: Prompt) -> None:
        """From now on these settings. Raises ConfigError, and changes nothing then."""
        self.take(await self.read(prompt))

    async def read(self, prompt: Prompt) -> Reading:
        """The file of these settings, for ``take``. Raises ConfigError."""
        if prompt.file is None:
            return Reading(prompt, "", None)
        try:
            text, stamp = await asyncio.to_thread(_read, prompt.file)
        except (OSError, ValueError) as error:
            why = _why(error)
            raise ConfigError(f"SYSTEM_PROMPT_FILE_PATH: cannot be read ({why})") from None
        return Reading(prompt, text, stamp)

    def take(self, reading: Reading) -> None:
        """From now on the settings and the text that were read."""
        self._prompt, self._text, self._stamp = reading.prompt, reading.text, reading.stamp
        self._look_at_s = self._clock.monotonic() + LOOK_S
        self._is_lost = False

    async def apply(self, turn: Turn) -> None:
        """Put the text into the turn's system prompt; an empty one changes nothing."""
        if self._prompt.file is None:
            return
        await self._look(self._prompt.file)
        if self._text:
            turn.system = [self._text] if self._prompt.overwrites else [*turn.system, self._text]

    async def _look(self, path: Path) -> None:
        now_s = self._clock.monotonic()
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + LOOK_S
        try:
            if await asyncio.to_thread(_stamp, path) == self._stamp:
                return
            text, stamp = await asyncio.to_thread(_read, path)
        except (OSError, ValueError) as error:
            if not self._is_lost:
                _log.warning(
                    "SYSTEM_PROMPT_FILE_PATH: cannot be read (%s); its last text stays in use",
                    _why(error),
                )
            self._is_lost, self._stamp = True, None
            return
        if self._prompt.file == path:  # not replaced meanwhile
            self._text, self._stamp, self._is_lost = text, stamp, False
            _log.info("the system prompt was read again (%d characters)", len(text))


def _stamp(path: Path) -> _Stamp:
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> tuple[str, _Stamp]:
    stamp = _stamp(path)  # before the text: a change in between is seen at the next look
    with open_regular(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES} bytes")
    return data.decode("utf-8-sig").strip(), stamp


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return (error.strerror or "unreadable") if isinstance(error, OSError) else str(error)
