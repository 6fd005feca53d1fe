"""nginx and HAProxy with the repository's own configuration files, as child processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def tool(name: str) -> str:
    """The program's path. `make deploy` says what to install."""
    found = shutil.which(name, path=SEARCH)
    assert found, f"{name} is not installed"
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def replaced(text: str, old: str, new: str) -> str:
    """With the one place that holds ``old`` changed."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


@asynccontextmanager
async def nginx(folder: Path, ports: Sequence[int]) -> AsyncIterator[int]:
    """deploy/nginx.conf, included as Debian's nginx.conf includes it. Yields its port."""
    port = free_port()
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    text = replaced(text, "listen 80;", f"listen 127.0.0.1:{port};")
    line = "server 127.0.0.1:8080 "
    head, _, rest = text.partition(line)
    options, _, tail = rest.partition("\n")
    lines = "\n".join(f"server 127.0.0.1:{each} {options}" for each in ports)
    (folder / "kiroproxy.conf").write_text(f"{head}{lines}\n{tail}")
    temp = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""  # the folder is this user's own
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} pid {folder}/nginx.pid; error_log stderr;\n"
        "events { worker_connections 1024; }\n"
        f"http {{ access_log off; {temp} include {folder}/kiroproxy.conf; }}\n"
    )
    command = [tool("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    async with running(command, {}, port):
        yield port


@asynccontextmanager
async def haproxy(folder: Path, ports: Sequence[int]) -> AsyncIterator[int]:
    """deploy/haproxy.cfg as it stands; it has three instances. Yields its port."""
    port = free_port()
    given = {"KIROPROXY_BIND": f"127.0.0.1:{port}"}
    three = [*ports, *[free_port() for _ in range(3 - len(ports))]]
    given |= {f"KIROPROXY_{i}": f"127.0.0.1:{each}" for i, each in enumerate(three, 1)}
    command = [tool("haproxy"), "-db", "-f", str(DEPLOY / "haproxy.cfg")]
    async with running(command, given, port):
        yield port


@asynccontextmanager
async def running(command: list[str], given: dict[str, str], port: int) -> AsyncIterator[None]:
    """Until the block ends; started when it accepts connections."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": SEARCH, **given},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        while True:
            assert process.returncode is None, command
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            break
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


BALANCERS = {"nginx": nginx, "haproxy": haproxy}
