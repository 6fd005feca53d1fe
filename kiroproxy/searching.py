"""Web search by the model: above the relay, the rounds of one answer.

The relay stays the only loop that tries and streams; each model request and each search is one call of
its ``answer``. Here is only what happens between them: ``api.search_rounds`` says what, as a table. A round
that fails or is cancelled ends the answer as any failure does: with an error, never with an end.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final

from kiroproxy.api.events import SEARCH, AnswerEvent, Ending, SearchHit, Stop, Usage
from kiroproxy.api.search import (
    INVALID_INPUT,
    TOO_MANY,
    UNAVAILABLE,
    findings,
    no_findings,
    search_turn,
    with_past_in_words,
    without_model,
)
from kiroproxy.api.search_rounds import (
    After,
    Budget,
    Round,
    SearchCall,
    after,
    asked_on,
    offering,
    on_offer,
    summed,
)
from kiroproxy.api.to_kiro import conversation_id
from kiroproxy.api.turn import Text, ToolResult, Turn, WebSearch
from kiroproxy.errors import UpstreamError
from kiroproxy.relay import Answering, Delivery, Outcome
from kiroproxy.upstream import UpstreamResponse
from kiroproxy.usage import Trace

_PUT_OFF: Final = "a web search beside calls of the client's tools was put off"


class SearchingRelay:
    """Serves Turns like the relay it wraps; those in which the model cannot search go straight through."""

    def __init__(self, relay: Answering) -> None:
        self._relay = relay

    def answer(self, turn: Turn, delivery: Delivery, trace: Trace) -> Coroutine[Any, Any, Outcome]:
        """As ``Relay.answer``."""
        if (direct := without_model(turn)) is not None:
            return self._relay.answer(direct, delivery, trace)
        search = on_offer(turn)
        if search is None:
            return self._relay.answer(with_past_in_words(turn), delivery, trace)
        return _Searching(self._relay, turn, search, delivery, trace).answer()


class _Searching:
    """One answer with its rounds."""

    def __init__(
        self, relay: Answering, turn: Turn, search: WebSearch, delivery: Delivery, trace: Trace
    ) -> None:
        self._relay = relay
        self._turn = turn
        self._search = search
        self._delivery = delivery
        self._trace = trace
        self._session = conversation_id(turn)
        self._budget = Budget(search.max_uses)
        self._shown: list[AnswerEvent] = []  # of the rounds that are over
        self._used: list[Usage] = []
        self._searches = 0
        self._doubtful = ""

    async def answer(self) -> Outcome:
        """Round after round. Raises KiroProxyError."""
        turn: Turn | None = replace(offering(self._turn, self._search), session=self._session)
        while turn is not None:
            delivery = _RoundDelivery(self._delivery, self._shown)
            ending = await self._ask(turn, delivery)
            match after(delivery.round, self._search):
                case After.ENDED:
                    return self._outcome(ending)
                case After.PUT_OFF:
                    self._doubtful = self._doubtful or _PUT_OFF
                    return self._outcome(ending)
                case After.SHOWN:
                    await self._run(delivery)
                    return self._outcome(ending)
                case After.SEARCHED:
                    results = await self._run(delivery)
                    spent = ending.usage.output_tokens
                    turn = asked_on(turn, delivery.round, results, self._budget, spent)
        return self._outcome(replace(ending, stop=Stop.MAX_TOKENS))

    async def _ask(self, turn: Turn, delivery: _RoundDelivery) -> Ending:
        """One request to the model. The trace tells of all of them together."""
        trace = self._trace
        tries, first_event_at_s = trace.tries, trace.first_event_at_s
        try:
            outcome = await self._relay.answer(turn, delivery, trace)
        finally:
            trace.tries += tries
            if first_event_at_s is not None:
                trace.first_event_at_s = first_event_at_s
        self._used.append(outcome.ending.usage)
        self._doubtful = outcome.doubtful or self._doubtful
        return outcome.ending

    async def _run(self, delivery: _RoundDelivery) -> list[ToolResult]:
        """All searches of a round, one after another; each is shown when it is done."""
        calls = delivery.round.calls
        granted = self._budget.take(calls)
        results = []
        for number, call in enumerate(calls):
            hits: list[SearchHit] = []
            if not call.query:
                error, words = INVALID_INPUT, "the input needs a query that is not empty"
            elif number >= granted:
                error, words = TOO_MANY, "no more searches in this answer; answer without"
            else:
                hits, words = await self._found(call)
                error = UNAVAILABLE if words else ""
            delivery.deliver([(SEARCH, call.id, call.query, hits, error)])
            told = no_findings(words) if error else findings(hits)
            results.append(ToolResult(call.id, [Text(told)], is_error=bool(error)))
        self._shown = delivery.shown
        return results

    async def _found(self, call: SearchCall) -> tuple[list[SearchHit], str]:
        """What a search found, or why it failed: the model can go on without."""
        trace = replace(self._trace, tries=0)  # the record names the model, not the search
        taken = _Taken()
        self._searches += 1
        asked = search_turn(self._turn, self._search, call.query, self._session)
        try:
            await self._relay.answer(asked, taken, trace)
        except UpstreamError as error:
            return [], error.message or type(error).__name__
        finally:
            self._trace.tries += trace.tries
        return taken.hits, ""

    def _outcome(self, ending: Ending) -> Outcome:
        usage = summed(self._used, self._searches)
        return Outcome(replace(ending, usage=usage), self._doubtful)


class _RoundDelivery:
    """A delivery of one round: calls of the search are kept, and a further try of the round forgets this
    round alone.

    ``committed`` is what the relay has to know: whether something of *this* round has left, so that a
    later round's request may be tried again as the first one's. ``shown``: all that has been delivered.
    """

    def __init__(self, delivery: Delivery, before: list[AnswerEvent]) -> None:
        self._delivery = delivery
        self._before = before
        self.shown = [*before]
        self.round = Round()

    @property
    def committed(self) -> bool:
        return self._delivery.committed and len(self.shown) > len(self._before)

    def begin(self, account_id: str, model_id: str) -> None:
        self.round = Round()
        if self._before and self._delivery.committed:
            return  # the head has gone out with the first round
        self.shown = [*self._before]
        self._delivery.begin(account_id, model_id)
        if self._before:
            self._delivery.deliver(self._before)

    def deliver(self, batch: list[AnswerEvent]) -> None:
        shown = self.round.feed(batch)
        if shown:
            self._delivery.deliver(shown)
            self.shown += shown

    def attach(self, response: UpstreamResponse) -> None:
        self._delivery.attach(response)


class _Taken:
    """A delivery that keeps what a search found."""

    committed = False

    def __init__(self) -> None:
        self.hits: list[SearchHit] = []

    def begin(self, account_id: str, model_id: str) -> None:
        """A search that is tried again has told nothing yet."""

    def deliver(self, batch: list[AnswerEvent]) -> None:
        self.hits = [hit for event in batch if event[0] == SEARCH for hit in event[3]]

    def attach(self, response: UpstreamResponse) -> None:
        """Searches are read whole."""
