"""Every error this program raises on purpose, in one tree.

::

    KiroProxyError                  kind, message, param, retry_after_s, should_retry, request ids
    ├── ConfigError                 a setting is wrong; one line for the user, exit code 2
    ├── CredentialError             a credential entry cannot be used: which entry, which field
    ├── RequestError                the caller's request cannot be served as it stands
    ├── NoAccountError              no account is left that could serve the request
    ├── UpstreamError               the service, or the way to it, failed
    │   ├── UpstreamRefusedError    the service answered with an error (kiro/replies.py sorts them)
    │   ├── TransportError          no usable HTTP exchange
    │   │   ├── ConnectError        nothing was sent: safe to repeat
    │   │   ├── StaleConnectionError  a kept connection died before the request was accepted
    │   │   ├── ConnectionLostError the peer closed or reset in the middle
    │   │   ├── PeerProtocolError   what came back is not HTTP/1.1
    │   │   └── UpstreamTimeoutError  which of the four clocks ran out stands in ``phase``
    │   ├── EventStreamError        bytes that are not a valid event stream
    │   │   ├── PreludeChecksumError
    │   │   ├── MessageChecksumError
    │   │   ├── FrameLengthError
    │   │   ├── HeaderError
    │   │   └── TruncatedStreamError  the stream ended inside a frame
    │   ├── IncompleteAnswerError   valid frames, but the answer has no proper end
    │   └── SchemaMismatchError     a whole answer that does not fit the schema asked for
    ├── StorageError                the state file cannot be read or written
    └── InternalError               a defect of ours

``kind`` says what happened in words every dialect can map; a dialect's ``errors.py`` holds one row
per kind and a test keeps that table complete. Messages are shown to users as they are, so each is a
sentence that says what happened and, where there is something to do, what to do. No message ever
holds a secret.
"""

from __future__ import annotations

import enum


class Kind(enum.Enum):
    """What went wrong, from the caller's point of view."""

    INVALID_REQUEST = "invalid_request"  # 400, the caller can mend it
    PROMPT_TOO_LONG = "prompt_too_long"  # 400, clients compact on it
    UNAUTHENTICATED = "unauthenticated"  # 401, the caller's key to this proxy is wrong
    UPSTREAM_UNAUTHENTICATED = "upstream_unauthenticated"  # 401, the Kiro sign-in is refused
    PERMISSION = "permission"  # 403, signed in, but not allowed (suspended, feature, model)
    NOT_FOUND = "not_found"  # 404, no such route
    MODEL_NOT_FOUND = "model_not_found"  # 404, no such model on this account
    METHOD_NOT_ALLOWED = "method_not_allowed"  # 405
    REQUEST_TIMEOUT = "request_timeout"  # 408, the caller's bytes came too slowly
    TOO_LARGE = "too_large"  # 413
    UPGRADE_REQUIRED = "upgrade_required"  # 426, websocket asked for, HTTP spoken
    HEADERS_TOO_LARGE = "headers_too_large"  # 431
    RATE_LIMITED = "rate_limited"  # 429, come back later
    QUOTA = "quota"  # 402/429, the account's credits are used up
    OVERLOADED = "overloaded"  # 529, the service or the model is busy
    UPSTREAM_FAILED = "upstream_failed"  # 502, the service or the line broke
    UPSTREAM_TIMEOUT = "upstream_timeout"  # 504
    INTERNAL = "internal"  # 500, our defect
    UNAVAILABLE = "unavailable"  # 503, we are shutting down


def let_go(error: BaseException) -> None:
    """It has been told, and nobody looks for where it came from. The frames of its traceback hold the whole
    request, and often the error itself: all of that would wait for a garbage collection."""
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is not None:
            chain += [link.__cause__, link.__context__]
            link.__cause__ = link.__context__ = link.__traceback__ = None


class KiroProxyError(Exception):
    """Root of the tree; never raised itself.

    ``retry_after_s``: seconds the caller should wait. ``should_retry``: whether the same request can
    succeed later without anybody doing anything (None: the dialect's table decides). ``param``: the
    request field at fault, as a path such as ``messages.3.content``. ``code``: OpenAI's own word for it,
    where the kind's is not the one its clients look for.
    """

    kind: Kind = Kind.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        kind: Kind | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        upstream_request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if kind is not None:
            self.kind = kind
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.upstream_request_id = upstream_request_id


class ConfigError(KiroProxyError):
    """A setting has a value we cannot use. The message names the setting and the rule."""


class SystemLimitError(KiroProxyError):
    """The system gives the program no more of what it cannot do without. The message names the limit."""


class CredentialError(KiroProxyError):
    """A credential entry cannot be used. The message names entry and field, never the value."""

    kind = Kind.UPSTREAM_UNAUTHENTICATED


class RequestError(KiroProxyError):
    """The caller's request cannot be served as it stands."""

    kind = Kind.INVALID_REQUEST


class MediaError(KiroProxyError):
    """A picture or document cannot be fetched or used. The message is a rule without the field's name;
    whoever knows the field makes a RequestError of it."""

    kind = Kind.INVALID_REQUEST


class NoAccountError(KiroProxyError):
    """No account is left that could serve the request; the message says why and what to do."""

    kind = Kind.UPSTREAM_UNAUTHENTICATED


class UpstreamError(KiroProxyError):
    """The service, or the way to it, failed."""

    kind = Kind.UPSTREAM_FAILED


class UpstreamRefusedError(UpstreamError):
    """The service answered with an error, as an HTTP reply or as a frame in the stream.

    ``status``: HTTP status, 0 for a frame. ``name``/``reason``: the service's own words
    (``ThrottlingException`` / ``USER_REQUEST_RATE_EXCEEDED``). ``remedy`` is a
    ``kiro.replies.Remedy`` (typed loosely here: this module stands below that one).
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        name: str = "",
        reason: str = "",
        remedy: object = None,
        kind: Kind | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        upstream_request_id: str | None = None,
    ) -> None:
        super().__init__(
            message,
            kind=kind,
            retry_after_s=retry_after_s,
            should_retry=should_retry,
            upstream_request_id=upstream_request_id,
        )
        self.status = status
        self.name = name
        self.reason = reason
        self.remedy = remedy


class TransportError(UpstreamError):
    """No usable HTTP exchange took place."""


class ConnectError(TransportError):
    """DNS, TCP, proxy or TLS failed before any request byte left: safe to repeat."""


class StaleConnectionError(TransportError):
    """A kept connection closed before a single response byte came."""


class ConnectionLostError(TransportError):
    """The peer closed or reset the connection in the middle of the exchange."""


class PeerProtocolError(TransportError):
    """What came back breaks HTTP/1.1 or one of our limits on it."""


class UpstreamTimeoutError(TransportError):
    """One of the four clocks ran out: ``phase`` is connect, first_byte, idle or total."""

    kind = Kind.UPSTREAM_TIMEOUT

    def __init__(self, message: str, *, phase: str) -> None:
        super().__init__(message)
        self.phase = phase


class EventStreamError(UpstreamError):
    """The bytes are not a valid event stream. Terminal for the stream."""


class PreludeChecksumError(EventStreamError):
    """The first eight bytes of a frame do not match their CRC; no length in it can be trusted."""


class MessageChecksumError(EventStreamError):
    """A whole frame does not match its CRC; its payload is not shown to anybody."""


class FrameLengthError(EventStreamError):
    """Total or header length is outside the limits of ``eventstream/wire.py``."""


class HeaderError(EventStreamError):
    """A frame's header block does not parse."""


class TruncatedStreamError(EventStreamError):
    """The stream ended inside a frame."""


class IncompleteAnswerError(UpstreamError):
    """Valid frames came, the stream ended, but the answer has no proper end."""


class SchemaMismatchError(UpstreamError):
    """A whole answer came, but it does not fit the schema asked for, corrected or not."""


class StorageError(KiroProxyError):
    """The state file cannot be read or written. Nothing that serves a request depends on it."""


class InternalError(KiroProxyError):
    """A defect of ours, turned into a clean answer; the traceback is in the log only."""
