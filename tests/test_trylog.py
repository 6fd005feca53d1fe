"""Why a step was decided, in words."""

import pytest

from kiroproxy.errors import (
    ConnectError,
    ConnectionLostError,
    EventStreamError,
    IncompleteAnswerError,
    InternalError,
    KiroProxyError,
    StaleConnectionError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from kiroproxy.kiro.replies import Action, Remedy
from kiroproxy.trylog import reason

REFUSED = UpstreamRefusedError(
    "no", status=429, remedy=Remedy(Action.RETRY, fallback=Action.NEXT_ACCOUNT)
)
NOT_WHOLE = "the answer did not come whole, and may be billed"


@pytest.mark.parametrize(
    ("error", "step", "words"),
    [
        (REFUSED, Action.RETRY, "what this refusal asks for"),
        (REFUSED, Action.NEXT_ACCOUNT, "retry is used up"),
        (REFUSED, Action.STOP, "retry is used up"),
        (ConnectError("x"), Action.RETRY, "nothing was sent"),
        (StaleConnectionError("x"), Action.STOP, "nothing was sent"),
        (ConnectionLostError("x"), Action.RETRY, NOT_WHOLE),
        (EventStreamError("x"), Action.RETRY, NOT_WHOLE),
        (IncompleteAnswerError("x"), Action.STOP, NOT_WHOLE),
        (
            UpstreamTimeoutError("x", phase="idle"),
            Action.STOP,
            "a slow answer would be billed again",
        ),
        (InternalError("x"), Action.STOP, "no other try would help"),
    ],
)
def test_reason(error: KiroProxyError, step: Action, words: str) -> None:
    assert reason(error, step, committed=False) == words
    assert reason(error, Action.STOP, committed=True) == "part of the answer is out"
