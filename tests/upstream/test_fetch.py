"""Fetching strangers' URLs: what is fetched, and everything that is not."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

import anyio
import pytest

from kiroproxy.clock import SystemClock
from kiroproxy.errors import MediaError
from kiroproxy.upstream import Fetcher, ProxyTable, Reach
from kiroproxy.upstream.dial import Address
from kiroproxy.upstream.fetch import FILE_BYTES, Fetched, Room
from kiroproxy.upstream.public import is_public
from tests.upstream.peers import CHUNKED_HEAD, Peer, Script, Tls, chunk, serve, sized

PNG = b"Content-Type: image/png\r\n"
HERE = "127.0.0.1"


class Names:
    """A resolver out of a table; each name's answers one after another, the last one for ever."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self.answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        found = self.answers.get(host)
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        address = found.pop(0) if len(found) > 1 else found[0]
        return [(socket.AF_INET, (one, port)) for one in address.split()]


def fetcher(
    names: Names,
    *ports: int,
    allowed: Sequence[str] = (HERE,),
    tls: ssl.SSLContext | None = None,
    proxies: ProxyTable | None = None,
    total_s: float = 30,
) -> Fetcher:
    """One that reaches the test's own servers, and otherwise what the real one does."""
    reach = Reach(names, lambda address: address in allowed or is_public(address), frozenset(ports))
    return Fetcher(tls, proxies or ProxyTable({}), SystemClock(), reach, total_s)


async def fetched(who: Fetcher, url: str, room: int = 24_000_000) -> Fetched:
    try:
        return await who.fetch(url, Room(room))
    finally:
        await who.aclose()


async def refusal(who: Fetcher, url: str, room: int = 24_000_000) -> str:
    with pytest.raises(MediaError) as caught:
        await fetched(who, url, room)
    return caught.value.message


def answering(*answers: bytes) -> Script:
    """Gives the answers in turn, on one connection or several."""
    left = list(answers)

    async def script(peer: Peer) -> None:
        while left:
            await peer.request()
            await peer.send(left.pop(0))
        await peer.client_closed()

    return script


def redirect(to: str, status: bytes = b"302 Found") -> bytes:
    return sized(b"", status=status, extra=b"Location: %b\r\n" % to.encode())


async def test_content_and_type_come_and_nothing_of_ours_goes() -> None:
    heads = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.request())
        await peer.send(sized(b"bytes", extra=b"Content-Type: Image/PNG; charset=x\r\n"))

    async with serve(script) as server:
        who = fetcher(Names(pics_example=[HERE]), server.port)
        found = await fetched(who, f"http://Pics.Example.:{server.port}/ä b/%20?q=1 2&s=é#part")
    assert found == Fetched("image/png", b"bytes")
    lines = heads[0].decode("ascii").lower().split("\r\n")
    assert lines[0] == "get /%c3%a4%20b/%20?q=1%202&s=%c3%a9 http/1.1"
    assert lines[1] == f"host: pics.example:{server.port}"
    names = {line.partition(":")[0] for line in lines[1:] if line}
    assert names == {"host", "accept", "accept-encoding", "user-agent"}


async def test_chunked_content() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD, chunk(b"a" * 9), chunk(b"b"), b"0\r\n\r\n")

    async with serve(script) as server:
        who = fetcher(Names(a_example=[HERE]), server.port)
        assert await fetched(who, f"http://a.example:{server.port}/") == Fetched(
            "", b"a" * 9 + b"b"
        )


# -- where it may go


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("ftp://a.example/", "must begin with http:// or https://"),
        ("file:///etc/passwd", "must begin with http:// or https://"),
        ("http:///x", "malformed host"),
        ("http://a.example:99999/", "malformed host"),
        ("http://a.example:x/", "malformed host"),
        ("http://[::1/", "malformed host"),
        ("http://[fe80::1%25eth0]/", "malformed host"),
        ("http://a%2eexample/", "malformed host"),
        ("http://a b/", "malformed host"),
        ("http://" + "a" * 70 + "ü.example/", "malformed host"),
        ("http://user:hunter2@a.example/", "user name or password"),
        ("http://user@a.example/", "user name or password"),
        ("http://good.example\\@a.example/", "user name or password"),
        ("http://a.example:8080/", "port must be 80 or 443"),
        ("http://a.example:22/", "port must be 80 or 443"),
        ("http://nowhere.example/", "does not resolve"),
    ],
)
async def test_url_that_may_not_be_asked_for(url: str, rule: str) -> None:
    message = await refusal(fetcher(Names(a_example=[HERE]), 80, 443), url)
    assert rule in message
    assert "hunter2" not in message


PRIVATE = (
    "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0", "localhost", "[::1]", "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]", "169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "[fe80::1]",
)  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
async def test_real_resolver_and_rule_refuse_private_hosts(host: str) -> None:
    """Nothing is injected here. Old spellings of an address are the resolver's to read."""
    who = Fetcher(None, ProxyTable({}), SystemClock())
    assert await refusal(who, f"http://{host}/") == "the URL's host is not on the public Internet"


@pytest.mark.parametrize("addresses", ["10.0.0.1", f"{HERE} 10.0.0.1", f"10.0.0.1 {HERE}"])
async def test_one_private_address_spoils_a_name(addresses: str) -> None:
    async with serve(answering(sized(b"x"))) as server:
        who = fetcher(Names(a_example=[addresses]), server.port)
        message = await refusal(who, f"http://a.example:{server.port}/")
        assert not server.peers
    assert message == "the URL's host is not on the public Internet"
    assert "10.0.0.1" not in message


async def test_a_name_that_changes_its_mind_reaches_nothing_else() -> None:
    """DNS rebinding: what is checked is what is connected to, and it is asked for once."""
    names = Names(a_example=[HERE, "127.0.0.2"])
    async with serve(answering(sized(b"x", extra=b"Connection: close\r\n" + PNG))) as server:
        who = fetcher(names, server.port)
        url = f"http://a.example:{server.port}/"
        assert (await who.fetch(url, Room(99))).content == b"x"
        assert names.asked == ["a.example"]
        assert server.peers[0].writer.get_extra_info("sockname")[0] == HERE
        # The next connection is checked anew, and now the name means something else.
        assert "not on the public Internet" in await refusal(who, url)
        assert names.asked == ["a.example"] * 2
        assert len(server.peers) == 1


async def test_an_outgoing_proxy_is_not_asked() -> None:
    async with serve(answering(sized(b"x"))) as proxy:
        proxies = ProxyTable.from_env({"HTTPS_PROXY": proxy.url, "HTTP_PROXY": proxy.url})
        for url in ("http://a.example/", "https://a.example/"):
            who = fetcher(Names(a_example=[HERE]), 80, 443, proxies=proxies)
            assert "an outgoing proxy is set" in await refusal(who, url)
        assert not proxy.peers


# -- redirects


async def test_three_redirects_are_followed_and_a_fourth_is_not() -> None:
    hops = [
        redirect("/one"),
        redirect("two?x=1", b"301 Moved Permanently"),
        redirect("//b.example:{port}/three", b"307 Temporary Redirect"),
        redirect("/four", b"308 Permanent Redirect"),
    ]
    for count, rule in ((3, ""), (4, "more than 3 redirects")):
        targets: list[bytes] = []

        async def script(peer: Peer, targets: list[bytes] = targets, count: int = count) -> None:
            while True:
                targets.append((await peer.request()).split()[1])
                at = len(targets) - 1
                port = str(peer.writer.get_extra_info("sockname")[1]).encode()
                last = at == count
                # the length is that of an empty body, so only the head changes
                await peer.send(
                    sized(b"x", extra=PNG) if last else hops[at].replace(b"{port}", port)
                )

        async with serve(script) as server:
            who = fetcher(Names(a_example=[HERE], b_example=[HERE]), server.port)
            url = f"http://a.example:{server.port}/dir/zero"
            if rule:
                assert await refusal(who, url) == rule
            else:
                assert (await fetched(who, url)).content == b"x"
        assert targets == [b"/dir/zero", b"/one", b"/two?x=1", b"/three"]


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("http://169.254.169.254/latest/meta-data/", "not on the public Internet"),
        ("http://inner.example:{port}/", "not on the public Internet"),
        ("http://[::1]:{port}/", "not on the public Internet"),
        ("//127.0.0.3:{port}/", "not on the public Internet"),
        ("http://b.example:1/", "port must be 80 or 443"),
        ("http://u:hunter2@b.example/", "user name or password"),
        ("file:///etc/passwd", "must begin with"),
        ("gopher://b.example/", "must begin with"),
        ("http://[::1", "malformed host"),
        ("", "redirects without saying where to"),
    ],
)
async def test_redirect_is_checked_like_the_first_url(location: str, rule: str) -> None:
    class Literal(Names):
        async def __call__(self, host: str, port: int) -> list[Address]:
            if host in self.answers:
                return await super().__call__(host, port)
            return [(socket.AF_INET, (host, port))]

    names = Literal(a_example=[HERE], b_example=[HERE], inner_example=["192.168.0.7"])

    async def script(peer: Peer) -> None:
        await peer.request()
        port = peer.writer.get_extra_info("sockname")[1]
        await peer.send(redirect(location.format(port=port)))

    async with serve(script) as server:
        who = fetcher(names, server.port, 80)
        message = await refusal(who, f"http://a.example:{server.port}/")
        assert len(server.peers) == 1
    assert rule in message
    assert "hunter2" not in message


# -- TLS


async def test_certificate_is_checked_against_the_name(tls: Tls) -> None:
    async with serve(answering(sized(b"x", extra=PNG)), tls=tls.server("a.example")) as server:
        names = Names(a_example=[HERE], b_example=[HERE])
        url = f"https://a.example:{server.port}/"
        assert (await fetched(fetcher(names, server.port, tls=tls.client), url)).content == b"x"
        other = f"https://b.example:{server.port}/secret?token=hunter2"
        message = await refusal(fetcher(names, server.port, tls=tls.client), other)
    assert "the TLS certificate of b.example is not trusted" in message
    assert "hunter2" not in message


async def test_no_redirect_from_https_to_http(tls: Tls) -> None:
    async with serve(
        answering(redirect("http://a.example/x")), tls=tls.server("a.example")
    ) as server:
        who = fetcher(Names(a_example=[HERE]), server.port, 80, tls=tls.client)
        message = await refusal(who, f"https://a.example:{server.port}/")
    assert message == "a.example redirects from https to http"


# -- what comes back


async def endless(peer: Peer) -> None:
    """More than is taken, as fast as it goes."""
    await peer.request()
    await peer.send(CHUNKED_HEAD)
    try:
        while True:
            await peer.send(chunk(b"x" * 500_000))
    except ConnectionError:
        pass


async def announced(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (FILE_BYTES + 1))
    await peer.client_closed()


@pytest.mark.parametrize("script", [endless, announced])
async def test_too_large_is_cut_off(script: Script) -> None:
    async with serve(script) as server:
        who = fetcher(Names(a_example=[HERE]), server.port)
        message = await refusal(who, f"http://a.example:{server.port}/a?token=hunter2")
    assert message == "the file at a.example is larger than 20 MB"


async def test_files_of_one_request_share_their_room() -> None:
    async with serve(answering(*[sized(b"x" * 600_000, extra=PNG)] * 2)) as server:
        who = fetcher(Names(a_example=[HERE]), server.port)
        room, url = Room(1_000_000), f"http://a.example:{server.port}/"
        assert len((await who.fetch(url, room)).content) == 600_000
        with pytest.raises(MediaError, match="of one request must not have more than 1 MB"):
            await who.fetch(url, room)
        await who.aclose()


async def silent(peer: Peer) -> None:
    await peer.client_closed()


async def dripping(peer: Peer) -> None:
    """A byte now and then: no pause is long, and it never ends."""
    await peer.request()
    await peer.send(CHUNKED_HEAD)
    try:
        while True:
            await peer.send(chunk(b"x"))
            await anyio.sleep(0.02)
    except ConnectionError:
        pass


async def circling(peer: Peer) -> None:
    while True:
        await peer.request()
        await anyio.sleep(0.15)
        await peer.send(redirect("/"))


@pytest.mark.parametrize("script", [silent, dripping, circling])
async def test_slow_is_cut_off(script: Script) -> None:
    async with serve(script) as server:
        who = fetcher(Names(a_example=[HERE]), server.port, total_s=0.3)
        message = await refusal(who, f"http://a.example:{server.port}/a?token=hunter2")
    assert "0.3 s" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (sized(b"", status=b"404 Not Found"), "a.example answered the fetch with status 404"),
        (sized(b"", status=b"401 Unauthorized"), "status 401"),
        (sized(b"x", status=b"206 Partial Content"), "status 206"),
        (sized(b"", status=b"304 Not Modified"), "status 304"),
        (sized(b"x", extra=b"Content-Encoding: gzip\r\n"), "a.example sends the file compressed"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
            "the connection was closed|broke off|ended",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "not valid HTTP/1.1"),
    ],
)
async def test_answer_that_is_not_taken(answer: bytes, rule: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)

    async with serve(script) as server:
        who = fetcher(Names(a_example=[HERE]), server.port)
        message = await refusal(who, f"http://a.example:{server.port}/a?token=hunter2")
    assert any(part in message for part in rule.split("|"))
    assert "hunter2" not in message


async def test_refused_connection_names_the_host_only() -> None:
    with socket.create_server((HERE, 0)) as listener:
        port = listener.getsockname()[1]
    who = fetcher(Names(a_example=[HERE]), port)
    message = await refusal(who, f"http://a.example:{port}/a?token=hunter2")
    assert (
        message
        == f"the URL cannot be fetched: no connection to a.example:{port}: Connection refused"
    )


async def test_cancelling_closes_the_connection() -> None:
    async with serve(silent) as server:
        who = fetcher(Names(a_example=[HERE]), server.port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(who.fetch, f"http://a.example:{server.port}/", Room(9))
            while not server.peers:
                await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
        await server.peers[0].seen_close.wait()
        await who.aclose()
