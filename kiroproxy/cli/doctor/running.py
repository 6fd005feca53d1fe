"""One run of all checks: settings first, then one check after another, each within its time."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from kiroproxy import logs
from kiroproxy.cli.doctor import machine
from kiroproxy.cli.doctor.examination import Examination, demo_environment
from kiroproxy.cli.doctor.report import Level, Line, fail, show
from kiroproxy.cli.doctor.table import CHECKS, Check
from kiroproxy.cli.settings import read_settings
from kiroproxy.cli.setup.target import find_target
from kiroproxy.cli.terminal import is_terminal, note, progress, say, say_json
from kiroproxy.config import Config, Log
from kiroproxy.errors import ConfigError, KiroProxyError
from kiroproxy.simulator import Simulator

TOTAL_S: Final = 20.0
_QUESTION: Final = "One tiny answer costs a little credit. Ask for it? [y/N] "


def run(arguments: argparse.Namespace) -> int:
    """The exit code: 1 if something fails."""
    logs.setup(Log("error", "text"))
    report = _Report(arguments.json)
    try:
        config = _settings(arguments)
    except ConfigError as error:
        _without_settings(report, error)
        return report.end()
    if arguments.url or arguments.key:
        elsewhere = find_target(arguments, config, make_key=False)
    else:
        elsewhere = None
    home = Path.home()
    agreed = _agreed(arguments)
    exam = Examination(config, dict(os.environ), home, agreed, arguments.demo, elsewhere)
    asyncio.run(_examine(exam, report))
    return report.end()


def _settings(arguments: argparse.Namespace) -> Config:
    """As a server would have them. Raises ConfigError."""
    flags = {"KIROPROXY_STATE_DIR": arguments.state_dir} if arguments.state_dir else {}
    return read_settings(flags, arguments.config)


def _agreed(arguments: argparse.Namespace) -> bool:
    """Whether credits may be used. The demo has no real ones."""
    if arguments.yes or arguments.demo:
        return True
    if arguments.json or not is_terminal(sys.stdin):
        return False
    return input(_QUESTION).strip().lower() in ("y", "yes")


class _Report:
    """Shows lines as they come, or all of them as JSON at the end."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._lines: list[tuple[str, Line]] = []

    def add(self, check: str, line: Line) -> None:
        self._lines.append((check, line))
        if not self._as_json:
            show(check, line)
            sys.stdout.flush()

    def end(self) -> int:
        count = {level: sum(line.level is level for _, line in self._lines) for level in Level}
        failed = count[Level.FAIL]
        if self._as_json:
            checks: list[dict[str, Any]] = [line.as_json(name) for name, line in self._lines]
            say_json({"ok": failed == 0, "checks": checks})
        else:
            said = f"{failed} failed, {count[Level.WARN]} to look at, {count[Level.OK]} ok"
            say(f"\n{said}")
        return 1 if failed else 0


def _without_settings(report: _Report, error: ConfigError) -> None:
    """What can be looked at when the settings cannot be read."""
    for name, lines in (("python", machine.python_lines()), ("packages", machine.package_lines())):
        for line in lines:
            report.add(name, line)
    report.add("settings", fail(error.message, "mend it; docs/configuration.md has the rule"))


async def _examine(exam: Examination, report: _Report) -> None:
    async with _perhaps_demo(exam):
        left_s = TOTAL_S
        try:
            for check in CHECKS:
                limit_s = check.limit_s if check.waits else min(check.limit_s, left_s)
                began_s = time.monotonic()
                with progress(check.name):
                    lines = await _one(check, exam, limit_s)
                for line in lines:
                    report.add(check.name, line)
                if not check.waits:
                    left_s = max(0.1, left_s - (time.monotonic() - began_s))
        finally:
            await exam.close()


async def _one(check: Check, exam: Examination, limit_s: float) -> list[Line]:
    """A check that takes too long, or breaks, is a failed one; the others go on."""
    try:
        async with asyncio.timeout(limit_s):
            return await check.run(exam)
    except TimeoutError:
        return [fail(f"no answer within {limit_s:.0f} s", "check the network, and try again")]
    except KiroProxyError as error:
        return [fail(error.message, "see docs/configuration.md")]
    except OSError as error:
        return [
            fail(f"{error.strerror or type(error).__name__}", "check the network and the files")
        ]


@asynccontextmanager
async def _perhaps_demo(exam: Examination) -> AsyncIterator[None]:
    """With the simulator in place of the service, and a state folder of its own."""
    if not exam.is_demo:
        yield
        return
    simulator = Simulator()
    with tempfile.TemporaryDirectory(prefix="kiroproxy-doctor-") as folder:
        url = await simulator.start()
        try:
            config = exam.config.with_environment(demo_environment(simulator, url))
            server = replace(config.server, host="127.0.0.1", port=0)
            home = Path(folder)
            exam.config = replace(config, server=server, state_dir=home / "state", home=home)
            note("demo: a built-in simulator answers, not the Kiro service")
            yield
        finally:
            await simulator.stop()
