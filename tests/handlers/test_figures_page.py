"""docs/figures.md shows exactly the fields and metrics the code has."""

from __future__ import annotations

import re
from pathlib import Path

from kiroproxy.usage import RequestRecord

PAGE = (Path(__file__).parents[2] / "docs" / "figures.md").read_text("utf-8")


def names(section: str) -> set[str]:
    """The names in the first column of a section's table."""
    text = PAGE.split(f"## {section}")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([a-z0-9_]+)", cell)}


def test_every_field_of_a_request_is_documented() -> None:
    assert names("GET /api/requests") == set(RequestRecord._fields)


def test_every_metric_is_documented() -> None:
    source = Path(__file__).parents[2] / "kiroproxy" / "handlers" / "metrics.py"
    made = set(re.findall(r'"(kiro(?:proxy|2api)_[a-z_]+)"', source.read_text("utf-8")))
    assert {n for n in names("GET /metrics") if not n.startswith("process")} == made
