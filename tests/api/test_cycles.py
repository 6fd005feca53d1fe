"""What one answer is made of is gone when the answer is: nothing refers to itself, so that no text waits
for a garbage collection, and collections have nothing to do."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from kiroproxy.api.answer import Answer
from kiroproxy.api.anthropic import MessagesEncoder
from kiroproxy.api.anthropic.message import MessageFold
from kiroproxy.api.encoder import AnswerFold, StreamEncoder
from kiroproxy.api.events import TEXT, Ending, Stop, Usage
from kiroproxy.api.openai import ChatEncoder
from kiroproxy.api.openai.chat_message import ChatFold
from kiroproxy.api.openai.chat_wire import ChatStyle
from kiroproxy.api.openai.responses_message import ResponsesFold
from kiroproxy.api.openai.responses_stream import ResponsesEncoder
from kiroproxy.api.openai.responses_style import ResponsesStyle
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.api.thinking import ThinkingSplitter
from kiroproxy.errors import IncompleteAnswerError
from kiroproxy.kiro import events as kiro

FOLDS: list[Callable[[], AnswerFold]] = [
    lambda: MessageFold("msg_1", "m"),
    lambda: ChatFold("chatcmpl-1", "m", 0, ChatStyle()),
    lambda: ResponsesFold("resp_1", "m", 0, ResponsesStyle()),
]
ENCODERS: list[Callable[[], StreamEncoder]] = [
    lambda: MessagesEncoder("msg_1", "m"),
    lambda: ChatEncoder("chatcmpl-1", "m", 0, ChatStyle()),
    lambda: ResponsesEncoder("resp_1", "m", 0, ResponsesStyle()),
]


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("make", FOLDS)
def test_fold_is_gone_with_its_last_user(make: Callable[[], AnswerFold]) -> None:
    fold = make()
    fold.events([(TEXT, "a"), (TEXT, "b")])
    assert b"ab" in fold.finish(Ending(Stop.END_TURN, Usage(1)))
    seen = weakref.ref(fold)
    del fold
    assert seen() is None


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("make", ENCODERS)
def test_encoder_is_gone_with_its_last_user(make: Callable[[], StreamEncoder], ended: bool) -> None:
    encoder = make()
    assert b'"a"' in encoder.events([(TEXT, "a")])
    if ended:
        encoder.finish(Ending(Stop.END_TURN, Usage(1)))
    else:
        encoder.fail(IncompleteAnswerError("cut"))
    seen = weakref.ref(encoder)
    del encoder
    assert seen() is None


@pytest.mark.parametrize("split_thinking", [False, True])
def test_answer_is_gone_with_its_last_user(split_thinking: bool) -> None:
    answer = Answer(AnswerPlan(1, 1_000, split_thinking=split_thinking))
    assert answer.feed([(kiro.TEXT, "a"), (kiro.METADATA, None, "END_TURN", {})]) == [(TEXT, "a")]
    answer.finish()
    seen = weakref.ref(answer)
    del answer
    assert seen() is None


def test_splitter_is_gone_with_its_last_user() -> None:
    splitter = ThinkingSplitter()
    splitter.feed("a")
    seen = weakref.ref(splitter)
    del splitter
    assert seen() is None
