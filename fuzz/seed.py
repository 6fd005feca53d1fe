"""``python -m fuzz.seed``: write every target's seeds into its corpus."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path

from fuzz.targets import NAMES

_ROOT = Path(__file__).parent


def main() -> None:
    for name in NAMES:
        folder = _ROOT / "corpus" / name
        folder.mkdir(parents=True, exist_ok=True)
        for data in importlib.import_module(f"fuzz.targets.{name}").seeds():
            (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
