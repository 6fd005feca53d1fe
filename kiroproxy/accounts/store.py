"""Where renewed tokens go, and how several programs share one sign-in without killing it.

A refresh token dies soon after its successor is issued, so two programs that renew the same sign-in at
once lose it. Hence, for every renewal: lock → read the source again → renew only if still needed →
merge into what was just read → write as a whole → and only then use the new token.

A sign-in that came from a file goes back to that file. One from the environment goes to the state
folder; so does one whose file is not ours to write (a CLI's store, a copied file) or cannot be written
(a read-only mount, a Docker secret). What could be written nowhere (a full disk) is remembered here: the
token that the disk still holds is dead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from kiroproxy.accounts import cli_stores
from kiroproxy.accounts.entries import (
    Credential,
    Tokens,
    fingerprint,
    long_lived,
    parse_kind,
    parse_tokens,
)
from kiroproxy.accounts.fields import format_expiry, maybe_text, spelling
from kiroproxy.accounts.files import FileLock, make_private_folder, read_json, write_json
from kiroproxy.accounts.found import IDE_TOKEN_FILE, maybe_registration
from kiroproxy.accounts.ids import IdBook
from kiroproxy.accounts.records import CREDENTIALS_FOLDER, Records
from kiroproxy.accounts.sharing import SharedLock, in_thread
from kiroproxy.clock import Clock
from kiroproxy.errors import CredentialError
from kiroproxy.kiro.identity import CredentialKind
from kiroproxy.secret import Secret

_log = logging.getLogger("kiroproxy.accounts")

_READ_TRIES: Final = 4  # other programs do not replace their files as a whole: a read may see half
_READ_PAUSE_S: Final = 0.1


class _Unsaved(NamedTuple):
    """Tokens that are nowhere but here. ``held``: fingerprint of what is stored in their place."""

    held: str
    tokens: Tokens


class TokenStore:
    """Reads and writes the changing part of sign-ins; all file work runs in worker threads."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self._folder = folder = state_dir / CREDENTIALS_FOLDER
        self._clock = clock
        self._records = Records(folder)
        self._ids = IdBook(folder)
        self._unsaved: dict[str, _Unsaved] = {}  # by account
        self._shared: dict[Path, SharedLock] = {}
        self._own: dict[
            str, asyncio.Lock
        ] = {}  # of an account: sign-ins share a file, not themselves
        self._writing: dict[Path, threading.Lock] = {}

    @asynccontextmanager
    async def locked(self, credential: Credential) -> AsyncIterator[None]:
        """Hold the lock of the sign-in and that of its source. Raises UpstreamError when the latter stays
        taken.

        Where no lock can be made (a read-only folder) there is none: nobody could store what two
        programs have to agree on.
        """
        own = self._own.setdefault(credential.id, asyncio.Lock())
        async with own, AsyncExitStack() as stack:
            try:
                target = await in_thread(lambda: self._lock_target(credential))
                if target not in self._shared:
                    self._shared[target] = SharedLock(target, self._clock)
                shared = self._shared[target]
                await stack.enter_async_context(shared.held(credential.label))
            except OSError as error:
                _log.warning("%s: renewed without a lock (%s)", credential.place, _why(error))
            yield

    async def reread(self, credential: Credential) -> Credential:
        """``credential`` with the tokens that its source or the state folder holds now, or that descend
        from them and could not be stored.

        Raises CredentialError when the sign-in is no longer there.
        """
        return self._or_unsaved(await self._reread_stored(credential))

    async def _reread_stored(self, credential: Credential) -> Credential:
        for _ in range(_READ_TRIES - 1):
            try:
                return await in_thread(lambda: self._reread(credential))
            except (OSError, ValueError):
                await self._clock.sleep(_READ_PAUSE_S)
        try:
            return await in_thread(lambda: self._reread(credential))
        except FileNotFoundError:
            raise CredentialError(f"{credential.place}: the file is gone; sign in again") from None
        except (OSError, ValueError) as error:
            _log.warning("%s: cannot be read again (%s)", credential.place, _why(error))
            return credential

    async def save(self, credential: Credential, tokens: Tokens) -> Credential:
        """Persist ``tokens``, renewed from ``credential``; call it under the lock, before their use.

        If the source changed meanwhile (a new sign-in by another program), the source wins and is
        returned instead. Raises OSError when nothing at all could be written.
        """
        try:
            saved = await in_thread(lambda: self._save(credential, tokens))
        except OSError:
            before = self._unsaved.get(credential.id)
            is_ours = (
                before is not None
                and _with(credential, before.tokens).current == credential.current
            )
            held = before.held if before is not None and is_ours else credential.current
            self._unsaved[credential.id] = _Unsaved(held, tokens)
            raise
        self._unsaved.pop(credential.id, None)
        return saved

    def is_unsaved(self, account_id: str) -> bool:
        """Whether the account's renewed tokens would be lost with this process."""
        return account_id in self._unsaved

    def _or_unsaved(self, found: Credential) -> Credential:
        unsaved = self._unsaved.get(found.id)
        if unsaved is None:
            return found
        ours = _with(found, unsaved.tokens)
        if found.current in (unsaved.held, ours.current):
            return ours
        del self._unsaved[found.id]  # somebody has signed in again
        return found

    # -- in worker threads

    def _lock_target(self, credential: Credential) -> Path:
        path = credential.place.path
        if path is not None and credential.place.takes_back:
            if os.access(FileLock(path).path.parent, os.W_OK):
                return path
        make_private_folder(self._folder)
        return self._records.path(credential)

    def _reread(self, credential: Credential) -> Credential:
        place = credential.place
        registration: Mapping[str, Any] | None
        if place.path is None or place.copied:
            tokens = self._records.maybe_tokens(credential, credential.origin)
            return credential if tokens is None else _with(credential, tokens)
        if place.key is not None:
            fields, registration = cli_stores.read_row(place.path, place.key)
        else:
            fields = self._find(read_json(place.path), credential)
            registration = _maybe_registration(fields, place.path.parent)
        return self._newest(_with_client(credential, fields, registration), fields)

    def _newest(self, credential: Credential, fields: Mapping[str, Any]) -> Credential:
        """What the file's entry says, or what descends from it: the record, or, where none could be
        written, what we have."""
        tokens = _tokens_of(credential, fields)
        origin = fingerprint(credential.kind, long_lived(credential.kind, tokens))
        record = self._records.maybe_tokens(credential, origin)
        if record is None and origin == credential.origin != credential.current:
            return credential
        fresh = _with(replace(credential, origin=origin), tokens if record is None else record)
        if origin != credential.origin:
            self._note_id(fresh)
        return fresh

    def _save(self, credential: Credential, tokens: Tokens) -> Credential:
        renewed = _with(credential, tokens)
        if not credential.place.takes_back:
            self._records.save(credential, credential.origin, tokens)
        else:
            try:
                other = self._save_to_file(credential, tokens)
            except (OSError, ValueError, CredentialError) as error:
                _log.warning(
                    "%s: cannot be written (%s); its renewed token is kept in the state folder",
                    credential.place,
                    _why(error),
                )
                self._records.save(credential, credential.origin, tokens)
            else:
                if other is not None:
                    return other
                renewed = replace(renewed, origin=renewed.current)
        self._note_id(renewed)
        return renewed

    def _save_to_file(self, credential: Credential, tokens: Tokens) -> Credential | None:
        """Merge and replace; or the newer sign-in that somebody else has put there."""
        path = credential.place.path
        if path is None:
            raise ValueError("has no file")
        # Others of this process share the lock between processes.
        with self._writing.setdefault(path, threading.Lock()):
            value = read_json(path)
            fields = self._find(value, credential)
            held = _tokens_of(credential, fields)
            if fingerprint(credential.kind, held.refresh) != credential.origin:
                return self._newest(credential, fields)
            _merge(fields, credential, tokens)
            write_json(path, value)
            return None

    def _find(self, value: Any, credential: Credential) -> dict[str, Any]:
        """The account's entry in a file read anew. Raises CredentialError when it is gone.

        By its token, else by what the book says about the entry's token (another process renewed it),
        else by its place, unless the token there is known to be another account's.
        """
        items: list[Any] = value if isinstance(value, list) else [value]
        entries: list[dict[str, Any]] = [i if isinstance(i, dict) else {} for i in items]
        ours = (credential.origin, credential.current)
        index = credential.place.index
        at = index or 0
        # Where it was, as nearly always: to look at all of a large file takes long.
        if at < len(entries):
            held = _fingerprint_of(entries[at], credential.kind)
            if held and held in ours:
                return entries[at]
        prints = [_fingerprint_of(item, credential.kind) for item in entries]
        for item, held in zip(entries, prints, strict=True):
            if held and held in ours:
                return item
        owners = [self._ids.maybe_id(held) if held else None for held in prints]
        if credential.id in owners:
            return entries[owners.index(credential.id)]
        if at < len(entries) and (index is None or owners[at] is None):
            if _kind_of(entries[at]) is credential.kind and entries[at]:
                return entries[at]
        raise CredentialError(
            f"{credential.place}: the sign-in is no longer in the file; sign in again"
        )

    def _note_id(self, credential: Credential) -> None:
        try:
            self._ids.record(credential)
        except OSError as error:
            _log.warning("%s: its id cannot be kept (%s)", credential.place, _why(error))


def _why(error: Exception) -> str:
    """The reason without a path or content."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)


def _with(credential: Credential, tokens: Tokens) -> Credential:
    """With ``tokens``; an ARN that is known is not forgotten."""
    arn = tokens.profile_arn or credential.tokens.profile_arn
    if credential.builder_id:
        arn = None
    return credential.with_tokens(replace(tokens, profile_arn=arn))


def _maybe_registration(fields: Mapping[str, Any], folder: Path) -> Mapping[str, Any] | None:
    try:
        return maybe_registration(fields, [folder])
    except CredentialError:
        return None


def _with_client(
    credential: Credential, fields: Mapping[str, Any], registration: Mapping[str, Any] | None
) -> Credential:
    """A new sign-in brings a new client registration, and only that one can renew its tokens."""
    if credential.kind is not CredentialKind.IDC:
        return credential
    try:
        for source in (fields, registration or {}):
            id_, secret = maybe_text(source, "clientId"), maybe_text(source, "clientSecret")
            if id_ and secret and (id_ + secret).isascii():
                return replace(credential, client_id=id_, client_secret=Secret(secret))
    except CredentialError:
        pass  # what we have is better than a field of the wrong type
    return credential


def _tokens_of(credential: Credential, fields: Mapping[str, Any]) -> Tokens:
    path = credential.place.path
    is_ide = path is not None and path.name == IDE_TOKEN_FILE
    try:
        return parse_tokens(credential.kind, fields, is_ide=is_ide)
    except CredentialError as error:
        raise CredentialError(f"{credential.place}: {error.message}") from None


def _kind_of(fields: Mapping[str, Any]) -> CredentialKind | None:
    try:
        return parse_kind(fields)
    except CredentialError:
        return None


def _fingerprint_of(fields: Mapping[str, Any], kind: CredentialKind) -> str:
    if _kind_of(fields) is not kind:
        return ""
    try:
        return fingerprint(kind, long_lived(kind, parse_tokens(kind, fields, is_ide=False)))
    except CredentialError:
        return ""


def _merge(fields: dict[str, Any], credential: Credential, tokens: Tokens) -> None:
    """Into the entry, in its own spelling; fields we do not know stay as they are."""
    if tokens.access is not None:
        fields[spelling(fields, "accessToken")] = tokens.access.reveal()
    if tokens.refresh:
        fields[spelling(fields, "refreshToken")] = tokens.refresh.reveal()
    key = spelling(fields, "expiresAt")
    fields[key] = _like(fields.get(key), tokens.expires_at_epoch_s)
    if tokens.profile_arn and credential.kind is CredentialKind.SOCIAL:
        fields[spelling(fields, "profileArn")] = tokens.profile_arn


def _like(old: object, epoch_s: float) -> str | int:
    """The expiry in the form the file's other users write it."""
    if isinstance(old, int | float) and not isinstance(old, bool):
        return int(epoch_s * 1000) if old >= 1e11 else int(epoch_s)
    return format_expiry(epoch_s)
