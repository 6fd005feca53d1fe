"""Serve until told to stop: signals, reloads, the demo's simulator, one process or several."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import functools
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kiroproxy import clientkey, logs
from kiroproxy.app import App, Running
from kiroproxy.cli import streams
from kiroproxy.cli.dotfile import read_dotenv
from kiroproxy.cli.forks import HURRY, RELOAD, Link
from kiroproxy.cli.process import (
    allow_descriptors,
    give_memory_back,
    leave_no_core,
    memory_trimmer,
    run_loop,
    settle,
)
from kiroproxy.cli.settings import find_file, read_settings
from kiroproxy.cli.welcome import hidden_key, welcome
from kiroproxy.config import SETTINGS, Config, load
from kiroproxy.errors import ConfigError, KiroProxyError

if TYPE_CHECKING:
    from kiroproxy.cli import workers
    from kiroproxy.simulator import Simulator

INTERRUPTED = 130  # as shells tell it of a program ended by Ctrl-C
_DEMO_REPLACES = {"KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL", "KIRO_OIDC_URL", "KIRO_REGION"}

Reread = Callable[[], Config]
"""The settings as they are now; raises ConfigError. None in its place: there is nothing to reload."""


def serve(flags: dict[str, str], named: str | None) -> int:
    """With the user's settings; ``named``: what --config says. The exit code. Raises ConfigError."""
    _hold_reloads()
    config = read_settings(flags, named)
    return _serve(config, None, lambda: read_settings(flags, named))


def serve_demo(flags: dict[str, str], named: str | None) -> int:
    """In front of a simulator. Nothing of the user's own may leak into it: neither a sign-in nor an
    address."""
    import tempfile

    from kiroproxy.simulator import Simulator

    _hold_reloads()
    with tempfile.TemporaryDirectory(prefix="kiroproxy-demo-") as folder:
        names = {s.name for s in SETTINGS} - _DEMO_REPLACES
        dotenv = read_dotenv()
        file = find_file(named, dotenv)
        if file is not None:
            file.keep(names)
        environment = {k: v for k, v in {**dotenv, **os.environ}.items() if k in names}
        flags.setdefault("KIROPROXY_STATE_DIR", folder)
        config = load(flags, environment, {}, Path(folder), file)
        return _serve(config, Simulator(), None)


def _serve(config: Config, simulator: Simulator | None, reread: Reread | None) -> int:
    leave_no_core()
    try:
        logs.setup(config.log)
    except OSError as error:
        raise ConfigError(f"LOG_FILE: cannot be written ({error})") from None
    if config.server.workers == 1:
        return run_loop(_serve_until_signal(config, simulator, reread))
    from kiroproxy.cli import workers

    is_demo = simulator is not None
    server = config.server
    try:
        sockets = workers.Sockets(server.host, server.port, server.workers)
    except OSError as error:
        raise ConfigError(_cannot_listen(config, error)) from None
    return workers.run(
        config,
        sockets,
        serve=functools.partial(_serve_as_worker, reread),
        announce=lambda running: _announce(running, config, is_demo),
        simulate=None if simulator is None else functools.partial(_simulate, simulator),
        reread=reread,
    )


def _serve_as_worker(reread: Reread | None, config: Config, worker: workers.Worker) -> int:
    """In a process of its own; the exit code. What goes wrong is told as the command line tells it."""
    try:
        return run_loop(_serve_until_signal(config, None, reread, worker))
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
        link.ready({"environment": await _start_simulator(simulator)})
        await stop.wait()
        await simulator.stop()
        return 0

    return run_loop(simulate())


async def _serve_until_signal(
    config: Config,
    simulator: Simulator | None,
    reread: Reread | None,
    worker: workers.Worker | None = None,
) -> int:
    stop, hurry = asyncio.Event(), asyncio.Event()
    allow_descriptors()
    if simulator is not None:
        config = config.with_environment(await _start_simulator(simulator))
    app = App(config)
    if worker is not None:
        app = App(_with_newer_key(config, worker), place=worker.place, sockets=worker.sockets)
        _stop_with_parent(stop, worker.link)
    _on_signals(stop, hurry, app, worker)
    try:
        try:
            running = await app.start()
        except OSError as error:
            raise ConfigError(_cannot_listen(config, error)) from None
        if worker is not None and worker.newer is not None:
            newer = worker.newer
            await _reload(app, lambda: newer)
        reloading = _on_reload(app, reread, worker)
        settle()
        if worker is not None:
            worker.ready(running)
        else:
            _announce(running, config, simulator is not None)
        tidying = asyncio.create_task(give_memory_back(app.metrics, memory_trimmer()))
        await stop.wait()
        _hold_reloads()
        reloading.cancel()
        tidying.cancel()
        if worker is not None:
            worker.link.leaves()
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


def _announce(running: Running, config: Config, is_demo: bool) -> None:
    """A server serves, whether somebody can read its welcome or not."""
    log = logging.getLogger("kiroproxy.app")
    log.info("listening on %s", ", ".join(running.urls))
    hidden = hidden_key(config, is_demo, sys.stdout.isatty())
    said = welcome(running, is_demo, config.server.workers, hidden=hidden)
    try:
        print(said, flush=True)
    except OSError as error:
        streams.give_up(sys.stdout)
        log.warning("the welcome cannot be written to standard output (%s)", error.strerror)


def _stop_with_parent(stop: asyncio.Event, link: Link) -> None:
    """No worker outlives its parent by more than the drain time."""
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(link.life_fd)  # it stays readable
        stop.set()

    loop.add_reader(link.life_fd, gone)


def _with_newer_key(config: Config, worker: workers.Worker) -> Config:
    """No worker takes a key that the others have given up, not even until it has reloaded."""
    if worker.newer is None:
        return config
    key = worker.newer.server.client_token or clientkey.load_or_create(config.state_dir)
    return dataclasses.replace(config, server=dataclasses.replace(config.server, client_token=key))


async def _reload(app: App, reread: Reread) -> None:
    """Settings and sign-ins are read again; answers go on. Does not fail."""
    log = logging.getLogger("kiroproxy.reload")
    try:
        config = await asyncio.to_thread(reread)
        handlers = logs.open_handlers(config.log)
        try:
            await app.reload(config)
        except BaseException:
            logs.close(handlers)
            raise
        logs.install(config.log, handlers)
    except KiroProxyError as error:
        log.error("not reloaded, the old settings stay: %s", error.message)
    except OSError as error:
        log.error("not reloaded, the old settings stay: LOG_FILE: cannot be written (%s)", error)
    except Exception:
        log.exception("not reloaded")


def _hold_reloads() -> None:
    """Until somebody listens to SIGHUP, and when nobody does any more: by itself it ends a process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def _on_reload(
    app: App, reread: Reread | None, worker: workers.Worker | None
) -> asyncio.Task[None]:
    """SIGHUP. Its parent tells a worker in another way: alone it would differ from the others. A task that
    never ends."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    async def reload() -> None:
        """One after the other, so that the settings read last are those that stay."""
        while True:
            await told.wait()
            told.clear()
            if reread is not None:
                await _reload(app, reread)

    task = loop.create_task(reload(), name="reload")
    if worker is None:
        loop.add_signal_handler(signal.SIGHUP, told.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        return task
    loop.add_signal_handler(RELOAD, told.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {RELOAD})
    log, parent = logging.getLogger("kiroproxy.reload"), os.getppid()
    loop.add_signal_handler(
        signal.SIGHUP,
        lambda: log.warning("SIGHUP to a worker does nothing; it is for process %d", parent),
    )
    return task


def _on_signals(
    stop: asyncio.Event, hurry: asyncio.Event, app: App, worker: workers.Worker | None
) -> None:
    """The first SIGTERM or Ctrl-C lets answers finish; a second one does not wait for them. A worker may
    get the first one twice, from its parent and from whoever tells all processes: the parent alone knows a
    second one."""

    def hurried() -> None:
        hurry.set()
        app.hurry()
        stop.set()

    def told() -> None:
        if stop.is_set() and worker is None:
            hurried()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    # Who started this may have blocked them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    if worker is not None:
        loop.add_signal_handler(HURRY, hurried)


def _cannot_listen(config: Config, error: OSError) -> str:
    """Which of the two settings is to blame, in one line."""
    place = f"{config.server.host}:{config.server.port} ({error.strerror or error})"
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return f"PORT: cannot listen on {place}; another program may hold it (see --port)"
    return f"HOST: cannot listen on {place}; it must be an address of this machine"


def _demo_environment(simulator: Simulator, url: str) -> dict[str, str]:
    """The demo's upstream and its one sign-in, in the words of a user's own environment."""
    return {
        "KIRO_API_URL": url,
        "KIRO_SOCIAL_AUTH_URL": url,
        "KIRO_OIDC_URL": url,
        "KIRO_AUTH_TOKEN": json.dumps(simulator.demo_credentials("social")),
    }
