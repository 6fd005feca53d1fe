"""``make lock``: what the image installs, pinned with hashes, for every platform and Python it may have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
UV = Path(sys.executable).with_name("uv")
OPTIONS = (
    "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade",
    "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate",
)  # fmt: skip


def compile_lock(name: str, heading: str, *source: str, given: str | None = None) -> None:
    """``given``: requirements as text, where ``source`` is ``-``."""
    done = subprocess.run(
        [str(UV), "pip", "compile", *OPTIONS, *source],
        cwd=ROOT, input=given, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    (ROOT / name).write_text(f'# {heading} Made by "make lock".\n{done.stdout}', encoding="utf-8")


def main() -> None:
    compile_lock(
        "requirements.lock",
        "What the container image installs, for Linux on amd64 and arm64.",
        "pyproject.toml", "--extra", "uvloop",
    )  # fmt: skip
    compile_lock(
        "requirements-build.lock",
        "What the image's wheel is built with.",
        "-",
        given="setuptools>=83\n",
    )


if __name__ == "__main__":
    main()
