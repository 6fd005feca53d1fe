"""The key: where it may stand, what is not it, and that the comparison tells nothing."""

from __future__ import annotations

import ast
import inspect

import pytest

from kiroproxy.errors import Kind, KiroProxyError, RequestError
from kiroproxy.handlers import gate as module
from kiroproxy.handlers.gate import Entrance, Gate
from kiroproxy.http.messages import Headers, Request
from kiroproxy.secret import Secret

KEY = "kp-0123456789abcdefghij"


def request(*headers: tuple[bytes, bytes]) -> Request:
    return Request("POST", "/v1/messages", f"key={KEY}", Headers(headers), b"", "req_1")


RIGHT = {
    "x-api-key": [(b"x-api-key", KEY.encode())],
    "bearer": [(b"authorization", b"Bearer " + KEY.encode())],
    "bearer in capitals, more spaces": [(b"authorization", b"BEARER   " + KEY.encode())],
    "both, the same": [(b"x-api-key", KEY.encode()), (b"authorization", b"Bearer x")],
    "an empty x-api-key beside it": [
        (b"x-api-key", b""),
        (b"authorization", b"Bearer " + KEY.encode()),
    ],
}
WRONG = {
    "nothing": [],
    "empty": [(b"x-api-key", b"")],
    "a beginning": [(b"x-api-key", KEY[:-1].encode())],
    "longer": [(b"x-api-key", KEY.encode() + b"x")],
    "other letters": [(b"x-api-key", KEY.upper().encode())],
    "with a NUL": [(b"x-api-key", KEY.encode() + b"\0")],
    "no ASCII": [(b"x-api-key", b"\xff\xfe")],
    "quoted": [(b"x-api-key", b'"' + KEY.encode() + b'"')],
    "basic": [(b"authorization", b"Basic " + KEY.encode())],
    "no scheme": [(b"authorization", KEY.encode())],
    "a list": [(b"authorization", b"Bearer x, Bearer " + KEY.encode())],
    "the second of two": [(b"x-api-key", b"x"), (b"x-api-key", KEY.encode())],
    "a cookie": [(b"cookie", b"x-api-key=" + KEY.encode())],
    "another header": [(b"api-key", KEY.encode())],
    "a proxy's": [(b"proxy-authorization", b"Bearer " + KEY.encode())],
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_key(name: str) -> None:
    Gate(Secret(KEY)).check(request(*RIGHT[name]))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_key_is_refused_and_never_shown(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        Gate(Secret(KEY)).check(request(*WRONG[name]))
    assert caught.value.kind is Kind.UNAUTHENTICATED
    assert KEY not in caught.value.message


def test_the_key_is_compared_in_constant_time_and_in_one_place() -> None:
    """No clock could show it on a shared machine, so the source is asked: one comparison, and that one."""
    tree = ast.parse(inspect.getsource(module))
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    about_the_key = [node for node in compared if "_key" in ast.unparse(node)]
    assert about_the_key == []
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert calls.count("hmac.compare_digest(offered, self._key)") == 1


def test_refusals_at_the_door_are_counted() -> None:
    counted: list[str] = []

    class Pages:
        def refused(self, error: KiroProxyError) -> None:
            counted.append(error.kind.value)

    entrance = Entrance(Gate(Secret(KEY)), Pages())
    entrance.check(request(*RIGHT["bearer"]))
    with pytest.raises(RequestError):
        entrance.check(request())
    assert counted == ["unauthenticated"]
