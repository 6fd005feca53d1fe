"""The .env file: what it may be, how large, and whose."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from kiroproxy.cli.dotfile import MOST_BYTES, is_planted, read_dotenv
from kiroproxy.errors import ConfigError


def read(folder: Path, text: str) -> dict[str, str]:
    path = folder / ".env"
    path.write_text(text)
    return read_dotenv(path)


def test_names_and_values(tmp_path: Path) -> None:
    text = "A=1\nexport B=\"two words\" # a remark\nC=${A}-${B}-${NONE:-x}\nD\nA2='${A}'\nE=\n"
    found = read(tmp_path, text)
    assert found == {"A": "1", "B": "two words", "C": "1-two words-x", "A2": "1", "E": ""}


def test_the_file_wins_over_the_environment_in_its_own_references(tmp_path: Path) -> None:
    path = os.environ["PATH"]
    assert read(tmp_path, "A=${PATH}\nPATH=own\nB=${PATH}\n") == {
        "A": path,
        "PATH": "own",
        "B": "own",
    }


def test_no_file_and_a_folder_are_nothing(tmp_path: Path) -> None:
    assert read_dotenv(tmp_path / ".env") == {}
    (tmp_path / ".env").mkdir()
    assert read_dotenv(tmp_path / ".env") == {}


@pytest.mark.parametrize(
    "target",
    ["/dev/zero", "/dev/tty", ".env"],
)
def test_what_is_no_file_is_named(tmp_path: Path, target: str) -> None:
    (tmp_path / ".env").symlink_to(target)
    with pytest.raises(ConfigError, match=r"\.env: (is not a regular file|cannot be read)"):
        read_dotenv(tmp_path / ".env")


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.touch()
    os.truncate(path, 5_000_000_000)
    with pytest.raises(ConfigError, match="is bigger than"):
        read_dotenv(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff")
    with pytest.raises(ConfigError, match="must be text in UTF-8"):
        read_dotenv(tmp_path / ".env")


def test_references_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["A0=" + "a" * 100]
    lines += [f"A{n}=" + f"${{A{n - 1}}}" * 10 for n in range(1, 30)]
    with pytest.raises(ConfigError, match="unfold into more than"):
        read(tmp_path, "\n".join(lines))
    with pytest.raises(ConfigError, match="has more than"):
        read(tmp_path, "A=" + "${" * 100_000)


def test_a_pipe_is_read_when_somebody_writes(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("A=1\nB=${A}2\n",))
    writer.start()
    assert read_dotenv(path) == {"A": "1", "B": "12"}
    writer.join()


def test_a_pipe_without_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    os.mkfifo(path)

    def write() -> None:
        with pytest.raises(BrokenPipeError):
            path.write_bytes(b"A=" + b"a" * (4 * MOST_BYTES))

    writer = threading.Thread(target=write)
    writer.start()
    with pytest.raises(ConfigError, match="is bigger than"):
        read_dotenv(path)
    writer.join()


def test_a_pipe_that_nobody_writes_to_holds_up_no_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(ConfigError, match="is a pipe that nobody writes to"):
        read_dotenv(tmp_path / ".env")


def stat_of(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, owner, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("owner", "folder_mode", "expected"),
    [
        (1000, 0o1777, False),  # one's own
        (0, 0o1777, False),  # root's
        (1001, 0o1777, True),
        (1001, 0o777, True),
        (1001, 0o755, False),  # whoever owns the folder wanted it there
        (1001, 0o770, False),
    ],
)
def test_a_file_that_another_has_left_for_all_is_refused(
    owner: int, folder_mode: int, expected: bool
) -> None:
    file = stat_of(stat.S_IFREG | 0o644, owner)
    assert is_planted(file, stat_of(stat.S_IFDIR | folder_mode, 0), 1000) is expected
