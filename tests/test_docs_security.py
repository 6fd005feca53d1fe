"""docs/security.md names a test for each defence; each of them exists."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@functools.cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_named_test_exists(path: str, name: str) -> None:
    assert name in functions_of(path)


def test_every_defence_has_a_test() -> None:
    rows = [
        line for line in PAGE.splitlines() if line.startswith("| ") and "| attack |" not in line
    ]
    without = [row for row in rows if "`tests/" not in row]
    assert len(rows) > 40
    assert [row.split("|")[1].strip() for row in without] == [
        "listening in between client and proxy"  # what somebody else has to do
    ]
    assert PAGE.count("::test_") == len(re.findall(r"`tests/[\w/]+\.py::\w+`", PAGE))
