"""The container image without a container engine: the Dockerfile's own steps in a clean folder.

What cannot be tried this way (the base image, the user) is checked as text.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kiroproxy import __version__

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")

# The slow part is the package registry, not us.
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Image:
    """A virtual environment as the final stage holds it, and a home of its own."""

    venv: Path
    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        """The final stage's ENV (but for the state folder) and what ``docker run --env`` adds."""
        settings = dict(re.findall(r"^\s+(HOST|PORT)=(\S+)", DOCKERFILE, re.MULTILINE))
        path = f"{self.venv / 'bin'}:{os.environ['PATH']}"
        state = {"KIROPROXY_STATE_DIR": str(self.home / "state"), "HOME": str(self.home)}
        return {"PATH": path, **settings, **state, **more}

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; what it said is text."""
        return subprocess.run(
            [str(self.venv / "bin" / command[0]), *command[1:]],
            cwd=self.home,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def serving(self, *command: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run in the background until the block ends; then it must stop by itself on SIGTERM."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [str(self.venv / "bin" / command[0]), *command[1:]],
                cwd=self.home,
                env=self.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process
            process.terminate()
            assert process.wait(timeout=60) == 0, self.log.read_text()
        finally:
            process.kill()
            process.wait()

    @property
    def log(self) -> Path:
        """What the last ``serving`` process said."""
        return self.home / "log"


def instruction(name: str) -> list[str]:
    """The JSON array of the one instruction ``name``, over all its continued lines."""
    found = re.findall(rf"^{name}\b(?:[^\n]*\\\n)*[^\n]*?(\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert len(found) == 1, name
    words: list[str] = json.loads(found[0])
    return words


def build_context() -> list[str]:
    """What .dockerignore lets through: everything is shut out, then some names are let in."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    return [line[1:] for line in lines if line.startswith("!")]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The first stage's COPY and RUN."""
    folder = tmp_path_factory.mktemp("image")
    source, wheels, venv, home = (folder / name for name in ("src", "wheels", "venv", "home"))
    source.mkdir()
    home.mkdir()
    for name in build_context():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run([sys.executable, "-m", "venv", str(venv)])
    run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(source)])
    (wheel,) = wheels.glob("*.whl")
    run([*pip, "install", f"kiroproxy[uvloop] @ {wheel.as_uri()}"])
    shutil.rmtree(source)  # the final stage does not have it either
    return Image(venv, home)


def run(command: list[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_command_and_module_are_the_same_program(image: Image) -> None:
    for command in (instruction("ENTRYPOINT"), ["python", "-m", "kiroproxy"]):
        done = image.run(*command, "--version")
        assert (done.returncode, done.stdout.strip()) == (0, f"kiroproxy {__version__}"), (
            done.stderr
        )


def test_wheel_holds_the_package_and_nothing_else(image: Image) -> None:
    listed = image.run("python", "-m", "pip", "show", "--files", "kiroproxy").stdout
    files = {line.strip() for line in listed.split("Files:")[1].splitlines() if line.strip()}
    tops = {name.split("/")[0] for name in files if not name.startswith("..")}
    assert tops == {"kiroproxy", f"kiroproxy-{__version__}.dist-info"}
    wanted = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("kiroproxy/**/*.py")}
    assert wanted | {"kiroproxy/py.typed"} <= files
    assert any(name.endswith("licenses/LICENSE") for name in files)


def test_refuses_to_start_open_to_the_network_without_a_key(image: Image) -> None:
    done = image.run(*instruction("ENTRYPOINT"), *instruction("CMD"))
    assert done.returncode == 2
    assert "KIRO_CLIENT_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr


def test_serves_and_is_found_healthy(image: Image) -> None:
    port = str(free_port())
    probe = instruction("HEALTHCHECK")
    assert image.run(*probe, PORT=port).returncode != 0  # nobody is there yet
    more = {
        "PORT": port,
        "KIRO_CLIENT_TOKEN": "a-key-of-the-test",
        "KIRO_API_KEY": "ksk_of_the_test",
    }
    more |= {"KIRO_API_URL": "http://127.0.0.1:1"}  # nothing of this test may leave the machine
    # A proxy set for the container must not swallow the probe.
    proxies = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
    with image.serving(*instruction("ENTRYPOINT"), *instruction("CMD"), **more) as process:
        deadline = time.monotonic() + 60
        while image.run(*probe, PORT=port, **proxies).returncode != 0:
            assert process.poll() is None, image.log.read_text()
            assert time.monotonic() < deadline, "never became healthy"


def test_final_stage_is_small_and_not_root() -> None:
    final = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    assert DOCKERFILE.count("\nFROM ") == 2
    assert re.search(r"^USER [1-9]\d*$", final, re.MULTILINE)
    assert re.search(r"^COPY --from=build ", final, re.MULTILINE)
    assert "pip" not in final
