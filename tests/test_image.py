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
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

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


def run_steps(stage: str) -> list[str]:
    """The stage's RUN instructions, each as one line of shell."""
    found = re.findall(r"^RUN ((?:[^\n]*\\\n)*[^\n]*)$", stage, re.MULTILINE)
    return [step.replace("\\\n", " ") for step in found]


BUILD_STEPS = run_steps(DOCKERFILE.split("\nFROM ")[1])


def build_context() -> list[str]:
    """What .dockerignore lets through: everything is shut out, then some names are let in."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    return [line[1:] for line in lines if line.startswith("!")]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The first stage's COPY and RUN, in a folder that every user may read (pytest's are private)."""
    with tempfile.TemporaryDirectory(prefix="kiroproxy-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield build(folder)


def build(folder: Path) -> Image:
    source, wheels, home = (folder / name for name in ("src", "wheels", "home"))
    source.mkdir()
    home.mkdir()
    for name in build_context():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    for step in BUILD_STEPS:
        for old, new in (
            ("/opt/", f"{folder}/opt/"),
            ("/wheels", str(wheels)),
            ("python -m venv", f"{sys.executable} -m venv"),
            ("--no-cache-dir", "--quiet --disable-pip-version-check"),
        ):
            step = step.replace(old, new)
        run(["sh", "-ec", step], cwd=source)
    shutil.rmtree(source)  # the final stage does not have it either
    return Image(folder / "opt" / "kiroproxy", home)


def run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
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


def may_change_root() -> bool:
    """Whether this test may make name spaces and become another user."""
    tools = all(shutil.which(tool) for tool in ("unshare", "setpriv", "mount"))
    if not tools or os.geteuid() != 0:
        return False
    probe = ["unshare", "--mount", "mount", "-o", "remount,bind,ro", "/"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


# As the image's user, on a root file system that is read-only but for the state folder.
CONFINED = """
mount --bind "$KIROPROXY_STATE_DIR" "$KIROPROXY_STATE_DIR"
mount -o remount,bind,ro /
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set -all "$@"
"""


def test_needs_no_root_and_writes_nothing_but_its_state(image: Image) -> None:
    if not may_change_root():
        pytest.skip("needs root, unshare and setpriv")
    state = image.home / "confined"
    state.mkdir()
    os.chown(state, 10001, 10001)
    port = str(free_port())
    more = {
        "PORT": port,
        "KIRO_CLIENT_TOKEN": "a-key-of-the-test",
        "KIRO_API_KEY": "ksk_of_the_test",
        "KIRO_API_URL": "http://127.0.0.1:1",
        "KIROPROXY_STATE_DIR": str(state),
        "KIROPROXY_WORKERS": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    program = str(image.venv / "bin" / instruction("ENTRYPOINT")[0])
    command = ("sh", "-ec", CONFINED, "sh", program, *instruction("CMD"))
    with image.log.open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", *command],
            cwd="/", env=image.environment(**more),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        while image.run(*instruction("HEALTHCHECK"), PORT=port).returncode != 0:
            assert process.poll() is None, image.log.read_text()
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(r"^Uid:\s+10001\s+10001", status, re.MULTILINE)
        mounts = Path(f"/proc/{process.pid}/mounts").read_text().splitlines()
        (root,) = [line for line in mounts if line.split()[1] == "/"]
        assert "ro" in root.split()[3].split(",")
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
    assert "state.db" in os.listdir(state)
    assert " in memory" not in image.log.read_text()


@pytest.mark.parametrize("platform", ["x86_64", "aarch64"])
def test_lock_has_wheels_for_both_architectures(platform: str, tmp_path: Path) -> None:
    version = re.findall(r"^ARG PYTHON_IMAGE=python:(\d\.\d+)-slim$", DOCKERFILE, re.MULTILINE)
    run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--dry-run", "--ignore-installed", "--target", str(tmp_path), "--require-hashes",
            "--only-binary=:all:", "--python-version", *version, "--implementation", "cp",
            "--platform", f"manylinux2014_{platform}", "--platform", f"manylinux_2_28_{platform}",
            "-r", str(ROOT / "requirements.lock"),
        ]
    )  # fmt: skip


def test_lock_meets_the_requirements_and_names_no_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name, wanted in (
        (
            "requirements.lock",
            [*project["project"]["dependencies"],
             *project["project"]["optional-dependencies"]["uvloop"]],
        ),
        ("requirements-build.lock", project["build-system"]["requires"]),
    ):  # fmt: skip
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index" not in text and "--find-links" not in text
        pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
        for line in wanted:
            requirement = Requirement(line)
            assert pinned[requirement.name] in requirement.specifier, line


def test_each_locked_package_is_held_to_hashes_and_named_in_the_bill_of_materials(
    tmp_path: Path,
) -> None:
    """By the very command of ``make sbom``."""
    tool = Path(sys.executable).parent / "cyclonedx-py"
    if not tool.is_file():
        pytest.skip("cyclonedx-bom is not installed")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\t\$\(BIN\)/cyclonedx-py (.+)$", makefile, re.MULTILINE)
    target = tmp_path / "sbom.json"
    assert "dist/sbom.cdx.json" in command
    arguments = command.replace("dist/sbom.cdx.json", str(target)).split()
    subprocess.run([tool, *arguments], cwd=ROOT, check=True, capture_output=True, timeout=120)
    made = json.loads(target.read_text(encoding="utf-8"))
    assert made["bomFormat"] == "CycloneDX"
    assert made["metadata"]["component"]["name"] == "kiroproxy"
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    locked = {}
    for line in re.findall(r"^[^\s#].*", text, re.MULTILINE):
        name, _, version = line.split()[0].partition("==")
        hashes = set(re.findall(r" --hash=sha256:([0-9a-f]{64})\b", line))
        assert name and version and hashes, line
        locked[name] = (version, hashes)
    assert "h11" in locked
    named = {
        part["name"]: (
            part["version"],
            {made["content"] for place in part["externalReferences"] for made in place["hashes"]},
        )
        for part in made["components"]
    }
    assert named == locked


def test_final_stage_is_small_and_not_root() -> None:
    final = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    assert DOCKERFILE.count("\nFROM ${PYTHON_IMAGE}") == DOCKERFILE.count("\nFROM ") == 2
    assert re.search(r"^USER [1-9]\d*$", final, re.MULTILINE)
    assert re.search(r"^COPY --from=build ", final, re.MULTILINE)
    assert "pip" not in final
