"""An answer that has to fit a schema: what is held back, when it is checked, how it is asked again."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from kiroproxy.api.events import (
    REDACTED,
    SEARCH,
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_START,
    AnswerEvent,
)
from kiroproxy.api.fitting import complaints
from kiroproxy.api.turn import Message, Text, Turn
from kiroproxy.errors import SchemaMismatchError

_THINKING: Final = frozenset({THINKING, THINKING_END, REDACTED})


class HeldText:
    """Keeps an answer's text back until it has been looked at. Thinking in front of it passes.

    An answer that calls a tool is not the final one: from its first call on everything passes, the
    held text first. What stands before a web search is no part of the final text: it is left out,
    since clients read all text of an answer as one JSON value.
    """

    def __init__(self) -> None:
        self._held: list[AnswerEvent] = []
        self.free = False

    def feed(self, batch: list[AnswerEvent]) -> list[AnswerEvent]:
        """The events that may go on now."""
        if self.free:
            return batch
        passed: list[AnswerEvent] = []
        for event in batch:
            if self.free or (not self._held and event[0] in _THINKING):
                passed.append(event)
                continue
            self._held.append(event)
            if event[0] == SEARCH:
                passed += [kept for kept in self.release() if kept[0] != TEXT]
            elif event[0] == TOOL_START:
                self.free = True
                passed += self.release()
        return passed

    def release(self) -> list[AnswerEvent]:
        """Everything that is held; it is held no more."""
        held, self._held = self._held, []
        return held

    @property
    def text(self) -> str:
        return "".join(event[1] for event in self._held if event[0] == TEXT)


def faults_of(text: str, turn: Turn) -> list[str]:
    """What keeps a final answer from fitting the turn's schema."""
    return complaints(text, turn.output_schema) if turn.output_schema is not None else []


def asked_again(turn: Turn, text: str, faults: list[str]) -> Turn:
    """The same turn with the answer that does not fit, and what is wrong with it."""
    said = [Message("assistant", [Text(text)])] if text.strip() else []
    listed = "\n".join(f"- {fault}" for fault in faults)
    words = (
        "That answer does not fit the JSON schema:\n"
        f"{listed}\nAnswer again with the whole corrected JSON."
    )
    return replace(turn, messages=[*turn.messages, *said, Message("user", [Text(words)])])


def mismatch(faults: list[str]) -> SchemaMismatchError:
    """The error for an answer that does not fit the second time either."""
    return SchemaMismatchError(
        "The model's answer does not fit the requested JSON schema, also after it was asked to correct "
        f"it: {'; '.join(faults)}.",
        should_retry=False,
    )
