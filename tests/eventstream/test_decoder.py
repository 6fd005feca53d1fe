"""FrameDecoder: vectors in every chunking, every flipped bit, limits, botocore as the oracle."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from kiroproxy.errors import (
    EventStreamError,
    FrameLengthError,
    MessageChecksumError,
    PreludeChecksumError,
    TruncatedStreamError,
)
from kiroproxy.eventstream import FrameDecoder, parse_headers
from kiroproxy.eventstream.decoder import MAX_KNOWN_HEAD_BYTES, MAX_KNOWN_HEADS, TEXT_HEAD_BYTES
from kiroproxy.eventstream.encoder import encode_event
from kiroproxy.eventstream.wire import MAX_FRAME_BYTES, MAX_HEADERS_BYTES, Frame
from tests.chunking import every_cut, random_chunks
from tests.eventstream.vectors import (
    PLAIN_EVENT,
    PLAIN_EVENT_DAMAGED,
    POSITIVE,
    SMALLEST,
    STREAM,
    STREAM_DECODED,
    TEXT,
    Decoded,
    raw_frame,
    raw_string_header,
)


def feed_all(decoder: FrameDecoder, pieces: list[bytes]) -> list[Frame]:
    return [frame for piece in pieces for frame in decoder.feed(piece)]


def decoded(frames: list[Frame]) -> list[Decoded]:
    return [(parse_headers(headers), bytes(payload)) for headers, payload in frames]


@pytest.mark.parametrize(("frame", "expected"), POSITIVE.values(), ids=POSITIVE.keys())
def test_vector(frame: bytes, expected: Decoded) -> None:
    decoder = FrameDecoder()
    assert decoded(decoder.feed(frame)) == [expected]
    assert decoder.pending == 0
    decoder.finish()


def test_stream_in_every_chunking() -> None:
    for pieces in every_cut(STREAM):
        decoder = FrameDecoder()
        assert decoded(feed_all(decoder, pieces)) == STREAM_DECODED
        decoder.finish()


def test_each_frame_comes_with_the_byte_that_completes_it() -> None:
    decoder = FrameDecoder()
    for byte in TEXT[:-1]:
        assert decoder.feed(bytes((byte,))) == []
    assert len(decoder.feed(TEXT[-1:])) == 1


def test_memoryview_of_a_buffer_that_changes_later() -> None:
    buffer = bytearray(TEXT)
    (frame,) = FrameDecoder().feed(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert bytes(frame[1]) == b'{"content":"Hi"}'


@pytest.mark.parametrize("payload_bytes", [10, 100_000])
def test_payload_of_fed_bytes_is_a_view_not_a_copy(payload_bytes: int) -> None:
    decoder = FrameDecoder()
    data = raw_frame(b"", bytes(payload_bytes))
    for _ in range(3):  # the second is found by the head of the first
        (frame,) = decoder.feed(data)
        assert frame[1].obj is data


def test_a_frame_to_each_read() -> None:
    decoder = FrameDecoder()
    first = feed_all(decoder, [TEXT])
    assert feed_all(decoder, [TEXT] * 3) == first * 3
    assert decoder.pending == 0
    decoder.finish()


def test_fault_behind_frames_alone_names_its_byte() -> None:
    decoder = FrameDecoder()
    feed_all(decoder, [TEXT] * 3)
    damaged = TEXT[:-1] + bytes((TEXT[-1] ^ 1,))
    with pytest.raises(MessageChecksumError, match=f"frame at byte {3 * len(TEXT)}:"):
        decoder.feed(damaged)


def test_payloads_stay_valid_after_more_reads() -> None:
    decoder = FrameDecoder()
    kept = feed_all(decoder, [STREAM[at : at + 50] for at in range(0, len(STREAM), 50)])
    feed_all(decoder, [SMALLEST] * 10)
    assert decoded(kept) == STREAM_DECODED


def test_pending_counts_held_bytes() -> None:
    decoder = FrameDecoder()
    decoder.feed(TEXT + TEXT[:20])
    assert decoder.pending == 20


@pytest.mark.parametrize("at", range(1, len(TEXT)))
def test_end_inside_a_frame(at: int) -> None:
    decoder = FrameDecoder()
    decoder.feed(TEXT + TEXT[:at])
    with pytest.raises(TruncatedStreamError, match=f"{at} bytes"):
        decoder.finish()
    with pytest.raises(TruncatedStreamError):
        decoder.feed(TEXT[at:])


def test_empty_stream_is_a_whole_stream() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(b"") == []
    decoder.finish()


def test_every_flipped_bit_is_found() -> None:
    for bit in range(len(STREAM) * 8):
        damaged = bytearray(STREAM)
        damaged[bit // 8] ^= 1 << (bit % 8)
        decoder = FrameDecoder()
        with pytest.raises(EventStreamError):
            good = decoder.feed(bytes(damaged))
            assert decoded(good) == STREAM_DECODED[: len(good)]
            decoder.finish()


def test_flipped_bit_after_the_same_head_was_seen_whole() -> None:
    """The memory of verified heads must not let a damaged frame through."""
    for bit in range(len(TEXT) * 8):
        damaged = bytearray(TEXT)
        damaged[bit // 8] ^= 1 << (bit % 8)
        decoder = FrameDecoder()
        assert len(decoder.feed(TEXT)) == 1
        with pytest.raises((PreludeChecksumError, MessageChecksumError)):
            decoder.feed(bytes(damaged))


def test_damaged_payload_names_both_checksums() -> None:
    with pytest.raises(MessageChecksumError, match="0xb7184afc expected, 0xae037bbd computed"):
        FrameDecoder().feed(PLAIN_EVENT_DAMAGED)


def test_damaged_prelude_is_refused_before_its_frame_has_come() -> None:
    prelude = bytearray(PLAIN_EVENT[:12])
    prelude[3] ^= 1
    decoder = FrameDecoder()
    assert len(decoder.feed(SMALLEST)) == 1
    with pytest.raises(PreludeChecksumError, match="byte 16:"):
        decoder.feed(bytes(prelude))


def test_failed_decoder_stays_failed() -> None:
    decoder = FrameDecoder()
    with pytest.raises(MessageChecksumError) as first:
        decoder.feed(PLAIN_EVENT_DAMAGED)
    for call in (lambda: decoder.feed(TEXT), decoder.finish):
        with pytest.raises(MessageChecksumError) as again:
            call()
        assert again.value is first.value
    assert decoder.fault is first.value


def test_frames_before_a_fault_are_the_same_in_every_chunking() -> None:
    damaged = STREAM + PLAIN_EVENT_DAMAGED + TEXT
    for pieces in every_cut(damaged):
        decoder = FrameDecoder()
        frames: list[Frame] = []
        try:
            for piece in pieces:
                frames += decoder.feed(piece)
        except MessageChecksumError:
            pass
        assert decoded(frames) == STREAM_DECODED
        assert isinstance(decoder.fault, MessageChecksumError)


LENGTHS = {
    "total below the overhead": (15, 0),
    "total zero": (0, 0),
    "headers over the frame": (40, 25),
    "frame too long": (MAX_FRAME_BYTES + 1, 0),
    "headers too long": (MAX_FRAME_BYTES, MAX_HEADERS_BYTES + 1),
    "largest numbers": (2**32 - 1, 2**32 - 1),
}


@pytest.mark.parametrize(("total", "header_bytes"), LENGTHS.values(), ids=LENGTHS.keys())
def test_impossible_lengths_are_refused_on_the_prelude_alone(total: int, header_bytes: int) -> None:
    prelude = raw_frame(b"", b"", total=total, header_bytes=header_bytes)[:12]
    decoder = FrameDecoder()
    assert decoder.feed(prelude[:11]) == []
    with pytest.raises(FrameLengthError, match=str(total)):
        decoder.feed(prelude[11:])


def test_largest_frame_and_largest_header_block() -> None:
    block = b"".join(
        raw_string_header(b"h%d" % number, bytes(MAX_HEADERS_BYTES // 4 - 6)) for number in range(4)
    )
    assert len(block) == MAX_HEADERS_BYTES
    payload = bytes(MAX_FRAME_BYTES - 16 - len(block))
    decoder = FrameDecoder()
    (frame,) = feed_all(decoder, [raw_frame(block, payload)])
    assert (len(frame[0]), len(frame[1])) == (len(block), len(payload))


def test_one_mebibyte_in_single_bytes_costs_linear_memory() -> None:
    """Pieces are gathered in one buffer; a list of them would take 8 bytes and more for each byte."""
    payload = random.Random(7).randbytes(1_048_576)
    data = raw_frame(b"", payload)
    decoder = FrameDecoder()
    frames: list[Frame] = []
    tracemalloc.start()
    try:
        for at in range(len(data)):
            frames += decoder.feed(data[at : at + 1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [bytes(payload_) for _, payload_ in frames] == [payload]
    assert peak < 4 * len(data)


def test_large_frame_is_not_looked_at_before_it_is_whole() -> None:
    """The cost of waiting: the tail is joined once, so what feed returns until then is all it does."""
    data = raw_frame(b"", bytes(4_000_000))
    decoder = FrameDecoder()
    for at in range(0, len(data) - 1_000, 1_000):
        assert decoder.feed(data[at : at + 1_000]) == []
    assert decoder.pending > 3_998_000
    assert len(decoder.feed(data[decoder.pending :])) == 1


def test_more_different_heads_than_are_remembered() -> None:
    frames = [raw_frame(b"", bytes(size)) for size in range(MAX_KNOWN_HEADS + 50)]
    decoder = FrameDecoder()
    for _ in range(2):
        got = decoder.feed(b"".join(frames))
        assert [len(payload) for _, payload in got] == list(range(len(frames)))


def test_heads_too_long_to_remember() -> None:
    block = raw_string_header(b"long", bytes(MAX_KNOWN_HEAD_BYTES))
    decoder = FrameDecoder()
    for number in range(3):
        ((headers, payload),) = decoder.feed(raw_frame(block, b"%d" % number))
        assert (headers, bytes(payload)) == (block, b"%d" % number)


def test_heads_of_changing_lengths_are_recognised() -> None:
    pieces = [TEXT, SMALLEST, TEXT, PLAIN_EVENT, PLAIN_EVENT, SMALLEST, TEXT]
    for cut in every_cut(b"".join(pieces)):
        frames = feed_all(FrameDecoder(), cut)
        assert [len(headers) for headers, _ in frames] == [92, 0, 92, 22, 22, 0, 92]


# -- botocore decodes the same ----------------------------------------------------------------------

_NAMES = st.text("abcdefghijklmnopqrstuvwxyz-:", min_size=1, max_size=20).map(str.encode)
_BLOCKS = st.dictionaries(_NAMES, st.text(max_size=40).map(str.encode), max_size=5).map(
    lambda headers: b"".join(raw_string_header(*item) for item in headers.items())
)
_FRAMES = st.lists(st.tuples(_BLOCKS, st.binary(max_size=300)), max_size=8)


@given(_FRAMES, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_botocore_reads_the_same(frames: list[tuple[bytes, bytes]], source: random.Random) -> None:
    data = b"".join(raw_frame(*frame) for frame in frames)
    oracle = EventStreamBuffer()
    oracle.add_data(data)
    expected = [(dict(message.headers), message.payload) for message in oracle]
    decoder = FrameDecoder()
    assert decoded(feed_all(decoder, random_chunks(data, source))) == expected
    decoder.finish()


# -- anything at all --------------------------------------------------------------------------------

_DAMAGED = st.tuples(_FRAMES, st.binary(max_size=60), st.integers(0, 2_000)).map(
    lambda parts: _spliced(b"".join(raw_frame(*frame) for frame in parts[0]), parts[1], parts[2])
)


def _spliced(data: bytes, junk: bytes, at: int) -> bytes:
    at %= len(data) + 1
    return data[:at] + junk + data[at + len(junk) // 2 :]


@given(st.one_of(st.binary(max_size=400), _DAMAGED), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_raise_documented_errors_only(data: bytes, source: random.Random) -> None:
    decoder = FrameDecoder()
    try:
        for headers, _payload in feed_all(decoder, random_chunks(data, source)):
            parse_headers(headers)
        decoder.finish()
    except EventStreamError:
        return
    assert decoder.pending == 0


def test_the_first_guess_is_the_head_of_a_piece_of_text() -> None:
    frame = encode_event("assistantResponseEvent", b"{}")
    assert frame.index(b"{}") == TEXT_HEAD_BYTES
