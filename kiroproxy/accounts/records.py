"""Renewed tokens whose source cannot take them back: one 0600 file per account in the state folder.

A record names the token it descends from (by fingerprint). If the user puts another one into the
environment, the record no longer descends from it and is ignored.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from kiroproxy.accounts.entries import Credential, Tokens, parse_tokens
from kiroproxy.accounts.fields import format_expiry
from kiroproxy.accounts.files import make_private_folder, maybe_read_object, write_json
from kiroproxy.errors import CredentialError

CREDENTIALS_FOLDER: Final = "credentials"
"""Under the state folder: records, the id book, their locks."""


class Records:
    """Blocking; used from worker threads and at start."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, credential: Credential) -> Path:
        return self._folder / f"{credential.id}.json"

    def overlay(self, credential: Credential) -> Credential:
        """``credential``, as its source holds it, with the record's tokens if they descend from it."""
        tokens = self.maybe_tokens(credential, credential.origin)
        if tokens is None:
            return credential
        arn = tokens.profile_arn or credential.tokens.profile_arn
        return credential.with_tokens(replace(tokens, profile_arn=arn))

    def maybe_tokens(self, credential: Credential, origin: str) -> Tokens | None:
        """The record's tokens if they descend from ``origin``; None if not, or if it is broken."""
        record = maybe_read_object(self.path(credential))
        if record.get("origin") != origin or record.get("kind") != credential.kind.value:
            return None
        try:
            return parse_tokens(credential.kind, record, is_ide=False)
        except CredentialError:
            return None

    def save(self, credential: Credential, origin: str, tokens: Tokens) -> None:
        """Raises OSError."""
        make_private_folder(self._folder)
        record = {
            "origin": origin,
            "kind": credential.kind.value,
            "refreshToken": tokens.refresh.reveal(),
            "accessToken": tokens.access.reveal() if tokens.access else "",
            "expiresAt": format_expiry(tokens.expires_at_epoch_s),
        }
        if tokens.profile_arn:
            record["profileArn"] = tokens.profile_arn
        write_json(self.path(credential), record)
