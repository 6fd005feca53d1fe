"""The rounds of a web search beside tools: what is taken out, what follows, what goes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.events import (
    REDACTED,
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_INPUT,
    TOOL_START,
    AnswerEvent,
    Source,
    Usage,
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
    shown_id,
    summed,
)
from kiroproxy.api.turn import (
    Message,
    Reasoning,
    RedactedReasoning,
    Text,
    Tool,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    ToolUse,
    Turn,
    WebSearch,
)
from kiroproxy.errors import IncompleteAnswerError

READ = Tool("Read", "", {})
HERE = WebSearch("web_search", comes_back=True)
GONE = WebSearch("web_search")


def call(name: str, *fragments: str, call_id: str = "tooluse_1") -> list[AnswerEvent]:
    inputs: list[AnswerEvent] = [(TOOL_INPUT, fragment) for fragment in fragments]
    return [(TOOL_START, call_id, name), *inputs, (TOOL_END,)]


def search(query: str = "kiro", call_id: str = "tooluse_1") -> list[AnswerEvent]:
    return call("web_search", '{"query": ', f'"{query}"', "}", call_id=call_id)


def asked(**more: object) -> Turn:
    turn = Turn("m", [Message("user", [Text("q")])], tools=[READ], web_search=HERE)
    for name, value in more.items():
        setattr(turn, name, value)
    return turn


def done(*events: AnswerEvent) -> Round:
    made = Round()
    made.feed([*events])
    return made


def test_calls_of_the_search_are_taken_out_however_the_batches_are_cut() -> None:
    read = call("Read", "{}", call_id="tooluse_2")
    events = [(TEXT, "a"), (TEXT, "b"), *search(), *read, *search("b", "tooluse_3"), (TEXT, "c")]
    kept = [(TEXT, "a"), (TEXT, "b"), *read, (TEXT, "c")]
    for size in range(1, len(events) + 1):
        made = Round()
        shown: list[AnswerEvent] = []
        for at in range(0, len(events), size):
            shown += made.feed(events[at : at + size])
        assert shown == kept
        assert made.calls == [SearchCall("srvtoolu_1", "kiro"), SearchCall("srvtoolu_3", "b")]
        assert made.has_client_calls


def test_text_passes_untouched() -> None:
    batch: list[AnswerEvent] = [(TEXT, "a")]
    assert Round().feed(batch) is batch


@pytest.mark.parametrize(
    ("written", "query"),
    [
        ('{"query":" a "}', "a"),
        ("", ""),
        ("{}", ""),
        ('{"query":7}', ""),
        ('{"query":"a\\ud83d"}', "a\ufffd"),
        ("[1]", ""),
        ("{", ""),
    ],
)
def test_query(written: str, query: str) -> None:
    (made,) = done(*call("web_search", written)).calls
    assert made.query == query


def test_message_has_all_that_the_model_said_and_its_calls() -> None:
    made = done(
        (THINKING, "h"), (THINKING, "m"), (THINKING_END, "sig"), (REDACTED, "x"),
        (TEXT, "I "), (TEXT, "look."), *search(), *call("web_search", call_id="t:2"),
    )  # fmt: skip
    assert made.message() == Message(
        "assistant",
        [
            Reasoning("hm", "sig"),
            RedactedReasoning("x"),
            Text("I look."),
            ToolUse("srvtoolu_1", "web_search", {"query": "kiro"}),
            ToolUse("srvtoolu_t_2", "web_search", {}),
        ],
    )


@pytest.mark.parametrize(
    ("events", "search_", "then"),
    [
        ([(TEXT, "a")], HERE, After.ENDED),
        (call("Read"), HERE, After.ENDED),
        (search(), HERE, After.SEARCHED),
        (search(), GONE, After.SEARCHED),
        ([*search(), *call("Read")], HERE, After.SHOWN),
        ([*search(), *call("Read")], GONE, After.PUT_OFF),
    ],
)
def test_after(events: list[AnswerEvent], search_: WebSearch, then: After) -> None:
    assert after(done(*events), search_) is then


def test_the_search_is_offered_beside_tools_and_alone() -> None:
    assert on_offer(asked()) is HERE
    assert on_offer(asked(tools=[])) is HERE
    assert on_offer(asked(tool_choice=ToolChoice(ToolChoiceKind.NONE))) is None
    turn = asked()
    offered = offering(turn, HERE)
    assert [tool.name for tool in offered.tools] == ["Read", "web_search"]
    assert (offered.web_search, turn.tools) == (None, [READ])
    assert offered.ignored is turn.ignored  # what a model cannot do is still told to the client
    assert "by itself" in offering(turn, GONE).tools[1].description
    assert "by itself" not in offered.tools[1].description
    (only,) = offering(asked(tools=[]), GONE).tools
    assert only.name == "web_search" and "by itself" not in only.description


def test_budget() -> None:
    budget = Budget(3)
    one = SearchCall("a", "q")
    assert budget.take([one, one]) == 2
    assert budget.take([one, one]) == 1
    assert budget.is_spent
    assert budget.take([one]) == 0
    with pytest.raises(IncompleteAnswerError, match="max_uses: 3"):
        budget.take([one])


@given(st.integers(1, 9), st.lists(st.integers(1, 4), max_size=20))
def test_budget_is_never_passed(max_uses: int, rounds: list[int]) -> None:
    budget, granted = Budget(max_uses), 0
    try:
        for count in rounds:
            granted += budget.take([SearchCall("a", "q")] * count)
    except IncompleteAnswerError:
        assert granted == max_uses
    assert granted <= max_uses


def test_next_turn() -> None:
    turn = offering(asked(max_tokens=100), HERE)
    made = done((TEXT, "I look."), *search())
    results = [ToolResult("srvtoolu_1", [Text("found")])]
    on = asked_on(turn, made, results, Budget(8), 60)
    assert on is not None
    assert on.messages == [*turn.messages, made.message(), Message("user", [*results])]
    assert (on.max_tokens, on.tools) == (40, turn.tools)
    assert asked_on(turn, made, results, Budget(8), 100) is None
    last = asked_on(turn, made, results, Budget(0), 1)
    assert last is not None and last.tools == [READ]


@pytest.mark.parametrize(
    ("before", "then"),
    [
        (ToolChoice(), ToolChoice()),
        (ToolChoice(ToolChoiceKind.ANY), ToolChoice()),
        (ToolChoice(ToolChoiceKind.NAMED, "web_search"), ToolChoice()),
        (ToolChoice(ToolChoiceKind.NAMED, "Read"), ToolChoice(ToolChoiceKind.NAMED, "Read")),
    ],
)
def test_a_choice_holds_until_it_is_followed(before: ToolChoice, then: ToolChoice) -> None:
    on = asked_on(offering(asked(tool_choice=before), HERE), done(*search()), [], Budget(8), 0)
    assert on is not None and on.tool_choice == then


def test_sum_is_as_sure_as_its_least_sure_part() -> None:
    one = Usage(10, 1, 2, 3, Source.REPORTED, 0.5, reasoning_tokens=1)
    two = Usage(20, 2, 4, 6, Source.DERIVED, None, reasoning_tokens=2)
    assert summed([one, two], 3) == Usage(
        30, 3, 6, 9, Source.DERIVED, 0.5, web_searches=3, reasoning_tokens=3, rounds=(one, two)
    )
    assert summed([one, one], 1).source is Source.REPORTED
    assert summed([two, Usage(1)], 1).source is Source.ESTIMATED
    assert summed([one], 0) is one
    assert summed([one], 1) == Usage(
        10, 1, 2, 3, Source.REPORTED, 0.5, web_searches=1, reasoning_tokens=1
    )
    assert summed([Usage(1), Usage(2)], 1).credits is None


def test_shown_ids_fit() -> None:
    assert shown_id("tooluse_aB-9") == "srvtoolu_aB_9"
    assert len(shown_id("x" * 200)) == 64
