"""The two ways an answer reaches a client; both satisfy ``relay.Delivery``."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

from kiroproxy.api.encoder import AnswerFold, StreamEncoder
from kiroproxy.api.events import AnswerEvent, Ending
from kiroproxy.api.ignored import refuse_ignored
from kiroproxy.api.turn import Turn
from kiroproxy.errors import KiroProxyError
from kiroproxy.http import Exchange
from kiroproxy.http.messages import RawHeader
from kiroproxy.http.sse import SSEWriter
from kiroproxy.relay import Delivery
from kiroproxy.upstream import UpstreamResponse

_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.:\[\]-]")
_MOST_NAMES = 40
_MOST_CHARS = 100


@functools.lru_cache(maxsize=256)
def _who(account_id: str, model_id: str) -> tuple[RawHeader, RawHeader]:
    """The headers that name them. Always the same objects, so that whoever encodes them finds what it has
    made of them before by a look."""
    return (
        (b"x-kiroproxy-account", _shown(account_id)),
        (b"x-kiroproxy-model", _shown(model_id)),
    )


def _shown(name: str) -> bytes:
    return _NOT_A_NAME.sub("?", name).encode("ascii")


class AnswerHeaders:
    """Our own headers of an API answer. ``items`` is one list for good: whoever writes the head reads it
    then, and by then a try has said which account and model it is.

    Names come from clients and catalogues, so nothing but a name's characters goes into a header.
    ``strict``: what the model of a try would ignore is refused instead of named.
    """

    def __init__(self, turn: Turn, base: Iterable[RawHeader] = (), *, strict: bool = False) -> None:
        self._turn = turn
        self._strict = strict
        self.items = list(base)
        self._fixed = len(self.items)
        if turn.ignored:
            self.items += self._ignored()

    def set(self, account_id: str, model_id: str) -> None:
        """The try that is under way; the last one counts. Its model may have added to what is ignored.
        Raises RequestError in strict mode."""
        if self._strict:
            refuse_ignored(self._turn)
        ignored = self._ignored() if self._turn.ignored else ()
        who = _who(account_id[:_MOST_CHARS], model_id[:_MOST_CHARS])
        self.items[self._fixed :] = (*ignored, *who)

    def _ignored(self) -> list[RawHeader]:
        """Nothing is dropped in silence."""
        names = (_NOT_A_NAME.sub("?", name)[:60] for name in self._turn.ignored[:_MOST_NAMES])
        return [(b"x-kiroproxy-ignored", ", ".join(names).encode("ascii"))]


class StreamDelivery:
    """Encodes each batch and writes it as one chunk. A slow client pauses the upstream."""

    def __init__(
        self, exchange: Exchange, sse: SSEWriter, encoder: StreamEncoder, headers: AnswerHeaders
    ) -> None:
        self.committed = False
        self._headers = headers
        self._exchange = exchange
        self._encoder = encoder
        self._write = sse.write
        self._sse = sse

    def begin(self, account_id: str, model_id: str) -> None:
        self._headers.set(account_id, model_id)

    def deliver(self, batch: list[AnswerEvent]) -> None:
        self.committed = True
        data = self._encoder.events(batch)
        if data:
            self._write(data)

    def attach(self, response: UpstreamResponse) -> None:
        self._exchange.set_flow_callbacks(response.pause, response.resume)
        if self._exchange.write_paused:
            response.pause()

    def finish(self, ending: Ending) -> None:
        """The proper end of the answer and of the HTTP message."""
        self._sse.end(self._encoder.finish(ending))

    def fail(self, error: KiroProxyError) -> None:
        """The dialect's error event, then the end of the HTTP message: the event is what counts."""
        self._sse.end(self._encoder.fail(error))


class HeldStreamDelivery:
    """A stream that is sent whole: another delivery, with the events of the last try held back until
    ``release``. Nothing is committed before, so that a failure is still answered by another try."""

    def __init__(self, inner: StreamDelivery) -> None:
        self._inner = inner
        self._held: list[AnswerEvent] = []

    @property
    def committed(self) -> bool:
        return self._inner.committed

    def begin(self, account_id: str, model_id: str) -> None:
        self._held.clear()
        self._inner.begin(account_id, model_id)

    def deliver(self, batch: list[AnswerEvent]) -> None:
        self._held += batch

    def attach(self, response: UpstreamResponse) -> None:
        """No flow to couple: what comes is held here."""

    def release(self) -> None:
        """Everything, in one write."""
        if self._held:
            self._inner.deliver(self._held)


class WholeDelivery:
    """Folds the same events into one JSON body. Nothing is committed before the end."""

    committed = False

    def __init__(self, make_fold: Callable[[], AnswerFold], headers: AnswerHeaders) -> None:
        self._headers = headers
        self._make_fold = make_fold
        self._fold: AnswerFold  # of the try under way

    def begin(self, account_id: str, model_id: str) -> None:
        self._headers.set(account_id, model_id)
        self._fold = self._make_fold()

    def deliver(self, batch: list[AnswerEvent]) -> None:
        self._fold.events(batch)

    def attach(self, response: UpstreamResponse) -> None:
        """No flow to couple: the fold takes what comes."""

    def finish(self, ending: Ending) -> bytes:
        """The JSON body."""
        return self._fold.finish(ending)


class RecordedDelivery:
    """Another delivery, with the last try's events kept in ``said``."""

    def __init__(self, inner: Delivery, said: list[AnswerEvent]) -> None:
        self.committed = False
        self._inner = inner
        self._said = said

    def begin(self, account_id: str, model_id: str) -> None:
        self._said.clear()
        self._inner.begin(account_id, model_id)

    def deliver(self, batch: list[AnswerEvent]) -> None:
        self._inner.deliver(batch)
        self.committed = self._inner.committed
        self._said += batch

    def attach(self, response: UpstreamResponse) -> None:
        self._inner.attach(response)


def recorded(delivery: Delivery, said: list[AnswerEvent] | None) -> Delivery:
    """``delivery`` itself unless somebody keeps what is said."""
    return delivery if said is None else RecordedDelivery(delivery, said)
