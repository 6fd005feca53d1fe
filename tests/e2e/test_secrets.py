"""A full run with secrets whose every appearance can be found: they stay where they belong.

The program runs as a process of its own, with every log, every error and every page there is, in front of
a service that repeats in its errors what it was sent.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import re
import signal
import stat
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

import kiroproxy
from kiroproxy.secret import Secret
from kiroproxy.simulator import Settings, Simulator
from tests.processes import Server, environment, serving, until

CLIENT_KEY = "kp-Zq7clientZq7key9f3a"
PROXY_PASSWORD = "Zq7proxyZq7word9f3a"
WRONG_KEY = "Zq7wrongZq7key9f3a"
# What the documentation names as a place of secrets, in the state folder.
STORES = ("client-key", "credentials", "sign-ins", "client-setup")
SECRET_FIELDS = ("refreshToken", "clientSecret", "kiroApiKey", "deviceCode")
ROUTES = ("/v1/messages", "/v1/chat/completions", "/v1/responses")
PAGES = (
    "/", "/health", "/metrics", "/api/tokens", "/api/usage", "/api/requests", "/api/hello", "/v1/models",
    "/static/app.js", "/nowhere",
)  # fmt: skip


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Nothing is private unless the program makes it so."""
    before = os.umask(0)
    yield
    os.umask(before)


def body_for(route: str, text: str, stream: bool) -> bytes:
    said = [{"role": "user", "content": text}]
    key = "input" if route == "/v1/responses" else "messages"
    return orjson.dumps(
        {"model": "claude-sonnet-4.5", "max_tokens": 900, "stream": stream, key: said}
    )


def secrets_of(kiro: Simulator) -> set[str]:
    """Every secret that came to the service, or was given out by it, in this run."""
    found = {CLIENT_KEY, PROXY_PASSWORD, WRONG_KEY}
    for entry in kiro.demo_credentials():
        found |= {
            str(entry[name])
            for name in ("refreshToken", "clientSecret", "kiroApiKey")
            if name in entry
        }
    for request in kiro.requests:
        found.add(request.headers.get("authorization", "").rpartition(" ")[2])
        sent = request.json if isinstance(request.json, dict) else {}
        found |= {
            str(sent[name])
            for name in ("refreshToken", "clientSecret", "deviceCode")
            if name in sent
        }
    return {secret for secret in found if len(secret) > 8}


def leaks(where: str, data: bytes, secrets: set[str]) -> list[str]:
    """Also escaped as JSON has it, and cut: half a token is too much."""
    text = data.decode("utf-8", "replace")
    return [
        f"{where}: {secret[:6]}…"
        for secret in secrets
        if secret[-16:] in text or secret[:16] in text
    ]


def everything_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def assert_modes(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), f"{path}: {mode:o}"


async def exercise(server: Server, kiro: Simulator) -> list[tuple[str, bytes]]:
    """All that can be asked for, good and bad. What came back, headers included."""
    got: list[tuple[str, bytes]] = []

    async def ask(method: str, path: str, body: bytes = b"", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await server.send(method, path, body, {"x-api-key": CLIENT_KEY, **named})
        got.append((f"{method} {path}", orjson.dumps(answer.headers) + answer.body))

    async def refused(route: str, stream: bool, name: str, value: str) -> None:
        kiro.faults.next("echo", times=4, **{name: value})
        await ask("POST", route, body_for(route, "hello", stream))
        kiro.faults.clear()

    search = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    asked = orjson.loads(body_for(ROUTES[0], "Perform a web search for the query: x", False))
    kiro.faults.next("echo", times=4, route="mcp", status=500)
    await ask("POST", ROUTES[0], orjson.dumps(asked | search))
    kiro.faults.clear()
    for route in ROUTES:
        for stream in (False, True):
            await ask("POST", route, body_for(route, "[[sim:text 20]] hello", stream))
            for name, value in (("status", "400"), ("in", "frame")):
                await refused(route, stream, name, value)
        await ask("POST", route, b"{" + CLIENT_KEY.encode())
        await ask("POST", route, body_for(route, "hello", False), x_api_key=WRONG_KEY)
        await ask("POST", f"{route}?api_key={WRONG_KEY}", b"{}", x_api_key="")
    for status in ("401", "403", "500"):  # these cost accounts
        await refused(ROUTES[0], False, "status", status)
    for page in PAGES:
        await ask("GET", page)
    await ask("GET", f"/health?key={WRONG_KEY}")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /api/events HTTP/1.1\r\nHost: x\r\nx-api-key: %b\r\n\r\n" % CLIENT_KEY.encode()
    )
    got.append(("events", await reader.readuntil(b"data: ") + await reader.readline()))
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nx-api-key: %b\x00\r\n\r\n" % CLIENT_KEY.encode())
    got.append(("malformed", await reader.read()))
    writer.close()
    return got


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("form", "prompts", "end"), [("text", "console", "SIGTERM"), ("json", "file", "SIGABRT")]
)
@pytest.mark.usefixtures("open_umask")
async def test_no_secret_leaves(tmp_path: Path, form: str, prompts: str, end: str) -> None:
    kiro = Simulator(Settings(pace_s=0, device_polls=0))
    url = await kiro.start()
    (tmp_path / "key").write_text(CLIENT_KEY)
    for route in ("refresh", "models", "usage", "profiles"):
        kiro.faults.next("echo", route=route, account="social", status=500)
    kiro.faults.next("echo", route="refresh", account="idc", status=400)
    home = tmp_path / "home"
    given = environment(
        home, url, kiro.demo_credentials(),
        KIRO_CLIENT_TOKEN="", KIRO_CLIENT_TOKEN_FILE=str(tmp_path / "key"),
        LOG_LEVEL="debug", LOG_FORMAT=form, LOG_FILE=str(home / "state" / "log" / "own.log"),
        PROMPT_LOG_MODE=prompts, HTTPS_PROXY=f"http://user:{PROXY_PASSWORD}@127.0.0.1:9",
        PYTHONFAULTHANDLER="1", PYTHONASYNCIODEBUG="1", REQUEST_BASE_DELAY="1",
    )  # fmt: skip
    try:
        async with serving(given, home) as server:
            written = await exercise(server, kiro)
            server.tell(signal.SIGHUP)
            await until(lambda: "reload" in server.text)
            written.append(("login", await output(given, home, "login", "--name", "mine")))
            for command in ("read", "accounts", "doctor", "usage", "models"):
                written.append((command, await output(given, home, command)))
                written.append((f"{command} --json", await output(given, home, command, "--json")))
            server.tell(signal.Signals[end])
            await server.process.wait()
        written.append(("output", server.text.encode()))
        assert end != "SIGABRT" or "Fatal Python error: Aborted" in server.text
    finally:
        await kiro.stop()
    secrets = secrets_of(kiro)
    assert len(secrets) > 8
    state = home / "state"
    for path, data in everything_below(home):
        if not path.is_relative_to(state) or path.relative_to(state).parts[0] not in STORES:
            written.append((str(path.relative_to(home)), data))
    assert [leak for where, data in written for leak in leaks(where, data, secrets)] == []
    assert_modes(state)
    assert_it_was_tried(kiro, written, state)


def assert_it_was_tried(kiro: Simulator, written: list[tuple[str, bytes]], state: Path) -> None:
    """Or the test above would show nothing."""
    echoed = {entry.route for entry in kiro.requests if entry.fault == "echo"}
    assert echoed >= {"chat", "refresh", "mcp"}
    assert any(
        entry.json and "deviceCode" in entry.json
        for entry in kiro.requests
        if entry.path == "/token"
    )
    answers = b"".join(data for where, data in written if where.startswith("POST "))
    assert answers.count(b"Cannot use") > 8
    assert any((state / "credentials").iterdir())
    assert any((state / "sign-ins").iterdir())
    told = dict(written)
    for page, words in {
        "/": b"<html",
        "/metrics": b"kiroproxy_",
        "/api/tokens": b"account",
    }.items():
        assert words in told[f"GET {page}"], page


SECRET_NAMES = re.compile(r"token$|secret|password|api_key|^key$|authorization|refresh_token|code$")


def test_no_dataclass_shows_a_secret() -> None:
    """A field that is called like a secret is a Secret, or is left out of the repr."""
    secret, bare = [], []
    for class_ in dataclasses_of_the_program():
        for field in fields(class_):
            where = f"{class_.__module__}.{class_.__qualname__}.{field.name}"
            kind = str(field.type)
            if "Secret" in kind:
                secret.append(where)
            elif (
                SECRET_NAMES.search(field.name) and kind.startswith(("str", "bytes")) and field.repr
            ):
                bare.append(where)
    assert set(bare) <= NO_SECRETS
    assert len(secret) > 8
    shown = repr(Secret(CLIENT_KEY)) + str(Secret(CLIENT_KEY)) + f"{Secret(CLIENT_KEY)}"
    assert CLIENT_KEY not in shown


# What is called like a secret and is none.
NO_SECRETS = {
    "kiroproxy.accounts.cli_stores._Row.key",
    "kiroproxy.accounts.entries.Place.key",
    "kiroproxy.cli.setup.jsontext._Member.key",
    "kiroproxy.kiro.sign_in.DeviceCode.user_code",  # for the person to type
}


def dataclasses_of_the_program() -> Iterator[type[Any]]:
    for found in pkgutil.walk_packages(kiroproxy.__path__, "kiroproxy."):
        if found.name.startswith("kiroproxy.simulator") or found.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(found.name)).values():
            if isinstance(value, type) and is_dataclass(value) and value.__module__ == found.name:
                yield value


async def output(given: dict[str, str], cwd: Path, *arguments: str) -> bytes:
    """Both streams of a command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kiroproxy", *arguments, cwd=cwd,
        env={"PYTHONPATH": str(Path(__file__).parent.parent.parent), **given},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert said
    return said
