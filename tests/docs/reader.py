"""Somebody who follows a page: types its commands into a shell, with a home and a Kiro of their own.

Nothing of the user's is there: the environment is a new one, the service a simulator, and the ports that
pages name (8080, 8090) are free ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from kiroproxy.simulator import Settings, Simulator
from tests.docs.pages import ROOT

PORTS: Final = {"8080": "PORT", "8090": "KIRO_PORT", "9000": "OTHER_PORT"}
"""The ports of the pages, and what they are for."""
_WELCOME: Final = " serves on http://"


@dataclass(frozen=True)
class Done:
    """A finished command. ``output``: both streams, as they came."""

    code: int
    output: str


class Reader:
    """``run`` and ``serve`` take commands as they stand on the page."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._kiro = Simulator(Settings())
        self._shell: asyncio.subprocess.Process | None = None
        self._server: int | None = None
        self._server_log = home
        self._count = 0
        self.ports = {number: str(_free_port()) for number in PORTS}

    async def start(self) -> None:
        url = await self._kiro.start()
        self.home.mkdir(exist_ok=True)
        commands = self.home / ".commands"
        commands.mkdir()
        for name, words in (("kiroproxy", "-m kiroproxy"), ("python", ""), ("python3", "")):
            # By this Python, so that no other installation is tried.
            (commands / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
            (commands / name).chmod(0o755)
        self._environment = {
            "HOME": str(self.home),
            "PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
            "SHELL": "/bin/bash",
            "PORT": self.ports["8080"],
            "KIRO_API_URL": url,
            "KIRO_SOCIAL_AUTH_URL": url,
            "KIRO_OIDC_URL": url,
            "KIRO_AUTH_TOKEN": orjson.dumps(self._kiro.demo_credentials("social")).decode(),
        }

        self._shell = await asyncio.create_subprocess_exec(
            "bash", cwd=self.home, env=self._environment, start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def stop(self) -> None:
        """End what the page has started, and nothing else."""
        assert self._shell is not None
        for group in filter(None, (self._server, self._shell.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        await self._shell.wait()
        await self._kiro.stop()

    def here(self, text: str) -> str:
        """``text`` with the pages' ports replaced."""
        for number, port in self.ports.items():
            text = re.sub(rf"(?<![\d.]){number}(?!\d)", port, text)
        return text

    async def run(self, command: str) -> Done:
        """To its end. One shell runs all of a page: variables, functions and jobs last."""
        file, output, code = self._files(command)
        await self._type(
            f'eval "$(cat {file})" < /dev/null > {output} 2>&1; echo $? > {code}.new; mv {code}.new {code}'
        )
        while not code.exists():
            await asyncio.sleep(0.02)
        return Done(int(code.read_text()), output.read_text("utf-8", "replace"))

    async def python(self, text: str, python: str = sys.executable) -> Done:
        """A program of the page."""
        return await self._file("python", text, python)

    async def node(self, text: str, modules: Path, node: str) -> Done:
        """The same in JavaScript; ``modules``: where its packages are."""
        (self.home / "node_modules").unlink(missing_ok=True)
        (self.home / "node_modules").symlink_to(modules)
        return await self._file("mjs", text, node)

    async def _file(self, suffix: str, text: str, program: str) -> Done:
        file = self.home / f"page.{suffix}"
        file.write_text(self.here(text), "utf-8")
        return await self.run(f"PYTHONPATH= {program} {file}")

    async def serve(self, command: str) -> Done:
        """A command that runs until it is stopped: waited for until it serves; it goes on until the page
        starts another one, or ends. It has a terminal, so a process group, of its own."""
        await self.stop_server()
        file, output, code = self._files(command)
        output.touch()  # the command makes it too, but perhaps later than its group is known
        await self._type(
            f'set -m; (eval "$(cat {file})"; echo $? > {code}) < /dev/null > {output} 2>&1 & '
            f"set +m; echo $! > {code}.pid; mv {code}.pid {code}.group"
        )
        group = code.with_name(f"{code.name}.group")
        while not group.exists():
            await asyncio.sleep(0.02)
        self._server, self._server_log = int(group.read_text()), output
        while _WELCOME not in (said := output.read_text("utf-8", "replace")):
            assert not code.exists(), said
            await asyncio.sleep(0.05)
        return Done(0, said)

    async def stop_server(self) -> None:
        """It ends in peace."""
        group, self._server = self._server, None
        if group is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
            while True:
                os.killpg(group, 0)
                await asyncio.sleep(0.02)
        assert "Traceback" not in self._server_log.read_text("utf-8", "replace")

    def _files(self, command: str) -> tuple[Path, Path, Path]:
        """The command's text, its output and its exit code. Files, since a program that stays in the
        background would hold a pipe open."""
        self._count += 1
        folder = self.home.parent / f"command-{self._count}"
        folder.mkdir()
        (folder / "text").write_text(self.here(command), "utf-8")
        return folder / "text", folder / "output", folder / "code"

    async def _type(self, line: str) -> None:
        assert self._shell is not None and self._shell.stdin is not None
        self._shell.stdin.write(f"{line}\n".encode())
        await self._shell.stdin.drain()


def _free_port() -> int:
    """Below the ports that systems hand out by themselves: a page leaves its own free now and then, and
    no other program shall get it meanwhile."""
    while True:
        number = random.randrange(10_000, 30_000)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", number))
            return number
