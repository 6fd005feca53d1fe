"""Folders for this user only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PRIVATE_FOLDER: Final = 0o700


def make_folders(path: Path) -> None:
    """The folder and those above it that are missing, for this user only, whatever the umask; those that
    are there already stay as they are. Raises OSError."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):  # mkdir(parents=True) would give the parents everybody's mode
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
