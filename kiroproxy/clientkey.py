"""The key that clients send: given by the user, or made once and kept in the state folder."""

from __future__ import annotations

import os
from pathlib import Path

from kiroproxy.errors import ConfigError
from kiroproxy.private import make_folders
from kiroproxy.regular import read_regular
from kiroproxy.secret import Secret

FILE_NAME = "client-key"
_MOST_FILE_BYTES = 4096
_KEY_BYTES = 24  # 192 bits: more than anybody guesses, short enough to paste


def load_or_create(state_dir: Path) -> Secret:
    """The kept key. The file is made 0600 and never overwritten; raises ConfigError if it is unusable.

    Several processes may start at once on one folder: the file appears whole (written aside, then
    linked), and whoever comes second reads the first one's key.
    """
    path = state_dir / FILE_NAME
    try:
        make_folders(state_dir)
        if not path.exists():
            _create(path)
        key = read_regular(path, _MOST_FILE_BYTES).decode("ascii").strip()
        path.chmod(0o600)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"KIROPROXY_STATE_DIR: the client key in {path} cannot be kept ({error}); "
            "set KIRO_CLIENT_TOKEN or another folder"
        ) from None
    if len(key) < 16 or not key.isprintable() or " " in key:
        raise ConfigError(f"{path}: holds no usable key; delete the file to get a new one")
    return Secret(key)


def _create(path: Path) -> None:
    import secrets  # here, since it brings random: 0.2 MB of an idle server that has its key

    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"kp-{secrets.token_urlsafe(_KEY_BYTES)}\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
    except FileExistsError:
        pass  # another process was first; its key is the key
    finally:
        aside.unlink()
