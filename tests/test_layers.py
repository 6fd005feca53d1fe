"""Imports only point down. The table below is the architecture; docs/architecture.md draws it.

The walk reads source, so an import inside a function or under TYPE_CHECKING counts as well.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "kiroproxy"

# From the top down. Names in one inner tuple stand side by side and may see each other only where
# SIDEWAYS says so.
ROWS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli",),
    ("app", "simulator"),
    ("derived",),
    ("reloading",),
    ("handlers",),
    ("structured",),
    ("searching",),
    ("relay",),
    ("trylog",),
    ("retry", "admission"),
    ("usage",),
    ("accounts",),
    ("upstream", "api"),
    ("http", "kiro"),
    ("net", "eventstream"),
    (
        "alarms",
        "errors",
        "config",
        "ids",
        "board",
        "clock",
        "logs",
        "metrics",
        "pipes",
        "private",
        "redaction",
        "regular",
        "secret",
        "clientkey",
        "database",
        "batches",
        "schema",
        "values",
    ),
)
BASE = frozenset(ROWS[-1])

# app puts the simulator in front of itself for --demo; the base row is free of layers within.
SIDEWAYS = frozenset(
    {("app", "simulator")} | {(one, other) for one in BASE for other in BASE if one != other}
)

# Narrower than the rows: what these may see at all. The simulator shares nothing with the proxy
# that could make both wrong in the same way; the dialects never see a socket.
ONLY: dict[str, frozenset[str]] = {
    "simulator": BASE | {"http", "eventstream.encoder", "eventstream.wire"},
    "api": BASE | {"kiro"},
    "eventstream": BASE,
}

# Pure code: bytes in, values out, and no event loop anywhere near.
NO_LOOP = ("eventstream", "kiro", "api", "upstream.body", "accounts.state", "accounts.selection")
LOOPS = frozenset({"asyncio", "anyio", "uvloop"})


@dataclass(frozen=True)
class Import:
    """``module`` imports ``target``; both dotted, without the leading ``kiroproxy.`` for ours."""

    module: str
    target: str
    line: int
    ours: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def imports_of(module: str, source: str, is_package: bool = False) -> Iterator[Import]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = list(from_targets(node, module, is_package))
        else:
            continue
        for name in names:
            ours = name == "kiroproxy" or name.startswith("kiroproxy.")
            yield Import(module, name.removeprefix("kiroproxy."), node.lineno, ours)


def from_targets(node: ast.ImportFrom, module: str, is_package: bool) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        here = ["kiroproxy", *module.split(".")]
        parent = here[: len(here) - node.level + is_package]
        base = ".".join([*parent, base] if base else parent)
    for alias in node.names:
        # `from kiroproxy import errors` names a module; `from kiroproxy.x import y` one of its names,
        # and through a package's door it counts as an import of the module behind
        ours = base.split(".")[0] == "kiroproxy"
        yield f"{behind_door(base, alias.name)}.{alias.name}" if ours else base


def behind_door(package: str, name: str) -> str:
    """The module from which the package's ``__init__`` takes ``name``, or the package itself."""
    return doors().get((package, name), package)


@functools.cache
def doors() -> dict[tuple[str, str], str]:
    """(package, name) → the module that the package's ``__init__`` has the name from."""
    found = {}
    for path in PACKAGE.rglob("*/__init__.py"):
        package = ".".join(("kiroproxy", *path.parent.relative_to(PACKAGE).parts))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package + "."):
                found |= {(package, a.asname or a.name): str(node.module) for a in node.names}
    return found


def all_imports() -> list[Import]:
    found: list[Import] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        if module:  # the root __init__ holds the version only; test_root_imports_nothing
            found += imports_of(module, path.read_text(encoding="utf-8"), is_package)
    return found


def row_of(unit: str) -> int | None:
    return next((number for number, row in enumerate(ROWS) if unit in row), None)


def within(target: str, allowed: frozenset[str]) -> bool:
    return any(target == name or target.startswith(name + ".") for name in allowed)


def complaint(found: Import) -> str | None:
    """Why this import breaks the table, or None."""
    if not found.ours or found.target == "__version__":
        return None
    unit, seen = found.module.split(".")[0], found.target.split(".")[0]
    if unit == seen:
        return None
    upper, lower = row_of(unit), row_of(seen)
    if upper is None or lower is None:
        return f"{found}: {unit if upper is None else seen} has no place in the table"
    if unit in ONLY and not within(found.target, ONLY[unit]):
        return f"{found}: {unit} may see only {', '.join(sorted(ONLY[unit]))}"
    if lower < upper or (lower == upper and (unit, seen) not in SIDEWAYS):
        return f"{found}: an import points down"
    return None


def loop_complaint(found: Import) -> str | None:
    if found.ours or not within(found.module, frozenset(NO_LOOP)):
        return None
    if found.target.split(".")[0] in LOOPS:
        return f"{found}: this module is pure and knows no event loop"
    return None


def test_every_import_points_down() -> None:
    found = all_imports()
    assert len(found) > 50  # the walk did see the package
    assert [text for one in found if (text := complaint(one))] == []


def test_pure_modules_know_no_event_loop() -> None:
    assert [text for one in all_imports() if (text := loop_complaint(one))] == []


def test_root_imports_nothing() -> None:
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert list(imports_of("", source, is_package=True)) == []


def test_the_document_draws_this_table() -> None:
    text = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    drawn = text.split("```")[1].split("→")
    rows = [set(re.findall(r"\w+", row)) for row in drawn]
    assert rows == [set(row) for row in ROWS if row != ("__main__",)]


def test_every_file_has_a_place_in_the_table() -> None:
    units = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    units |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {unit for unit in units if row_of(unit) is None} == set()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("http.server", "import kiroproxy.relay"),
        ("kiro.events", "from kiroproxy import http"),
        ("http.sse", "from kiroproxy.kiro import events"),
        ("api.tools", "from kiroproxy.http.messages import Headers"),
        ("api.tools", "def f():\n    from kiroproxy.upstream import client"),
        ("simulator.server", "from kiroproxy.eventstream import decoder"),
        ("simulator.server", "from kiroproxy.eventstream import FrameDecoder"),
        ("simulator.server", "from kiroproxy.kiro.models import FALLBACK"),
        ("eventstream.decoder", "from kiroproxy.net import FlowControl"),
        ("errors", "from .relay import run"),
        ("kiro.models", "from ..accounts import manager"),
        ("relay", "import kiroproxy.newcomer"),
    ],
)
def test_a_breach_is_found(module: str, source: str) -> None:
    assert [complaint(found) for found in imports_of(module, source)] != [None]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cli", "from kiroproxy.app import run\nfrom kiroproxy import __version__"),
        ("app", "from kiroproxy.simulator import Simulator"),
        ("upstream.calls", "from kiroproxy.http.messages import Headers"),
        ("simulator.server", "from kiroproxy.eventstream.encoder import encode_frame"),
        ("simulator.server", "from kiroproxy.eventstream import Frame"),
        ("config", "from kiroproxy.errors import ConfigError"),
        ("kiro.events", "from .replies import classify_frame\nimport orjson"),
    ],
)
def test_a_proper_import_passes(module: str, source: str) -> None:
    assert {complaint(found) for found in imports_of(module, source)} == {None}


@pytest.mark.parametrize("source", ["import asyncio", "from anyio.abc import Event"])
def test_a_loop_in_pure_code_is_found(source: str) -> None:
    assert [loop_complaint(found) for found in imports_of("upstream.body", source)] != [None]
    assert [loop_complaint(found) for found in imports_of("upstream.pool", source)] == [None]
