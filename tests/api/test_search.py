"""A search alone, its domains, and searches that come back in a history."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kiroproxy.api.events import SEARCH, SearchHit
from kiroproxy.api.search import (
    findings,
    hosted_result,
    hosted_use,
    is_allowed,
    query_of,
    search_answer,
    search_turn,
    with_past_in_words,
    without_model,
)
from kiroproxy.api.turn import (
    Image,
    Message,
    Text,
    Tool,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    ToolUse,
    Turn,
    WebSearch,
)
from kiroproxy.kiro.websearch import SearchResult

SEARCHING = WebSearch("web_search")


def asked(**more: object) -> Turn:
    return Turn("m", [Message("user", [Text("q")])], web_search=SEARCHING, **more)  # type: ignore[arg-type]


WORDS = "Perform a web search for the query: kiro news"


def worded(text: str = WORDS, **more: object) -> Turn:
    """What Claude Code sends for its WebSearch tool."""
    search = WebSearch("web_search", 3, comes_back=True)
    messages = [Message("user", [Text(text)])]
    return replace(Turn("m", messages, web_search=search), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("turn", "query"),
    [
        (worded(), "kiro news"),
        (worded("\nPerform a web search for the query:kiro\nnews \n"), "kiro\nnews"),
        (worded(tool_choice=ToolChoice(ToolChoiceKind.NAMED, "web_search")), "kiro news"),
        (worded(messages=[Message("user", [Text("<reminder>"), Text(WORDS)])]), "kiro news"),
        (worded(messages=[Message("system", [Text("s")]), *worded().messages]), "kiro news"),
    ],
)
def test_a_turn_that_asks_for_one_search_alone(turn: Turn, query: str) -> None:
    direct = without_model(turn)
    assert direct is not None and direct.web_search is not None
    assert (query_of(direct), direct.web_search.max_uses) == (query, 3)
    assert query_of(turn) == ""


@pytest.mark.parametrize(
    "turn",
    [
        asked(),
        worded("Who is Ada?"),
        worded(f"Please: {WORDS}"),
        worded("Perform a web search for the query:  "),
        worded(web_search=None),
        worded(web_search=WebSearch("web_search")),
        worded(tool_choice=ToolChoice(ToolChoiceKind.NONE)),
        worded(tools=[Tool("Read", "", {})]),
        worded(output_schema={"type": "object"}),
        worded(messages=[]),
        worded(messages=[Message("user", [Text(WORDS), Image("png", "")])]),
        worded(messages=[*worded().messages, Message("assistant", [Text("a")])]),
    ],
)
def test_all_other_turns_are_the_models(turn: Turn) -> None:
    assert without_model(turn) is None


def test_a_turn_of_one_search_asks_for_its_query() -> None:
    turn = search_turn(asked(session="s"), SEARCHING, "kiro news", "other")
    assert (query_of(turn), turn.session, turn.model) == ("kiro news", "other", "m")


@pytest.mark.parametrize(
    ("url", "domain", "inside"),
    [
        ("https://example.com/a", "example.com", True),
        ("https://EXAMPLE.com:8443/a", "Example.com", True),
        ("https://docs.example.com/a", "example.com", True),
        ("https://docs.example.com/a", "*.example.com", True),
        ("https://notexample.com/a", "example.com", False),
        ("https://example.com.evil.org/", "example.com", False),
        ("https://example.com/blog/1", "example.com/blog", True),
        ("https://example.com/blog", "https://example.com/blog/", True),
        ("https://example.com/blogs/1", "example.com/blog", False),
        ("https://evil.org/?u=example.com", "example.com", False),
        ("https://[broken", "example.com", False),
        ("not a url", "example.com", False),
        ("https://example.com/", " ", False),
    ],
)
def test_domains(url: str, domain: str, inside: bool) -> None:
    assert is_allowed(url, WebSearch("web_search", allowed_domains=(domain,))) is inside
    assert is_allowed(url, WebSearch("web_search", blocked_domains=(domain,))) is not inside


def test_results_of_other_domains_are_left_out() -> None:
    results = [
        SearchResult("A", "https://a.org/1", "one", ""),
        SearchResult("B", "https://b.org/1", "two", ""),
    ]
    only = WebSearch("web_search", allowed_domains=("b.org",))
    ((kind, _, _, hits, _), (_, text)), _ = search_answer("id", "q", results, 1, only)
    assert (kind, [hit.url for hit in hits]) == (SEARCH, ["https://b.org/1"])
    assert "https://a.org" not in text
    none = WebSearch("web_search", blocked_domains=("a.org", "b.org"))
    (search, (_, text)), _ = search_answer("id", "q", results, 1, none)
    assert (search[3], text) == ([], "The web search for 'q' found nothing.")


def test_findings_name_what_there_is() -> None:
    hits = [SearchHit("A", "https://a", "words", "May 1, 2025"), SearchHit("", "https://b", "", "")]
    assert findings(hits) == ("Web search results:\nA · https://a · May 1, 2025 · words\nhttps://b")
    assert findings([]) == "The web search found nothing."


def test_a_past_search_is_words_for_a_model_that_has_none() -> None:
    """Its findings stay; a call of the client's own of that name is none of our business."""
    own = ToolUse("toolu_1", "web_search", {"query": "mine"})
    past: list[ToolUse | ToolResult | Text] = [
        hosted_use("srvtoolu_1", "kiro"),
        hosted_result("srvtoolu_1", "found"),
        Text("so it is"),
    ]
    turn = Turn("m", [Message("user", [Text("q")]), Message("assistant", [*past, own])])
    blocks = with_past_in_words(turn).messages[1].blocks
    assert blocks == [
        ToolResult("srvtoolu_1", [Text("Web search for: kiro"), Text("found")]),
        Text("so it is"),
        own,
    ]
    assert turn.messages[1].blocks == [*past, own]
    plain = Turn("m", [Message("assistant", [own])])
    assert with_past_in_words(plain) is plain
