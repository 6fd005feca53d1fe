"""Kiro's events → the neutral answer, in order, complete, counted.

The way of a piece of text::

    TEXT event → thinking tags → code fence → stop sequences → max_tokens → TEXT

Steps that are not asked for do not exist; with none of them a batch of text takes one short path
(``feed``), which is what nearly every event of nearly every answer does.

Order is kept by three rules. Whatever is kept back is decided before a block of another kind begins. A
native thinking block ends when anything else comes. While a tool call is open, text waits.
"""

from __future__ import annotations

import itertools
import operator
import uuid
from collections.abc import Callable
from typing import Final

from kiroproxy.api.completion import Evidence, judge
from kiroproxy.api.events import (
    REDACTED,
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_INPUT,
    TOOL_START,
    AnswerEvent,
    Ending,
    Stop,
)
from kiroproxy.api.fences import FenceStripper
from kiroproxy.api.metering import Meter, UsageReader
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.api.stops import StopMatcher
from kiroproxy.api.thinking import ThinkingSplitter
from kiroproxy.api.tooluse import ToolAssembler
from kiroproxy.errors import IncompleteAnswerError, UpstreamError
from kiroproxy.kiro import events as kiro
from kiroproxy.kiro.replies import is_length_stop

_kind: Final = operator.itemgetter(0)
_text: Final = operator.itemgetter(1)
_WORTH_SPLITTING: Final = 3


_KIRO_TEXT: Final = kiro.TEXT  # a global is found faster than a module's attribute
_TEXT_ALONE: Final = frozenset({kiro.TEXT})
MAX_WAITING_EVENTS: Final = 100_000  # behind one open tool call; each is a few words of text


def make_tool_id() -> str:
    """An id in the service's own form, for a call that came without one."""
    return f"tooluse_{uuid.uuid4().hex[:22]}"


class Answer:
    """One answer. ``feed`` each read's events, then ``finish`` once.

    ``fault``: the error that ended the stream; what ``feed`` returned with it was still good. ``done``: a
    local stop was reached, nothing more needs to be read. ``content_seen``: anything of the answer came.
    ``doubtful``: why a whole-looking answer may not be, for the log; empty if it is sure.
    """

    def __init__(self, plan: AnswerPlan, make_id: Callable[[], str] = make_tool_id) -> None:
        self._plan = plan
        self.fault: UpstreamError | None = None
        self.done = False
        self.content_seen = False
        self.doubtful = ""
        # What text passes through; None where it is not asked for
        self._splitter = ThinkingSplitter() if plan.split_thinking else None
        self._fence = FenceStripper() if plan.strip_fence else None
        self._stops = StopMatcher(plan.stop_sequences) if plan.stop_sequences else None
        self._meter = Meter(plan.max_tokens)
        self._make_id = make_id
        self._tools: ToolAssembler | None = None  # from the first piece of a call on
        self._call_over = False  # the one call that is wanted is out
        # Text needs no step but counting.
        self._plain = not (plan.split_thinking or plan.strip_fence or plan.stop_sequences)
        # The open thinking block
        self._thinking_open = False
        self._signature: list[str] = []
        # For the end
        self._seen = Evidence()
        self._reader = UsageReader(plan)
        self._waiting: list[kiro.KiroEvent] = []

    def feed(self, events: list[kiro.KiroEvent]) -> list[AnswerEvent]:
        """The answer events of one read. Never raises for anything the service can send.

        Plain text takes the first branch: two list comprehensions and one count for the whole batch,
        because this runs for every read of every stream.
        """
        if self._plain:
            if len(events) == 1:  # at a model's pace
                (event,) = events
                if event[0] == _KIRO_TEXT and event[1] and self._meter.take_whole(event[1]):
                    self.content_seen = self._seen.text = True
                    return [(TEXT, event[1])]
            texts = [event[1] for event in events if event[0] == _KIRO_TEXT and event[1]]
            if len(texts) == len(events) and self._meter.take_batch(texts):
                if texts:
                    self.content_seen = self._seen.text = True
                return [(TEXT, text) for text in texts]
            if len(texts) >= _WORTH_SPLITTING and len(texts) < len(events):
                first = events[: len(texts)]
                is_run = _TEXT_ALONE.issuperset(map(_kind, first)) and all(map(_text, first))
                if is_run and self._meter.take_batch(texts):
                    # As a short answer has it: text, then its figures.
                    self.content_seen = self._seen.text = True
                    figures = self._feed_slowly(events[len(texts) :])
                    return [*[(TEXT, text) for text in texts], *figures]
                return self._feed_runs(events)
        return self._feed_slowly(events)

    def _feed_runs(self, events: list[kiro.KiroEvent]) -> list[AnswerEvent]:
        """Text with something between or behind it, as in the last read of every answer: a short answer
        is one single read. Its runs of text still take the short path."""
        out: list[AnswerEvent] = []
        between: list[kiro.KiroEvent] = []
        for kind, run in itertools.groupby(events, _kind):
            some = list(run)
            if kind != _KIRO_TEXT or not all(map(_text, some)):
                between += some
                continue
            if between:
                out += self._feed_slowly(between)
                between = []
            out += self.feed(some)
        return out + self._feed_slowly(between)

    def finish(self) -> tuple[list[AnswerEvent], Ending]:
        """After the last event: what was kept back, and how the answer ended.

        Raises IncompleteAnswerError when it is not whole; what was kept back is lost then.
        """
        out: list[AnswerEvent] = []
        if not (self.done or self._plain):  # plain text keeps nothing back
            self._finish_parts(out)
        usage = self._reader.usage(self._meter.output_tokens)
        if self._meter.thought:
            usage.reasoning_tokens = min(self._meter.reasoning_tokens, usage.output_tokens)
        self._seen.tool_calls = ended = self._tools.ended if self._tools is not None else 0
        if not ended:
            if self._stops is not None and self._stops.hit is not None:
                return out, Ending(Stop.STOP_SEQUENCE, usage, self._stops.hit)
            if self.done:
                return out, Ending(Stop.MAX_TOKENS, usage)
        self._seen.window_full = self._reader.window_full
        stop, self.doubtful = judge(self._seen)
        return out, Ending(stop, usage)

    # -- events ------------------------------------------------------------------------------------

    def _feed_slowly(self, events: list[kiro.KiroEvent]) -> list[AnswerEvent]:
        out: list[AnswerEvent] = []
        try:
            for event in events:
                if self.done or self.fault is not None:
                    break
                step = _STEPS.get(event[0])
                if step is not None:
                    step(self, event, out)
        except IncompleteAnswerError as error:
            self.fault = error
        self._update_plain()
        return out

    def _on_text(self, event: kiro.KiroEvent, out: list[AnswerEvent]) -> None:
        text: str = event[1]
        if not text or self._must_wait(event, out):
            return
        self.content_seen = True
        if self._splitter is None:
            self._end_thinking(out)
            self._put_text(text, out)
            return
        self._put_split(self._splitter.feed(text), out)

    def _on_tool(self, event: kiro.KiroEvent, out: list[AnswerEvent]) -> None:
        _, call_id, name, value, stop = event
        if self._call_over:
            return
        self.content_seen = True
        tools = self._tools
        if tools is None:
            tools = self._tools = ToolAssembler(self._plan.tool_names, self._make_id)
        if not tools.busy:
            self._flush_text(out)
            self._end_thinking(out)
            if self.done:
                return
        self._run_tools(tools, out, lambda made: tools.feed(call_id, name, value, stop, made))
        self._release_waiting(out)

    def _on_reasoning(self, event: kiro.KiroEvent, out: list[AnswerEvent]) -> None:
        _, text, signature, redacted = event
        if not (text or signature or redacted) or self._must_wait(event, out):
            return
        self.content_seen = True
        self._seen.thinking = True
        if not self._thinking_open or self._splitter is not None:
            self._flush_text(out)  # from here on tags are plain text
            if self.done:
                return
        if redacted:
            self._end_thinking(out)
            if self._plan.show_thinking:
                out.append((REDACTED, redacted))
        if text:
            if self._signature:  # a signed block is over: this is the next one
                self._end_thinking(out)
            self._put_thinking(text, out)
        if signature:
            if not self._thinking_open:
                self._open_thinking(out)
            self._signature.append(signature)

    def _on_metadata(self, event: kiro.KiroEvent, out: list[AnswerEvent]) -> None:
        self._reader.report(event[1])
        if event[2]:
            self._seen.stop_reason = event[2]

    def _on_metering(self, event: kiro.KiroEvent, out: list[AnswerEvent]) -> None:
        self._seen.metering = True
        self._reader.metering(event[1], event[2])

    def _on_context(self, event: kiro.KiroEvent, out: list[AnswerEvent]) -> None:
        self._seen.context = True
        self._reader.context(event[1], content_seen=self.content_seen)

    def _on_fault(self, event: kiro.KiroEvent, out: list[AnswerEvent]) -> None:
        """An answer that only reached its greatest length is a proper one, unless it is empty."""
        if self.content_seen and is_length_stop(event[1]):
            self._seen.length_stop = True
            self._finish_parts(out)
            self.done = True
            return
        self.fault = event[1]

    # -- text --------------------------------------------------------------------------------------

    def _put_split(self, pieces: list[AnswerEvent], out: list[AnswerEvent]) -> None:
        for piece in pieces:
            if self.done:
                return
            if piece[0] == THINKING:
                self._seen.thinking = True
                self._put_thinking(piece[1], out)
            elif piece[0] == THINKING_END:
                self._end_thinking(out)
            else:
                self._put_text(piece[1], out)

    def _put_text(self, text: str, out: list[AnswerEvent]) -> None:
        if self._fence is not None:
            text = self._fence.feed(text)
        self._put_bare(text, out)

    def _put_bare(self, text: str, out: list[AnswerEvent]) -> None:
        if self._stops is not None:
            text = self._stops.feed(text)
        self._put_last(text, out)
        if self._stops is not None and self._stops.hit is not None:
            self.done = True

    def _put_last(self, text: str, out: list[AnswerEvent]) -> None:
        fitting = self._meter.take(text)
        if fitting:
            self._seen.text = True
            out.append((TEXT, fitting))
        if len(fitting) < len(text):
            self._reach_limit()

    def _flush_text(self, out: list[AnswerEvent], *, at_end: bool = False) -> None:
        """Decide all that was kept back: a block of another kind, or nothing, follows."""
        if self._splitter is not None:
            splitter, self._splitter = self._splitter, None
            self._put_split(splitter.finish(at_end=at_end), out)
        if self._fence is not None and not self.done:
            self._put_bare(self._fence.finish(), out)
        if self._stops is not None and not self.done:
            self._put_last(self._stops.finish(), out)

    def _reach_limit(self) -> None:
        """``max_tokens``: nothing comes out after this."""
        self.done = True
        if self._stops is not None:
            self._stops.hit = None  # it lies behind the limit

    # -- thinking ----------------------------------------------------------------------------------

    def _put_thinking(self, text: str, out: list[AnswerEvent]) -> None:
        fitting = self._meter.take_thinking(text)
        if fitting:
            if self._plan.show_thinking:
                out.append((THINKING, fitting))
            self._thinking_open = True
        if len(fitting) < len(text):
            self._end_thinking(out)
            self._reach_limit()

    def _open_thinking(self, out: list[AnswerEvent]) -> None:
        """A block of which only the signature comes."""
        self._thinking_open = True
        if self._plan.show_thinking:
            out.append((THINKING, ""))

    def _end_thinking(self, out: list[AnswerEvent]) -> None:
        if self._thinking_open:
            self._thinking_open = False
            if self._plan.show_thinking:
                out.append((THINKING_END, "".join(self._signature)))
            self._signature = []

    # -- tools -------------------------------------------------------------------------------------

    def _run_tools(
        self,
        tools: ToolAssembler,
        out: list[AnswerEvent],
        step: Callable[[list[AnswerEvent]], None],
    ) -> None:
        made: list[AnswerEvent] = []
        try:
            step(made)
        finally:  # what was good before a broken call still goes out
            if self._plan.single_call:
                made = self._first_call(tools, made)
            out.extend(made)
            for event in made:
                if event[0] == TOOL_START:
                    self._meter.count_call(event[2])
                elif event[0] == TOOL_INPUT:
                    self._meter.count_input(event[1])

    def _first_call(self, tools: ToolAssembler, made: list[AnswerEvent]) -> list[AnswerEvent]:
        """``made`` up to the end of the answer's first call; others are forgotten. The rest of the stream
        is still read: its end tells what the answer cost."""
        if (TOOL_END,) not in made:
            return made
        self._call_over = True
        tools.forget()
        return made[: made.index((TOOL_END,)) + 1]

    def _must_wait(self, event: kiro.KiroEvent, out: list[AnswerEvent]) -> bool:
        """Whether a tool call is open, so that ``event`` has to stand behind it."""
        tools = self._tools
        if tools is None or not tools.busy:
            return False
        if not self._waiting and self._settle(tools, out):
            return False
        if len(self._waiting) >= MAX_WAITING_EVENTS:
            raise IncompleteAnswerError("A tool call of the answer was never ended; ask again.")
        self._waiting.append(event)
        return True

    def _settle(self, tools: ToolAssembler, out: list[AnswerEvent]) -> bool:
        """End the calls whose input is whole though the service did not say so; whether all were."""
        self._run_tools(tools, out, tools.settle)
        return not tools.busy

    def _release_waiting(self, out: list[AnswerEvent]) -> None:
        if self._waiting and not (self._tools and self._tools.busy):
            waiting, self._waiting = self._waiting, []
            for event in waiting:
                if self.done:
                    return
                _STEPS[event[0]](self, event, out)

    def _finish_parts(self, out: list[AnswerEvent]) -> None:
        """The end of the stream, for every part that may still hold something."""
        tools = self._tools
        if tools is not None and tools.busy:
            self._run_tools(tools, out, lambda made: tools.settle(made, at_end=True))
        self._release_waiting(out)
        self._flush_text(out, at_end=True)
        self._end_thinking(out)

    def _update_plain(self) -> None:
        """Whether the next batch may take the short path."""
        if self._splitter is not None and self._splitter.is_over:
            self._splitter = None
        self._plain = (
            self._splitter is None
            and self._fence is None
            and self._stops is None
            and self.fault is None
            and not (self.done or self._thinking_open or (self._tools and self._tools.busy))
        )


_Step = Callable[[Answer, kiro.KiroEvent, list[AnswerEvent]], None]
# Not bound methods: an answer that refers to itself lies in memory until a collection finds it.
_STEPS: Final[dict[int, _Step]] = {
    kiro.TEXT: Answer._on_text,
    kiro.TOOL: Answer._on_tool,
    kiro.REASONING: Answer._on_reasoning,
    kiro.METADATA: Answer._on_metadata,
    kiro.METERING: Answer._on_metering,
    kiro.CONTEXT: Answer._on_context,
    kiro.FAULT: Answer._on_fault,
}
