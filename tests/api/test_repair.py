"""What is held back of a structured answer, and how it is asked again."""

from __future__ import annotations

from kiroproxy.api.events import (
    REDACTED,
    SEARCH,
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_START,
    AnswerEvent,
)
from kiroproxy.api.repair import HeldText, asked_again, faults_of, mismatch
from kiroproxy.api.turn import Message, Text, Turn

SCHEMA = {"type": "object", "required": ["a"]}


def test_thinking_passes_and_text_is_held() -> None:
    held = HeldText()
    thinking: list[AnswerEvent] = [(THINKING, "hm"), (THINKING_END, ""), (REDACTED, "x")]
    assert held.feed([*thinking, (TEXT, "a")]) == thinking
    assert held.feed([(TEXT, "b")]) == []
    assert held.text == "ab"
    assert held.release() == [(TEXT, "a"), (TEXT, "b")]
    assert held.release() == []


def test_order_is_kept_when_thinking_comes_after_text() -> None:
    held = HeldText()
    assert held.feed([(TEXT, "a"), (THINKING, "hm"), (THINKING_END, ""), (TEXT, "b")]) == []
    assert [event[0] for event in held.release()] == [TEXT, THINKING, THINKING_END, TEXT]


def test_a_call_sets_everything_free() -> None:
    held = HeldText()
    assert held.feed([(TEXT, "I look it up.")]) == []
    call: list[AnswerEvent] = [(TOOL_START, "t1", "Read"), (TOOL_END,)]
    assert held.feed([*call]) == [(TEXT, "I look it up."), *call]
    assert held.feed([(TEXT, "more")]) == [(TEXT, "more")]
    assert held.free


def test_text_before_a_search_is_no_part_of_the_final_one() -> None:
    held = HeldText()
    search: AnswerEvent = (SEARCH, "s", "q", [], "")
    assert held.feed([(TEXT, "I search."), (THINKING, "hm"), (THINKING_END, "")]) == []
    assert held.feed([search]) == [(THINKING, "hm"), (THINKING_END, ""), search]
    assert held.feed([(TEXT, "{}")]) == []
    assert (held.text, held.free) == ("{}", False)


def test_asking_again_shows_answer_and_faults() -> None:
    turn = Turn("m", [Message("user", [Text("hello")])], output_schema=SCHEMA)
    faults = faults_of("{}", turn)
    assert faults == ["$ lacks the member 'a'"]
    again = asked_again(turn, "{}", faults)
    assert turn.messages == [Message("user", [Text("hello")])]
    assert [message.role for message in again.messages] == ["user", "assistant", "user"]
    assert again.messages[1].blocks == [Text("{}")]
    words = again.messages[2].blocks[0]
    assert isinstance(words, Text) and faults[0] in words.text
    assert again.output_schema == SCHEMA


def test_an_empty_answer_is_not_quoted() -> None:
    turn = Turn("m", [Message("user", [Text("hello")])], output_schema=SCHEMA)
    assert len(asked_again(turn, " ", ["x"]).messages) == 2


def test_mismatch_is_not_to_be_retried() -> None:
    error = mismatch(["$ lacks the member 'a'"])
    assert error.should_retry is False
    assert "lacks the member" in error.message


def test_no_schema_no_faults() -> None:
    assert faults_of("anything", Turn("m", [])) == []
