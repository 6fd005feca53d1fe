"""Codec for ``application/vnd.amazon.eventstream``: sans-I/O, documented errors only."""

from kiroproxy.eventstream.decoder import FrameDecoder
from kiroproxy.eventstream.encoder import (
    encode_error,
    encode_event,
    encode_exception,
    encode_frame,
)
from kiroproxy.eventstream.headers import parse_headers
from kiroproxy.eventstream.wire import Frame, HeaderValue

__all__ = [
    "Frame",
    "FrameDecoder",
    "HeaderValue",
    "encode_error",
    "encode_event",
    "encode_exception",
    "encode_frame",
    "parse_headers",
]
