"""What comes after a failed try, as a table."""

import pytest

from kiroproxy.accounts import UNTRIED
from kiroproxy.errors import (
    ConnectError,
    ConnectionLostError,
    EventStreamError,
    IncompleteAnswerError,
    InternalError,
    KiroProxyError,
    NoAccountError,
    RequestError,
    StaleConnectionError,
    UpstreamError,
    UpstreamRefusedError,
    UpstreamTimeoutError,
)
from kiroproxy.kiro.replies import Action, Remedy, classify_reply
from kiroproxy.retry import RetryPolicy, Tries, next_step, retry_delay_s

POLICY = RetryPolicy(max_tries=6, max_retries=3, base_delay_s=0.5, max_delay_s=8)


def refused(action: Action, fallback: Action = Action.STOP) -> UpstreamRefusedError:
    return UpstreamRefusedError("no", status=400, remedy=Remedy(action, fallback=fallback))


FIRST = Tries(number=1)
ONCE = Tries(number=2, retries=1)
SPENT = Tries(
    number=2, retries=3, refreshed={"a"}, reasoning=False, extra_fields=False, excluded=UNTRIED
)

CASES: dict[str, tuple[KiroProxyError, Tries, Action]] = {
    "connect": (ConnectError("x"), FIRST, Action.RETRY),
    "stale": (StaleConnectionError("x"), FIRST, Action.RETRY),
    "cut before content": (ConnectionLostError("x"), FIRST, Action.RETRY),
    "corrupt before content": (EventStreamError("x"), FIRST, Action.RETRY),
    "empty answer": (IncompleteAnswerError("x"), FIRST, Action.RETRY),
    "empty answer, once is enough": (IncompleteAnswerError("x"), ONCE, Action.STOP),
    "cut, once is enough": (ConnectionLostError("x"), ONCE, Action.STOP),
    "connect again": (ConnectError("x"), ONCE, Action.RETRY),
    "connect, retries spent": (ConnectError("x"), SPENT, Action.STOP),
    "timeout is not asked twice": (UpstreamTimeoutError("x", phase="idle"), FIRST, Action.STOP),
    "other upstream": (UpstreamError("x"), FIRST, Action.STOP),
    "bad request": (RequestError("x"), FIRST, Action.STOP),
    "no account": (NoAccountError("x"), FIRST, Action.STOP),
    "our defect": (InternalError("x"), FIRST, Action.STOP),
    "refused: stop": (refused(Action.STOP), FIRST, Action.STOP),
    "refused: retry": (refused(Action.RETRY), FIRST, Action.RETRY),
    "refused: retry spent": (
        refused(Action.RETRY, Action.NEXT_ACCOUNT),
        SPENT,
        Action.NEXT_ACCOUNT,
    ),
    "refused: refresh": (refused(Action.REFRESH), FIRST, Action.REFRESH),
    "refused: refresh spent": (
        refused(Action.REFRESH, Action.NEXT_ACCOUNT),
        SPENT,
        Action.NEXT_ACCOUNT,
    ),
    "refused: reasoning": (refused(Action.STRIP_REASONING), FIRST, Action.STRIP_REASONING),
    "refused: reasoning spent": (refused(Action.STRIP_REASONING), SPENT, Action.STOP),
    "refused: fields": (refused(Action.STRIP_FIELDS), FIRST, Action.STRIP_FIELDS),
    "refused: fields spent": (refused(Action.STRIP_FIELDS), SPENT, Action.STOP),
    "refused: next": (refused(Action.NEXT_ACCOUNT), SPENT, Action.NEXT_ACCOUNT),
    "refused: both spent": (refused(Action.REFRESH, Action.RETRY), SPENT, Action.STOP),
    "refused: hosts are walked elsewhere": (refused(Action.NEXT_CANDIDATE), FIRST, Action.STOP),
    "refused: arn is chosen elsewhere": (
        refused(Action.ALTERNATE_ARN, Action.NEXT_ACCOUNT),
        FIRST,
        Action.NEXT_ACCOUNT,
    ),
    "refused without remedy": (UpstreamRefusedError("x", status=418), FIRST, Action.STOP),
}


@pytest.mark.parametrize("case", CASES)
def test_next_step(case: str) -> None:
    error, tries, expected = CASES[case]
    assert next_step(error, "a", tries, POLICY) is expected


@pytest.mark.parametrize("action", list(Action))
def test_last_try_always_stops(action: Action) -> None:
    tries = Tries(number=POLICY.max_tries)
    assert next_step(refused(action, action), "a", tries, POLICY) is Action.STOP


def test_another_account_may_be_refreshed_too() -> None:
    assert next_step(refused(Action.REFRESH), "b", SPENT, POLICY) is Action.REFRESH


def test_services_own_word_on_the_delay_counts() -> None:
    error = classify_reply(429, {"retry-after": "7"}.get, b'{"message":"Too many requests"}')
    assert retry_delay_s(error, 2, POLICY, lambda: 0.0) == 7


def test_delay_is_exponential_with_full_jitter_and_bounded() -> None:
    error = ConnectError("x")
    assert [retry_delay_s(error, n, POLICY, lambda: 1.0) for n in range(6)] == [0.5, 1, 2, 4, 8, 8]
    assert retry_delay_s(error, 3, POLICY, lambda: 0.25) == 1
