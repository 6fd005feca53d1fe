"""Codec for ``application/vnd.amazon.eventstream``: sans-I/O, documented errors only.

``encoder`` is no part of this door: a server reads frames, and who writes them asks for it by name.
"""

from kiroproxy.eventstream.decoder import FrameDecoder
from kiroproxy.eventstream.headers import parse_headers
from kiroproxy.eventstream.wire import Frame, HeaderValue

__all__ = [
    "Frame",
    "FrameDecoder",
    "HeaderValue",
    "parse_headers",
]
