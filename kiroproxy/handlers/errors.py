"""Errors as HTTP answers, in the dialect of the route they happened on."""

from __future__ import annotations

import logging

from kiroproxy.api.anthropic.errors import TABLE, error_response
from kiroproxy.errors import Kind, KiroProxyError
from kiroproxy.http import Request, Response

_log = logging.getLogger("kiroproxy.http")


def render_error(request: Request, error: KiroProxyError) -> Response:
    """The answer for ``error``. ``request`` is empty but for its id when its head did not parse."""
    if error.kind is Kind.UNAUTHENTICATED:
        fields = {"peer": request.peer}
        _log.warning("refused: %s", error.message, extra={"fields": fields})
    status, headers, body = error_response(error, request.id)
    return Response(status, body, headers)


def status_of(error: KiroProxyError) -> int:
    """The status that ``render_error`` gives it."""
    return TABLE[error.kind].status
