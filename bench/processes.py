"""Processes of the load test: started, watched through /proc, stopped. Linux only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

START_TIMEOUT_S = 30.0


class Process:
    """One Python child, on one processor of its own where there are two. ``python``: its interpreter.
    ``whole_env``: all of its environment, where nothing of ours is its business. ``cwd``: its folder."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        port: int,
        log: Path,
        env: Mapping[str, str] | None = None,
        cpu: int | None = None,
        python: str = sys.executable,
        whole_env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.port = port
        self.log = log
        self.started_s = time.monotonic()
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                [python, *arguments],
                env=whole_env or {**_environment(), **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if cpu is not None:
            os.sched_setaffinity(self._child.pid, {cpu})

    def wait_until_open(self) -> None:
        """Until the port takes connections. RuntimeError with the child's words if it never does."""
        while time.monotonic() < self.started_s + START_TIMEOUT_S:
            if self._child.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.002)
        words = self.log.read_text(errors="replace")[-2_000:]
        raise RuntimeError(f"port {self.port} never opened; the process said: {words}")

    @property
    def pid(self) -> int:
        return self._child.pid

    def cpu_s(self) -> float:
        """Processor time of all its threads, in ns resolution (schedstat, not the 10 ms of stat)."""
        return cpu_s(self._child.pid)

    def memory_mb(self, line: str = "VmRSS") -> float:
        """``VmRSS`` now, ``VmHWM`` the most so far."""
        for text in Path(f"/proc/{self._child.pid}/status").read_text().splitlines():
            if text.startswith(f"{line}:"):
                return int(text.split()[1]) / 1024
        raise RuntimeError(f"/proc knows no {line}")

    def open_sockets(self) -> int:
        links = Path(f"/proc/{self._child.pid}/fd").iterdir()
        return sum(1 for link in links if os.readlink(link).startswith("socket:"))

    def stop(self) -> None:
        if self._child.poll() is not None:
            return
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(10)


def start_proxy(
    home: Path, log: Path, settings: Mapping[str, str], *, cpu: int | None = None
) -> Process:
    """The proxy with ``home`` (made if missing) as its user's folder, for as many requests at once as come:
    it is measured, not its manners. ``settings``: sign-ins, hosts, key. Not waited for."""
    home.mkdir(exist_ok=True)
    env = {
        "HOME": str(home),
        "KIROPROXY_STATE_DIR": str(home / "state"),
        "KIROPROXY_ACCOUNT_CONCURRENCY": "0",
        "MAX_CONCURRENT_SESSIONS": "0",
        **settings,
    }
    port = free_port()
    arguments = ["-m", "kiroproxy", "server", "--port", str(port)]
    return Process(arguments, port=port, log=log, env=env, cpu=cpu)


def one_account(upstream_port: int, key: str) -> dict[str, str]:
    """Settings: an API key at a service on that port. ``key``: what clients show."""
    return {
        "KIRO_API_KEY": "ksk_" + "b" * 32,
        "KIRO_API_URL": f"http://127.0.0.1:{upstream_port}",
        "KIRO_CLIENT_TOKEN": key,
    }


def cpu_s(pid: int) -> float:
    """Processor time of all threads of a process."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _environment() -> dict[str, str]:
    """Ours, but with compiled modules kept, as installed programs have them: else each start compiles."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
