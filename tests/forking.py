"""Servers by fork: a process that has everything imported and starts a real server in a child, again and
again, in a fraction of the time that a new interpreter takes.

Reads a line from stdin for each server; writes ``pid N``, then ``port N`` when it listens, then ``gone``
when it has been waited for. Settings come from the environment.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from kiroproxy.app import App
from kiroproxy.clock import SystemClock
from kiroproxy.config import load


def say(words: str) -> None:
    os.write(1, f"{words}\n".encode())


async def _serve(parent: int) -> None:
    """Until it is killed, or nobody is left to do that."""
    app = App(load({}, dict(os.environ), {}, Path.cwd()), SystemClock())
    running = await app.start()
    say(f"port {running.urls[0].rsplit(':', 1)[1]}")
    while os.getppid() == parent:
        await asyncio.sleep(0.5)


def main() -> None:
    parent = os.getpid()
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            asyncio.run(_serve(parent))
            os._exit(1)
        say(f"pid {pid}")
        os.waitpid(pid, 0)
        say("gone")


if __name__ == "__main__":
    main()
