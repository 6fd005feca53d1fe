"""Where the sources of an answer are cited."""

from __future__ import annotations

from kiroproxy.api.events import SearchHit
from kiroproxy.api.openai.citations import Citations, flat_citations

HITS = [
    SearchHit("One", "https://a.org/1", "s"),
    SearchHit("", "https://a.org/2", "s"),
    SearchHit("Never named", "https://a.org/3", "s"),
]


def cited(*texts: str) -> list[tuple[str, str, str]]:
    """What is marked, and the title and address given for it."""
    citations = Citations()
    citations.add_hits(HITS)
    for text in texts:
        citations.add_text([text])
    whole = "".join(texts)
    return [
        (whole[c["start_index"] : c["end_index"]], c["title"], c["url"])
        for c in (annotation["url_citation"] for annotation in citations.annotations())
    ]


def test_links_and_bare_addresses_in_the_texts_order() -> None:
    assert cited("Grüße: [two](https://a.o", "rg/2), also https://a.org/1.") == [
        ("[two](https://a.org/2)", "https://a.org/2", "https://a.org/2"),
        ("https://a.org/1", "One", "https://a.org/1"),
    ]


def test_an_address_that_goes_on_is_another_one() -> None:
    assert cited("https://a.org/10 https://a.org/1.html https://a.org/1?x") == []
    assert cited("https://a.org/10, (https://a.org/1)") == [
        ("https://a.org/1", "One", "https://a.org/1")
    ]


def test_only_the_first_mention_and_the_first_finding_count() -> None:
    assert len(cited("https://a.org/1 https://a.org/1")) == 1
    citations = Citations()
    assert not citations.searched
    citations.add_hits([HITS[0], SearchHit("Again", "https://a.org/1", "")])
    citations.add_text(["https://a.org/1"])
    (annotation,) = citations.annotations()
    assert (citations.searched, annotation["url_citation"]["title"]) == (True, "One")


def test_texts_around_a_search_are_told_apart() -> None:
    citations = Citations()
    citations.add_hits(HITS)
    assert citations.take_text("Words.") == "Words."
    citations.add_hits(HITS)
    assert citations.gap
    assert citations.take_text("See https://a.org/1") == "\n\nSee https://a.org/1"
    assert citations.take_text(".") == "."
    (annotation,) = citations.annotations()
    assert annotation["url_citation"]["start_index"] == len("Words.\n\nSee ")
    for before, after in (("a\n", "b"), ("a", " b")):
        spaced = Citations()
        spaced.take_text(before)
        spaced.add_hits([])
        assert spaced.take_text(after) == after


def test_flat() -> None:
    cited = {"start_index": 4, "end_index": 19, "title": "One", "url": "https://a.org/1"}
    assert flat_citations("See https://a.org/1", HITS) == [{"type": "url_citation", **cited}]
    assert flat_citations("", HITS) == []


def test_broken_links_are_addresses() -> None:
    assert cited("](https://a.org/1)") == [("https://a.org/1", "One", "https://a.org/1")]
