"""The Messages API: requests in, streams, whole answers and errors out."""

from kiroproxy.api.anthropic.errors import error_body, error_response
from kiroproxy.api.anthropic.message import MessageFold
from kiroproxy.api.anthropic.stream import MessagesEncoder

__all__ = ["MessageFold", "MessagesEncoder", "error_body", "error_response"]
