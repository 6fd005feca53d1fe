"""The kept key: made once, private, never replaced."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kiroproxy import clientkey
from kiroproxy.errors import ConfigError


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = clientkey.load_or_create(state)
    assert clientkey.load_or_create(state) == first
    assert len(first.reveal()) >= 32
    assert stat.S_IMODE((state / clientkey.FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert [p.name for p in state.iterdir()] == [clientkey.FILE_NAME]


def test_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: clientkey.load_or_create(tmp_path).reveal(), range(32)))
    assert len(set(keys)) == 1


def test_loose_mode_is_tightened(tmp_path: Path) -> None:
    path = tmp_path / clientkey.FILE_NAME
    path.write_text("a-key-that-is-long-enough\n")
    path.chmod(0o644)
    clientkey.load_or_create(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"short\n", b"two words that are long\n", b"\xff" * 20])
def test_unusable_key_is_refused_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / clientkey.FILE_NAME
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="client-key"):
        clientkey.load_or_create(tmp_path)
    assert path.read_bytes() == content


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="KIROPROXY_STATE_DIR"):
        clientkey.load_or_create(tmp_path / "file" / "state")
