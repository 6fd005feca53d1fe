"""What ``--undo`` needs to know, in the state folder: one 0600 file for each program set up.

It holds, for each file we have changed, the bytes from before, and every value that we have put there.
The file is written before the change, so that a crash between the two loses nothing.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kiroproxy.accounts.files import (
    FileLock,
    make_private_folder,
    read_json,
    remove_leftovers,
    write_json,
)
from kiroproxy.accounts.found import reason
from kiroproxy.cli.setup.document import Document
from kiroproxy.cli.setup.values import Keys
from kiroproxy.errors import ConfigError

FOLDER: Final = "client-setup"
MOST_BYTES: Final = (
    16_000_000  # of one file that we change; Claude Code keeps its history in such a one
)
_MOST_KEPT_BYTES: Final = 3 * 2 * MOST_BYTES  # of up to three of them, in base64


@dataclass(frozen=True, slots=True)
class Original:
    """One file before we changed it. ``data`` None: there was none. ``mode``: its permissions.

    ``written``: digest of what we wrote last; a file that still has it was left alone since.
    ``wrote``: all values that we have ever put at a place. ABSENT ones are not listed.
    """

    data: bytes | None
    mode: int
    written: str
    wrote: dict[Keys, list[Any]] = field(default_factory=dict)

    def is_untouched(self, data: bytes | None) -> bool:
        """Whether the file holds exactly what we wrote."""
        return data is not None and digest(data) == self.written

    def document(self, suffix: str) -> Document:
        return Document(suffix, self.data)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Kept:
    """The memory of one program's set-up (``name``: claude, codex). Everything raises ConfigError."""

    def __init__(self, state_dir: Path, name: str) -> None:
        self.path = state_dir / FOLDER / f"{name}.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Alone at work: two at once would each remember the other's doing as the original."""
        lock = FileLock(self.path)
        try:
            make_private_folder(self.path.parent)
            is_ours = lock.try_acquire()
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written ({reason(error)})") from None
        if not is_ours:
            raise ConfigError(
                f"another kiroproxy {self.path.stem} is at work, or waits for an answer; "
                "nothing was changed"
            )
        try:
            yield
        finally:
            lock.release()

    def load(self) -> dict[Path, Original]:
        """By the file's path; empty when nothing is set up."""
        try:
            value = read_json(self.path, _MOST_KEPT_BYTES)
            return {Path(path): _from_json(entry) for path, entry in value["files"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read ({reason(error)})") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(
                f"{self.path}: is damaged, so there is no way back by itself; undo by hand and "
                "delete it"
            ) from None

    def save(self, originals: dict[Path, Original]) -> None:
        """Replace the memory; an empty one is deleted."""
        try:
            if originals:
                make_private_folder(self.path.parent)
                files = {str(path): _to_json(entry) for path, entry in originals.items()}
                write_json(self.path, {"version": 1, "files": files})
            else:
                self.path.unlink(missing_ok=True)
                remove_leftovers(self.path)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written ({reason(error)})") from None


def _to_json(original: Original) -> dict[str, Any]:
    data = original.data
    return {
        "original": None if data is None else base64.b64encode(data).decode("ascii"),
        "mode": original.mode,
        "written": original.written,
        "wrote": [[list(keys), values] for keys, values in original.wrote.items()],
    }


def _from_json(entry: Any) -> Original:
    data = entry["original"]
    return Original(
        None if data is None else base64.b64decode(data, validate=True),
        int(entry["mode"]),
        str(entry["written"]),
        {tuple(keys): list(values) for keys, values in entry["wrote"]},
    )
