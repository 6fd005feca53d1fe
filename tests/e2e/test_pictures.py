"""Pictures and PDFs by URL, and pictures over the service's limits: in every dialect, over real sockets."""

from __future__ import annotations

import base64
import io
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image

from kiroproxy.upstream import Reach
from kiroproxy.upstream.dial import Address
from tests.e2e.speakers import SPEAKERS, Heard
from tests.e2e.support import Answer, House, house
from tests.upstream.peers import Peer, serve, sized

Json = dict[str, Any]
ON = {"KIROPROXY_FETCH_URLS": "true"}
DIALECTS = pytest.mark.parametrize("dialect", list(SPEAKERS))
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
SECRET = "token=hunter2"


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, kind)
    return out.getvalue()


def pdf() -> bytes:
    return b"%PDF-1.4\n1 0 obj << /Type /Page >> endobj\n"


@dataclass(frozen=True)
class Asked:
    """One dialect's request: its body, and the field that holds the URL."""

    body: Json
    field: str


def by_url(dialect: str, *urls: str, stream: bool = False, words: str = "Look.") -> Asked:
    if dialect == "messages":
        parts: list[Json] = [
            {"type": "image", "source": {"type": "url", "url": url}} for url in urls
        ]
        content = [{"type": "text", "text": words}, *parts]
        body: Json = {"messages": [{"role": "user", "content": content}], "max_tokens": 99}
        at = "messages.0.content.1.source.url"
    elif dialect == "chat":
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        body = {
            "messages": [{"role": "user", "content": [{"type": "text", "text": words}, *parts]}]
        }
        if stream:
            body["stream_options"] = {"include_usage": True}
        at = "messages[0].content[1].image_url.url"
    else:
        parts = [{"type": "input_image", "image_url": url} for url in urls]
        content = [{"type": "input_text", "text": words}, *parts]
        body = {"input": [{"role": "user", "content": content}]}
        at = "input[0].content[1].image_url"
    return Asked({"model": "claude-sonnet-4-5", "stream": stream, **body}, at)


async def hear(home: House, dialect: str, asked: Asked) -> tuple[Answer, Heard]:
    speaker = SPEAKERS[dialect]
    answer = await home.send("POST", speaker.path, asked.body)
    return answer, speaker.hear(answer)


def states(home: House) -> list[Json]:
    """The conversations that the service got."""
    return [orjson.loads(entry.body)["conversationState"] for entry in home.kiro.received("chat")]


class Web:
    """A server that stands for all of the public Internet; ``url`` gives an address in it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.targets: list[str] = []
        self.port = 0

    def url(self, path: str, host: str = "pics.example") -> str:
        return f"http://{host}:{self.port}{path}?{SECRET}"

    def reach(self) -> Reach:
        return Reach(self._resolve, lambda address: address == "127.0.0.1", frozenset({self.port}))

    async def _resolve(self, host: str, port: int) -> list[Address]:
        address = "127.0.0.1" if host == "pics.example" else "10.1.2.3"
        return [(socket.AF_INET, (address, port))]

    async def script(self, peer: Peer) -> None:
        target = (await peer.request()).split()[1].decode()
        self.targets.append(target)
        path = target.partition("?")[0]
        await peer.send(self.files.get(path, sized(b"", status=b"404 Not Found")))


@asynccontextmanager
async def web(**files: bytes) -> AsyncIterator[Web]:
    """``files``: name → whole response."""
    found = Web()
    found.files = {f"/{name}": content for name, content in files.items()}
    async with serve(found.script) as server:
        found.port = server.port
        yield found


def typed(content: bytes, media_type: str = "image/png") -> bytes:
    extra = f"Content-Type: {media_type}\r\nConnection: close\r\nSet-Cookie: a=b\r\n"
    return sized(content, extra=extra.encode())


@MODES
@DIALECTS
async def test_picture_by_url(dialect: str, stream: bool, tmp_path: Path) -> None:
    async with web(a=typed(picture(64, 48))) as net:
        async with house(tmp_path, reach=net.reach(), **ON) as home:
            _, heard = await hear(home, dialect, by_url(dialect, net.url("/a"), stream=stream))
            assert home.chats() == [200]
    assert "64x48 PNG" in heard.text
    assert net.targets == [f"/a?{SECRET}"]


@MODES
@DIALECTS
async def test_urls_are_refused_unless_switched_on(
    dialect: str, stream: bool, tmp_path: Path
) -> None:
    async with web(a=typed(picture(64, 48))) as net:
        async with house(tmp_path, reach=net.reach()) as home:
            asked = by_url(dialect, net.url("/a"), stream=stream)
            answer, heard = await hear(home, dialect, asked)
            assert home.chats() == []
    assert (answer.status, heard.error) == (400, "invalid_request_error")
    assert "KIROPROXY_FETCH_URLS" in heard.message
    assert answer.json["error"].get("param", asked.field) == asked.field
    assert net.targets == []


@DIALECTS
async def test_private_address_is_refused_by_the_real_rules(
    dialect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No seam here: the real resolver and the real rule, and an address of this machine."""
    caplog.set_level(logging.DEBUG)
    for host in ("127.0.0.1", "localhost", "169.254.169.254", "[::ffff:127.0.0.1]", "2130706433"):
        asked = by_url(dialect, f"http://{host}/latest/meta-data?{SECRET}")
        async with house(tmp_path / host.strip("[]"), **ON) as home:
            answer, heard = await hear(home, dialect, asked)
        assert (answer.status, heard.error) == (400, "invalid_request_error")
        assert "the URL's host is not on the public Internet" in heard.message
        assert SECRET not in heard.message
    assert caplog.text
    assert SECRET not in caplog.text


BAD: dict[str, tuple[Callable[[Web], str], str]] = {
    "not there": (
        lambda net: net.url("/b"),
        "pics.example answered the fetch with status 404",
    ),
    "private name": (lambda net: net.url("/a", "inner.example"), "not on the public Internet"),
    "page": (lambda net: net.url("/page"), "what was fetched says text/html"),
    "mislabelled": (lambda net: net.url("/gif"), "says image/gif, but the bytes are a png"),
    "redirect": (lambda net: net.url("/away"), "not on the public Internet"),
    "port": (lambda net: "http://pics.example:22/", "port must be 80 or 443"),
    "file": (lambda net: "file:///etc/passwd", "http:// or https://"),
}


@pytest.mark.parametrize("case", list(BAD))
@DIALECTS
async def test_what_cannot_be_fetched_names_the_field(
    dialect: str, case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url_of, rule = BAD[case]
    away = sized(
        b"",
        status=b"302 Found",
        extra=f"Location: http://inner.example/?{SECRET}\r\nConnection: close\r\n".encode(),
    )
    files = {
        "a": typed(picture(64, 48)),
        "page": typed(b"<html>", "text/html; charset=utf-8"),
        "gif": typed(picture(64, 48), "image/gif"),
        "away": away,
    }
    async with web(**files) as net:
        reach = net.reach()
        reach = Reach(reach.resolver, reach.allows, reach.ports | {80})
        async with house(tmp_path, reach=reach, **ON) as home:
            asked = by_url(dialect, url_of(net), stream=True)
            answer, heard = await hear(home, dialect, asked)
            assert home.chats() == []
    assert (answer.status, heard.error) == (400, "invalid_request_error")
    assert rule in heard.message
    assert answer.json["error"].get("param", asked.field) == asked.field
    if dialect == "messages":
        assert heard.message.startswith(f"{asked.field}: ")
    assert SECRET not in heard.message + caplog.text


async def test_a_url_named_twice_is_fetched_once_and_results_may_hold_it(tmp_path: Path) -> None:
    async with web(a=typed(picture(64, 48)), b=typed(picture(5, 7, "GIF"), "image/gif")) as net:
        first = {"type": "image", "source": {"type": "url", "url": net.url("/a")}}
        other = {"type": "image", "source": {"type": "url", "url": net.url("/b")}}
        use = {"type": "tool_use", "id": "t", "name": "Look", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "t", "content": [first, other]}
        messages = [
            {"role": "user", "content": [{"type": "text", "text": "Look."}, first]},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [result]},
        ]
        body = {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": messages}
        async with house(tmp_path, reach=net.reach(), **ON) as home:
            answer = await home.send("POST", "/v1/messages", body)
            assert answer.status == 200
            (state,) = states(home)
    assert sorted(net.targets) == [f"/a?{SECRET}", f"/b?{SECRET}"]
    images = state["currentMessage"]["userInputMessage"]["images"]
    assert [image["format"] for image in images] == ["png", "gif"]
    assert images[0] in state["history"][0]["userInputMessage"]["images"]


@DIALECTS
async def test_at_most_twenty_urls(dialect: str, tmp_path: Path) -> None:
    async with web(**{f"p{i}": typed(picture(i + 1, 1)) for i in range(21)}) as net:
        urls = [net.url(f"/p{i}") for i in range(21)]
        async with house(tmp_path, reach=net.reach(), **ON) as home:
            _, heard = await hear(home, dialect, by_url(dialect, *urls))
            assert "must not name more than 20 URLs" in heard.message
            assert net.targets == []
            answer, _ = await hear(home, dialect, by_url(dialect, *urls[:20]))
            assert answer.status == 200
    assert sorted(net.targets) == sorted(f"/p{i}?{SECRET}" for i in range(20))


async def test_pdf_by_url(tmp_path: Path) -> None:
    async with web(a=typed(pdf(), "application/pdf")) as net:
        document = {"type": "document", "source": {"type": "url", "url": net.url("/a")}}
        file = {"type": "input_file", "filename": "a.pdf", "file_url": net.url("/a")}
        model = "claude-sonnet-4-5"
        bodies: dict[str, Json] = {
            "/v1/messages": {
                "messages": [{"role": "user", "content": [document]}],
                "max_tokens": 99,
            },
            "/v1/chat/completions": {"messages": [{"role": "user", "content": [file]}]},
            "/v1/responses": {"input": [{"role": "user", "content": [file]}]},
        }
        async with house(tmp_path, reach=net.reach(), **ON) as home:
            for path, body in bodies.items():
                answer = await home.send("POST", path, {"model": model, **body})
                assert answer.status == 200
            sent = [
                state["currentMessage"]["userInputMessage"]["documents"] for state in states(home)
            ]
    data = base64.b64encode(pdf()).decode()
    assert [documents[0]["source"]["bytes"] for documents in sent] == [data] * 3


async def test_counting_fetches_nothing(tmp_path: Path) -> None:
    async with web(a=typed(picture(64, 48))) as net:
        async with house(tmp_path, reach=net.reach(), **ON) as home:
            body = by_url("messages", net.url("/a")).body
            answer = await home.send("POST", "/v1/messages/count_tokens", body)
    assert answer.status == 200
    assert answer.json["input_tokens"] > 1500
    assert net.targets == []


# -- over the limits


def as_data(dialect: str, content: bytes, media_type: str, *, stream: bool) -> Asked:
    """The same picture in the request itself."""
    data = base64.b64encode(content).decode()
    asked = by_url(dialect, f"data:{media_type};base64,{data}", stream=stream)
    if dialect != "messages":
        return asked
    source = {"type": "base64", "media_type": media_type, "data": data}
    asked.body["messages"][0]["content"][1]["source"] = source
    return Asked(asked.body, "messages.0.content.1.source.data")


OVER = {
    "bmp": (picture(64, 48, "BMP"), "image/bmp", "64x48 PNG", "a BMP picture"),
    "wide": (picture(8400, 4), "image/png", "8000x3 PNG", "more than 8000 pixels a side"),
    "heavy": (
        picture(2, 2, "JPEG") + bytes(10_000_000), "image/jpeg", "2x2 JPEG", "a picture over 10 MB",
    ),
}  # fmt: skip


@MODES
@pytest.mark.parametrize("case", list(OVER))
@DIALECTS
async def test_pictures_over_the_limits(
    dialect: str, case: str, stream: bool, tmp_path: Path
) -> None:
    content, media_type, seen, reason = OVER[case]
    asked = as_data(dialect, content, media_type, stream=stream)
    async with house(tmp_path / "with") as home:
        _, heard = await hear(home, dialect, asked)
        assert seen in heard.text
    async with house(tmp_path / "without", scale=None) as home:
        answer, heard = await hear(home, dialect, asked)
        assert home.chats() == []
    assert (answer.status, heard.error) == (400, "invalid_request_error")
    assert reason in heard.message
    assert "pip install 'kiroproxy[images]'" in heard.message
    assert answer.json["error"].get("param", asked.field) == asked.field


async def test_fetched_picture_is_converted_too(tmp_path: Path) -> None:
    async with web(a=typed(picture(64, 48, "BMP"), "image/bmp")) as net:
        async with house(tmp_path, reach=net.reach(), **ON) as home:
            _, heard = await hear(home, "chat", by_url("chat", net.url("/a")))
    assert "64x48 PNG" in heard.text


async def test_damaged_picture_is_named(tmp_path: Path) -> None:
    asked = as_data("chat", picture(64, 48, "BMP")[:60], "image/bmp", stream=False)
    async with house(tmp_path) as home:
        answer, heard = await hear(home, "chat", asked)
    assert answer.status == 400
    assert answer.json["error"]["param"] == asked.field
    assert "the bmp picture is damaged" in heard.message
