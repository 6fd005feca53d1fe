"""The rounds of a search over a relay that plays answers: what is forgotten, what may be tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from kiroproxy.api.events import (
    SEARCH,
    TEXT,
    TOOL_END,
    TOOL_INPUT,
    TOOL_START,
    AnswerEvent,
    Ending,
    SearchHit,
    Stop,
    Usage,
)
from kiroproxy.api.search import query_of
from kiroproxy.api.turn import Message, Text, Tool, Turn, WebSearch
from kiroproxy.errors import NoAccountError, UpstreamError, UpstreamTimeoutError
from kiroproxy.relay import Delivery, Outcome
from kiroproxy.searching import SearchingRelay
from kiroproxy.upstream import UpstreamResponse
from kiroproxy.usage.record import Trace

HITS = [SearchHit("A", "https://a", "words")]
CALL: list[AnswerEvent] = [
    (TOOL_START, "tooluse_1", "web_search"),
    (TOOL_INPUT, '{"query":"kiro"}'),
    (TOOL_END,),
]
FOUND: AnswerEvent = (SEARCH, "srvtoolu_1", "kiro", HITS, "")
Answering = Callable[[Turn, Delivery], None]


@dataclass
class Played:
    """One function a request to the model; searches find HITS or raise ``search_error``."""

    answers: list[Answering]
    search_error: Exception | None = None
    doubt: str = ""
    turns: list[Turn] = field(default_factory=list)
    searches: list[Turn] = field(default_factory=list)

    async def answer(self, turn: Turn, delivery: Delivery, trace: Trace) -> Outcome:
        trace.tries = 1
        if query_of(turn):
            self.searches.append(turn)
            trace.upstream_model = "web_search"
            delivery.begin("acc", "web_search")
            if self.search_error is not None:
                raise self.search_error
            delivery.deliver([(SEARCH, "own", "kiro", HITS, ""), (TEXT, "for readers")])
            return Outcome(Ending(Stop.END_TURN, Usage(1, web_searches=1)))
        self.turns.append(turn)
        trace.upstream_model = "model"
        trace.first_event_at_s = 10.0 * len(self.turns)
        number = len(self.turns)
        self.answers[number - 1](turn, delivery)
        return Outcome(Ending(Stop.END_TURN, Usage(number, number)), self.doubt)


def says(*events: AnswerEvent) -> Answering:
    def play(turn: Turn, delivery: Delivery) -> None:
        delivery.begin("acc", "model")
        for event in events:
            delivery.deliver([event])

    return play


class Streamed:
    """A delivery whose events leave at once."""

    def __init__(self) -> None:
        self.events: list[AnswerEvent] = []
        self.begun = 0

    @property
    def committed(self) -> bool:
        return bool(self.events)

    def begin(self, account_id: str, model_id: str) -> None:
        self.begun += 1

    def deliver(self, batch: list[AnswerEvent]) -> None:
        assert batch
        self.events += batch

    def attach(self, response: UpstreamResponse) -> None:
        raise AssertionError("there is no response here")


class Folded(Streamed):
    """A delivery that begins anew with each try."""

    @property
    def committed(self) -> bool:
        return False

    def begin(self, account_id: str, model_id: str) -> None:
        super().begin(account_id, model_id)
        self.events = []


def trace() -> Trace:
    return Trace("req_1", "client", "chat", 0.0)


def asked() -> Turn:
    tools = [Tool("Read", "", {})]
    search = WebSearch("web_search")
    return Turn("m", [Message("user", [Text("hello")])], tools=tools, web_search=search)


@pytest.mark.parametrize("kind", [Streamed, Folded])
async def test_rounds_are_one_answer(kind: type[Streamed]) -> None:
    relay = Played([says((TEXT, "a"), *CALL), says((TEXT, "b"))], doubt="hm")
    taken, traced = kind(), trace()
    outcome = await SearchingRelay(relay).answer(asked(), taken, traced)
    assert taken.events == [(TEXT, "a"), FOUND, (TEXT, "b")]
    usage = outcome.ending.usage
    assert (usage.input_tokens, usage.output_tokens, usage.web_searches) == (3, 3, 1)
    assert (outcome.ending.stop, outcome.doubtful) == (Stop.END_TURN, "hm")
    assert (traced.tries, traced.first_event_at_s, traced.upstream_model) == (3, 10.0, "model")
    sessions = {turn.session for turn in (*relay.turns, *relay.searches)}
    assert len(sessions) == 1 and "" not in sessions


def tried_twice(first: list[AnswerEvent], committed: list[bool]) -> Answering:
    def play(turn: Turn, delivery: Delivery) -> None:
        delivery.begin("one", "model")
        if first:
            delivery.deliver(first)
        committed.append(delivery.committed)
        delivery.begin("two", "model")
        delivery.deliver([(TEXT, "b")])

    return play


@pytest.mark.parametrize("kind", [Streamed, Folded])
async def test_a_later_round_begins_anew_without_losing_the_first(kind: type[Streamed]) -> None:
    """Part of a call of the search that broke off is no part of the answer either."""
    committed: list[bool] = []
    relay = Played([says((TEXT, "a"), *CALL), tried_twice(CALL[:2], committed)])
    taken = kind()
    await SearchingRelay(relay).answer(asked(), taken, trace())
    assert taken.events == [(TEXT, "a"), FOUND, (TEXT, "b")]
    assert committed == [False]


async def test_a_whole_answer_forgets_half_a_round() -> None:
    committed: list[bool] = []
    relay = Played([says((TEXT, "a"), *CALL), tried_twice([(TEXT, "half")], committed)])
    taken = Folded()
    await SearchingRelay(relay).answer(asked(), taken, trace())
    assert taken.events == [(TEXT, "a"), FOUND, (TEXT, "b")]
    assert committed == [False]


async def test_what_has_left_in_a_round_is_committed() -> None:
    committed: list[bool] = []
    relay = Played([says(*CALL), tried_twice([(TEXT, "half")], committed)])
    await SearchingRelay(relay).answer(asked(), Streamed(), trace())
    assert committed == [True]


@pytest.mark.parametrize(
    "error", [UpstreamError("down"), UpstreamTimeoutError("down", phase="first_byte")]
)
async def test_a_failed_search_is_told_to_the_model(error: UpstreamError) -> None:
    relay = Played([says(*CALL), says((TEXT, "b"))], error)
    taken = Streamed()
    outcome = await SearchingRelay(relay).answer(asked(), taken, trace())
    assert taken.events[0] == (SEARCH, "srvtoolu_1", "kiro", [], "unavailable")
    (result,) = relay.turns[1].messages[-1].blocks
    assert result == result.__class__("srvtoolu_1", [Text("The web search failed: down")], True)
    assert outcome.ending.usage.web_searches == 1


async def test_an_error_that_is_no_failure_of_the_search_comes_through() -> None:
    relay = Played([says(*CALL)], NoAccountError("none is left"))
    with pytest.raises(NoAccountError):
        await SearchingRelay(relay).answer(asked(), Streamed(), trace())


async def test_a_call_without_a_query_is_told_and_not_run() -> None:
    relay = Played([says(CALL[0], CALL[2]), says((TEXT, "b"))])
    taken = Streamed()
    await SearchingRelay(relay).answer(asked(), taken, trace())
    assert taken.events[0] == (SEARCH, "srvtoolu_1", "", [], "invalid_tool_input")
    assert not relay.searches


async def test_a_search_that_is_put_off_is_noted() -> None:
    relay = Played([says(*CALL, (TOOL_START, "t", "Read"), (TOOL_END,))])
    taken = Streamed()
    outcome = await SearchingRelay(relay).answer(asked(), taken, trace())
    assert taken.events == [(TOOL_START, "t", "Read"), (TOOL_END,)]
    assert "put off" in outcome.doubtful
    assert not relay.searches


async def test_a_search_alone_is_the_models_too() -> None:
    relay = Played([says(*CALL), says((TEXT, "b"))])
    taken = Streamed()
    turn = asked()
    turn.tools = []
    outcome = await SearchingRelay(relay).answer(turn, taken, trace())
    assert taken.events == [FOUND, (TEXT, "b")]
    assert [tool.name for tool in relay.turns[0].tools] == ["web_search"]
    assert [query_of(search) for search in relay.searches] == ["kiro"]
    assert outcome.ending.usage.web_searches == 1


async def test_words_that_ask_for_one_search_need_no_model() -> None:
    relay = Played([])
    words = "Perform a web search for the query: kiro"
    search = WebSearch("web_search", comes_back=True)
    turn = Turn("m", [Message("user", [Text(words)])], web_search=search)
    await SearchingRelay(relay).answer(turn, Streamed(), trace())
    assert [query_of(search) for search in relay.searches] == ["kiro"]


async def test_other_turns_go_straight_through() -> None:
    turn = asked()
    turn.web_search = None
    relay = Played([says(*CALL)])
    taken = Streamed()
    await SearchingRelay(relay).answer(turn, taken, trace())
    assert taken.events == CALL
    assert relay.turns[0] is turn
