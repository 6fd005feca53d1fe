"""One repair round, over a relay that plays answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from kiroproxy.api.events import (
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_START,
    AnswerEvent,
    Ending,
    Stop,
    Usage,
)
from kiroproxy.api.turn import Message, Text, Turn
from kiroproxy.errors import SchemaMismatchError, UpstreamError
from kiroproxy.relay import Delivery, Outcome
from kiroproxy.structured import StructuredRelay
from kiroproxy.upstream import UpstreamResponse
from kiroproxy.usage.record import Trace

SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
}


@dataclass
class Played:
    """Plays one list of batches per request, as the relay would deliver them."""

    answers: list[list[list[AnswerEvent]]]
    stop: Stop = Stop.END_TURN
    turns: list[Turn] = field(default_factory=list)

    async def answer(self, turn: Turn, delivery: Delivery, trace: Trace) -> Outcome:
        self.turns.append(turn)
        delivery.begin("acc", "model")
        for batch in self.answers[len(self.turns) - 1]:
            delivery.deliver(batch)
        number = len(self.turns)
        trace.tries = 1
        return Outcome(Ending(self.stop, Usage(10 * number, number, credits=0.5)))


class Taken:
    """A delivery that remembers."""

    committed = False

    def __init__(self) -> None:
        self.batches: list[list[AnswerEvent]] = []

    def begin(self, account_id: str, model_id: str) -> None:
        pass

    def deliver(self, batch: list[AnswerEvent]) -> None:
        self.batches.append(batch)

    def attach(self, response: UpstreamResponse) -> None:
        raise AssertionError("there is no response here")

    @property
    def text(self) -> str:
        return "".join(e[1] for batch in self.batches for e in batch if e[0] == TEXT)


def trace() -> Trace:
    return Trace("req_1", "client", "chat", 0.0)


def asked(schema: dict[str, object] | None = SCHEMA) -> Turn:
    return Turn("m", [Message("user", [Text("hello")])], output_schema=schema)


async def test_without_schema_nothing_is_held() -> None:
    relay, taken = Played([[[(TEXT, "a")], [(TEXT, "b")]]]), Taken()
    await StructuredRelay(relay).answer(asked(None), taken, trace())
    assert taken.batches == [[(TEXT, "a")], [(TEXT, "b")]]


async def test_fitting_answer_passes_at_once() -> None:
    relay, taken = Played([[[(TEXT, '{"a":')], [(TEXT, " 1}")]]]), Taken()
    traced = trace()
    outcome = await StructuredRelay(relay).answer(asked(), taken, traced)
    assert taken.batches == [[(TEXT, '{"a":'), (TEXT, " 1}")]]
    assert (traced.tries, outcome.doubtful, len(relay.turns)) == (1, "", 1)


async def test_misfit_is_asked_again_once() -> None:
    relay, taken = Played([[[(TEXT, "no")]], [[(TEXT, '{"a":1}')]]]), Taken()
    traced = trace()
    outcome = await StructuredRelay(relay).answer(asked(), taken, traced)
    assert taken.text == '{"a":1}'
    assert len(relay.turns[1].messages) == 3
    usage = outcome.ending.usage
    assert (usage.input_tokens, usage.output_tokens, usage.credits) == (20, 2, 1.0)
    assert traced.tries == 2
    assert "asked again" in outcome.doubtful


class Folded(Taken):
    """A whole answer: each try forgets what came before it."""

    def begin(self, account_id: str, model_id: str) -> None:
        self.batches = []


class Streamed(Taken):
    @property
    def committed(self) -> bool:  # type: ignore[override]
        return bool(self.batches)


@pytest.mark.parametrize("made", [Folded, Streamed])
async def test_thinking_of_both_rounds_is_in_either_form_of_the_answer(made: type[Taken]) -> None:
    first: list[AnswerEvent] = [(THINKING, "one"), (THINKING_END, "")]
    second: list[AnswerEvent] = [(THINKING, "two"), (THINKING_END, "")]
    relay = Played([[first, [(TEXT, "no")]], [second, [(TEXT, '{"a":1}')]]])
    taken = made()
    await StructuredRelay(relay).answer(asked(), taken, trace())
    told = [event for batch in taken.batches for event in batch]
    assert told == [*first, *second, (TEXT, '{"a":1}')]


async def test_misfit_twice_is_an_error_and_no_text() -> None:
    relay, taken = Played([[[(TEXT, "no")]], [[(TEXT, '{"a":"1"}')]]]), Taken()
    with pytest.raises(SchemaMismatchError, match=r"\$\.a must be a whole number"):
        await StructuredRelay(relay).answer(asked(), taken, trace())
    assert taken.batches == []
    assert len(relay.turns) == 2


@pytest.mark.parametrize("stop", [s for s in Stop if s is not Stop.END_TURN])
async def test_an_answer_that_was_cut_passes_as_it_is(stop: Stop) -> None:
    relay, taken = Played([[[(TEXT, '{"a"')]]], stop), Taken()
    traced = trace()
    outcome = await StructuredRelay(relay).answer(asked(), taken, traced)
    assert (taken.text, outcome.ending.stop, len(relay.turns)) == ('{"a"', stop, 1)


async def test_tool_calls_are_not_the_final_answer() -> None:
    batch: list[AnswerEvent] = [(TEXT, "Let me look."), (TOOL_START, "t", "Read"), (TOOL_END,)]
    relay, taken = Played([[batch]], Stop.TOOL_USE), Taken()
    await StructuredRelay(relay).answer(asked(), taken, trace())
    assert taken.batches == [batch]


async def test_a_second_try_of_the_relay_forgets_the_first() -> None:
    class Retrying(Played):
        async def answer(self, turn: Turn, delivery: Delivery, trace: Trace) -> Outcome:
            delivery.begin("other", "model")
            delivery.deliver([(TEXT, "half of it")])
            return await super().answer(turn, delivery, trace)

    taken = Taken()
    await StructuredRelay(Retrying([[[(TEXT, '{"a":1}')]]])).answer(asked(), taken, trace())
    assert taken.text == '{"a":1}'


async def test_failure_of_the_relay_comes_through() -> None:
    class Failing(Played):
        async def answer(self, turn: Turn, delivery: Delivery, trace: Trace) -> Outcome:
            raise UpstreamError("down")

    with pytest.raises(UpstreamError, match="down"):
        await StructuredRelay(Failing([])).answer(asked(), Taken(), trace())
