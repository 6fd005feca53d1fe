"""Ways to make and read heads. Run: ``python -m bench.experiments.heads``.

Verdict, CPU µs a head (CPython 3.11, a machine where botocore's decoder takes 11 µs an event):

| variant | request out | answer in | client's head in |
|---|---|---|---|
| h11 for each head | 47 | 68, with the small request h11 wants to see first | 56 |
| h11 for each header line, lines remembered | 12 | | |
| one expression for the whole head (upstream/plain.py) | 9.6 | 7.1 | 5.1, for the lines alone |
| h11 once, remembered by the head's bytes without its length (http/head.py) | | | 9.5 |

Requests to the service hold a new UUID each and answers a new request id and date, so whole heads never
come again there; one expression needs no memory and is faster than remembering lines. Clients' heads do
come again: remembering costs little more than an expression that would still leave the target, the
framing and all our rules to do, and h11 stays the judge of every head a client sends.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable

import h11

from kiroproxy.http.head import HeadReader
from kiroproxy.http.limits import HttpLimits
from kiroproxy.http.messages import RawHeader
from kiroproxy.upstream.plain import plain_request, plain_response

ROUNDS, TIMES = 5, 5_000
FIELDS: list[RawHeader] = [
    (b"host", b"q.us-east-1.amazonaws.com"),
    (b"content-type", b"application/json"),
    (b"accept", b"application/vnd.amazon.eventstream"),
    (b"x-amzn-kiro-agent-mode", b"vibe"),
    (b"authorization", b"Bearer " + b"a" * 300),
    (b"user-agent", b"aws-sdk-js/1.0.18 ua/2.1 os/linux lang/js md/nodejs#20 api/streaming#1.0.18"),
    (b"x-amz-user-agent", b"aws-sdk-js/1.0.18 ua/2.1 os/linux lang/js md/nodejs#20"),
    (b"x-amzn-codewhisperer-optout", b"true"),
    (b"amz-sdk-invocation-id", b"0e1b7a3e-53a5-4d0b-bb5e-e9b3b3b7a001"),
    (b"amz-sdk-request", b"attempt=1; max=6"),
    (b"content-length", b"12000"),
]
ANSWER = b"HTTP/1.1 200 OK\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in FIELDS[:-1])
ASKED = b"POST /v1/messages HTTP/1.1\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % f for f in FIELDS)
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\x21-\x7e]+(?: [\x21-\x7e]+)*\r\n")


def request_by_h11() -> None:
    request = h11.Request(method="POST", target="/generate", headers=FIELDS)
    h11.Connection(h11.CLIENT).send(request)


@functools.lru_cache(maxsize=1_024)
def _line(name: bytes, value: bytes) -> bytes:
    h11.Request(method="GET", target="/", headers=[(b"host", b"h"), (b"x-" + name, value)])
    return b"%b: %b\r\n" % (name, value)


def request_by_lines() -> None:
    """One line is new each time, as the UUID is."""
    _line.cache_clear() if _line.cache_info().currsize > 1_000 else None
    lines = [_line(name, value) for name, value in FIELDS]
    lines[8] = _line(b"amz-sdk-invocation-id", b"%d" % time.perf_counter_ns())
    b"POST /generate HTTP/1.1\r\n%b\r\n" % b"".join(lines)


def request_by_expression() -> None:
    plain_request(b"POST", b"/generate", FIELDS)


def answer_by_h11() -> None:
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[(b"host", b"h")]))
    http.receive_data(ANSWER)
    http.next_event()


def answer_by_expression() -> None:
    plain_response(ANSWER, 65_536)


def asked_by_h11() -> None:
    http = h11.Connection(h11.SERVER)
    http.receive_data(ASKED)
    http.next_event()


def asked_by_expression() -> None:
    _, _, rest = ASKED.partition(b"\r\n")
    [line.partition(b": ") for line in _FIELD.findall(rest)]


def asked_remembered() -> None:
    HeadReader(HttpLimits()).feed(ASKED)


def least_us(work: Callable[[], None]) -> float:
    took = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        for _ in range(TIMES):
            work()
        took.append(time.process_time() - began_s)
    return min(took) / TIMES * 1e6


if __name__ == "__main__":
    for variant in (
        request_by_h11,
        request_by_lines,
        request_by_expression,
        answer_by_h11,
        answer_by_expression,
        asked_by_h11,
        asked_by_expression,
        asked_remembered,
    ):
        print(f"{variant.__name__:24} {least_us(variant):6.1f} µs")
