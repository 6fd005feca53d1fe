"""One module a target: ``target(data)`` must end, or raise what is documented and catch it itself.
``seeds()`` gives the inputs that a corpus begins with."""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "answers",
    "chat",
    "chunked",
    "config",
    "credentials",
    "frames",
    "messages",
    "replies",
    "request_head",
    "response_head",
    "responses",
    "schemas",
    "stored",
    "texts",
)
