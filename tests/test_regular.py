"""Files to read are regular files; whatever else lies there is refused without waiting for it."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kiroproxy import clientkey
from kiroproxy.config import find, load
from kiroproxy.errors import ConfigError
from kiroproxy.regular import read_regular


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path may be no longer than about 100 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


ODD: dict[str, Callable[[Path], None]] = {
    "fifo": os.mkfifo,
    "link to a fifo": lambda path: (
        os.mkfifo(path.with_name("pipe")),
        path.symlink_to("pipe"),
    )[1],
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "socket": _socket,
}
MESSAGE = "is not a regular file"


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    ODD[name](path)
    with pytest.raises(ValueError, match=MESSAGE):
        read_regular(path, 100)


def test_folders_links_and_sizes(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path, 100)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 100)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic"):
        read_regular(tmp_path / "loop", 100)
    (tmp_path / "file").write_bytes(b"x" * 100)
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 100) == b"x" * 100
    with pytest.raises(ValueError, match="bigger than 99 bytes"):
        read_regular(tmp_path / "file", 99)


def test_a_sparse_gigabyte_costs_no_more_than_the_limit(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ValueError, match="bigger than"):
        read_regular(tmp_path / "file", 4096)


def test_the_key_file_and_the_config_file_may_be_no_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ConfigError, match=r"KIRO_CLIENT_TOKEN_FILE.*regular file"):
        load({}, {"KIRO_CLIENT_TOKEN_FILE": str(pipe)}, {}, tmp_path)
    with pytest.raises(ConfigError, match="regular file"):
        find(str(pipe), {}, tmp_path)


def test_the_kept_key_may_be_no_pipe() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(Path(folder) / clientkey.FILE_NAME)
        with pytest.raises(ConfigError, match="regular file"):
            clientkey.load_or_create(Path(folder))
