"""What goes out sealed comes back; anything else reads as nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.openai.sealed import seal, unseal


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3))
def test_comes_back(content: dict[str, str]) -> None:
    sealed = seal(content)
    assert sealed.isascii()
    assert unseal(sealed) == content


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gAAAAABmZ-of-another-provider",
        "kiroproxy.1.",
        "kiroproxy.1.***",
        "kiroproxy.1.bm90IGpzb24=",  # not json
        "kiroproxy.1.W10=",  # []
        "kiroproxy.1.eyJhIjoxfQ==",  # {"a":1}
        "kiroproxy.2.e30=",
        "kiroproxy.1.é",
    ],
)
def test_anything_else_is_nothing(text: str) -> None:
    assert unseal(text) is None


@given(st.text(max_size=30))
def test_never_fails(text: str) -> None:
    unseal("kiroproxy.1." + text)
