"""A request on its way in, without a socket: bytes in, a request or its refusal out, in every chunking."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import pytest

from kiroproxy.errors import Kind, KiroProxyError, RequestError
from kiroproxy.http import HttpLimits, Request, Route, Router
from kiroproxy.http.answering import Answerer
from kiroproxy.http.head import CHUNKED
from kiroproxy.http.incoming import Incoming
from kiroproxy.http.responses import DateLine
from kiroproxy.http.shared import Shared
from tests.chunking import every_cut
from tests.http.support import echo, render

LIMITS = HttpLimits(max_body_bytes=200, max_dropped_bytes=50, max_held_bytes=4_000)


class Loop:
    """What is asked of the event loop: the time, which is in the test's hand."""

    now_s = 1_000.0

    def time(self) -> float:
        return self.now_s


class Guest:
    host = ""

    def __init__(self, is_known: bool = False) -> None:
        self.is_known = is_known

    def make_room(self) -> None:
        raise AssertionError("there is room")


class Door:
    """A route's check: lets in who shows the key."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, request: Request) -> None:
        self.asked += 1
        assert request.body == b""
        if request.headers.get("x-api-key") != "k":
            raise RequestError("the key is wrong", kind=Kind.UNAUTHENTICATED)


@dataclass
class Said:
    """What became of the bytes. ``rest``: those behind the request. ``refused``: it is not read to its
    end. ``match`` says who answers."""

    incoming: Incoming
    body: bytes | None = None
    rest: bytes = b""
    refused: KiroProxyError | None = None

    @property
    def request(self) -> Request:
        return self.incoming.request(self.body or b"", "peer:1")


def shared(limits: HttpLimits = LIMITS, door: Door | None = None) -> Shared:
    routes = [
        Route("POST", "/v1/messages", echo, api=True, check=door or Door()),
        Route("GET", "/health", echo),
    ]
    loop, dates = Loop(), DateLine(lambda: 0.0)
    return Shared(loop, Router(routes), limits, Answerer(render), dates, lambda: None)  # type: ignore[arg-type]


def take(house: Shared, pieces: list[bytes], guest: Guest | None = None) -> Said:
    """As a connection does it: what comes behind the end, or behind a refusal, is left."""
    visitor = guest or Guest()
    incoming = Incoming(house)
    said = Said(incoming)
    in_body = False
    for piece in pieces:
        if said.body is not None or said.refused is not None:
            said.rest += piece
            continue
        data = piece
        if not in_body and data:
            try:
                found = incoming.read_head(data, is_known=visitor.is_known)
            except KiroProxyError as error:
                said.refused = error
                continue
            if found is None:
                continue
            head, data = found
            said.refused = incoming.admit(head, visitor, "peer:1", len(data))
            if said.refused is None and head.body_bytes == 0:
                said.body, said.rest = b"", data
                continue
            said.refused = said.refused or incoming.expect_body(head)
            in_body = True
        if data and said.refused is None:
            try:
                rest = incoming.read_body(data)
            except KiroProxyError as error:
                said.refused = error
                continue
            if rest is not None:
                said.body, said.rest = incoming.take_body(), rest
    return said


def wire(line: str, *headers: str, body: bytes = b"") -> bytes:
    head = "".join(f"{each}\r\n" for each in (f"{line} HTTP/1.1", "Host: x", *headers))
    return f"{head}\r\n".encode() + body


KEY = "X-Api-Key: k"
CHUNKS = b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n"
WHOLE = {
    "without a body": (wire("GET /health"), b""),
    "sized": (
        wire("POST /v1/messages", KEY, "Content-Length: 11", body=b"hello world"),
        b"hello world",
    ),
    "in chunks": (
        wire("POST /v1/messages", KEY, "Transfer-Encoding: chunked", body=CHUNKS),
        b"hello world",
    ),
    "no chunks": (
        wire("POST /v1/messages", KEY, "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        b"",
    ),
    "of no length": (wire("POST /v1/messages", KEY, "Content-Length: 0"), b""),
    "behind line ends": (b"\r\n\r\n" + wire("GET /health"), b""),
    # nobody reads it
    "a GET's": (wire("GET /health", "Content-Length: 5", body=b"hello"), b""),
}


@pytest.mark.parametrize("behind", [b"", b"GET /next HTTP/1.1\r\n"])
@pytest.mark.parametrize("case", WHOLE)
def test_request_in_every_chunking(case: str, behind: bytes) -> None:
    data, body = WHOLE[case]
    for pieces in every_cut(data + behind):
        house = shared()
        said = take(house, pieces)
        assert said.refused is None, pieces
        assert (said.body, said.rest) == (body, behind), pieces
        assert said.incoming.match.handler is echo
        request = said.request
        assert request.path in ("/v1/messages", "/health") and request.body == body
        said.incoming.drop()
        assert house.guests.held_bytes == 0


CUT = {name: data for name, (data, _) in WHOLE.items() if name != "behind line ends"}


@pytest.mark.parametrize("case", CUT)
def test_request_cut_anywhere_is_no_request(case: str) -> None:
    data = CUT[case]
    for at in range(len(data)):
        house = shared()
        said = take(house, [data[:at]])
        assert (said.body, said.refused) == (None, None)
        assert said.incoming.begun is (at > 0)
        said.incoming.drop()
        assert house.guests.held_bytes == 0


# What is refused, with the kind, and whether the request's path is known by then.
REFUSED: dict[str, tuple[bytes, Kind, bool]] = {
    "no HTTP": (b"hello\r\n\r\n", Kind.INVALID_REQUEST, False),
    "a bad chunk": (
        wire("POST /v1/messages", KEY, "Transfer-Encoding: chunked", body=b"x\r\n"),
        Kind.INVALID_REQUEST,
        True,
    ),
    "an announced body over the limit": (
        wire("POST /v1/messages", KEY, "Content-Length: 201", body=b"x" * 201),
        Kind.TOO_LARGE,
        True,
    ),
    "chunks over the limit": (
        wire("POST /v1/messages", KEY, "Transfer-Encoding: chunked", body=b"c9\r\n" + b"x" * 201),
        Kind.TOO_LARGE,
        True,
    ),
    "a long body that nobody reads": (
        wire("GET /health", "Content-Length: 51", body=b"x" * 51),
        Kind.TOO_LARGE,
        True,
    ),
    "a long body for no route": (
        wire("POST /nowhere", "Content-Length: 51", body=b"x" * 51),
        Kind.NOT_FOUND,
        True,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusal_is_one_in_every_chunking(case: str) -> None:
    data, kind, is_named = REFUSED[case]
    for pieces in every_cut(data):
        house = shared()
        said = take(house, pieces)
        assert said.body is None and said.refused is not None, pieces
        assert said.refused.kind is kind, pieces
        assert bool(said.request.path) is is_named
        said.incoming.drop()
        assert house.guests.held_bytes == 0


def test_body_of_somebody_without_the_key_is_not_waited_for() -> None:
    """In every chunking the same refusal; it is the match's where the request was here as a whole."""
    data = wire("POST /v1/messages", "Content-Length: 11", body=b"hello world")
    seen = set()
    for pieces in every_cut(data):
        house = shared()
        said = take(house, pieces)
        match = said.incoming.match
        refused = said.refused or match.error
        assert refused is not None and refused.kind is Kind.UNAUTHENTICATED
        if said.refused is None:
            assert match.handler is None and said.body == b""  # read over, not kept
        seen.add(said.refused is None)
        said.incoming.drop()
        assert house.guests.held_bytes == 0
    assert seen == {True, False}
    assert take(shared(), [data]).refused is None
    assert take(shared(), [data[:-1]]).refused is not None


@pytest.mark.parametrize(
    ("is_known", "is_whole", "asked"),
    [(False, True, 1), (False, False, 1), (True, True, 0), (True, False, 1)],
)
def test_door_is_asked_unless_the_handler_asks_somebody_known(
    is_known: bool, is_whole: bool, asked: int
) -> None:
    door, guest = Door(), Guest(is_known)
    data = wire("POST /v1/messages", KEY, "Content-Length: 11", body=b"hello world")
    said = take(shared(door=door), [data] if is_whole else [data[:-1], data[-1:]], guest)
    assert (said.body, door.asked, guest.is_known) == (b"hello world", asked, True)


def test_head_that_is_well_formed_and_not_served_is_named_by_its_route() -> None:
    data = wire("POST /v1/messages", KEY, "Content-Encoding: br", "Content-Length: 1", body=b"x")
    for pieces in every_cut(data):
        said = take(shared(), pieces)
        assert said.refused is not None and "compressed" in said.refused.message
        assert said.request.path == "/v1/messages"


def test_what_is_held_is_what_is_kept() -> None:
    house = shared()
    data = wire("POST /v1/messages", KEY, "Content-Length: 100", body=b"x" * 60)
    head_bytes = len(data) - 60
    said = take(house, [data[:10], data[10:20]])
    assert house.guests.held_bytes == 20
    said.incoming.drop()
    said = take(house, [data])
    assert house.guests.held_bytes == 60
    said.incoming.drop()
    said = take(house, [data[:head_bytes], data[head_bytes:]])
    assert house.guests.held_bytes == 60
    said.incoming.drop()
    take(house, [wire("GET /health", "Content-Length: 50", body=b"x" * 40)])
    assert house.guests.held_bytes == 0


@pytest.mark.parametrize("is_known", [False, True])
def test_no_room_is_a_refusal_to_come_back(is_known: bool) -> None:
    """Strangers' heads have three quarters of it."""
    house = shared(replace(LIMITS, max_held_bytes=40))
    most = 40 if is_known else 30
    data = b"GET /" + b"a" * most
    said = take(house, [data[:most]], Guest(is_known))
    assert said.refused is None and house.guests.held_bytes == most
    said.incoming.drop()
    said = take(house, [data[: most + 1]], Guest(is_known))
    assert said.refused is not None
    assert (said.refused.kind, said.refused.retry_after_s) == (Kind.OVERLOADED, 5.0)


def test_body_has_its_time_and_no_more_than_its_size_allows() -> None:
    limits = replace(LIMITS, body_timeout_s=60, body_rate_bytes_s=10)
    house = shared(limits)
    loop = house.loop
    assert isinstance(loop, Loop)
    incoming = take(house, [wire("POST /v1/messages", KEY, "Content-Length: 200")]).incoming
    assert incoming.body_patience_s() == 60
    loop.now_s += 50  # nothing yet
    assert incoming.body_patience_s() == 10
    incoming.read_body(b"x" * 100)  # ten seconds' worth
    assert incoming.body_patience_s() == 20
    incoming.read_body(b"x" * 90)
    loop.now_s += 1_000
    assert incoming.body_patience_s() == 0
    incoming.drop()


def test_fast_body_saves_no_time_up() -> None:
    house = shared(replace(LIMITS, body_timeout_s=60, body_rate_bytes_s=10))
    incoming = take(house, [wire("POST /v1/messages", KEY, "Content-Length: 200")]).incoming
    incoming.read_body(b"x" * 199)
    assert incoming.body_patience_s() == 60


def test_request_has_an_id_of_its_own_each_time() -> None:
    said = take(shared(), [b"nonsense\r\n\r\n"])
    one, other = said.request, said.request
    assert re.fullmatch("req_[0-9a-f]{24}", one.id) and one.id != other.id
    assert (one.method, one.path, one.peer) == ("", "", "peer:1")


def test_chunked_body_is_announced_as_such() -> None:
    said = take(shared(), [wire("POST /v1/messages", KEY, "Transfer-Encoding: chunked")])
    assert said.incoming.head is not None and said.incoming.head.body_bytes == CHUNKED
