"""Paths, methods and the two special answers: preflight and 426."""

import pytest

from kiroproxy.errors import Kind
from kiroproxy.http import Headers, Route, Router
from kiroproxy.http.router import Match, split_path
from tests.http.support import ROUTES, echo

ROUTER = Router(ROUTES)


def match(method: str, path: str, *headers: tuple[bytes, bytes]) -> Match:
    return ROUTER.match(method, path, Headers(headers))


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", ()),
        ("", ()),
        ("/v1/messages", ("v1", "messages")),
        ("/v1/v1/messages", ("v1", "messages")),
        ("/v1/v1/v1/messages", ("v1", "messages")),
        ("/claude-kiro-oauth/v1/messages", ("v1", "messages")),
        ("/claude-kiro-oauth/v1/v1/messages", ("v1", "messages")),
        ("/claude-kiro-oauth", ()),
        ("//v1//messages/", ("v1", "messages")),
        ("/v1/messages/v1/v1", ("v1", "messages", "v1", "v1")),
        ("/messages/v1", ("messages", "v1")),
        ("/v1", ("v1",)),
    ],
)
def test_liberties_with_paths(path: str, segments: tuple[str, ...]) -> None:
    assert split_path(path) == segments


def test_parameter_is_decoded_and_fixed_segments_are_not() -> None:
    found = match("GET", "/v1/models/anthropic%2Fclaude%20x")
    assert found.handler is echo
    assert found.params == {"id": "anthropic/claude x"}
    assert match("GET", "/v1/%6dodels").error is not None


def test_fixed_path_goes_before_a_pattern() -> None:
    async def other(*_: object) -> None:
        """Never called."""

    router = Router([Route("GET", "/a/{id}", other), Route("GET", "/a/b", echo)])
    assert router.match("GET", "/a/b", Headers()).handler is echo
    assert router.match("GET", "/a/c", Headers()).handler is other


def test_head_is_get() -> None:
    assert match("HEAD", "/health").handler is echo
    assert match("HEAD", "/").handler is echo


def test_unknown_path() -> None:
    for path in ("/v2/messages", "/v1/messages/x", "/v1/models/a/b", "*"):
        found = match("GET", path)
        assert found.error is not None
        assert found.error.kind is Kind.NOT_FOUND
        assert not found.api


def test_wrong_method_names_the_right_ones() -> None:
    found = match("DELETE", "/v1/models")
    assert found.error is not None
    assert found.error.kind is Kind.METHOD_NOT_ALLOWED
    assert found.extra_lines == b"allow: GET, HEAD, OPTIONS\r\n"
    assert found.api
    assert match("HEAD", "/v1/messages").extra_lines == b"allow: OPTIONS, POST\r\n"


def test_preflight_on_an_api_route_allows_what_was_asked() -> None:
    found = match("OPTIONS", "/v1/messages", (b"access-control-request-headers", b"x-a, x-b"))
    assert found.response is not None
    headers = dict(found.response.headers)
    assert found.response.status == 204
    assert found.api
    assert headers[b"access-control-allow-headers"] == b"x-a, x-b"
    assert headers[b"access-control-allow-methods"] == b"OPTIONS, POST"


def test_page_of_the_internet_may_ask_api_routes_of_this_machine() -> None:
    asked = (b"access-control-request-private-network", b"true")
    found = match("OPTIONS", "/v1/messages", asked)
    assert found.response is not None
    assert (b"access-control-allow-private-network", b"true") in found.response.headers
    unasked = match("OPTIONS", "/v1/messages").response
    assert unasked is not None
    assert b"access-control-allow-private-network" not in dict(unasked.headers)


def test_options_elsewhere_grants_nothing() -> None:
    asked = (b"access-control-request-private-network", b"true")
    found = match("OPTIONS", "/health", asked)
    assert found.response is not None
    assert [name for name, _ in found.response.headers] == [b"allow"]
    assert not found.api


@pytest.mark.parametrize(
    "path", ["/v1/responses", "/v1/v1/responses", "/claude-kiro-oauth/v1/responses"]
)
def test_websocket_is_refused_with_426_without_any_such_route(path: str) -> None:
    found = match("GET", path, (b"upgrade", b"WebSocket"))
    assert found.error is not None
    assert found.error.kind is Kind.UPGRADE_REQUIRED
    assert b"upgrade: " in found.extra_lines
    plain = match("GET", path).error
    assert plain is not None
    assert plain.kind is Kind.NOT_FOUND


def test_two_handlers_for_one_route_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two routes for GET /a"):
        Router([Route("GET", "/a", echo), Route("GET", "/a", echo)])
