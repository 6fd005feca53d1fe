"""What an idle server has loaded: each module costs memory for as long as it runs, and time at start."""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from tests.cli.test_conventions import environment, social
from tests.e2e.support import KEY, turn
from tests.test_cli_login import simulator

# Of the demo, of other commands, of several workers, of a config file, of macOS, of pictures
ELSEWHERE = {
    "kiroproxy.simulator",
    "kiroproxy.eventstream.encoder",
    "kiroproxy.cli.login",
    "kiroproxy.cli.doctor",
    "kiroproxy.cli.workers",
    "http.client",
    "email.utils",
    "tomllib",
    "truststore",
    "PIL",
}
# What others bring along, in megabytes: anyio 2, importlib.resources 0.5 with zipfile, shutil 0.5 with its
# packers, encodings.idna 0.5 with its tables, dotenv 0.2, random 0.2
HEAVY = {
    "anyio",
    "bz2",
    "dotenv",
    "encodings.idna",
    "importlib.resources",
    "lzma",
    "random",
    "secrets",
    "shlex",
    "shutil",
    "stringprep",
    "tempfile",
    "unicodedata",
    "zipfile",
}


def answered_and_stopped(home: Path, env: Mapping[str, str]) -> set[str]:
    """The modules of a server that has answered a request."""
    server = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "kiroproxy", "server", "--port", "0"],
        env=environment(home, KIRO_AUTH_TOKEN=social(), KIRO_CLIENT_TOKEN=KEY, **env),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    while "http://" not in (line := server.stdout.readline()):
        assert server.poll() is None
    client = http.client.HTTPConnection(urlsplit(line.split()[-1]).netloc, timeout=20)
    client.request("POST", "/v1/messages", orjson.dumps(turn("hello")), {"x-api-key": KEY})
    status = client.getresponse().status
    client.close()
    server.terminate()
    _, told = server.communicate(timeout=30)
    assert status == 200
    return {line.rpartition("|")[2].strip() for line in told.splitlines()}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    with simulator() as env:
        return answered_and_stopped(tmp_path_factory.mktemp("home"), env)


def test_a_server_loads_nothing_that_is_for_others(loaded: set[str]) -> None:
    assert {"kiroproxy.app", "kiroproxy.upstream.dial"} <= loaded
    assert not loaded & ELSEWHERE


def test_a_server_loads_nothing_large_for_a_small_use(loaded: set[str]) -> None:
    assert "asyncio" in loaded
    assert not loaded & HEAVY
