"""Names of fields without effect."""

from __future__ import annotations

import pytest

from kiroproxy.api.ignored import note_unused, refuse_ignored, shown
from kiroproxy.api.turn import Turn
from kiroproxy.errors import Kind, RequestError


def test_only_fields_that_say_something_are_noted() -> None:
    ignored: set[str] = set()
    request = {"model": "m", "seed": 1, "user": None, "logit_bias": {}, "tags": [], "x": False}
    note_unused(request, frozenset({"model"}), ignored)
    assert ignored == {"seed", "x"}


def test_names_are_sorted_short_and_safe() -> None:
    assert shown({"b", "a", "line\r\nbreak"}) == ["a", "b", "and-1-more"]
    many = shown({f"f{number:02}" for number in range(30)})
    assert many[-1] == "and-6-more"
    assert len(many) == 25


def test_strict_refusal_names_all_and_points_at_the_first() -> None:
    refuse_ignored(Turn("m", []))
    with pytest.raises(RequestError, match="seed, top_p: ") as caught:
        refuse_ignored(Turn("m", [], ignored=["seed", "top_p"]))
    assert (caught.value.param, caught.value.kind) == ("seed", Kind.INVALID_REQUEST)
