"""The figures of all worker processes of one server, from whichever of them is asked.

Each worker shows its numbers on a board that all of them share, a few times a second and only when they
have changed. Whoever is asked adds the others' to its own. A worker that takes the place of a dead one
goes on from the numbers that one left, so that sums never go back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kiroproxy.board import Board
from kiroproxy.metrics import Metrics

_log = logging.getLogger("kiroproxy.metrics")

SHOW_S: Final = 0.25
"""How old another worker's numbers may be."""

_OF_NOW: Final = ("accounts", "process", "gauges")  # what a worker has that lives

Json = dict[str, Any]
Accounts = Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Place:
    """One worker among ``board.slots``. ``index``: its slot."""

    board: Board
    index: int


class Team:
    """``place`` None: a server of one process, whose figures are its own.

    ``last_used``: account → wall time, this worker's own and growing. ``active``: account → requests
    under way. ``process``: this process's own figures, by Prometheus' names. ``gauges``: those of this
    moment that make sense as a sum, in the same way.
    """

    def __init__(
        self,
        place: Place | None,
        metrics: Metrics,
        last_used: Mapping[str, float],
        active: Accounts,
        process: Callable[[], Mapping[str, float]],
        gauges: Callable[[], Mapping[str, float]],
    ) -> None:
        self._place = place
        self._metrics = metrics
        self._last_used = last_used
        self._active = active
        self._process = process
        self._gauges = gauges
        self._shown = b""
        self._task: asyncio.Task[None] | None = None
        if place is not None:
            self._inherit(place)

    @property
    def has_others(self) -> bool:
        return self._place is not None and self._place.board.slots > 1

    def start(self) -> None:
        """Show this worker's numbers from now on."""
        if self._place is not None:
            self._task = asyncio.create_task(self._run(self._place), name="board")

    async def stop(self) -> None:
        """Show the last numbers."""
        if self._task is not None and self._place is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._show(self._place)

    def metrics(self) -> Metrics:
        """Of all workers together."""
        if not self.has_others:
            return self._metrics
        whole = Metrics()
        whole.add(self._metrics.as_json())
        for numbers in self._others().values():
            whole.add(numbers["metrics"])
        return whole

    def streams(self) -> int:
        """Answers under way in all workers."""
        return self.metrics().active

    def active(self) -> dict[str, int]:
        """Account → requests under way in all workers."""
        whole = dict(self._active())
        for numbers in self._others().values():
            for account, count in numbers["accounts"].items():
                whole[account] = whole.get(account, 0) + count
        return whole

    def gauges(self) -> dict[str, float]:
        """Of all workers together."""
        whole = dict(self._gauges())
        for numbers in self._others().values():
            for name, value in numbers["gauges"].items():
                whole[name] = whole.get(name, 0) + value
        return whole

    def last_used(self) -> dict[str, float]:
        """Account → wall time of the end of its last request."""
        whole = dict(self._last_used)
        for numbers in self._others().values():
            for account, at in numbers["last_used"].items():
                whole[account] = max(at, whole.get(account, 0.0))
        return whole

    def processes(self) -> dict[str, Mapping[str, float]]:
        """Worker → its process's figures; the name is empty for a server of one process."""
        if self._place is None:
            return {"": self._process()}
        others = {index: numbers["process"] for index, numbers in self._others().items()}
        whole = {self._place.index: self._process(), **others}
        return {str(index): whole[index] for index in sorted(whole)}

    def _others(self) -> dict[int, Json]:
        if self._place is None:
            return {}
        board, own = self._place.board, self._place.index
        shown = {index: board.read(index) for index in range(board.slots) if index != own}
        return {index: orjson.loads(data) for index, data in shown.items() if data}

    def _inherit(self, place: Place) -> None:
        """Counters of the worker that was here before; what it had under way is gone with it."""
        data = place.board.read(place.index)
        if data:
            numbers = orjson.loads(data)["metrics"]
            self._metrics.add(numbers | {"active": 0})
            self._show(place)

    async def _run(self, place: Place) -> None:
        while True:
            self._show(place)
            await asyncio.sleep(SHOW_S)

    def _show(self, place: Place) -> None:
        # CPU time changes all the time: it alone is no news, but it goes along with what is.
        numbers = {
            "metrics": self._metrics.as_json(),
            "accounts": {name: count for name, count in self._active().items() if count},
            "last_used": dict(self._last_used),
            "gauges": dict(self._gauges()),
        }
        news = orjson.dumps(numbers)
        if news == self._shown:
            return
        data = orjson.dumps({**numbers, "process": dict(self._process())})
        if place.board.write(place.index, data):
            self._shown = news
        elif self._shown:
            self._shown = b""
            _log.warning("this worker's figures are too large to be shared; sums lack its latest")


def retire(place: Place) -> None:
    """A worker is dead: what it counted stays, what it had under way and its process are no more."""
    data = place.board.read(place.index)
    if data:
        numbers = orjson.loads(data)
        numbers["metrics"]["active"] = 0
        numbers |= {name: {} for name in _OF_NOW}
        place.board.write(place.index, orjson.dumps(numbers))
