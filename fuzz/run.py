"""``python -m fuzz.run TARGET [libFuzzer's options]``: one target with atheris, in its corpus.

New inputs go to the first folder that libFuzzer is given, by default build/fuzz/TARGET; fuzz/corpus/TARGET
is only read. ``make fuzz`` runs all targets; fuzz/README.md says what to do with a finding.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import atheris

_ROOT = Path(__file__).parent


def main(arguments: list[str]) -> None:
    name, *options = arguments
    with atheris.instrument_imports(include=["kiroproxy"]):
        module = importlib.import_module(f"fuzz.targets.{name}")
    work = _ROOT.parent / "build" / "fuzz" / name
    (work / "corpus").mkdir(parents=True, exist_ok=True)
    folders = [str(work / "corpus"), str(_ROOT / "corpus" / name)]
    if any(not option.startswith("-") for option in options):
        folders = []
    atheris.Setup(
        [sys.argv[0], f"-artifact_prefix={work}/", "-print_final_stats=1", *options, *folders],
        module.target,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
