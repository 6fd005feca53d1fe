"""docs/configuration.md shows exactly the settings the code has."""

import re
from pathlib import Path

from kiroproxy.config import CREDENTIAL_SETTINGS, SETTINGS

PAGE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text("utf-8")


def _rows() -> dict[str, list[str]]:
    """Setting name → the other cells of its row in the page's first table."""
    rows = {}
    for line in PAGE.split("## The key")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if match := re.fullmatch(r"`([A-Z_]+)`", cells[0]):
            rows[match[1]] = cells[1:]
    return rows


def test_every_setting_is_documented_and_no_other() -> None:
    assert list(_rows()) == [s.name for s in SETTINGS]


def test_flags_defaults_units_and_meanings_agree() -> None:
    for setting in SETTINGS:
        assert _rows()[setting.name] == [
            f"`{setting.flag}`" if setting.flag else "",
            f"`{setting.default}`" if setting.default else "unset",
            setting.unit,
            setting.meaning,
        ]


def test_nothing_stands_there_twice() -> None:
    marks = [line for line in PAGE.splitlines() if line.startswith(("| `", "## ", "### "))]
    assert [mark for mark in marks if marks.count(mark) > 1] == []


def test_credential_settings_are_documented() -> None:
    for name in CREDENTIAL_SETTINGS:
        assert f"| `{name}` |" in PAGE
