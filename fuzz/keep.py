"""``python -m fuzz.keep TARGET …``: what a fuzz run has found worth keeping goes into fuzz/corpus.

libFuzzer's merge leaves out every input that reaches nothing new. It starts itself again for that, by the
first word of its command line, so it is given a script that is the target.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).parent

_SCRIPT = """#!/bin/sh
cd {root} && exec {python} -c '
import sys
from fuzz.run import main
options, sys.argv = sys.argv[1:], ["{script}"]
main(["{target}", *options])' "$@"
"""


def keep(target: str) -> int:
    """How many inputs were new. Raises CalledProcessError."""
    corpus = _ROOT / "corpus" / target
    found = _ROOT.parent / "build" / "fuzz" / target / "corpus"
    with tempfile.TemporaryDirectory(prefix="kiroproxy-fuzz-") as folder:
        script, merged = Path(folder, "target"), Path(folder, "merged")
        root, python = shlex.quote(str(_ROOT.parent)), shlex.quote(sys.executable)
        script.write_text(_SCRIPT.format(root=root, python=python, script=script, target=target))
        script.chmod(0o700)
        merged.mkdir()
        subprocess.run([script, "-merge=1", merged, found, corpus], check=True)
        new = 0
        for path in merged.iterdir():
            data = path.read_bytes()
            place = corpus / hashlib.sha256(data).hexdigest()[:16]
            new += not place.exists()
            place.write_bytes(data)
    return new


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {keep(name)} inputs more", flush=True)
