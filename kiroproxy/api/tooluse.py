"""Puts tool calls together from the service's tool events.

What makes this more than joining strings, each point seen in live streams by the authors of other
proxies: ids that are missing or come late, calls whose events interleave, inputs that arrive as objects
(whole, or growing with each event), an empty object in the first event, no ``stop`` at all.

One call at a time is *live* and streams its fragments as they come; the events of others wait until it
has ended, so that what comes out is never interleaved. A call ends by its ``stop``, or, where the service
sends none, by ``settle`` once its input is a whole JSON object. A call that is cut short is never ended:
that raises IncompleteAnswerError, and nobody gets to run it with half an input.

A call, in order (``_Call.phase``)::

    state     what comes                                  next
    WAITING   its turn, with name and id known            OPEN   (TOOL_START)
    OPEN      a fragment                                  OPEN   (TOOL_INPUT)
    OPEN      stop, with a whole object or nothing at all  ENDED  (TOOL_END)
    ENDED     another stop                                ENDED
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from kiroproxy.api.checks import load_input
from kiroproxy.api.events import TOOL_END, TOOL_INPUT, TOOL_START, AnswerEvent
from kiroproxy.errors import IncompleteAnswerError

MAX_INPUT_CHARS: Final = (
    32 * 1024 * 1024
)  # of all calls of one answer; as much as a request may have
MAX_CALLS: Final = 1_000  # of one answer; real ones have a dozen
_NOT_EXACT: Final = 2**53  # from here on floats leave out whole numbers
_DEEP: Final = 240  # the JSON writer ends at 254 levels, and each takes two characters at least


class Phase(enum.Enum):
    WAITING = enum.auto()
    OPEN = enum.auto()
    ENDED = enum.auto()


class _Call:
    """One tool call. Its input is text fragments or one object, never both."""

    __slots__ = ("empty_start", "fragments", "id", "name", "object", "phase", "sent", "stopped")

    def __init__(self, call_id: str | None, name: str | None) -> None:
        self.id = call_id
        self.name = name
        self.fragments: list[str] = []
        self.empty_start = False  # a first "{}", which is no fragment if another object follows
        self.object: dict[str, Any] = {}
        self.phase = Phase.WAITING
        self.sent = 0  # fragments that are out
        self.stopped = False

    def add(self, value: str | dict[str, Any] | None) -> None:
        """Raises IncompleteAnswerError for an input that cannot be put together."""
        if not value:  # also the {} that some streams open with: it is no fragment
            return
        if self.stopped:
            raise self._broken("goes on after its end")
        if isinstance(value, str):
            if self.object:
                raise self._broken("mixes text and objects")
            self._add_text(value)
            return
        if _is_deep(value):
            raise self._broken("is nested too deeply")
        if self.fragments or not _extends(value, self.object):
            raise self._broken("has parts that contradict each other")
        self.object = value

    def _add_text(self, text: str) -> None:
        if not self.fragments:
            if not text.strip(
                " \t\r\n"
            ):  # clients read what was sent as JSON, and blanks alone are none
                return
            if text == "{}" and not self.empty_start:
                self.empty_start = True
                return
            if self.empty_start and not text.startswith("{"):
                text = "{}" + text
        self.fragments.append(text)

    def whole(self) -> bool:
        """Whether the input is a whole JSON object already, with or without ``stop``."""
        return bool(self.object) or isinstance(self._parsed(), dict)

    def check(self) -> None:
        """Raises IncompleteAnswerError unless the stopped call's input is an object or empty."""
        if self.object or not self.fragments:
            return
        parsed = self._parsed()
        if not isinstance(parsed, dict):
            raise self._broken("was cut short")
        if sum(map(len, self.fragments)) > 2 * _DEEP and _is_deep(parsed):
            raise self._broken("is nested too deeply")

    def _parsed(self) -> object:
        return load_input("".join(self.fragments))

    def _broken(self, what: str) -> IncompleteAnswerError:
        name = f" of {self.name}" if self.name else ""
        return IncompleteAnswerError(
            f"The tool call{name} {what}, so it was not passed on as complete; ask again."
        )


class ToolAssembler:
    """``feed`` tool events; what is certain is appended to the list given.

    ``names``: the service's name of a tool → the client's. ``make_id`` is asked when a call ends and
    never had an id. ``ended``: how many calls were finished.
    """

    def __init__(self, names: Mapping[str, str], make_id: Callable[[], str]) -> None:
        self._names = names
        self._make_id = make_id
        self._calls: list[_Call] = []  # not ended ones, in order of first sight; the first is live
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._seen = 0
        self._chars = 0
        self.ended = 0

    @property
    def busy(self) -> bool:
        """Whether a call waits for more: nothing else may come out before it has ended."""
        return bool(self._calls)

    def feed(
        self,
        call_id: str | None,
        name: str | None,
        value: str | dict[str, Any] | None,
        stop: bool,
        out: list[AnswerEvent],
    ) -> None:
        """One event. Raises IncompleteAnswerError; ``out`` then holds what was good before."""
        call = self._find(call_id or None, name or None, bare_stop=stop and not value)
        if call is None:
            if not value:
                return  # a stop that belongs to nothing
            raise IncompleteAnswerError("The service sent a tool's input without naming the tool.")
        if call.name is None:
            call.name = name or None
        if isinstance(value, str):
            self._chars += len(value)
            if self._chars > MAX_INPUT_CHARS:
                raise IncompleteAnswerError("The answer's tool calls are larger than the limit.")
        call.add(value)
        call.stopped = call.stopped or stop
        self._advance(out)

    def settle(self, out: list[AnswerEvent], *, at_end: bool = False) -> None:
        """Something other than a tool event came, or (``at_end``) nothing follows at all.

        Calls whose input is whole end now though the service sent no stop. At the end the others raise
        IncompleteAnswerError.
        """
        while self._calls:
            call = self._calls[0]
            if not call.stopped and not call.whole():
                break
            call.stopped = True
            self._advance(out)
        if at_end and self._calls:
            name = f" of {self._calls[0].name}" if self._calls[0].name else ""
            raise IncompleteAnswerError(
                f"The answer ended inside the tool call{name}, so the call was not passed on as "
                "complete; ask again."
            )

    def forget(self) -> None:
        """Nobody wants the calls that have not ended."""
        self._calls.clear()

    def _find(self, call_id: str | None, name: str | None, *, bare_stop: bool) -> _Call | None:
        """The call an event belongs to, perhaps a new one; None if it cannot be said.

        Without an id, the name of a call that was stopped begins the next one. A stop alone does not: it
        is the same stop once more, and a call made of it would run the tool with nothing.
        """
        last = self._last
        same_name = last is not None and (name is None or last.name in (None, name))
        if call_id is None:
            if last is not None and same_name and (not last.stopped or name is None or bare_stop):
                return last
            return self._open(None, name) if name else None
        known = self._by_id.get(call_id)
        if (
            known is None
            and last is not None
            and last.id is None
            and same_name
            and not last.stopped
        ):
            last.id = call_id  # the id came late
            known = self._by_id[call_id] = last
        return known or self._open(call_id, name)

    def _open(self, call_id: str | None, name: str | None) -> _Call:
        self._seen += 1
        if self._seen > MAX_CALLS:
            raise IncompleteAnswerError(f"The answer has more than {MAX_CALLS} tool calls.")
        call = self._last = _Call(call_id, name)
        self._calls.append(call)
        if call_id is not None:
            self._by_id[call_id] = call
        return call

    def _advance(self, out: list[AnswerEvent]) -> None:
        """Let the live call go on; when it ends, the next one."""
        while self._calls:
            call = self._calls[0]
            if call.stopped and call.id is None:
                call.id = self._make_id()
            if call.phase is Phase.WAITING:
                if call.name is None or call.id is None:
                    if not call.stopped:
                        return
                    raise IncompleteAnswerError("The service sent a tool call without a name.")
                call.phase = Phase.OPEN
                out.append((TOOL_START, call.id, self._names.get(call.name, call.name)))
            out.extend((TOOL_INPUT, fragment) for fragment in call.fragments[call.sent :])
            call.sent = len(call.fragments)
            if not call.stopped:
                return
            call.check()
            if call.object:
                out.append((TOOL_INPUT, orjson.dumps(call.object).decode()))
            call.phase = Phase.ENDED
            call.fragments = []
            out.append((TOOL_END,))
            self.ended += 1
            self._calls.pop(0)


def _is_deep(value: Any) -> bool:
    """Whether an input cannot be written again, inside the levels that a dialect puts around it."""
    try:
        orjson.dumps([[[[[[[[value]]]]]]]])
    except orjson.JSONEncodeError:
        return True
    return False


def _extends(new: Any, old: Any) -> bool:
    """Whether ``new`` is ``old`` with more in it: some services resend a growing object each time."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and _extends(new[key], value) for key, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(new) >= len(old) and all(_extends(a, b) for a, b in zip(new, old, strict=False))
    if isinstance(old, str) and isinstance(new, str):
        return new.startswith(old)
    if _is_number(old) and _is_number(new):
        return _is_same_number(orjson.dumps(new), orjson.dumps(old))
    return type(new) is type(old) and bool(new == old)


def _is_number(value: Any) -> bool:
    """Also a fragment: a number as it was written."""
    return isinstance(value, int | float | orjson.Fragment) and not isinstance(value, bool)


def _is_same_number(new: bytes, old: bytes) -> bool:
    """Whether both spellings mean one number; a service may write 1.0 first and then 1."""
    if new == old:
        return True
    one = float(new)
    if one != float(old) or math.isinf(one):
        return False
    # Whole numbers of so many digits share a float with their neighbours.
    return abs(one) < _NOT_EXACT or not (_is_whole(new) and _is_whole(old))


def _is_whole(digits: bytes) -> bool:
    return digits.removeprefix(b"-").isdigit()
