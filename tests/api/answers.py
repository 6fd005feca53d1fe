"""Hypothesis strategies for whole answers, as ``Answer`` guarantees their order."""

from __future__ import annotations

import orjson
from hypothesis import strategies as st

from kiroproxy.api.events import (
    REDACTED,
    SEARCH,
    TEXT,
    THINKING,
    THINKING_END,
    TOOL_END,
    TOOL_INPUT,
    TOOL_START,
    AnswerEvent,
    SearchHit,
)

HITS = [
    SearchHit("Title", "https://example.org", "Words", "October 8, 2025"),
    SearchHit("B", "u", ""),
]

ITEMS = st.one_of(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4).map(
        lambda texts: [(TEXT, text) for text in texts]
    ),
    st.tuples(
        st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=3), st.text(max_size=4)
    ).map(lambda pair: [*[(THINKING, text) for text in pair[0]], (THINKING_END, pair[1])]),
    st.just([(REDACTED, "b64")]),
    st.dictionaries(st.text(max_size=4), st.integers(-9, 9), max_size=2).map(
        lambda value: [
            (TOOL_START, "t", "Read"),
            *[(TOOL_INPUT, piece) for piece in orjson.dumps(value).decode()],
            (TOOL_END,),
        ]
    ),
    st.just([(SEARCH, "s", "q", HITS, "")]),
)


def batches_of(events: list[AnswerEvent]) -> st.SearchStrategy[list[list[AnswerEvent]]]:
    """The same events, cut into the reads they might have come in."""
    cuts = st.lists(st.integers(0, len(events)), max_size=5).map(sorted)
    return cuts.map(
        lambda at: [events[a:b] for a, b in zip([0, *at], [*at, len(events)], strict=True)]
    )
