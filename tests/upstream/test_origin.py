"""URLs: what names a connection, what goes into the request line."""

from __future__ import annotations

import pytest

from kiroproxy.errors import ConfigError
from kiroproxy.upstream.origin import Origin, is_loopback, parse_url


@pytest.mark.parametrize(
    ("url", "origin", "target", "host_header"),
    [
        ("https://A.Example/x", Origin("https", "a.example", 443), "/x", "a.example"),
        ("https://a.example", Origin("https", "a.example", 443), "/", "a.example"),
        ("https://a.example:443?q=1", Origin("https", "a.example", 443), "/?q=1", "a.example"),
        ("http://a.example:443/", Origin("http", "a.example", 443), "/", "a.example:443"),
        ("http://[::1]:8080/p?q", Origin("http", "::1", 8080), "/p?q", "[::1]:8080"),
    ],
)
def test_parse_url(url: str, origin: Origin, target: str, host_header: str) -> None:
    assert parse_url(url) == (origin, target)
    assert origin.host_header == host_header


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "a.example/x",
        "https://",
        "https://u:hunter2@a.example/",
        "https://a.example:99999/",
        "https://a.example:x/",
        "http://[::1/",
    ],
)
def test_parse_url_refuses_and_quotes_nothing(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("kiro.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("localhost.example", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
