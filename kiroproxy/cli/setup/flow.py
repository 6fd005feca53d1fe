"""Show what would change, ask, write; and the way back. The same for every program."""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from kiroproxy.accounts.files import make_private_folder, write_bytes
from kiroproxy.accounts.found import reason
from kiroproxy.cli.setup.diff import unified
from kiroproxy.cli.setup.document import Document
from kiroproxy.cli.setup.kept import MOST_BYTES, Kept, Original, digest
from kiroproxy.cli.setup.values import ABSENT, Keys, Wish
from kiroproxy.cli.terminal import GREEN, RED, YELLOW, is_terminal, note, paint, say
from kiroproxy.errors import ConfigError
from kiroproxy.regular import read_regular

_PRIVATE: Final = 0o600
_COLOURS: Final = {"+": GREEN, "-": RED, "@": YELLOW}


@dataclass(frozen=True, slots=True)
class _Step:
    """One file: what it holds and what it will. ``after`` None: it will be gone. ``mode``: then."""

    path: Path
    before: bytes | None
    after: bytes | None
    mode: int = _PRIVATE


class Setup:
    """One run of ``kiroproxy claude`` or ``kiroproxy codex``. ``secrets``: never shown."""

    def __init__(
        self, arguments: argparse.Namespace, kept: Kept, secrets: Sequence[str] = ()
    ) -> None:
        self._arguments = arguments
        self._kept = kept
        self._secrets = list(secrets)

    def apply(self, wishes: Sequence[Wish]) -> bool:
        """Whether something was written, or needed no change. Raises ConfigError."""
        with self._alone():
            return self._apply(wishes)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self._arguments.dry_run else self._kept.locked()

    def _apply(self, wishes: Sequence[Wish]) -> bool:
        originals = self._kept.load()
        steps = []
        for wish in wishes:
            before, mode = _read(wish.path)
            try:
                after = Document(wish.path.suffix, before).edit(wish.changes).data
                if after != before and after is not None:
                    original = originals.get(wish.path)
                    remembered = _remember(wish, original, before, mode, after)
                    originals[wish.path] = remembered
                    steps.append(_Step(wish.path, before, after))
            except ValueError as error:
                raise ConfigError(f"{wish.path}: {error}; nothing was changed") from None
        if not steps:
            say("Nothing to do: it is set up already.")
            return True
        if not self._agreed(steps):
            return False
        self._kept.save(originals)  # first: whatever happens next can be undone
        return self._write(steps)

    def undo(self) -> bool:
        """As ``apply``, the other way round."""
        if not self._kept.load():
            say("Nothing to undo.")
            return True
        with self._alone():
            return self._undo()

    def _undo(self) -> bool:
        originals = self._kept.load()
        steps = [self._back(path, original) for path, original in originals.items()]
        steps = [step for step in steps if step.before != step.after]
        if steps and not (self._agreed(steps) and self._write(steps)):
            return False
        if not self._arguments.dry_run:
            self._kept.save({})
        return True

    def _back(self, path: Path, original: Original) -> _Step:
        now, _ = _read(path)
        if now is None or now == original.data or original.is_untouched(now):
            return _Step(path, now, original.data, original.mode)
        try:
            document, kept = Document(path.suffix, now).undo(
                original.document(path.suffix), original.wrote
            )
            is_empty = original.data is None and not document.parse()
        except ValueError as error:
            raise ConfigError(f"{path}: {error}; nothing was changed") from None
        note(f"note: {path} was changed since; only our own settings are taken out of it")
        for keys in kept:
            note(f"note: {'.'.join(keys)} has another value by now and stays")
        return _Step(path, now, None if is_empty else document.data, original.mode)

    def _agreed(self, steps: Sequence[_Step]) -> bool:
        """Shows the change; whether to go on. Raises ConfigError when nobody can be asked."""
        for step in steps:
            before, after = (_text(step.before), _text(step.after))
            for line in unified(str(step.path), before, after, self._secrets):
                colour = _COLOURS.get(line[:1])
                say(paint(line, colour) if colour else line)
            if step.after is None:
                say(f"{step.path} will be deleted: it was not there before")
        sys.stdout.flush()
        if self._arguments.dry_run:
            say("Nothing was written (--dry-run).")
            return False
        if self._arguments.yes:
            return True
        if not is_terminal(sys.stdin):
            raise ConfigError("--yes: must be given where nobody can be asked; nothing was changed")
        if input("Write this? [y/N] ").strip().lower() in ("y", "yes"):
            return True
        say("Nothing was changed.")
        return False

    def _write(self, steps: Sequence[_Step]) -> bool:
        for step in steps:
            if _read(step.path)[0] != step.before:
                raise ConfigError(f"{step.path}: was changed this moment; run the command again")
            try:
                if step.after is None:
                    Path(os.path.realpath(step.path)).unlink()
                    say(f"deleted {step.path}")
                    continue
                make_private_folder_for(step.path)
                write_bytes(step.path, step.after)
                if step.mode != _PRIVATE:
                    Path(os.path.realpath(step.path)).chmod(step.mode)
            except OSError as error:
                raise ConfigError(f"{step.path}: cannot be written ({reason(error)})") from None
            say(f"written {step.path}")
        return True


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def make_private_folder_for(path: Path) -> None:
    """The folder of a file that is to be made. One that is there keeps its permissions."""
    folder = Path(os.path.realpath(path)).parent
    if not folder.exists():
        make_private_folder(folder)


def _read(path: Path) -> tuple[bytes | None, int]:
    """Content and permissions; None when there is no such file. Raises ConfigError."""
    try:
        return read_regular(path, MOST_BYTES), stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None, _PRIVATE
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; nothing was changed") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({reason(error)})") from None


def _remember(
    wish: Wish, known: Original | None, before: bytes | None, mode: int, after: bytes
) -> Original:
    """The way back from ``after``. Raises ValueError.

    What the user has changed since our last time becomes part of the original: it must come through
    an undo that restores bytes.
    """
    wrote: dict[Keys, list[Any]] = {}
    original = Original(before, mode, "")
    if known is not None:
        wrote = {keys: list(values) for keys, values in known.wrote.items()}
        if known.is_untouched(before):
            original = known
        elif before is not None and before != known.data:
            base, _ = Document(wish.path.suffix, before).undo(
                known.document(wish.path.suffix), known.wrote
            )
            is_ours = known.data is None and not base.parse()
            original = replace(known, data=None if is_ours else base.data)
    for keys, value in wish.changes.items():
        values = wrote.setdefault(keys, [])
        if value is not ABSENT and value not in values:
            values.append(value)
    return replace(original, written=digest(after), wrote=wrote)
