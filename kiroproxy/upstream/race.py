"""Happy eyeballs (RFC 8305): addresses are tried in turn, and the first that answers wins."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio

A = TypeVar("A")


async def race(
    addresses: Iterable[A], connect: Callable[[A], Awaitable[socket.socket]], head_start_s: float
) -> socket.socket:
    """The first socket that ``connect`` has. The next address starts when the last one has failed, or
    has had its ``head_start_s``. Raises the first OSError when all fail; leaves no other socket open."""
    errors: list[OSError] = []
    winners: list[socket.socket] = []

    async def attempt(address: A, failed: anyio.Event) -> None:
        try:
            winners.append(await connect(address))
        except OSError as error:
            errors.append(error)
            failed.set()
        else:
            tasks.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as tasks:
            for address in addresses:
                failed = anyio.Event()
                tasks.start_soon(attempt, address, failed)
                with anyio.move_on_after(head_start_s):
                    await failed.wait()
    except BaseException:
        _close_all(winners)
        raise
    _close_all(winners[1:])
    if winners:
        return winners[0]
    raise errors[0]


def _close_all(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
