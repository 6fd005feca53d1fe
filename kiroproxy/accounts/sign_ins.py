"""Sign-ins made by ``kiroproxy login``: one 0600 file each in the state folder, named by its id.

A file is spelled like the IDE's, with its client registration inside, so that it can be carried to
another machine and named in KIRO_OAUTH_CREDS_FILE_PATH there. Blocking.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kiroproxy.accounts.entries import Entry, Place
from kiroproxy.accounts.fields import maybe_text, printable
from kiroproxy.accounts.files import (
    FileLock,
    make_private_folder,
    maybe_read_object,
    read_json,
    remove_leftovers,
    write_json,
)
from kiroproxy.accounts.found import Found, Surroundings, entry, reason
from kiroproxy.accounts.records import CREDENTIALS_FOLDER
from kiroproxy.errors import CredentialError

FOLDER: Final = "sign-ins"
_FILE: Final = re.compile(r"([0-9a-f]{8})\.json")
_LOCK_WAIT_S: Final = 70.0  # a server may be renewing the same sign-in
_LOCK_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class SignIn:
    """``id`` is also the account's; ``name`` is what the user called it, or ''."""

    id: str
    name: str
    path: Path


def own_sign_ins(state_dir: Path) -> list[SignIn]:
    """All of them, oldest first. Raises OSError only for a folder that is there and unreadable."""
    try:
        paths = [p for p in (state_dir / FOLDER).iterdir() if _FILE.fullmatch(p.name)]
    except FileNotFoundError:
        return []
    paths.sort(key=lambda p: (str(maybe_read_object(p).get("createdAt", "")), p.name))
    return [SignIn(p.stem, _name(p), p) for p in paths]


def _name(path: Path) -> str:
    try:
        return printable(maybe_text(maybe_read_object(path), "description"))
    except CredentialError:
        return ""


def any_own(around: Surroundings) -> bool:
    """Whether there is one; an unreadable folder counts, so that it is named."""
    try:
        return bool(own_sign_ins(around.state_dir))
    except OSError:
        return True


def read_own(around: Surroundings) -> Iterator[Found]:
    """As a source of accounts."""
    try:
        found = own_sign_ins(around.state_dir)
    except OSError as error:
        yield f"the state folder's {FOLDER}: cannot be read ({reason(error)})"
        return
    for sign_in in found:
        yield _read(sign_in, around)


def _read(sign_in: SignIn, around: Surroundings) -> Found:
    title = f"sign-in {sign_in.name or sign_in.id}"
    try:
        fields = read_json(sign_in.path)
    except OSError as error:
        return f"{title}: cannot be read ({reason(error)})"
    except ValueError as error:
        return f"{title}: its file {error}"
    if not isinstance(fields, dict):
        return f"{title}: its file must hold a JSON object"
    found = entry(fields, Place(title, sign_in.path), around, sign_in.path.parent)
    if isinstance(found, str):
        return found
    return Entry(found.place, fields, found.registration, found.region_override, id=sign_in.id)


def make_folder(state_dir: Path) -> None:
    """The folder that ``save`` writes to, so that a person signs in only where it can be kept.

    Raises OSError.
    """
    make_private_folder(state_dir)
    make_private_folder(state_dir / FOLDER)


def free_name(state_dir: Path, title: str) -> str:
    """``title``, with a number when a sign-in is called so already. Raises OSError."""
    taken = {s.name for s in own_sign_ins(state_dir)}
    names = (title if n == 1 else f"{title} {n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def save(state_dir: Path, new_id: str, name: str, fields: Mapping[str, Any]) -> SignIn:
    """Keep a new sign-in. One of the same name is replaced and keeps its id, so a running server
    finds the new tokens where the old ones were. Raises OSError, or CredentialError (locked)."""
    same = [s for s in own_sign_ins(state_dir) if name and s.name == name]
    sign_in = same[0] if same else SignIn(new_id, name, state_dir / FOLDER / f"{new_id}.json")
    make_folder(state_dir)
    with _locked(sign_in):
        write_json(sign_in.path, {"description": name, **fields})
    return sign_in


def remove(state_dir: Path, wanted: str) -> SignIn | None:
    """Forget the sign-in of this id or name, its renewed tokens too; None when there is none such.

    Raises OSError, or CredentialError (locked, or a name that several have).
    """
    everything = own_sign_ins(state_dir)
    found = [s for s in everything if s.id == wanted] or [s for s in everything if s.name == wanted]
    if not found:
        return None
    if len(found) > 1:
        ids = ", ".join(s.id for s in found)
        raise CredentialError(f"several sign-ins are called {wanted}; name one by its id: {ids}")
    sign_in = found[0]
    with _locked(sign_in):
        for path in (sign_in.path, state_dir / CREDENTIALS_FOLDER / sign_in.path.name):
            path.unlink(missing_ok=True)
            remove_leftovers(path)
    return sign_in


@contextmanager
def _locked(sign_in: SignIn) -> Iterator[None]:
    """The lock that renewals of this file take; waits for one under way."""
    lock = FileLock(sign_in.path)
    give_up_at_s = time.monotonic() + _LOCK_WAIT_S
    try:
        while not lock.try_acquire():
            if time.monotonic() >= give_up_at_s:
                raise CredentialError("another process holds this sign-in's lock; try again later")
            time.sleep(_LOCK_POLL_S)
        yield
    finally:
        lock.release()
