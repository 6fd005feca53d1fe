"""``kiroproxy server --workers N``: what the supervised processes are, and what they share.

On Linux each worker has listening sockets of its own (SO_REUSEPORT) and the kernel deals connections out.
The parent holds them too, so that connections which wait for a killed worker are served by the next one;
unless none comes soon, or the worker was told to end and first finishes its answers.
Elsewhere all workers accept from the parent's one set.
"""

from __future__ import annotations

import dataclasses
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kiroproxy import clientkey, logs
from kiroproxy.app import Running
from kiroproxy.board import Board
from kiroproxy.cli.forks import Forks, Link
from kiroproxy.cli.pulses import Pulses
from kiroproxy.cli.supervisor import Job, Supervisor
from kiroproxy.config import Config
from kiroproxy.errors import ConfigError, KiroProxyError
from kiroproxy.http import listening
from kiroproxy.secret import Secret
from kiroproxy.usage.team import Place, retire

_log = logging.getLogger("kiroproxy.workers")


@dataclass(frozen=True, slots=True)
class Worker:
    """What one worker process gets. ``sockets``: bound, not listening. ``newer``: what the others have
    taken up since the start. ``pulses``: where it shows that its loop turns, if anybody looks."""

    link: Link
    place: Place
    sockets: list[socket.socket]
    newer: Config | None
    pulses: Pulses | None

    def ready(self, running: Running) -> None:
        """Tell the parent what the welcome says. From now on it wants to see the loop turn."""
        if self.pulses is not None:
            self.pulses.keep(self.place.index)
        self.link.ready(
            {
                "accounts": running.accounts,
                "problems": running.problems,
                "notes": running.notes,
            }
        )


Serve = Callable[[Config, Worker], int]
"""Runs in the worker until it is told to stop; the exit code."""
Simulate = Callable[[Link], int]
"""Runs the simulator; tells its environment (``{"environment": {…}}``)."""
Announce = Callable[[Running], None]
Reread = Callable[[], Config]
"""The settings as they are now. Raises ConfigError."""


class Sockets:
    """The listening sockets of all workers. Raises OSError when the address cannot be had."""

    def __init__(self, host: str, port: int, workers: int) -> None:
        if not listening.IS_SPREAD_BY_KERNEL:
            first = listening.bind(host, port, shared=False)
            self._each = [first] * workers
        else:
            first = listening.bind_alone(host, port)
            self._each = [first, *([] for _ in range(workers - 1))]
        self.addresses = [listening.address_of(sock) for sock in first]

    def of(self, index: int) -> list[socket.socket]:
        """A worker's; bound anew if they were given up."""
        if not self._each[index]:
            is_held = any(self._each)
            for host, port in self.addresses:
                self._each[index] += (
                    listening.bind(host, port, shared=True)
                    if is_held
                    else listening.bind_alone(host, port)
                )
        return self._each[index]

    def give_up(self, index: int) -> None:
        """Nobody comes for them soon: connections go to the other workers meanwhile."""
        if listening.IS_SPREAD_BY_KERNEL:
            listening.close(self._each[index])
            self._each[index] = []

    def keep_only(self, index: int | None) -> None:
        """In a worker all others', in a parent that stops all of them are nobody's business."""
        kept = [] if index is None else self._each[index]
        for sockets in self._each:
            if sockets is not kept:
                listening.close(sockets)


def run(
    config: Config,
    sockets: Sockets,
    serve: Serve,
    announce: Announce,
    simulate: Simulate | None,
    reread: Reread | None,
) -> int:
    """Serve on ``sockets`` with ``config.server.workers`` processes until told to stop; the exit code.
    Raises ConfigError."""
    server = config.server
    key = server.client_token or clientkey.load_or_create(config.state_dir)
    # One key, also where the state folder cannot keep it.
    config = dataclasses.replace(config, server=dataclasses.replace(server, client_token=key))
    board = Board(server.workers)
    pulses = Pulses(server.workers, server.worker_hang_s) if server.worker_hang_s else None
    forks = Forks()
    essential = None
    newer: Config | None = None
    if simulate is not None:
        essential = forks.fork(lambda link: _simulate(simulate, sockets, link))
        while essential.message is None:
            if not essential.read():
                raise ConfigError("the simulator did not start")
        config = config.with_environment(essential.message["environment"])

    def work(index: int, link: Link) -> int:
        sockets.keep_only(index)
        return serve(config, Worker(link, Place(board, index), sockets.of(index), newer, pulses))

    def prepare(index: int) -> None:
        sockets.of(index)

    def left(index: int) -> None:
        sockets.give_up(index)

    def bereaved(index: int, is_replaced_now: bool) -> None:
        retire(Place(board, index))
        if not is_replaced_now:
            sockets.give_up(index)

    def told(messages: list[dict[str, Any]]) -> None:
        announce(_running(sockets.addresses, key, messages[0]))

    def reload() -> None:
        """For the log of this process, and for workers that are started later."""
        nonlocal newer
        if reread is None:
            return
        try:
            found = reread()
            logs.setup(found.log)
            newer = found
        except (KiroProxyError, OSError):
            return  # each worker says so
        except Exception:
            _log.exception("not reloaded")

    job = Job(
        work=work,
        prepare=prepare,
        left=left,
        bereaved=bereaved,
        announce=told,
        reload=reload,
        leave=lambda: sockets.keep_only(None),
    )
    return Supervisor(forks, job, server.workers, server.drain_s, essential, pulses).run()


def _simulate(simulate: Simulate, sockets: Sockets, link: Link) -> int:
    """A socket that is held here goes on taking connections when whoever accepted them is gone."""
    sockets.keep_only(None)
    return simulate(link)


def _running(addresses: list[listening.Address], key: Secret, message: dict[str, Any]) -> Running:
    return Running(
        urls=[f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in addresses],
        key=key,
        accounts=message["accounts"],
        problems=message["problems"],
        notes=message["notes"],
    )
