"""The Messages API: requests in, streams, whole answers and errors out."""

from kiroproxy.api.anthropic.errors import TABLE, error_body, error_response
from kiroproxy.api.anthropic.message import MessageFold
from kiroproxy.api.anthropic.stream import MessagesEncoder

__all__ = ["TABLE", "MessageFold", "MessagesEncoder", "error_body", "error_response"]
