"""Random names: right in form, and never the same twice, whoever asks."""

from __future__ import annotations

import os
import re
import threading
import time
import uuid

import pytest

from kiroproxy.ids import fraction, make_ordered, make_uuid, random_bytes, uuid_of


def test_uuids_are_those_of_the_standard_library() -> None:
    for number in range(4096):
        data = random_bytes()[:-2] + number.to_bytes(2, "big")
        data = data[:8] + bytes([number & 255]) + data[9:]
        assert uuid_of(data) == str(uuid.UUID(bytes=data, version=4))
    assert uuid.UUID(make_uuid()).version == 4


def test_ordered_ids_begin_with_the_time() -> None:
    before_ms = int(time.time() * 1000)
    ids = [make_ordered() for _ in range(2_000)]
    after_ms = int(time.time() * 1000)
    assert all(re.fullmatch("[0-9a-f]{24}", one) for one in ids)
    assert len(set(ids)) == len(ids)
    assert all(before_ms <= int(one[:12], 16) <= after_ms for one in ids)


def test_nobody_gets_what_another_thread_got() -> None:
    taken: list[list[bytes]] = []

    def take() -> None:
        taken.append([random_bytes() for _ in range(2_000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = [piece for some in taken for piece in some]
    assert len(set(everything)) == len(everything) == 8_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_has_names_of_its_own() -> None:
    random_bytes()  # the child would inherit the rest of the store
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, random_bytes())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 16)
    os.close(reading)
    os.close(writing)
    assert theirs not in {random_bytes() for _ in range(512)}


def test_fractions_are_spread_between_0_and_1() -> None:
    found = [fraction() for _ in range(1000)]
    assert 0 <= min(found) < 0.1 and 0.9 < max(found) < 1
    assert len(set(found)) == 1000
