"""Who may come in: the client key, compared in constant time."""

from __future__ import annotations

import hmac
from typing import Protocol

from kiroproxy.errors import Kind, KiroProxyError, RequestError
from kiroproxy.http.messages import Request
from kiroproxy.secret import Secret


class Gate:
    """Checks ``x-api-key``, else ``Authorization: Bearer``. When both come, ``x-api-key`` counts."""

    def __init__(self, key: Secret) -> None:
        self.use(key)

    def use(self, key: Secret) -> None:
        """The key from now on."""
        self._key = key.reveal().encode()

    def check(self, request: Request) -> None:
        """Raises RequestError(UNAUTHENTICATED); the message says which header to set."""
        offered = _offered_key(request)
        if offered is None:
            raise RequestError(
                "no key: send the proxy's key as x-api-key or as Authorization: Bearer",
                kind=Kind.UNAUTHENTICATED,
            )
        if not hmac.compare_digest(offered, self._key):
            raise RequestError(
                "wrong key: use the key that kiroproxy printed when it started (KIRO_CLIENT_TOKEN)",
                kind=Kind.UNAUTHENTICATED,
            )


class Book(Protocol):
    """Where refusals are counted: the journal."""

    def refused(self, error: KiroProxyError) -> None: ...


class Entrance:
    """The gate as the HTTP server asks it, with nothing but a request's head. Refusals are counted."""

    def __init__(self, gate: Gate, journal: Book) -> None:
        self._gate = gate
        self._journal = journal

    def check(self, request: Request) -> None:
        """As ``Gate.check``."""
        try:
            self._gate.check(request)
        except RequestError as error:
            self._journal.refused(error)
            raise


def _offered_key(request: Request) -> bytes | None:
    key = request.headers.get("x-api-key")
    if key:
        return key.strip().encode("latin-1")
    scheme, _, credentials = (request.headers.get("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and credentials.strip():
        return credentials.strip().encode("latin-1")
    return None
