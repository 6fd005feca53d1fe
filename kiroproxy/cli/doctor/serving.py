"""Checks of the settings, the key and the port."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kiroproxy import clientkey
from kiroproxy.cli.doctor.examination import Examination
from kiroproxy.cli.doctor.report import Line, fail, ok, warn
from kiroproxy.cli.setup.target import Target, answers, own_url
from kiroproxy.config import CREDENTIAL_SETTINGS, SETTINGS
from kiroproxy.errors import ConfigError
from kiroproxy.secret import Secret

_SHORT_KEY_CHARS: Final = 16
_LISTENING: Final = "0A"  # TCP_LISTEN in /proc/net/tcp
_PROC: Final = Path("/proc")


async def settings(exam: Examination) -> list[Line]:
    """What is set, and where; secrets only by name."""
    config = exam.config
    lines = []
    for setting in SETTINGS:
        origin = config.origins.get(setting.name)
        if origin is not None:
            value = config.values[setting.name]
            shown = "***" if setting.secret else _shown(value)
            lines.append(ok(f"{setting.name}={shown} ({origin})"))
    set_ones = {} if exam.is_demo else config.environment
    named = [name for name in CREDENTIAL_SETTINGS if set_ones.get(name, "").strip()]
    lines += [ok(f"{name}=*** ({_home_of(exam, name)})") for name in named]
    lines += [warn(note, "docs/configuration.md has all settings") for note in config.notes]
    return lines or [ok("all settings have their defaults")]


def _shown(value: object) -> str:
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={item}" for name, item in value.items())
    return str(value)


def _home_of(exam: Examination, name: str) -> str:
    return "environment" if exam.environment.get(name, "").strip() else ".env or the config file"


async def key(exam: Examination) -> list[Line]:
    config = exam.config
    given = config.server.client_token
    if given is not None:
        if len(given.reveal()) < _SHORT_KEY_CHARS:
            return [warn("the key is short", "take one that nobody guesses, 16 characters or more")]
        return [ok("given by KIRO_CLIENT_TOKEN or KIRO_CLIENT_TOKEN_FILE")]
    path = config.state_dir / clientkey.FILE_NAME
    if not path.exists():
        return [ok("is made at the first start")]
    try:
        clientkey.load_or_create(config.state_dir)
    except ConfigError as error:
        return [fail(error.message, f"delete {path}; the next start makes a new key")]
    return [ok(f"kept in {path}")]


async def port(exam: Examination) -> list[Line]:
    """Free, ours, or somebody else's. Sets ``target`` and ``running``."""
    if exam.elsewhere is not None:
        exam.target = exam.elsewhere
        exam.running = await asyncio.to_thread(answers, exam.elsewhere.url)
        if exam.running:
            return [ok(f"a server answers at {exam.elsewhere.url}")]
        return [fail(f"no server answers at {exam.elsewhere.url}", "check --url, and the server")]
    number = exam.config.server.port
    if number == 0:
        return [ok("PORT=0: each start takes a free one")]
    url = own_url(exam.config)
    if _has_key(exam):
        known = exam.config.server.client_token or clientkey.load_or_create(exam.config.state_dir)
        exam.target = Target(url, known)
    if await asyncio.to_thread(answers, url):
        exam.running = True
        return [ok(f"our own server answers at {url}{_by_whom(number)}")]
    try:
        _try_to_listen(exam.config.server.host, number)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "end that program, or choose another port with --port or PORT"
            return [fail(f"port {number} is taken{_by_whom(number)}", remedy)]
        if error.errno == errno.EACCES:
            return [fail(f"port {number} needs more rights", "choose a port from 1024 up")]
        return [
            fail(
                f"cannot listen on {exam.config.server.host}:{number} ({error.strerror or error})",
                "HOST must be an address of this machine",
            )
        ]
    return [ok(f"{number} is free; no server runs there now")]


def _has_key(exam: Examination) -> bool:
    kept = exam.config.state_dir / clientkey.FILE_NAME
    return exam.config.server.client_token is not None or kept.exists()


def _try_to_listen(host: str, number: int) -> None:
    """Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen(1)


def _by_whom(number: int) -> str:
    """`` by NAME (process 12)``; empty where the system does not tell (not Linux, not our user)."""
    try:
        inodes = _listeners(number)
        for folder in _PROC.iterdir():
            if folder.name.isdigit() and _holds(folder, inodes):
                name = (folder / "comm").read_text(errors="replace").strip()
                return f", held by {name} (process {folder.name})"
    except (OSError, ValueError, IndexError):
        pass
    return ""


def _listeners(number: int) -> set[str]:
    """The sockets that listen on this port, as they are called in /proc/PID/fd."""
    found = set()
    for table in ("tcp", "tcp6"):
        path = _PROC / "net" / table
        for line in path.read_text().splitlines()[1:] if path.exists() else []:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == number:
                found.add(f"socket:[{fields[9]}]")
    return found


def _holds(folder: Path, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(entry) in inodes for entry in (folder / "fd").iterdir())
    except OSError:
        return False
