"""Memory goes back to the kernel when nobody is served, once for each time of work."""

from __future__ import annotations

import asyncio

from kiroproxy.cli.process import give_memory_back, memory_trimmer
from kiroproxy.metrics import Metrics


async def test_memory_goes_back_when_it_is_quiet_and_once() -> None:
    metrics = Metrics()
    trims: list[int] = []  # answers under way at each

    async def many_looks() -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    task = asyncio.create_task(give_memory_back(metrics, lambda: trims.append(metrics.active), 0.0))
    try:
        await many_looks()
        assert trims == []  # nothing was served
        metrics.active = 1
        metrics.total.observe(1.0)
        await many_looks()
        assert trims == []  # somebody is being served
        metrics.active = 0
        await many_looks()
        assert trims == [0]
        metrics.total.observe(1.0)
        await many_looks()
        assert trims == [0, 0]
    finally:
        task.cancel()


def test_the_trimmer_of_this_machine_can_be_called() -> None:
    memory_trimmer()()
