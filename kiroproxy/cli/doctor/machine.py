"""Checks of this machine: Python, packages, the state folder, the disk."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sqlite3
import stat
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from kiroproxy import __version__
from kiroproxy.accounts.found import reason
from kiroproxy.cli.doctor.examination import Examination
from kiroproxy.cli.doctor.report import Line, fail, ok, skip, warn
from kiroproxy.database import FILE_NAME

_OLDEST: Final = (3, 11)
_NEEDED: Final = ("h11", "anyio", "orjson", "truststore", "python-dotenv")
_EXTRAS: Final = ("uvloop", "pillow")
_LITTLE_BYTES, _TOO_LITTLE_BYTES = 200 * 1024 * 1024, 20 * 1024 * 1024


async def python(exam: Examination) -> list[Line]:
    return python_lines()


async def packages(exam: Examination) -> list[Line]:
    return package_lines()


def python_lines() -> list[Line]:
    version = platform.python_version()
    text = f"kiroproxy {__version__}, Python {version} ({sys.executable}), {platform.platform()}"
    if sys.version_info < _OLDEST:
        return [fail(text, "install Python 3.11 or newer")]
    return [ok(text)]


def package_lines() -> list[Line]:
    lines, found = [], []
    for name in _NEEDED:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(fail(f"{name} is missing", "install kiroproxy again, with its packages"))
    for name in _EXTRAS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{name} {metadata.version(name)}")
    return [ok(", ".join(found)), *lines]


async def state_folder(exam: Examination) -> list[Line]:
    folder = exam.config.state_dir
    if not folder.exists():
        return [ok(f"{folder} is made at the first start")]
    if not folder.is_dir():
        return [fail(f"{folder} is no folder", "move it away, or set KIROPROXY_STATE_DIR")]
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return [fail(f"{folder} cannot be written", "give it to your user, mode 0700")]
    # The folder guards what is in it; its files are private in themselves all the same.
    open_ones = [path for path in (folder, *sorted(folder.rglob("*"))) if _is_open(path)]
    if open_ones:
        names = ", ".join(str(path) for path in open_ones[:3])
        return [warn(f"others may read {names}", f"chmod -R go-rwx {folder}")]
    return [ok(f"{folder}, only for you")]


def _is_open(path: Path) -> bool:
    try:
        return not path.is_symlink() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except OSError:
        return False


async def state_file(exam: Examination) -> list[Line]:
    path = exam.config.state_dir / FILE_NAME
    if not path.exists():
        return [ok("none yet")]
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=2.0)) as connection:
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        said = str(error)
    if said == "ok":
        return [ok(f"{path} is sound, {path.stat().st_size / 1e6:.1f} MB")]
    return [
        warn(
            f"{path} cannot be used ({said})",
            "nothing is needed: the next start moves a damaged file aside and makes a new one",
        )
    ]


async def disk(exam: Examination) -> list[Line]:
    folder = exam.config.state_dir
    while not folder.exists():
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return [skip(f"the disk of {folder} does not tell ({reason(error)})")]
    text = f"{free / 1e9:.1f} GB free for {exam.config.state_dir}"
    remedy = "make room: renewed tokens must be written, or they are lost"
    if free < _TOO_LITTLE_BYTES:
        return [fail(text, remedy)]
    return [warn(text, remedy) if free < _LITTLE_BYTES else ok(text)]
