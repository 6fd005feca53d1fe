"""The helper itself: a chunking that lost a byte would hide bugs everywhere else."""

from __future__ import annotations

import pytest

from tests.chunking import ALL_CUTS_UP_TO, SAMPLED_CUTS, every_cut


@pytest.mark.parametrize("length", [0, 1, 2, 17, ALL_CUTS_UP_TO + 1])
def test_pieces_join_to_the_data(length: int) -> None:
    data = bytes(at % 251 for at in range(length))
    for pieces in every_cut(data):
        assert b"".join(pieces) == data


def test_short_data_is_cut_at_every_point() -> None:
    data = b"abcdef"
    chunkings = list(every_cut(data))
    for at in range(len(data) + 1):
        assert [data[:at], data[at:]] in chunkings
    assert [b"a", b"b", b"c", b"d", b"e", b"f"] in chunkings
    assert [data] in chunkings


def test_long_data_is_sampled() -> None:
    data = bytes(ALL_CUTS_UP_TO * 3)
    assert SAMPLED_CUTS < sum(1 for _ in every_cut(data)) < SAMPLED_CUTS + 20


def test_random_chunkings_are_the_same_every_time() -> None:
    data = bytes(500)
    assert list(every_cut(data)) == list(every_cut(data))
