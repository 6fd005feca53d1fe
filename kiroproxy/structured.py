"""Structured answers: above the relay, one repair round for an answer that does not fit its schema.

Kiro has no structured outputs. The schema stands in the prompt (``to_kiro``), a code fence around the
answer is taken off (``api.fences``), and here the text is held back until it is known to fit. If it does
not, the model is asked once more, with what is wrong; if that does not fit either, the client gets an
error and never JSON that breaks its contract. Answers that stopped for another reason than their own
end (length, refusal) pass as they are: the stop reason tells the client.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from kiroproxy.api.events import AnswerEvent, Ending, Stop
from kiroproxy.api.repair import HeldText, asked_again, faults_of, mismatch
from kiroproxy.api.turn import Turn
from kiroproxy.relay import Answering, Delivery, Outcome
from kiroproxy.upstream import UpstreamResponse
from kiroproxy.usage import Trace


class StructuredRelay:
    """Serves Turns like the relay it wraps; those without a schema go straight through."""

    def __init__(self, relay: Answering) -> None:
        self._relay = relay

    def answer(self, turn: Turn, delivery: Delivery, trace: Trace) -> Coroutine[Any, Any, Outcome]:
        """As ``Relay.answer``. Raises SchemaMismatchError too."""
        if turn.output_schema is None:
            return self._relay.answer(turn, delivery, trace)
        return self._fitting(turn, delivery, trace)

    async def _fitting(self, turn: Turn, delivery: Delivery, trace: Trace) -> Outcome:
        first = _Held(delivery)
        outcome = await self._relay.answer(turn, first, trace)
        faults = first.faults(turn, outcome.ending)
        if faults:
            again = asked_again(turn, first.text, faults)
            second = _Held(delivery, first.passed)
            tries, first_event_at_s = trace.tries, trace.first_event_at_s
            outcome = _both(outcome, await self._relay.answer(again, second, trace))
            trace.tries += tries
            trace.first_event_at_s = first_event_at_s
            faults = second.faults(turn, outcome.ending)
            if faults:
                raise mismatch(faults)
            first = second
        first.release()
        return outcome


class _Held:
    """A delivery that keeps the text back. ``before``: what the round before has shown, its thinking, which
    is part of the answer in either form; ``passed``: that and what this round has."""

    def __init__(self, delivery: Delivery, before: Sequence[AnswerEvent] = ()) -> None:
        self._delivery = delivery
        self._before = before
        self._kept = HeldText()
        self.passed = [*before]

    @property
    def committed(self) -> bool:
        return self._delivery.committed

    @property
    def text(self) -> str:
        return self._kept.text

    def begin(self, account_id: str, model_id: str) -> None:
        self._kept = HeldText()
        self._delivery.begin(account_id, model_id)
        if not self._delivery.committed:  # it has just forgotten all
            self.passed = []
            self._pass(self._before)

    def deliver(self, batch: list[AnswerEvent]) -> None:
        self._pass(self._kept.feed(batch))

    def attach(self, response: UpstreamResponse) -> None:
        self._delivery.attach(response)

    def faults(self, turn: Turn, ending: Ending) -> list[str]:
        if self._kept.free or ending.stop is not Stop.END_TURN:
            return []
        return faults_of(self._kept.text, turn)

    def release(self) -> None:
        self._pass(self._kept.release())

    def _pass(self, events: Sequence[AnswerEvent]) -> None:
        if events:
            self._delivery.deliver([*events])
            self.passed += events


def _both(first: Outcome, second: Outcome) -> Outcome:
    """The second round's outcome. Its input holds the first round's answer, so only credits add up."""
    usage = second.ending.usage
    if first.ending.usage.credits is not None:
        usage.credits = first.ending.usage.credits + (usage.credits or 0.0)
    second.doubtful = second.doubtful or "asked again: the first answer did not fit its schema"
    return second
