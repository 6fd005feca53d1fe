"""The reading side of a connection as a table.

* IDLE — between requests; no byte of the next one has come.
* HEAD, BODY — a request is coming in; each has its clock.
* ACTIVE — a request is being answered. Bytes that come meanwhile wait (pipelining), and when enough
  of them wait, reading stops. The state lasts until the answer is complete *and* its handler's task
  has ended, so that there is never more than one handler per connection.
* LINGER — the last answer is out, the sending side is shut; what still comes is dropped, until the
  client hangs up or the clock runs out.
* CLOSING — no more input; unsent bytes are leaving. CLOSED — the event loop has let go of the socket.
"""

from __future__ import annotations

import enum
from typing import Final


class State(enum.Enum):
    """See the module's docstring."""

    __hash__ = object.__hash__  # the same, without a call: tables are read with every step

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ACTIVE = "active"
    LINGER = "linger"
    CLOSING = "closing"
    CLOSED = "closed"


class Step(enum.Enum):
    """What can happen to a connection."""

    __hash__ = object.__hash__  # the same, without a call: tables are read with every step

    BYTES = "bytes"  # the first byte of a request
    BODY = "body"  # a head is complete, its body is not
    REQUEST = "request"  # a request is complete, or refused: it will be answered now
    KEEP = "keep"  # answered, the connection stays
    LINGER = "linger"  # answered for the last time, with input unread
    CLOSE = "close"  # no more input, flush and close
    LOST = "lost"  # the event loop says that the connection is over


TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    State.IDLE: {Step.BYTES: State.HEAD, Step.CLOSE: State.CLOSING, Step.LOST: State.CLOSED},
    State.HEAD: {
        Step.BODY: State.BODY,
        Step.REQUEST: State.ACTIVE,
        Step.CLOSE: State.CLOSING,
        Step.LOST: State.CLOSED,
    },
    State.BODY: {
        Step.REQUEST: State.ACTIVE,
        Step.CLOSE: State.CLOSING,
        Step.LOST: State.CLOSED,
    },
    State.ACTIVE: {
        Step.KEEP: State.IDLE,
        Step.LINGER: State.LINGER,
        Step.CLOSE: State.CLOSING,
        Step.LOST: State.CLOSED,
    },
    State.LINGER: {Step.CLOSE: State.CLOSING, Step.LOST: State.CLOSED},
    State.CLOSING: {Step.LOST: State.CLOSED},
    State.CLOSED: {},
}
"""A missing pair is a defect and raises KeyError."""

# Members as globals, for what each request comes by: to look a member up in its enum costs fifteen times as
# much on Python 3.11, a microsecond for every ten of them.
IDLE: Final = State.IDLE
HEAD: Final = State.HEAD
BODY: Final = State.BODY
ACTIVE: Final = State.ACTIVE
LINGER: Final = State.LINGER
BEGUN: Final = Step.BYTES
ASKED: Final = Step.REQUEST
KEPT: Final = Step.KEEP

#: Where bytes are taken as parts of a request.
READING: Final = frozenset({State.IDLE, State.HEAD, State.BODY})
