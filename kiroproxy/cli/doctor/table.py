"""All checks in the order they are made; the one place that names them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from kiroproxy.cli.doctor import (
    accounts,
    clients,
    generation,
    machine,
    network,
    serving,
)
from kiroproxy.cli.doctor.examination import Examination
from kiroproxy.cli.doctor.report import Line


@dataclass(frozen=True, slots=True)
class Check:
    """``limit_s``: then it counts as failed. ``waits``: its time does not count for the whole run,
    as the user has asked for it."""

    name: str
    run: Callable[[Examination], Awaitable[list[Line]]]
    limit_s: float = 5.0
    waits: bool = False


CHECKS: Final = (
    Check("python", machine.python),
    Check("packages", machine.packages),
    Check("settings", serving.settings),
    Check("key", serving.key),
    Check("port", serving.port),
    Check("state folder", machine.state_folder),
    Check("state.db", machine.state_file),
    Check("disk", machine.disk),
    Check("proxy", network.proxy_variables),
    Check("dns", network.names, 3.0),
    Check("service", network.service, 6.0),
    Check("clock", network.clock),
    Check("sign-in", accounts.sign_ins),
    Check("renewal", accounts.renewal, 8.0),
    Check("quota", accounts.quota, 6.0),
    Check("models", accounts.models, 6.0),
    Check("generation", generation.answer, 30.0, waits=True),
    Check("streaming", generation.local_stream, 8.0),
    Check("Claude Code", clients.claude_code),
    Check("tool search", clients.tool_search),
    Check("Codex", clients.codex),
)
