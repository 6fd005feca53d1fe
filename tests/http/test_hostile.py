"""Bytes made to confuse: each vector has the statuses it gets, the same in every chunking.

What decides whether a request can be smuggled past a front end is what is done with the bytes behind a
doubtful one. So each vector carries a second request behind it, and either both have one clear end, or
the first is refused and nothing behind it is answered.
"""

from __future__ import annotations

import pytest

from kiroproxy.http import HttpLimits, Route
from kiroproxy.http.states import State
from tests.chunking import every_cut
from tests.http.support import bench, echo, parse_answers, settle

#: What an attacker hopes to have answered as a request of its own.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
LIMITS = HttpLimits(
    max_head_bytes=1_000,
    max_header_lines=20,
    max_body_bytes=2_000,
    max_dropped_bytes=500,
    linger_s=3600.0,
)
ROUTES = (
    Route("POST", "/v1/messages", echo, api=True),
    Route("GET", "/v1/models/{id}", echo, api=True),
    Route("GET", "/static/{name}", echo),
    Route("GET", "/hidden", echo),
    Route("GET", "/", echo),
)


def post(*lines: bytes, body: bytes = b"", first: bytes = b"POST /v1/messages HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: x", *lines, b"", b""]) + body


def get(target: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"GET %b HTTP/%b" % (target, version), b"Host: x", *lines, b"", b""])


def chunked(body: bytes, *lines: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *lines, body=body)


LENGTH, CHUNKS = b"Content-Length: 5", b"Transfer-Encoding: chunked"
EMPTY = b"0\r\n\r\n"

# Refused, and what stands behind is never answered.
REFUSED: dict[str, tuple[bytes, int]] = {
    # two framings
    "CL.TE": (post(LENGTH, CHUNKS, body=EMPTY), 400),
    "TE.CL": (post(CHUNKS, LENGTH, body=EMPTY), 400),
    "TE.TE, the second unknown": (post(CHUNKS, b"Transfer-Encoding: x", body=EMPTY), 400),
    "TE twice": (post(CHUNKS, CHUNKS, body=EMPTY), 400),
    "TE list": (post(b"Transfer-Encoding: chunked, chunked", body=EMPTY), 400),
    "TE with identity": (post(b"Transfer-Encoding: identity, chunked", body=EMPTY), 400),
    "TE identity": (post(b"Transfer-Encoding: identity", body=EMPTY), 400),
    "TE gzip": (post(b"Transfer-Encoding: gzip", body=EMPTY), 400),
    "TE xchunked": (post(b"Transfer-Encoding: xchunked", body=EMPTY), 400),
    "TE quoted": (post(b'Transfer-Encoding: "chunked"', body=EMPTY), 400),
    "TE with a parameter": (post(b"Transfer-Encoding: chunked;q=1", body=EMPTY), 400),
    "TE empty": (post(b"Transfer-Encoding:", body=EMPTY), 400),
    "TE behind a vertical tab": (post(b"Transfer-Encoding: \x0bchunked", body=EMPTY), 400),
    "TE behind a form feed": (post(b"Transfer-Encoding: \x0cchunked", body=EMPTY), 400),
    "TE behind a NUL": (post(b"Transfer-Encoding: \x00chunked", body=EMPTY), 400),
    "TE behind obs-text": (post(b"Transfer-Encoding: \xa0chunked", body=EMPTY), 400),
    "TE folded": (post(b"Transfer-Encoding:\r\n chunked", body=EMPTY), 400),
    "TE, space before the colon": (post(b"Transfer-Encoding : chunked", body=EMPTY), 400),
    "TE, tab before the colon": (post(b"Transfer-Encoding\t: chunked", body=EMPTY), 400),
    "TE after a space": (post(b"X: y", b" Transfer-Encoding: chunked", body=EMPTY), 400),
    "TE behind a bare LF": (post(b"X: y\nTransfer-Encoding: chunked", body=EMPTY), 400),
    "TE behind a bare CR": (post(b"X: y\rTransfer-Encoding: chunked", body=EMPTY), 400),
    "TE in HTTP/1.0": (
        post(CHUNKS, body=EMPTY, first=b"POST /v1/messages HTTP/1.0"),
        400,
    ),
    # lengths
    "CL twice, different": (post(LENGTH, b"Content-Length: 6", body=b"hello"), 400),
    "CL list, different": (post(b"Content-Length: 5, 6", body=b"hello"), 400),
    "CL signed": (post(b"Content-Length: +5", body=b"hello"), 400),
    "CL negative": (post(b"Content-Length: -5", body=b"hello"), 400),
    "CL hex": (post(b"Content-Length: 0x5", body=b"hello"), 400),
    "CL underscore": (post(b"Content-Length: 1_0", body=b"hello"), 400),
    "CL fraction": (post(b"Content-Length: 5.0", body=b"hello"), 400),
    "CL exponent": (post(b"Content-Length: 5e0", body=b"hello"), 400),
    "CL empty": (post(b"Content-Length:", body=b"hello"), 400),
    "CL in other digits": (post("Content-Length: ٥".encode(), body=b"hello"), 400),
    "CL superscript": (post(b"Content-Length: \xb2", body=b"hello"), 400),
    "CL, space before the colon": (post(b"Content-Length : 5", body=b"hello"), 400),
    "CL of 100 digits": (post(b"Content-Length: " + b"9" * 100, body=b"hello"), 400),
    "CL over the limit": (post(b"Content-Length: 2001", body=b"hello"), 413),
    "CL of 2 to the 64": (post(b"Content-Length: 18446744073709551616", body=b"hello"), 413),
    # lines
    "bare LF ends": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "bare LF ends the last line": (b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400),
    "bare CR in the target": (b"GET /\r HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "bare CR in a value": (get(b"/", b"X: a\rb"), 400),
    "CR CR LF": (b"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", 400),
    "NUL in a value": (get(b"/", b"X: a\x00b"), 400),
    "NUL in a name": (get(b"/", b"X\x00: a"), 400),
    "NUL in the target": (get(b"/\x00"), 400),
    "folded": (get(b"/", b"X: a", b" b"), 400),
    "folded with a tab": (get(b"/", b"X: a", b"\tb"), 400),
    "folded first": (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    "no colon": (get(b"/", b"nonsense"), 400),
    "no name": (get(b"/", b": x"), 400),
    "a name with a space": (get(b"/", b"X Y: z"), 400),
    "a name in brackets": (get(b"/", b"[x]: y"), 400),
    "a name with obs-text": (get(b"/", b"X\xe9: y"), 400),
    # hosts and targets
    "two hosts": (get(b"/", b"Host: y"), 400),
    "two hosts, the same": (get(b"/", b"Host: x"), 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a space in the target": (get(b"/ /"), 400),
    "a tab in the target": (get(b"/\t"), 400),
    "DEL in the target": (get(b"/\x7f"), 400),
    "obs-text in the target": (get(b"/\xff"), 400),
    "no target": (b"GET  HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    # versions
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2": (get(b"/", version=b"2.0"), 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/1.2": (get(b"/", version=b"1.2"), 400),
    "HTTP/1.10": (get(b"/", version=b"1.10"), 400),
    "HTTP/11": (get(b"/", version=b"11"), 400),
    "lower-case version": (b"GET / http/1.1\r\nHost: x\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a method of symbols": (b"GE(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "SOCKS": (b"\x05\x01\x00", 400),
    "proxy protocol": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(b"/"), 400),
    # floods
    "a long line": (get(b"/", b"X: " + b"a" * 1_000), 431),
    "a long target": (get(b"/" + b"a" * 1_000), 431),
    "many lines": (get(b"/", *[b"X: y"] * 20), 431),
    "a head without an end": (b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000, 431),
    # chunks
    "chunk size with a sign": (chunked(b"+5\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size with 0x": (chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size overflows 32 bits": (chunked(b"100000005\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size overflows 64 bits": (chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size of all ones": (chunked(b"ffffffff\r\nhello\r\n0\r\n\r\n"), 413),
    "chunk size empty": (chunked(b"\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size behind a space": (chunked(b" 5\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk size then bare LF": (chunked(b"5\nhello\r\n0\r\n\r\n"), 400),
    "chunk size then bare CR": (chunked(b"5\rhello\r\n0\r\n\r\n"), 400),
    "chunk longer than it says": (chunked(b"4\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk shorter than it says": (chunked(b"6\r\nhello\r\n0\r\n\r\n"), 400),
    "chunk without its line end": (chunked(b"5\r\nhello0\r\n\r\n"), 400),
    "chunk then bare LF": (chunked(b"5\r\nhello\n0\r\n\r\n"), 400),
    "bare LF in an extension": (chunked(b"5;a=b\nX: y\r\nhello\r\n0\r\n\r\n"), 400),
    "NUL in an extension": (chunked(b"5;\x00\r\nhello\r\n0\r\n\r\n"), 400),
    "a long extension": (chunked(b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n"), 400),
    "many extensions": (chunked((b"1;" + b"a" * 250 + b"\r\nx\r\n") * 40 + EMPTY), 400),
    "many trailers": (chunked(b"0\r\n" + b"A: b\r\n" * 2_000), 400),
    "a trailer that is none": (chunked(b"0\r\nnonsense\r\n\r\n"), 400),
    "a folded trailer": (chunked(b"0\r\nA: b\r\n c\r\n\r\n"), 400),
    "chunks over the limit": (chunked(b"400\r\n" + b"x" * 1024 + b"\r\n400\r\n"), 413),
    # compressed
    "gzip": (post(LENGTH, b"Content-Encoding: gzip", body=b"hello"), 400),
    "br in chunks": (chunked(b"5\r\nhello\r\n" + EMPTY, b"Content-Encoding: br"), 400),
    "identity then deflate": (post(LENGTH, b"Content-Encoding: identity, deflate"), 400),
    "zstd in a second line": (
        post(LENGTH, b"Content-Encoding: identity", b"Content-Encoding: zstd"),
        400,
    ),
    # bodies nobody reads
    "a long body for nobody": (
        post(b"Content-Length: 501", first=b"POST /nowhere HTTP/1.1"),
        404,
    ),
    "a long body of a GET": (get(b"/", b"Content-Length: 501"), 413),
    "long chunks of a GET": (get(b"/", CHUNKS) + b"1f5\r\n", 413),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_doubtful_bytes_are_refused_with_all_behind_them(name: str) -> None:
    wire, status = REFUSED[name]
    for pieces in every_cut(wire + HIDDEN):
        async with bench(ROUTES, LIMITS) as b:
            await b.feed(*pieces)
            (answer,) = parse_answers(b.transport.written, "POST", eof=True)
            assert answer.status == status
            assert answer.headers["connection"] == "close"
            assert b"hidden" not in answer.body
            assert b"Traceback" not in answer.body
            assert b.connection.state is State.LINGER
            assert b.shared.guests.held_bytes == 0


# Clear: the vector is one request with one end, and what stands behind is the next one.
CLEAR: dict[str, tuple[bytes, str, int, bytes]] = {
    "CL twice, the same": (post(LENGTH, LENGTH, body=b"hello"), "POST", 200, b"hello"),
    "CL with zeros": (post(b"Content-Length: 0005", body=b"hello"), "POST", 200, b"hello"),
    "TE in capitals": (
        post(b"TRANSFER-ENCODING: CHUNKED", body=b"5\r\nhello\r\n0\r\n\r\n"),
        "POST",
        200,
        b"hello",
    ),
    "chunk extensions": (chunked(b'5;a="b"\r\nhello\r\n0;c\r\n\r\n'), "POST", 200, b"hello"),
    "trailers": (
        chunked(b"5\r\nhello\r\n0\r\nContent-Length: 99\r\nHost: y\r\n\r\n"),
        "POST",
        200,
        b"hello",
    ),
    "a request as a body": (
        post(b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
        "POST",
        200,
        HIDDEN,
    ),
    "a request as a body of a GET": (
        get(b"/", b"Content-Length: %d" % len(HIDDEN)) + HIDDEN,
        "GET",
        200,
        b"",
    ),
    "a request as chunks for nobody": (
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (CHUNKS, len(HIDDEN), HIDDEN),
        "POST",
        404,
        b"",
    ),
    "absolute form": (get(b"http://evil.example/"), "GET", 200, b"GET /  \n"),
    "absolute form with a user": (get(b"http://a:b@evil.example:1/"), "GET", 200, b"GET /  \n"),
    "absolute form of another scheme": (get(b"gopher://evil/"), "GET", 200, b"GET /  \n"),
    "absolute form without a path": (get(b"http://evil.example"), "GET", 200, b"GET /  \n"),
    "authority form": (get(b"evil.example:443"), "GET", 404, b""),
    "asterisk": (get(b"*"), "GET", 404, b""),
    "CONNECT": (
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
        "GET",
        404,
        b"",
    ),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: x\r\nX: secret\r\n\r\n", "GET", 405, b""),
    "an unknown method": (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 405, b""),
    "lower-case method": (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", "GET", 405, b""),
    "upgrade to h2c": (
        get(b"/", b"Upgrade: h2c", b"Connection: Upgrade", b"HTTP2-Settings: AAMAAABk"),
        "GET",
        200,
        b"GET /  \n",
    ),
    "Connection names framing": (
        post(LENGTH, b"Connection: Content-Length", body=b"hello"),
        "POST",
        200,
        b"hello",
    ),
    "method override": (get(b"/", b"X-HTTP-Method-Override: DELETE"), "GET", 200, b"GET /  \n"),
    "dots": (get(b"/static/../hidden"), "GET", 404, b""),
    "encoded slashes stay in their segment": (
        get(b"/v1/models/..%2f..%2fhidden"),
        "GET",
        200,
        b"GET /v1/models/..%2f..%2fhidden  ../../hidden\n",
    ),
    "response splitting in the path": (
        get(b"/nowhere%0d%0aSet-Cookie:%20a=b"),
        "GET",
        404,
        b"",
    ),
}


@pytest.mark.parametrize("name", CLEAR)
async def test_odd_but_clear_requests_have_one_end(name: str) -> None:
    wire, method, status, ending = CLEAR[name]
    for pieces in every_cut(wire + HIDDEN):
        async with bench(ROUTES, LIMITS) as b:
            await b.feed(*pieces)
            await settle()
            odd, behind = parse_answers(b.transport.written, method, "GET")
            assert odd.status == status
            assert odd.body.endswith(ending)
            assert "set-cookie" not in odd.headers
            assert behind.body == b"GET /hidden  \n"
            assert b.connection.state is State.IDLE
            assert b.shared.guests.held_bytes == 0


# HTTP/1.0 and Connection: close: one answer, then the end, whatever stands behind.
LAST: dict[str, bytes] = {
    "HTTP/1.0": get(b"/", version=b"1.0"),
    "HTTP/1.0 that would stay": get(b"/", b"Connection: keep-alive", version=b"1.0"),
    "HTTP/1.0 without a host": b"GET / HTTP/1.0\r\n\r\n",
    "close": get(b"/", b"Connection: keep-alive, close"),
}


@pytest.mark.parametrize("name", LAST)
async def test_nothing_is_answered_behind_the_last_request(name: str) -> None:
    for pieces in every_cut(LAST[name] + HIDDEN):
        async with bench(ROUTES, LIMITS) as b:
            await b.feed(*pieces)
            (answer,) = parse_answers(b.transport.written, "GET", eof=True)
            assert answer.status == 200
            assert b"hidden" not in b.transport.written
