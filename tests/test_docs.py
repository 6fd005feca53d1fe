"""docs/configuration.md shows exactly the settings the code has."""

import re
from pathlib import Path

import pytest

from kiroproxy.config import CREDENTIAL_SETTINGS, SETTINGS, find, load
from kiroproxy.config.peers import CONFIG_NO_EFFECT, NO_EFFECT, RENAMED
from kiroproxy.reloading import APPLIED

PAGE = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text("utf-8")


def _rows() -> dict[str, list[str]]:
    """Setting name → the other cells of its row in the page's first table."""
    rows = {}
    for line in PAGE.split("## The config file")[0].splitlines():
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
    own = PAGE.split("## Coming from kiro2api")[0] + PAGE.split("## Proxies and certificates")[1]
    marks = [line for line in own.splitlines() if line.startswith(("| `", "## ", "### "))]
    assert [mark for mark in marks if marks.count(mark) > 1] == []


def test_credential_settings_are_documented() -> None:
    for name in CREDENTIAL_SETTINGS:
        assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("name", NO_EFFECT)
def test_what_has_no_effect_is_told(name: str) -> None:
    assert f"| `{name}` | {NO_EFFECT[name]} |" in PAGE


def test_peers_config_file_is_told() -> None:
    section = PAGE.split("## From AIClient-2-API's config.json")[1].split("\n## ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", section, re.MULTILINE))
    assert list(told) == [*RENAMED, *CONFIG_NO_EFFECT]
    for key, name in RENAMED.items():
        assert told[key].startswith(f"`{name}`")


def test_the_example_file_works(tmp_path: Path) -> None:
    path = Path(__file__).parent.parent / "docs" / "config.example.toml"
    file = find(str(path), {}, tmp_path)
    assert file is not None
    config = load({}, {}, {}, tmp_path, file)
    assert config.model_aliases == {"fast": "claude-haiku-4.5"}
    assert [note for note in config.notes if "chmod" not in note] == []


def test_what_needs_a_restart_is_told() -> None:
    section = PAGE.split("## Reload")[1].split("\n## ")[0]
    names = {setting.name for setting in SETTINGS}
    assert names >= APPLIED
    told = set(re.findall(r"`([A-Z_]+)`", section))
    assert told == names - APPLIED
