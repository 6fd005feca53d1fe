"""The response object: shared by the stream and the whole answer."""

from __future__ import annotations

from typing import Any, Final

from kiroproxy.api.events import Ending, Stop, Usage
from kiroproxy.api.openai.responses_output import COMPLETED, INCOMPLETE
from kiroproxy.api.openai.responses_style import ResponsesStyle
from kiroproxy.api.retrying import told_message
from kiroproxy.errors import Kind, KiroProxyError

Json = dict[str, Any]

#: Why an answer is not whole; every other stop is a proper end. Codex calls an incomplete answer failed.
_REASONS: Final = {
    Stop.MAX_TOKENS: "max_output_tokens",
    Stop.CONTEXT_WINDOW: "max_output_tokens",
    Stop.REFUSAL: "content_filter",
}

#: Codes of ``response.failed``. Codex gives up at once on ``context_length_exceeded``,
#: ``insufficient_quota`` and ``invalid_prompt``, and repeats the request on every other one. It also
#: gives up on ``server_is_overloaded``, which is therefore not said: overload passes in seconds.
FAILURES: Final[dict[Kind, str]] = {
    Kind.INVALID_REQUEST: "invalid_prompt",
    Kind.PROMPT_TOO_LONG: "context_length_exceeded",
    Kind.UNAUTHENTICATED: "invalid_prompt",
    Kind.UPSTREAM_UNAUTHENTICATED: "invalid_prompt",
    Kind.PERMISSION: "invalid_prompt",
    Kind.NOT_FOUND: "invalid_prompt",
    Kind.MODEL_NOT_FOUND: "invalid_prompt",
    Kind.METHOD_NOT_ALLOWED: "invalid_prompt",
    Kind.REQUEST_TIMEOUT: "server_error",
    Kind.TOO_LARGE: "invalid_prompt",
    Kind.UPGRADE_REQUIRED: "invalid_prompt",
    Kind.HEADERS_TOO_LARGE: "invalid_prompt",
    Kind.RATE_LIMITED: "rate_limit_exceeded",
    Kind.QUOTA: "insufficient_quota",
    Kind.OVERLOADED: "server_error",
    Kind.UPSTREAM_FAILED: "server_error",
    Kind.UPSTREAM_TIMEOUT: "server_error",
    Kind.INTERNAL: "server_error",
    Kind.UNAVAILABLE: "server_error",
}


class ResponseObject:
    """Everything about the answer but its items. ``created_s``: seconds since 1970."""

    def __init__(self, response_id: str, model: str, created_s: int, style: ResponsesStyle) -> None:
        self.id = response_id
        self._head: Json = {
            "id": response_id,
            "object": "response",
            "created_at": created_s,
            "model": model,
            "background": False,
            **style.echo,
            "store": style.store,
        }

    def fields(self, status: str, output: list[Json], **more: Any) -> Json:
        """The object in this status."""
        return {
            **self._head,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "usage": None,
            "output": output,
            **more,
        }

    def ended(self, ending: Ending, output: list[Json]) -> Json:
        """With its proper end."""
        usage = usage_fields(ending.usage)
        reason = _REASONS.get(ending.stop)
        if reason is None:
            return self.fields(COMPLETED, output, usage=usage)
        return self.fields(INCOMPLETE, output, usage=usage, incomplete_details={"reason": reason})

    def failed(self, error: KiroProxyError, output: list[Json]) -> Json:
        """With the items that were complete by then."""
        told = {"code": FAILURES[error.kind], "message": told_message(error)}
        return self.fields("failed", output, error=told)


def item_status(ending: Ending) -> str:
    """The status of an item that was open at the answer's end."""
    return INCOMPLETE if ending.stop in _REASONS else COMPLETED


def usage_fields(usage: Usage) -> Json:
    """``usage``; unlike ours, its input counts what came from the cache."""
    read = usage.cache_read_tokens
    input_tokens = usage.input_tokens + read + usage.cache_write_tokens
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": input_tokens + usage.output_tokens,
    }
