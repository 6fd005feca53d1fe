"""THE relay loop: one request of any dialect, from a lease to a proper end or one clear error.

Per upstream read everything happens in one plain call (``Pump.feed``): bytes → frames → Kiro's events
→ neutral events → the dialect's bytes → one chunk → one write. No task switch, no queue.

States of one request, in order:

    opening    lease an account, build the body, send; nothing of the answer has reached the client
    streaming  content has reached the client: from here on a failure is final
    ended      ``finish`` or an exception, exactly one of them

While opening, a failure may be answered by another try (``retry.next_step`` decides, purely); once
streaming it is raised, and the handler turns it into the dialect's error event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from kiroproxy import trylog
from kiroproxy.accounts import AccountManager, Lease
from kiroproxy.api.answer import Answer
from kiroproxy.api.events import AnswerEvent, Ending
from kiroproxy.api.search import query_of, search_answer
from kiroproxy.api.to_kiro import KiroRequest, build, conversation_id
from kiroproxy.api.tokens import estimate_turn
from kiroproxy.api.tools import DESCRIPTION_CHARS
from kiroproxy.api.turn import Turn
from kiroproxy.clock import Clock
from kiroproxy.errors import (
    EventStreamError,
    InternalError,
    Kind,
    KiroProxyError,
    NoAccountError,
    PeerProtocolError,
    UpstreamError,
    UpstreamRefusedError,
    let_go,
)
from kiroproxy.eventstream import FrameDecoder
from kiroproxy.ids import fraction, make_uuid
from kiroproxy.kiro.events import EventParser
from kiroproxy.kiro.replies import Action, Health, Remedy, prompt_too_long
from kiroproxy.kiro.websearch import (
    MAX_REPLY_BYTES,
    of_search_alone,
    parse_search_reply,
    search_payload,
)
from kiroproxy.metrics import Metrics
from kiroproxy.retry import RetryPolicy, Tries, next_step, retry_delay_s
from kiroproxy.upstream import UpstreamResponse
from kiroproxy.upstream.calls import KiroCalls
from kiroproxy.usage import Trace

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Of one answer's frames. Ours: 128,000 tokens, each in an event of its own, are under 25 MB. An answer
that is not streamed is held as a whole, and so is what waits behind an open tool call."""

_CUT_OFF: Final = InternalError("cut off")  # says nothing about the account


class Delivery(Protocol):
    """Where an answer goes: a stream or one JSON body."""

    @property
    def committed(self) -> bool:
        """Content has left for the client, so the request may not be repeated."""

    def begin(self, account_id: str, model_id: str) -> None:
        """A try starts with this account and the service's name of the model. Whatever an earlier try
        gave is forgotten (it was not committed)."""

    def deliver(self, batch: list[AnswerEvent]) -> None:
        """The events of one upstream read."""

    def attach(self, response: UpstreamResponse) -> None:
        """Couple the flow: a slow client pauses this response."""


@dataclass(slots=True)
class Outcome:
    """A proper end. ``doubtful``: why it was believed although the service did not say so."""

    ending: Ending
    doubtful: str = ""


class Answering(Protocol):
    """What serves a Turn: the relay, or what stands above it."""

    async def answer(self, turn: Turn, delivery: Delivery, trace: Trace) -> Outcome:
        """Deliver the answer. Raises KiroProxyError."""


class _Enough(Exception):
    """A local stop was reached: raised through ``pipe`` so that the upstream connection closes."""


class Pump:
    """One answer's way from socket reads to the delivery. The hot path of the whole program."""

    __slots__ = (
        "_answer",
        "_clock",
        "_decoder",
        "_deliver",
        "_left_bytes",
        "_parser",
        "first_event_at_s",
    )

    def __init__(self, answer: Answer, deliver: Callable[[list[AnswerEvent]], None], clock: Clock):
        self._decoder = FrameDecoder()
        self._parser = EventParser()
        self._answer = answer
        self._deliver = deliver
        self._clock = clock
        self._left_bytes = MAX_ANSWER_BYTES
        self.first_event_at_s: float | None = None

    def feed(self, data: bytes) -> None:
        """The body bytes of one socket read. Raises UpstreamError; all that was good before the fault
        has been delivered by then, so the cut is the same however the bytes were split. The one fault that
        looks at reads is an answer without an end."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise PeerProtocolError(
                f"The service's answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB, and was cut."
            )
        frames = self._decoder.feed(data)
        if frames:
            batch = self._answer.feed(self._parser.parse(frames))
            if batch:
                if self.first_event_at_s is None:
                    self.first_event_at_s = self._clock.monotonic()
                self._deliver(batch)
            if self._answer.fault is not None:
                raise self._answer.fault
            if self._answer.done:
                raise _Enough
        if self._decoder.fault is not None:
            raise self._decoder.fault

    def finish(self) -> Ending:
        """After the upstream's own end of message (or a local stop). Raises UpstreamError."""
        if not self._answer.done:
            self._decoder.finish()
        batch, ending = self._answer.finish()
        if batch:
            self._deliver(batch)
        return ending

    @property
    def unknown(self) -> dict[str, int]:
        """Event types nobody told us about, with their counts."""
        return self._parser.unknown


class Relay:
    """Serves Turns. One instance for the whole program. ``aliases``: a client's name of a model → what
    to look for in the accounts' catalogues."""

    def __init__(
        self,
        accounts: AccountManager,
        calls: KiroCalls,
        clock: Clock,
        metrics: Metrics,
        policy: RetryPolicy | None = None,
        rand: Callable[[], float] = fraction,
        aliases: Mapping[str, str] = MappingProxyType({}),
        description_chars: int = DESCRIPTION_CHARS,
    ) -> None:
        self._accounts = accounts
        self.configure(policy or RetryPolicy(), aliases, description_chars)
        self._calls = calls
        self._clock = clock
        self._metrics = metrics
        self._rand = rand

    def configure(
        self, policy: RetryPolicy, aliases: Mapping[str, str], description_chars: int
    ) -> None:
        """For the requests from now on. ``description_chars``: see ``to_kiro.build``."""
        self._policy = policy
        self._aliases = aliases
        self._description_chars = description_chars

    async def answer(self, turn: Turn, delivery: Delivery, trace: Trace) -> Outcome:
        """Deliver the answer to ``turn``. Raises KiroProxyError; ``delivery.committed`` then tells
        whether part of the answer is already out. ``trace`` is kept up to date meanwhile."""
        tries = Tries()
        invocation_id = make_uuid()
        attempt = self._search if query_of(turn) else self._generate
        lease = await self._accounts.lease(
            conversation_id(turn), tries.excluded, self._aliases.get(turn.model, turn.model)
        )
        failure: KiroProxyError | None = _CUT_OFF
        try:
            while True:
                tries.number += 1
                trace.tries = tries.number
                try:
                    outcome = await attempt(turn, lease, tries, invocation_id, delivery, trace)
                    failure = None
                    return outcome
                except KiroProxyError as error:
                    lease = await self._recover(error, turn, lease, tries, delivery)
                    let_go(error)
        except KiroProxyError as error:
            failure = error
            raise
        finally:
            self._accounts.release(lease, failure)

    async def _generate(
        self,
        turn: Turn,
        lease: Lease,
        tries: Tries,
        invocation_id: str,
        delivery: Delivery,
        trace: Trace,
    ) -> Outcome:
        """One try: build, send, then pump until the upstream's end or a local stop."""
        model = lease.model(lease.wanted)
        request = build(turn, model, self._description_chars, lease.session)

        def encode(profile_arn: str | None) -> bytes:
            return request.encode(
                profile_arn, reasoning=tries.reasoning, extra_fields=tries.extra_fields
            )

        answer = Answer(request.plan)
        _begin(lease, request.model_id, delivery, trace)
        begun_at_s = self._tell_begin(turn, lease, tries, trace)
        pump = Pump(answer, delivery.deliver, self._clock)
        try:
            response = await self._calls.generate(
                lease.identity, encode, invocation_id=invocation_id, attempt=tries.number
            )
            delivery.attach(response)
            try:
                await response.pipe(pump.feed)
            except _Enough:
                pass
            finally:
                response.close()
            ending = pump.finish()
        except KiroProxyError as error:
            raise _explained(error, request) from None
        finally:
            trace.first_event_at_s = pump.first_event_at_s
            self._tell_end(lease, tries, trace, begun_at_s)
            for name, count in pump.unknown.items():
                self._metrics.count_unknown_event(name, count)
        return Outcome(ending, answer.doubtful)

    async def _search(
        self,
        turn: Turn,
        lease: Lease,
        tries: Tries,
        invocation_id: str,
        delivery: Delivery,
        trace: Trace,
    ) -> Outcome:
        """The service's own web search in place of the model."""
        query = query_of(turn)
        _begin(lease, "web_search", delivery, trace)
        begun_at_s = self._tell_begin(turn, lease, tries, trace)
        payload = search_payload(invocation_id, query)
        try:
            body = await self._calls.mcp(lease.identity, payload, MAX_REPLY_BYTES)
        except UpstreamRefusedError as error:
            raise of_search_alone(error) from None
        finally:
            self._tell_end(lease, tries, trace, begun_at_s)
        call_id = f"srvtoolu_{invocation_id.replace('-', '')}"
        results = parse_search_reply(body)
        batch, ending = search_answer(call_id, query, results, estimate_turn(turn), turn.web_search)
        trace.first_event_at_s = self._clock.monotonic()
        delivery.deliver(batch)
        return Outcome(ending)

    async def _recover(
        self, error: KiroProxyError, turn: Turn, lease: Lease, tries: Tries, delivery: Delivery
    ) -> Lease:
        """The lease for the next try (this one, renewed or not, or another account's), or raise
        ``error``. The caller releases what comes back, or ``lease``: once too often does no harm."""
        step = Action.STOP
        if isinstance(error, UpstreamError) and not delivery.committed:
            step = next_step(error, lease.account_id, tries, self._policy)
        trylog.tell_failure(error, lease, tries, step)
        if trylog.is_told():
            trylog.tell_decision(error, tries, step, committed=delivery.committed)
        self._count_try(error, step)
        match step:
            case Action.RETRY:
                delay_s = retry_delay_s(error, tries.retries, self._policy, self._rand)
                if delay_s > self._policy.max_delay_s:
                    raise error  # the client is told the time and can wait better than we can
                tries.retries += 1
                await self._clock.sleep(delay_s)
                return lease
            case Action.REFRESH:
                tries.refreshed.add(lease.account_id)
                return await self._accounts.refresh(lease)
            case Action.STRIP_REASONING:
                tries.reasoning = False
                return lease
            case Action.STRIP_FIELDS:
                tries.extra_fields = False
                return lease
            case Action.NEXT_ACCOUNT:
                tries.excluded = lease.exclude.leave(lease.account_id)
                # Nobody holds one account and waits for another.
                self._accounts.release(lease, error)
                session = "" if query_of(turn) else lease.session  # a search moves no conversation
                try:
                    return await self._accounts.lease(session, tries.excluded, lease.wanted)
                except NoAccountError as none_left:
                    raise _truest(error, none_left) from None
            case _:
                raise error

    def _tell_begin(self, turn: Turn, lease: Lease, tries: Tries, trace: Trace) -> float | None:
        """When the try began, if anybody is to be told."""
        if not trylog.is_told():
            return None
        now_s = self._clock.monotonic()
        waited_s = now_s - trace.started_at_s
        trylog.tell_begin(lease, tries, turn.model, trace.upstream_model, waited_s)
        return now_s

    def _tell_end(self, lease: Lease, tries: Tries, trace: Trace, begun_at_s: float | None) -> None:
        if begun_at_s is not None:
            now_s = self._clock.monotonic()
            trylog.tell_end(lease, tries, begun_at_s, trace.first_event_at_s, now_s)

    def _count_try(self, error: KiroProxyError, step: Action) -> None:
        if step is not Action.STOP:
            self._metrics.count_retry(step.name.lower())
        if isinstance(error, EventStreamError):
            self._metrics.count_stream_error(type(error).__name__)


def _truest(error: KiroProxyError, none_left: NoAccountError) -> KiroProxyError:
    """What the client is told when the last account was left because of ``error``.

    When that was about the account, what all of them together say is truer: another one may be back
    sooner. Not when one of them is fine and has merely been tried: then ``error`` is all there is.
    """
    remedy = error.remedy if isinstance(error, UpstreamRefusedError) else None
    if not isinstance(remedy, Remedy) or remedy.health is Health.NONE:
        return error
    if none_left.kind is Kind.OVERLOADED and none_left.retry_after_s is None:
        return error
    none_left.upstream_request_id = error.upstream_request_id
    return none_left


def _begin(lease: Lease, model_id: str, delivery: Delivery, trace: Trace) -> None:
    trace.account = lease.account_id
    trace.upstream_model = model_id
    delivery.begin(lease.account_id, model_id)


def _explained(error: KiroProxyError, request: KiroRequest) -> KiroProxyError:
    """``error`` with what the request's size tells about it.

    An over-long prompt's message gets the numbers that clients look for. The service also calls a
    request "improperly formed" when it is only too long (seen since the 4.6 models): past the window by
    our own estimate, that is what it means, and clients can compact.
    """
    plan = request.plan
    if isinstance(error, UpstreamRefusedError) and plan.input_tokens > plan.context_window > 0:
        if error.kind is Kind.INVALID_REQUEST and "Improperly formed request" in error.message:
            error.kind = Kind.PROMPT_TOO_LONG
    if error.kind is Kind.PROMPT_TOO_LONG:
        error.message = prompt_too_long(plan.input_tokens, plan.context_window, error.message)
    return error
