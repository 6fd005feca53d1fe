"""Who reads the figures without a key: this machine, and no web page through it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kiroproxy.errors import RequestError
from kiroproxy.handlers.gate import Gate
from kiroproxy.handlers.local import LocalGate, is_local
from kiroproxy.http.messages import Headers, Request
from kiroproxy.secret import Secret


def request(peer: str = "127.0.0.1:5000", **headers: str) -> Request:
    given = {"host": "localhost:8080", **{k.replace("_", "-"): v for k, v in headers.items()}}
    raw = [(k.encode(), v.encode()) for k, v in given.items() if v]
    return Request("GET", "/api/usage", "", Headers(raw), b"", "req_1", peer)


@pytest.mark.parametrize(
    "asked",
    [
        request(),
        request(host="127.0.0.1"),
        request(host="127.0.0.1:8080", origin="http://127.0.0.1:8080"),
        request(peer="[::1]:5000", host="[::1]:8080"),
        request(host="LOCALHOST:8080", sec_fetch_site="same-origin"),
        request(sec_fetch_site="none"),  # typed into the address bar
    ],
)
def test_own_machine_needs_no_key(asked: Request) -> None:
    assert is_local(asked)
    LocalGate(Gate(Secret("right"))).check(asked)


STRANGERS = {
    "another machine": request(peer="192.168.1.7:5000"),
    "another machine with a loopback host": request(peer="10.0.0.1:5000", host="localhost"),
    "rebound name": request(host="evil.example:8080"),
    "name that begins like ours": request(host="localhost.evil.example"),
    "user part": request(host="localhost@evil.example"),
    "address that begins like ours": request(host="127.0.0.1.evil.example:8080"),
    "no host": request(host=""),
    "broken host": request(host="[::1"),
    "web page": request(origin="https://evil.example"),
    "opaque origin": request(origin="null"),
    "another port of this machine": request(origin="http://localhost:3000"),
    "page that sends no origin": request(sec_fetch_site="cross-site"),
    "page on another port": request(sec_fetch_site="same-site"),
    "reverse proxy": request(x_forwarded_for="203.0.113.9"),
    "reverse proxy by the standard": request(forwarded="for=203.0.113.9"),
    "no peer": request(peer=""),
}


@pytest.mark.parametrize("asked", STRANGERS.values(), ids=STRANGERS.keys())
def test_everybody_else_needs_the_key(asked: Request) -> None:
    gate = LocalGate(Gate(Secret("right")))
    with pytest.raises(RequestError):
        gate.check(asked)
    with pytest.raises(RequestError):
        gate.check(replace(asked, headers=Headers([*asked.headers, (b"x-api-key", b"wrong")])))
    gate.check(replace(asked, headers=Headers([*asked.headers, (b"x-api-key", b"right")])))
