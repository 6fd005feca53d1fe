"""The ``.env`` file, where there is one."""

from __future__ import annotations

from pathlib import Path

from kiroproxy.cli.dotfile import read_dotenv


def test_names_and_values(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# settings\nPORT=9000\nexport LOG_LEVEL='debug'\nNOTHING\n")
    assert read_dotenv(file) == {"PORT": "9000", "LOG_LEVEL": "debug"}


def test_no_file_has_none(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == {}
    assert read_dotenv(tmp_path / "missing" / ".env") == {}


def test_a_folder_is_no_file_of_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert read_dotenv(tmp_path / ".env") == {}
