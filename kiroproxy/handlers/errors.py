"""Errors as HTTP answers, in the dialect of the route they happened on."""

from __future__ import annotations

import logging

from kiroproxy.api import anthropic, openai
from kiroproxy.errors import Kind, KiroProxyError
from kiroproxy.http import Request, Response
from kiroproxy.logs import Sparing

_log = logging.getLogger("kiroproxy.http")

_OPENAI_SEGMENTS = frozenset({"chat", "completions", "responses"})


def render_error(
    request: Request, error: KiroProxyError, refusals: Sparing | None = None
) -> Response:
    """The answer for ``error``. ``request`` is empty but for its id when its head did not parse.
    ``refusals`` bounds the lines about wrong keys."""
    if error.kind is Kind.UNAUTHENTICATED:
        unsaid = refusals.left_out() if refusals else 0
        if unsaid is not None:
            fields = {"peer": request.peer, **({"unsaid": unsaid} if unsaid else {})}
            _log.warning("refused: %s", error.message, extra={"fields": fields})
    if speaks_openai(request):
        status, headers, body = openai.error_response(error)
    else:
        status, headers, body = anthropic.error_response(error, request.id)
    return Response(status, body, headers)


def status_of(request: Request, error: KiroProxyError) -> int:
    """The status that ``render_error`` gives it."""
    if speaks_openai(request):
        return openai.TABLE[error.kind].status
    return anthropic.TABLE[error.kind].status


def speaks_openai(request: Request) -> bool:
    """Whether the client expects OpenAI's errors: by the route where it tells, else (models, unknown
    routes) by the headers, of which only Anthropic's clients have a version or ``x-api-key``."""
    segments = set(request.path.split("/"))
    if segments & _OPENAI_SEGMENTS:
        return True
    if "messages" in segments:
        return False
    theirs = (request.headers.get(name) for name in ("anthropic-version", "x-api-key"))
    return not any(theirs) and request.headers.get("authorization") is not None
