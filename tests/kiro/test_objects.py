"""Lenient reading: what is not there, or not of the form, gives nothing."""

import pytest

from kiroproxy.kiro.objects import first_text, maybe_object, object_of


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"<html>", b"\xff"])
def test_a_body_that_is_no_object_is_an_empty_one(body: bytes) -> None:
    assert maybe_object(body) == {}


def test_an_object_is_itself() -> None:
    assert maybe_object(b'{"a": 1}') == {"a": 1}
    assert object_of({"a": 1}) == {"a": 1}
    assert object_of([1]) == object_of(None) == {}


def test_the_first_text_counts_in_the_order_of_the_names() -> None:
    fields = {"a": 1, "b": "", "c": "third", "d": "fourth"}
    assert first_text(fields, "a", "b", "d", "c") == "fourth"
    assert first_text(fields, "a", "b", "missing") == ""
