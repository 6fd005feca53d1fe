"""The promises of a stream (docs/behavior.md, "What holds for every stream"), for every dialect, over
generated answers × the reads they come in × what breaks on the way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chunking import random_chunks
from tests.invariants.line import DIALECTS, Line, Said, Told, as_dialect, hear, hear_whole
from tests.invariants.scripts import (
    END,
    FAULTS,
    Fault,
    Part,
    Script,
    Wire,
    broken,
    chunk,
    scripts,
)

EACH = pytest.mark.parametrize("dialect", DIALECTS)


def is_beginning(dialect: str, said: Said, whole: tuple[Part, ...]) -> bool:
    """Whether what was heard is how the whole answer begins: nothing changed, missing or moved."""
    if dialect == "chat":
        return all(
            _begins(_of(said.parts, kind), _of(whole, kind))
            for kind in ("text", "thinking", "call")
        )
    return _begins(said.parts, whole)


def _of(parts: tuple[Part, ...], kind: str) -> tuple[Part, ...]:
    return tuple(part for part in parts if part[0] == kind)


def _begins(heard: tuple[Part, ...], whole: tuple[Part, ...]) -> bool:
    if not heard:
        return True
    *sure, (kind, value, name) = heard
    if len(heard) > len(whole) or tuple(sure) != whole[: len(sure)]:
        return False
    wanted = whole[len(sure)]
    return (kind, name) == (wanted[0], wanted[2]) and wanted[1].startswith(value)


def check(dialect: str, script: Script, wire: Wire, told: Told) -> None:
    whole = as_dialect(dialect, script.heard)
    if told.refused is not None:
        assert told.stream == b""  # a real status is still possible
        assert told.refused.message
        return
    said = hear(dialect, told.stream)  # well formed
    assert said.ended != bool(said.error)  # exactly one end
    if said.ended:
        assert not wire.sure, "a broken answer was ended properly"
        assert told.whole is not None
        folded = hear_whole(dialect, told.whole)
        assert (said.parts, said.usage) == (folded.parts, folded.usage)  # streamed == folded
        # A finished call is an end in itself: the service may stop behind it without a word.
        assert said.parts == whole or _of(said.parts, "call")
    else:
        assert told.whole is None
    assert is_beginning(dialect, said, whole)


@EACH
@given(script=scripts(), seed=st.integers(0, 2**32), pings=st.frozensets(st.integers(0, 30)))
def test_sound_answer_comes_through_as_it_is(
    dialect: str, script: Script, seed: int, pings: frozenset[int]
) -> None:
    wire = broken(script, Fault())
    told = Line(dialect).run(random_chunks(wire.data, random.Random(seed)), pings)
    said = hear(dialect, told.stream)
    assert said.ended and not said.error
    assert said.parts == as_dialect(dialect, script.heard)
    assert told.whole is not None
    folded = hear_whole(dialect, told.whole)
    assert (folded.parts, folded.usage) == (said.parts, said.usage)


@EACH
@settings(max_examples=300)
@given(
    script=scripts(),
    fault=FAULTS,
    seed=st.integers(0, 2**32),
    pings=st.frozensets(st.integers(0, 30)),
)
def test_broken_answer_never_looks_whole(
    dialect: str, script: Script, fault: Fault, seed: int, pings: frozenset[int]
) -> None:
    wire = broken(script, fault)
    told = Line(dialect).run(random_chunks(wire.data, random.Random(seed)), pings)
    check(dialect, script, wire, told)


@EACH
@given(script=scripts(), fault=FAULTS, seed=st.integers(0, 2**32))
def test_fault_shows_the_same_however_the_bytes_are_split(
    dialect: str, script: Script, fault: Fault, seed: int
) -> None:
    data = broken(script, fault).data
    at_once = Line(dialect).run([data])
    in_pieces = Line(dialect).run(random_chunks(data, random.Random(seed)))
    assert (at_once.refused is None) == (in_pieces.refused is None)
    if at_once.refused is None:
        assert hear(dialect, at_once.stream) == hear(dialect, in_pieces.stream)


SMALL = Script(
    events=(
        ("assistantResponseEvent", {"content": "Wörter "}),
        ("assistantResponseEvent", {"content": "und\n\nmehr"}),
        ("toolUseEvent", {"toolUseId": "tooluse_1", "name": "Bash", "input": '{"command":'}),
        ("toolUseEvent", {"toolUseId": "tooluse_1", "name": "Bash", "input": '"ls"}'}),
        ("toolUseEvent", {"toolUseId": "tooluse_1", "name": "Bash", "stop": True}),
    ),
    heard=(("text", "Wörter und\n\nmehr", ""), ("call", '{"command":"ls"}', "Bash")),
    ending=(("metadataEvent", {"stopReason": "TOOL_USE"}),),
)


@EACH
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_corrupt_byte_at_every_position(dialect: str, flip: int) -> None:
    stream = b"".join(SMALL.frames())
    for at in range(len(stream)):
        data = bytearray(stream)
        data[at] ^= flip
        wire = Wire(chunk(bytes(data)) + END, sure=True)
        check(dialect, SMALL, wire, Line(dialect).run([wire.data]))


@EACH
def test_corrupt_byte_of_the_framing_at_every_position(dialect: str) -> None:
    data = b"".join(map(chunk, SMALL.frames())) + END
    for at in range(len(data)):
        broken_ = bytearray(data)
        broken_[at] ^= 0x01
        wire = Wire(bytes(broken_), sure=False)
        check(dialect, SMALL, wire, Line(dialect).run([wire.data]))


@EACH
def test_cut_at_every_position(dialect: str) -> None:
    data = b"".join(map(chunk, SMALL.frames())) + END
    for at in range(len(data)):
        check(dialect, SMALL, Wire(data[:at], sure=True), Line(dialect).run([data[:at]]))


@EACH
def test_early_end_at_every_position(dialect: str) -> None:
    """The HTTP body ends properly; only the answer itself can tell that it is not whole."""
    frames = SMALL.frames()
    stream = b"".join(frames)
    # The call's input is whole behind its last fragment, whether or not the service says so.
    finished = [len(b"".join(frames[:4])), len(b"".join(frames[:5]))]
    for at in range(1, len(stream)):
        wire = Wire(chunk(stream[:at]) + END, sure=at not in finished)
        check(dialect, SMALL, wire, Line(dialect).run([wire.data]))
