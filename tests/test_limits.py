"""A system that starts no more threads (``ulimit -u``, TasksMax, a container's pids limit): a server says
so, or serves on with those that it has, and never dies of it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from itertools import product
from pathlib import Path

import pytest

from tests.e2e.speakers import SPEAKERS, Heard, Wish
from tests.processes import Server, environment, serving, simulated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prlimit and setpriv")

CELLS = list(product(SPEAKERS, (True, False)))
# The limit counts all of a user's threads, and does not hold for root: a user of the test's own, who may
# read what root may.
USER = 60_000 + os.getpid() % 5_000
CAPS = "+dac_read_search,+dac_override"
AS_USER: tuple[str, ...] = ()
if os.getuid() == 0:
    AS_USER = (
        "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups",
        f"--inh-caps={CAPS}", f"--ambient-caps={CAPS}",
    )  # fmt: skip


def owned(home: Path) -> Path:
    """By whoever the server runs as."""
    home.mkdir()
    if AS_USER:
        os.chown(home, USER, USER)
    return home


async def start_no_more(server: Server, none: bool = True) -> None:
    """From now on (not) another thread or process of the server's user."""
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    soft = "1" if none else "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    # by a process of that user: others may not
    setting = await asyncio.create_subprocess_exec(
        *AS_USER, "prlimit", f"--pid={server.process.pid}", f"--nproc={soft}:"
    )
    assert await setting.wait() == 0


async def ask(server: Server, dialect: str, stream: bool) -> Heard:
    speaker = SPEAKERS[dialect]
    body = speaker.request(Wish("[[sim:say fine]]"), stream=stream)
    return speaker.hear(await server.send("POST", speaker.path, body))


@pytest.mark.parametrize("workers", [1, 2])
async def test_start_without_threads_is_told_in_a_line(workers: int, tmp_path: Path) -> None:
    """The first of two workers is a process of its own, for which there has to be room."""
    if workers > 1 and not AS_USER:
        pytest.skip("how many processes this user has is not known")
    home = owned(tmp_path / "home")
    async with simulated() as (kiro, url):
        process = await asyncio.create_subprocess_exec(
            *AS_USER, "prlimit", f"--nproc={workers}:",
            sys.executable, "-m", "kiroproxy", "server", "--workers", str(workers),
            cwd=home,
            env={
                "PYTHONPATH": str(Path(__file__).parent.parent),
                **environment(home, url, kiro.demo_credentials("social")),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await process.communicate())[0].decode()
        assert process.returncode == 1
        assert "kiroproxy: the system starts no more threads" in said
        assert "Traceback" not in said


async def test_threads_that_run_out_while_serving(tmp_path: Path) -> None:
    """Where a name has to be looked up for a further connection, the answer waits for one that is there, or
    is an error."""
    home = owned(tmp_path / "home")
    async with simulated() as (kiro, url):
        named = url.replace("127.0.0.1", "localhost")
        given = environment(home, named, kiro.demo_credentials("social"))
        async with serving(given, home, under=AS_USER) as server:
            await start_no_more(server)
            for heard in await asyncio.gather(*(ask(server, *cell) for cell in CELLS * 4)):
                assert heard.text == "fine" or "no more threads" in heard.message
            await start_no_more(server, none=False)
            for dialect, stream in CELLS:
                heard = await ask(server, dialect, stream)
                assert (heard.text, heard.error) == ("fine", "")
            await start_no_more(server)
            for dialect, stream in CELLS:
                kiro.tokens.revoke_access(
                    "social"
                )  # renewed over the connection there is, and stored
                heard = await ask(server, dialect, stream)
                assert (heard.text, heard.error) == ("fine", "")
            server.tell(signal.SIGTERM)
            assert await server.process.wait() == 0
        assert "Traceback" not in server.text


@pytest.mark.skipif(not AS_USER, reason="how many threads this user has is not known")
@pytest.mark.parametrize("threads", [5, 6, 7])
async def test_few_threads_are_enough(threads: int, tmp_path: Path) -> None:
    """Those that look names up among them, which there are none of before the first request."""
    home = owned(tmp_path / "home")
    under = (*AS_USER, "prlimit", f"--nproc={threads}:")
    async with simulated() as (kiro, url):
        named = url.replace("127.0.0.1", "localhost")
        given = environment(home, named, kiro.demo_credentials("social"))
        async with serving(given, home, under=under) as server:
            for heard in await asyncio.gather(*(ask(server, *cell) for cell in CELLS * 4)):
                assert (heard.text, heard.error) == ("fine", "")
            server.tell(signal.SIGTERM)
            assert await server.process.wait() == 0
        assert "Traceback" not in server.text
