"""Proxy settings as tables."""

from __future__ import annotations

import base64

import pytest

from kiroproxy.errors import ConfigError
from kiroproxy.upstream import ProxyTable
from kiroproxy.upstream.origin import Origin

KIRO = Origin("https", "q.us-east-1.amazonaws.com", 443)
PLAIN = Origin("http", "gateway.example", 8080)


@pytest.mark.parametrize(
    ("environ", "https", "http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": ""}, None, None),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://p:3128", None),
        ({"HTTP_PROXY": "http://p:3128"}, None, "http://p:3128"),
        ({"ALL_PROXY": "http://p:3128"}, "http://p:3128", "http://p:3128"),
        ({"ALL_PROXY": "http://p:1", "HTTP_PROXY": "http://q:2"}, "http://p:1", "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:2"}, "http://q:2", None),
        ({"https_proxy": "  ", "HTTPS_PROXY": "http://p:1"}, "http://p:1", None),
        ({"https_proxy": "p:3128"}, "http://p:3128", None),
        ({"https_proxy": "http://p"}, "http://p:80", None),
        ({"https_proxy": "http://[fd00::1]:3128/"}, "http://[fd00::1]:3128", None),
    ],
)
def test_from_env(environ: dict[str, str], https: str | None, http: str | None) -> None:
    table = ProxyTable.from_env(environ)
    chosen = [table.choose(KIRO), table.choose(PLAIN)]
    assert [proxy and str(proxy) for proxy in chosen] == [https, http]


@pytest.mark.parametrize(
    ("no_proxy", "origin", "direct"),
    [
        ("*", KIRO, True),
        ("amazonaws.com", KIRO, True),
        (".amazonaws.com", KIRO, True),
        ("*.amazonaws.com", KIRO, True),
        ("Q.US-EAST-1.amazonaws.com", KIRO, True),
        ("q.us-east-1.amazonaws.com:443", KIRO, True),
        ("q.us-east-1.amazonaws.com:8443", KIRO, False),
        ("zonaws.com", KIRO, False),
        ("other.example, amazonaws.com", KIRO, True),
        ("other.example amazonaws.com", KIRO, True),
        ("other.example", KIRO, False),
        (",", KIRO, False),
        (".", KIRO, False),
        ("10.0.0.0/8", Origin("https", "10.1.2.3", 443), True),
        ("10.0.0.0/8", Origin("https", "11.1.2.3", 443), False),
        ("10.1.2.3", Origin("https", "10.1.2.3", 443), True),
        ("10.1.2.3:443", Origin("https", "10.1.2.3", 443), True),
        ("10.0.0.0/8", KIRO, False),
        ("fd00::/8", Origin("https", "fd00::1", 443), True),
        ("fd00::1", Origin("https", "fd00::1", 443), True),
        ("[fd00::1]", Origin("https", "fd00::1", 443), True),
        ("[fd00::1]:443", Origin("https", "fd00::1", 443), True),
        ("[fd00::1]:8443", Origin("https", "fd00::1", 443), False),
        ("", Origin("https", "127.0.0.1", 443), True),
        ("", Origin("http", "localhost", 8080), True),
        ("", Origin("http", "::1", 8080), True),
    ],
)
def test_no_proxy(no_proxy: str, origin: Origin, direct: bool) -> None:
    table = ProxyTable.from_env({"ALL_PROXY": "http://p:3128", "NO_PROXY": no_proxy})
    assert (table.choose(origin) is None) is direct


def test_password_is_sent_and_not_shown() -> None:
    table = ProxyTable.from_env({"https_proxy": "http://us%40er:hun%3Ater2@p:3128"})
    proxy = table.choose(KIRO)
    assert proxy is not None
    expected = b"Basic " + base64.b64encode(b"us@er:hun:ter2")
    assert proxy.headers() == [(b"proxy-authorization", expected)]
    for shown in (str(proxy), repr(proxy), repr(table)):
        assert "ter2" not in shown
        assert expected.decode() not in shown


@pytest.mark.parametrize(
    "value",
    [
        "socks5://u:hunter2@p:1080",
        "socks://u:hunter2@p:1080",
        "https://u:hunter2@p:3128",
        "http://u:hunter2@p:notaport",
        "http://u:hunter2@p:99999",
        "http://u:hunter2@",
        "http://u:hunter2@[::1",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_unusable_proxy_is_a_config_error_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ProxyTable.from_env({name: value})
    assert name in str(caught.value)
    assert "hunter2" not in str(caught.value)
