"""Account ids that outlive token rotation: a small book in the state folder.

An id is made from the first secret an account was seen with. Secrets rotate, so the book says which id
a secret's fingerprint belongs to. Another program may rotate a file's token while we are not running;
then the place (path, kind and provider of a file with one sign-in) still tells the id.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from kiroproxy.accounts.entries import Credential
from kiroproxy.accounts.files import maybe_read_object, update_json

# Each rotation adds a line, about one an hour and account; the oldest are dropped beyond this.
_MAX_LINES = 4000


class IdBook:
    """Blocking; used from worker threads and at start."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "ids.json"

    def known(self, credential: Credential) -> str:
        """The id the account already has, or the one made from its present secret."""
        lines = maybe_read_object(self._path)
        ids = (_maybe_line(lines, key) for key in _keys(credential))
        return next((value for value in ids if value), credential.id)

    def maybe_id(self, secret_fingerprint: str) -> str | None:
        """The id of the account that a secret belongs to, if it was ever seen."""
        return _maybe_line(maybe_read_object(self._path), secret_fingerprint[:16])

    def record(self, credential: Credential) -> None:
        """Note that this secret and place belong to ``credential.id``. Raises OSError."""

        def change(lines: dict[str, Any]) -> dict[str, Any]:
            for key in _keys(credential):
                lines.pop(key, None)
                lines[key] = credential.id  # the newest stand last
            return dict(list(lines.items())[-_MAX_LINES:])

        if any(maybe_read_object(self._path).get(k) != credential.id for k in _keys(credential)):
            update_json(self._path, change)


def _maybe_line(lines: dict[str, Any], key: str) -> str | None:
    """Ids become file names: nothing but eight letters and digits counts."""
    value = lines.get(key)
    is_id = isinstance(value, str) and len(value) == 8 and value.isascii() and value.isalnum()
    return value if is_id else None


def _keys(credential: Credential) -> list[str]:
    keys = [credential.current[:16]]
    place = credential.place
    if place.path is not None and place.index is None:
        text = f"{place.path.resolve()}:{credential.kind.value}:{credential.client_id}"
        if place.key is not None:
            text += f":{place.key}"
        keys.append("at:" + sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16])
    return keys
