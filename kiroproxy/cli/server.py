"""``kiroproxy server``: serve until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import errno
import functools
import gc
import json
import logging
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

from kiroproxy import __version__, logs
from kiroproxy.app import App, Running
from kiroproxy.cli import environment, workers
from kiroproxy.cli.dotfile import read_dotenv
from kiroproxy.cli.settings import add_config, find_file, read_settings
from kiroproxy.cli.supervisor import Link
from kiroproxy.config import SETTINGS, Config, load
from kiroproxy.errors import ConfigError, KiroProxyError

if TYPE_CHECKING:
    from kiroproxy.simulator import Simulator

INTERRUPTED = 130  # as shells tell it of a program ended by Ctrl-C

_EXAMPLES = """\
examples:
  kiroproxy server                     on http://127.0.0.1:8080, with a key of its own
  kiroproxy server 9000 my-key         on another port, with a key of your choice
  kiroproxy server --demo              answer from a built-in simulator; no account needed
  LOG_LEVEL=debug kiroproxy server     any setting of docs/configuration.md by its name
"""
_NO_ACCOUNT = (
    "sign in with kiroproxy login or to the Kiro IDE on this machine, or set KIRO_API_KEY "
    "(docs/configuration.md has more ways); requests are refused until then"
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    server = commands.add_parser(
        "server",
        help="serve (the default command)",
        description="Serve the APIs until SIGTERM or Ctrl-C; running answers may finish.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    server.add_argument("port", nargs="?", metavar="PORT", help="as --port")
    server.add_argument("key", nargs="?", metavar="KEY", help="as --key")
    server.add_argument(
        "--demo", action="store_true", help="answer from a built-in simulator, without an account"
    )
    add_config(server)
    for setting in SETTINGS:
        if setting.flag:
            server.add_argument(
                setting.flag,
                dest=setting.name,
                metavar=setting.unit.upper(),
                help=f"{setting.meaning} ({setting.name}, default {setting.default or 'none'})",
            )
    server.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    given = vars(arguments)
    flags = {s.name: given[s.name] for s in SETTINGS if s.flag and given[s.name] is not None}
    if arguments.port is not None:
        flags.setdefault("PORT", arguments.port)
    if arguments.key is not None:
        flags.setdefault("KIRO_CLIENT_TOKEN", arguments.key)
    if not arguments.demo:
        config = read_settings(flags, arguments.config)
        return _serve(config, None, lambda: read_settings(flags, arguments.config))
    with tempfile.TemporaryDirectory(prefix="kiroproxy-demo-") as folder:
        # Nothing of the user's own may leak into the demo: neither a sign-in nor an address.
        names = {s.name for s in SETTINGS} - _DEMO_REPLACES
        dotenv = read_dotenv()
        file = find_file(arguments.config, dotenv)
        if file is not None:
            file.keep(names)
        environment = {k: v for k, v in {**dotenv, **os.environ}.items() if k in names}
        flags.setdefault("KIROPROXY_STATE_DIR", folder)
        config = load(flags, environment, {}, Path(folder), file)
        from kiroproxy.simulator import Simulator  # here, for only the demo pays for it

        return _serve(config, Simulator(), None)


Reread = Callable[[], Config]
"""The settings as they are now; raises ConfigError. None in its place: there is nothing to reload."""


def _serve(config: Config, simulator: Simulator | None, reread: Reread | None) -> int:
    try:
        logs.setup(config.log)
    except OSError as error:
        raise ConfigError(f"LOG_FILE: cannot be written ({error})") from None
    if config.server.workers == 1:
        return _run_loop(_serve_until_signal(config, simulator, reread))
    is_demo = simulator is not None
    try:
        return workers.run(
            config,
            serve=functools.partial(_serve_as_worker, reread),
            announce=lambda running: print(
                _welcome(running, is_demo, config.server.workers), flush=True
            ),
            simulate=None if simulator is None else functools.partial(_simulate, simulator),
        )
    except OSError as error:
        raise ConfigError(_cannot_listen(config, error)) from None


def _serve_as_worker(reread: Reread | None, config: Config, worker: workers.Worker) -> int:
    """In a process of its own; the exit code. What goes wrong is told as the command line tells it."""
    try:
        return _run_loop(_serve_until_signal(config, None, reread, worker))
    except KiroProxyError as error:
        print(f"kiroproxy: {error.message}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


def _simulate(simulator: Simulator, link: Link) -> int:
    """In a process of its own, for all workers; ended by SIGTERM or with the parent."""

    async def simulate() -> int:
        stop = asyncio.Event()
        _stop_with_parent(stop, link)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        link.tell({"environment": await _start_simulator(simulator)})
        await stop.wait()
        await simulator.stop()
        return 0

    return _run_loop(simulate())


def _run_loop(main: Coroutine[object, object, int]) -> int:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop when the extra is installed; asyncio's own loop otherwise."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _serve_until_signal(
    config: Config,
    simulator: Simulator | None,
    reread: Reread | None,
    worker: workers.Worker | None = None,
) -> int:
    stop, hurry = asyncio.Event(), asyncio.Event()
    if simulator is not None:
        config = config.with_environment(await _start_simulator(simulator))
    app = App(config)
    if worker is not None:
        app = App(config, place=worker.place, sockets=worker.sockets)
        _stop_with_parent(stop, worker.link)
    _on_signals(stop, hurry, app)
    try:
        try:
            running = await app.start()
        except OSError as error:
            raise ConfigError(_cannot_listen(config, error)) from None
        _reload_on_hangup(app, reread)
        _settle()
        if worker is not None:
            worker.ready(running)
        else:
            print(_welcome(running, simulator is not None), flush=True)
        await stop.wait()
        logging.getLogger("kiroproxy.app").info("stopping; running answers may finish")
    finally:
        await app.stop()
        if simulator is not None:
            await simulator.stop()
    return INTERRUPTED if hurry.is_set() else 0


async def _start_simulator(simulator: Simulator) -> dict[str, str]:
    """Start it; the environment of those who shall use it."""
    url = await simulator.start()
    # A kept state folder outlives this simulator; the sign-in in it must please the next one.
    simulator.faults.always("no_rotation", route="refresh")
    return _demo_environment(simulator, url)


def _stop_with_parent(stop: asyncio.Event, link: Link) -> None:
    """No worker outlives its parent by more than the drain time."""
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(link.life_fd)  # it stays readable
        stop.set()

    loop.add_reader(link.life_fd, gone)


def _reload_on_hangup(app: App, reread: Reread | None) -> None:
    """SIGHUP: settings and sign-ins are read again. One reload at a time; answers go on."""
    log = logging.getLogger("kiroproxy.reload")
    tasks: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        if reread is None:
            return
        try:
            config = await asyncio.to_thread(reread)
            await app.reload(config)
            logs.setup(config.log)
        except KiroProxyError as error:
            log.error("not reloaded, the old settings stay: %s", error.message)
        except OSError as error:
            log.error("not reloaded in full: LOG_FILE: cannot be written (%s)", error)
        except Exception:
            log.exception("not reloaded")

    def told() -> None:
        task = asyncio.get_running_loop().create_task(reload(), name="reload")
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, told)


def _on_signals(stop: asyncio.Event, hurry: asyncio.Event, app: App) -> None:
    """The first SIGTERM or Ctrl-C lets answers finish; a second one does not wait for them."""

    def told() -> None:
        if stop.is_set():
            hurry.set()
            app.hurry()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told)


def _cannot_listen(config: Config, error: OSError) -> str:
    """Which of the two settings is to blame, in one line."""
    place = f"{config.server.host}:{config.server.port} ({error.strerror or error})"
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return f"PORT: cannot listen on {place}; another program may hold it (see --port)"
    return f"HOST: cannot listen on {place}; it must be an address of this machine"


_DESCRIPTORS = 65_536
_DEMO_REPLACES = {"KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL", "KIRO_OIDC_URL", "KIRO_REGION"}


def _settle() -> None:
    """What is here now stays: keep the collector off it, and let it run less often.

    A request of 1.5 MB makes some 50,000 objects that all die with it; collecting in the middle of
    that costs a tenth of its time. Client sockets and upstream sockets each take a descriptor, and
    many systems start programs with no more than 1024.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    _keep_freed_memory()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a limit we may not raise is kept
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def _keep_freed_memory() -> None:
    """Let glibc keep what a socket read frees for the next one.

    asyncio reads into a fresh buffer of 256 KiB, which is above glibc's thresholds: each read gave
    the memory back to the kernel and took it again, about one page fault an event. Figures in
    bench/README.md. Other C libraries have no such call and no such habit.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_TRIM_THRESHOLD, 16 << 20)
        libc.mallopt(_M_MMAP_THRESHOLD, 4 << 20)


def _demo_environment(simulator: Simulator, url: str) -> dict[str, str]:
    """The demo's upstream and its one sign-in, in the words of a user's own environment."""
    return {
        "KIRO_API_URL": url,
        "KIRO_SOCIAL_AUTH_URL": url,
        "KIRO_OIDC_URL": url,
        "KIRO_AUTH_TOKEN": json.dumps(simulator.demo_credentials("social")),
    }


def _welcome(running: Running, demo: bool, processes: int = 1) -> str:
    """What a person needs now: where, with which key, and the lines to paste."""
    url = running.urls[0]
    lines = [
        f"kiroproxy {__version__} serves on {', '.join(running.urls)}",
        f"key: {running.key.reveal()}",
    ]
    if processes > 1:
        lines.append(f"workers: {processes} processes share the port")
    if demo:
        lines.append("demo: a built-in simulator answers, not the Kiro service")
    lines += [f"account: {name}" for name in running.accounts]
    lines += [f"not used: {problem}" for problem in running.problems]
    if not running.accounts:
        lines += ["no account: " + _NO_ACCOUNT]
    if not demo:
        lines += [f"note: {note}" for note in running.notes]
    lines += [
        "",
        "Claude Code:",
        *(
            f"  {environment.set_line('sh', name, value)}"
            for name, value in environment.claude_code(url, running.key.reveal()).items()
        ),
        "  claude",
    ]
    return "\n".join(lines)
