"""The OpenAI dialects: requests in, streams, whole answers and errors out."""

from kiroproxy.api.openai.chat_message import ChatFold
from kiroproxy.api.openai.chat_stream import ChatEncoder
from kiroproxy.api.openai.errors import TABLE, error_body, error_response
from kiroproxy.api.openai.responses_message import ResponsesFold
from kiroproxy.api.openai.responses_stream import ResponsesEncoder

__all__ = [
    "TABLE",
    "ChatEncoder",
    "ChatFold",
    "ResponsesEncoder",
    "ResponsesFold",
    "error_body",
    "error_response",
]
