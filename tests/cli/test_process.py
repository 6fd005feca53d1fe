"""Memory goes back to the kernel when nobody is served, once each time; a loop without threads."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from kiroproxy.cli.process import give_memory_back, memory_trimmer, run_loop
from kiroproxy.errors import SystemLimitError
from kiroproxy.metrics import Metrics
from tests.threads import no_threads


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


def test_a_system_without_threads_is_told() -> None:
    async def main() -> int:
        with no_threads():
            return await asyncio.to_thread(int)

    with pytest.raises(SystemLimitError, match="ulimit"):
        run_loop(main())


def test_work_waits_for_the_threads_that_are_there() -> None:
    async def main() -> int:
        begun = asyncio.create_task(asyncio.to_thread(time.sleep, 0.01))
        await asyncio.sleep(0)
        with no_threads():
            done = await asyncio.gather(*(asyncio.to_thread(int, "1") for _ in range(20)))
            await begun
            return sum(done)

    assert run_loop(main()) == 20


def test_a_loop_ends_without_a_thread_more() -> None:
    rest = contextlib.ExitStack()

    async def main() -> int:
        await asyncio.to_thread(int)
        rest.enter_context(no_threads())
        return 3

    with rest:
        assert run_loop(main()) == 3


def test_other_failures_come_out_as_they_are() -> None:
    async def main() -> int:
        raise RuntimeError("of another kind")

    with pytest.raises(RuntimeError, match="of another kind"):
        run_loop(main())
