"""The OpenAI dialects: requests in, streams, whole answers and errors out."""

from kiroproxy.api.openai.chat_message import ChatFold
from kiroproxy.api.openai.chat_stream import ChatEncoder
from kiroproxy.api.openai.errors import TABLE, error_body, error_response

__all__ = ["TABLE", "ChatEncoder", "ChatFold", "error_body", "error_response"]
