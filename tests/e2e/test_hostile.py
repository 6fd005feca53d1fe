"""Hostile clients and web pages against the whole program: clear refusals, no crash, no traceback."""

from __future__ import annotations

import asyncio
import base64
import logging
from pathlib import Path

import orjson
import pytest

from bench.workloads import big_request
from kiroproxy.simulator import Settings
from tests.e2e.support import KEY, Answer, House, house, read_answer, request_bytes, turn
from tests.http.support import until

ROUTES = ("/v1/messages", "/v1/chat/completions", "/v1/responses")


def wrapped(value: str, route: str = "/v1/messages") -> bytes:
    """A request that is right but for ``value``, which stands in a tool's schema."""
    tool = {
        "/v1/messages": '{"name":"t","input_schema":%s}',
        "/v1/chat/completions": '{"type":"function","function":{"name":"t","parameters":%s}}',
        "/v1/responses": '{"type":"function","name":"t","parameters":%s}',
    }[route]
    name = "input" if route == "/v1/responses" else "messages"
    return (
        '{"model":"claude-sonnet-4-5","max_tokens":100,'
        f'"{name}":[{{"role":"user","content":"hello"}}],"tools":[{tool % value}]}}'
    ).encode("utf-8", "surrogatepass")


def schema(value: str) -> str:
    return f'{{"type":"object","properties":{{"a":{{"type":"string","default":{value}}}}}}}'


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


#: Texts that stand for a whole body; each is a 400.
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n",
    "NUL": b"\0",
    "a BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"model":"x"}'.encode("utf-16"),
    "not UTF-8": b'{"model":"\xff"}',
    "overlong UTF-8": b'{"model":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"model":"\xed\xa0\x80"}',
    "an array": b"[]",
    "a text": b'"x"',
    "a number": b"1",
    "null": b"null",
    "NaN": b'{"model":NaN}',
    "single quotes": b"{'model':'x'}",
    "a trailing comma": b'{"model":"x",}',
    "two values": b"{}{}",
    "cut": b'{"model":"x"',
    "XML": b"<a/>",
    "a form": b"model=x&messages=y",
    "a million arrays": b"[" * 1_000_000,
    "a million objects": b'{"a":' * 1_000_000,
    "deep and whole": b"[" * 100_000 + b"]" * 100_000,
    "a model of the wrong type": b'{"model":{},"messages":[],"max_tokens":1}',
    "messages of the wrong type": b'{"model":"x","messages":{"a":1},"max_tokens":1}',
    "a long model name": b'{"model":"' + b"x" * 1_000_000 + b'","messages":[],"max_tokens":1}',
}


async def refused(home: House, route: str, body: bytes, caplog: pytest.LogCaptureFixture) -> Answer:
    answer = await home.send("POST", route, body)
    assert 400 <= answer.status < 500
    assert answer.json["error"]["message"]
    assert len(answer.body) < 2_000
    assert b"Traceback" not in answer.body
    assert b'File "' not in answer.body
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    return answer


@pytest.mark.parametrize("route", ROUTES)
async def test_bodies_that_are_no_requests(
    tmp_path: Path, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(tmp_path) as home:
        for name, body in BODIES.items():
            answer = await refused(home, route, body, caplog)
            assert answer.status in (400, 404), name
        assert home.chats() == []


#: JSON that is odd and right, in a schema, with what may come of it.
ODD: dict[str, tuple[str, set[int]]] = {
    "100 levels": (schema(deep(100)), {200, 400}),
    "500 levels": (schema(deep(500)), {200, 400}),
    "900 levels": (schema(deep(900)), {200, 400}),
    "1000 levels": (schema(deep(1_000)), {200, 400}),
    "1020 levels": (schema(deep(1_020)), {200, 400}),
    "2000 levels": (schema(deep(2_000)), {400}),
    "a number of 10,000 digits": (schema("9" * 10_000), {200, 400}),
    "a number over 64 bits": (schema("123456789012345678901234567890"), {200}),
    "1e400": (schema("1e400"), {200, 400}),
    "-1e400": (schema("-1e400"), {200, 400}),
    "1e-400": (schema("1e-400"), {200}),
    "minus zero": (schema("-0"), {200}),
    "a lone surrogate": (schema('"\\ud800"'), {200, 400}),
    "a reversed pair": (schema('"\\udc00\\ud800"'), {200, 400}),
    "a lone surrogate as a name": ('{"type":"object","properties":{"\\ud800":{}}}', {200, 400}),
    "an escaped NUL": (schema('"\\u0000"'), {200, 400}),
    "the same name twice": ('{"type":"object","type":"object","properties":{}}', {200}),
    "100,000 properties": (
        '{"type":"object","properties":{'
        + ",".join(f'"p{n}":{{"type":"string"}}' for n in range(100_000))
        + "}}",
        {200, 400},
    ),
    "a cycle of references": (
        '{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},'
        '"$defs":{"b":{"$ref":"#/$defs/c"},"c":{"$ref":"#/$defs/b"}}}',
        {200, 400},
    ),
    "a prototype": ('{"type":"object","__proto__":{"a":1},"properties":{}}', {200, 400}),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ODD)
async def test_odd_json_is_served_or_refused_and_nothing_breaks(
    tmp_path: Path, route: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    value, statuses = ODD[name]
    async with house(tmp_path) as home:
        answer = await home.send("POST", route, wrapped(value, route))
        assert answer.status in statuses, answer.body[:300]
        assert b"Traceback" not in answer.body
        assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
        assert (await home.ask("hello")).status == 200


PATHS = (
    "/static/../../etc/passwd",
    "/static/..%2f..%2fetc%2fpasswd",
    "/static/%2e%2e/%2e%2e/etc/passwd",
    "/static/%2e%2e%2fapp.py",
    "/static/..%252f..%252fapp.py",
    "/static/%252e%252e%252fapp.py",
    "/static/..\\..\\app.py",
    "/static/..%5c..%5capp.py",
    "/static/index.html%00.css",
    "/static/%00",
    "/static/./../app.py",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/file:%2f%2f%2fetc%2fpasswd",
    "/static/..;/app.py",
    "/static/..%c0%afapp.py",
    "/static/%ff%fe",
    "/static/__init__.py",
    "/static/index.html/",
    "/static/INDEX.HTML",
    "/static/.",
    "/static/..",
    "/static/",
    "/static",
    "/../static",
    "/%2e%2e/app.py",
)
SAME = frozenset({"/static/index.html/"})  # an empty segment does not count


async def test_no_path_reaches_the_disk(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        page = (await home.send("GET", "/static/index.html", b"", {"x-api-key": ""})).body
        for path in PATHS:
            for method in ("GET", "HEAD"):
                answer = await home.send(method, path, b"", {"x-api-key": ""})
                if path in SAME:
                    assert answer.status == 200, path
                    assert answer.body in (page, b"")
                else:
                    assert answer.status == 404, path
                    assert b"root:" not in answer.body
                    assert b"import" not in answer.body


# --- web pages ---

PAGE = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "x-api-key": ""}
FIGURES = ("/api/tokens", "/api/usage", "/api/requests", "/api/events", "/metrics")
KEYED = (
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/responses/compact"),
    ("POST", "/v1/responses/input_tokens"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("GET", "/v1/responses/resp_1"),
    ("GET", "/v1/responses/resp_1/input_items"),
    ("DELETE", "/v1/responses/resp_1"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/claude-sonnet-4-5"),
)


async def test_every_api_route_asks_everybody_for_the_key(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for method, path in KEYED:
            for headers in ({}, {"Host": "localhost"}, PAGE, {"Authorization": "Bearer wrong"}):
                given = {"x-api-key": "", **headers}
                answer = await home.send(method, path, b"", given)
                assert answer.status == 401, (method, path, headers)
        assert home.chats() == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_page_that_posts_without_asking_has_no_key_and_gets_nowhere(
    tmp_path: Path, content_type: str
) -> None:
    """A simple request leaves the browser without a preflight, but cannot carry a key."""
    async with house(tmp_path) as home:
        for method, path in KEYED:
            headers = {**PAGE, "Sec-Fetch-Mode": "no-cors", "Content-Type": content_type}
            answer = await home.send(method, path, wrapped("{}"), headers)
            assert answer.status == 401
        for query in (f"?key={KEY}", f"?x-api-key={KEY}", f"?api_key={KEY}"):
            answer = await home.send("POST", f"/v1/messages{query}", wrapped("{}"), PAGE)
            assert answer.status == 401  # nor in the address
        answer = await home.send(
            "POST", "/v1/messages", wrapped("{}"), {**PAGE, "Cookie": f"x-api-key={KEY}"}
        )
        assert answer.status == 401
        assert home.chats() == []


async def test_rebound_name_reads_no_figure(tmp_path: Path) -> None:
    """The browser takes the page's own name for this machine: no Origin, same-origin, a foreign Host."""
    async with house(tmp_path) as home:
        for path in FIGURES:
            for host in ("evil.example:8080", "127.0.0.1.evil.example", "localhost.", "0.0.0.0"):
                headers = {"x-api-key": "", "Host": host, "Sec-Fetch-Site": "same-origin"}
                answer = await home.send("GET", path, b"", headers)
                assert answer.status == 401, (path, host)
        for path in ("/health", "/api/hello", "/", "/static/index.html"):
            answer = await home.send("GET", path, b"", {"x-api-key": "", "Host": "evil.example"})
            assert answer.status == 200  # nothing of anybody's stands there
            assert KEY.encode() not in answer.body


async def test_other_origins_read_no_figure(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for path in FIGURES:
            answer = await home.send("GET", path, b"", {**PAGE, "Host": "localhost:8080"})
            assert answer.status == 401
            assert "access-control-allow-origin" not in answer.headers
            preflight = await home.send(
                "OPTIONS",
                path,
                b"",
                {**PAGE, "Access-Control-Request-Method": "GET"},
            )
            assert not [name for name in preflight.headers if name.startswith("access-control")]


async def test_no_cookie_and_no_credentials_are_ever_granted(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for method, path in (*KEYED, *(("GET", path) for path in ("/health", "/", "/api/usage"))):
            for verb in (method, "OPTIONS"):
                answer = await home.send(verb, path, b"", PAGE)
                assert "set-cookie" not in answer.headers
                assert "access-control-allow-credentials" not in answer.headers


# --- the setting for reverse proxies that do not tell of themselves ---


async def test_with_the_setting_the_figures_need_the_key_on_this_machine_too(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, KIROPROXY_LOCAL_ACCESS="key") as home:
        for path in FIGURES:
            headers = {"Host": "localhost:8080", "x-api-key": ""}
            assert (await home.send("GET", path, b"", headers)).status == 401
        for path in FIGURES[:3]:
            headers = {"Host": "localhost:8080", "x-api-key": KEY}
            assert (await home.send("GET", path, b"", headers)).status == 200
        page = await home.send("GET", "/", b"", {"Host": "localhost", "x-api-key": ""})
        assert page.status == 200  # it asks for the key then


async def test_without_it_programs_of_this_machine_need_none(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for path in FIGURES[:3]:
            headers = {"Host": "localhost:8080", "x-api-key": ""}
            assert (await home.send("GET", path, b"", headers)).status == 200


# --- the key before the body ---


@pytest.mark.parametrize("route", ROUTES)
async def test_stranger_is_refused_in_his_dialect_before_his_body_comes(
    tmp_path: Path, route: str
) -> None:
    async with house(tmp_path) as home:
        reader, writer = await home.connect()
        writer.write(
            request_bytes("POST", route, b"", {"x-api-key": "", "Content-Length": "30000000"})
        )
        answer = await read_answer(reader)
        assert answer.status == 401
        assert answer.json["error"]["type"] == "authentication_error"
        assert answer.headers["connection"] == "close"
        assert home.app.metrics.failures.get("unauthenticated") == 1


async def test_wrong_keys_fill_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house(tmp_path) as home:
        for _ in range(100):
            assert (await home.send("GET", "/v1/models", b"", {"x-api-key": "w"})).status == 401
    refusals = [r for r in caplog.records if "refused" in r.getMessage()]
    assert 1 <= len(refusals) <= 61


async def test_too_much_at_once_is_refused_in_the_dialect(tmp_path: Path) -> None:
    """Nobody's fault, so it says when to come again."""
    async with house(tmp_path, KIROPROXY_MAX_REQUEST_MB="64") as home:
        for _ in range(2):
            _, writer = await home.connect()
            writer.write(
                request_bytes("POST", "/v1/messages", b"", {"Content-Length": "33000000"})
                + bytes(31_500_000)
            )
            await writer.drain()
        server = home.app.server
        assert server is not None
        await until(lambda: server.held_bytes > 62_000_000)
        statuses = {}
        for route in ROUTES:
            answer = await home.send("POST", route, orjson.dumps({"a": "x" * 3_000_000}))
            statuses[route] = answer.status
            assert answer.headers["retry-after"] == "5"
        assert statuses == {ROUTES[0]: 529, ROUTES[1]: 503, ROUTES[2]: 503}


# --- many values in few bytes ---


def crowded(route: str) -> bytes:
    """0.6 MB that become 30 at the least: 195,000 arrays."""
    return wrapped(
        f'{{"type":"object","properties":{{"a":{{"enum":[{",".join(["[]"] * 195_000)}]}}}}}}', route
    )


async def test_values_count_and_the_third_crowded_request_is_refused_in_the_dialect(
    tmp_path: Path,
) -> None:
    """Before, the few bytes alone counted, and all were let in."""
    waiting = Settings(pace_s=0, latency_s=600)
    async with house(tmp_path, settings=waiting, KIROPROXY_MAX_REQUEST_MB="64") as home:
        server = home.app.server
        assert server is not None
        writers = []
        for route in ROUTES[:2]:
            _, writer = await home.connect()
            writer.write(request_bytes("POST", route, crowded(route)))
            writers.append(writer)
        await until(lambda: len(home.chats()) == 2)
        assert 58_000_000 < server.held_bytes < 64_000_000
        statuses = {}
        for route in ROUTES:
            answer = await home.send("POST", route, crowded(route))
            statuses[route] = answer.status
            assert answer.headers["retry-after"] == "5"
            assert "holds as much of requests as it may" in answer.json["error"]["message"]
        assert statuses == {ROUTES[0]: 529, ROUTES[1]: 503, ROUTES[2]: 503}
        counted = await home.send("POST", "/v1/messages/count_tokens", crowded(ROUTES[0]))
        assert counted.status == 529
        assert len(home.chats()) == 2
        writers[0].transport.abort()  # type: ignore[union-attr]
        await until(lambda: server.held_bytes < 32_000_000)
        _, writer = await home.connect()
        writer.write(request_bytes("POST", ROUTES[2], crowded(ROUTES[2])))
        await until(lambda: len(home.chats()) == 3)
        for writer in home.open:
            writer.transport.abort()  # type: ignore[union-attr]
        await until(lambda: server.held_bytes == 0)


@pytest.mark.parametrize("route", ROUTES)
async def test_more_values_than_any_prompt_has_are_too_long_a_prompt(
    tmp_path: Path, route: str
) -> None:
    async with house(tmp_path) as home:
        schema = f'{{"enum":[{",".join(["[]"] * 200_000)}]}}'
        answer = await home.send("POST", route, wrapped(schema, route))
        assert answer.status == 400
        error = answer.json["error"]
        rule = "prompt is too long: its JSON has more than 200000 values."
        assert error["message"].startswith(rule)  # clients look for further words
        if route != "/v1/messages":
            assert error["code"] == "context_length_exceeded"
        assert home.chats() == []


async def test_large_requests_of_everyday_are_all_let_in(tmp_path: Path) -> None:
    """Where there is the least room: long sessions at once, and one of many pictures."""
    session = big_request(403, 1_770_000)
    png = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (30).to_bytes(4, "big") * 2 + b"\x08" + bytes(3_750_000)
    )
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}
    pictures = turn("What is it?")
    pictures["messages"][0]["content"] = [{"type": "image", "source": source}] * 4
    unchecked = Settings(pace_s=0, check=False)  # it is more than the window
    async with house(tmp_path, settings=unchecked, KIROPROXY_MAX_REQUEST_MB="64") as home:
        answers = await asyncio.gather(
            home.send("POST", "/v1/messages", pictures),
            *(home.send("POST", "/v1/messages", session) for _ in range(12)),
        )
        assert [answer.status for answer in answers] == [200] * 13
