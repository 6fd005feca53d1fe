"""``kiroproxy decode``: an event stream as JSON lines, for people who look at what the service sent."""

from __future__ import annotations

import argparse
import base64
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kiroproxy.cli.options import add_command
from kiroproxy.cli.terminal import is_terminal, note
from kiroproxy.errors import ConfigError, EventStreamError, HeaderError, TruncatedStreamError

if TYPE_CHECKING:
    from kiroproxy.eventstream import Frame, HeaderValue

_EXAMPLES: Final = """\
  kiroproxy decode answer.bin               a body that was saved
  curl -sN … | kiroproxy decode             as it comes
  kiroproxy decode --raw < answer.bin       with each frame's headers and size
"""
_READ_BYTES: Final = 65_536
_TYPE_HEADERS: Final = {
    "event": ":event-type",
    "exception": ":exception-type",
    "error": ":error-code",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's parser."""
    parser = add_command(
        commands,
        "decode",
        _run,
        "turn an event stream (application/vnd.amazon.eventstream) into JSON lines",
        more=(
            "Both checksums of every frame are checked. Exit code 1, with the place on standard error, "
            "for\na stream that is damaged or ends inside a frame."
        ),
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="default: standard input, also as -"
    )
    parser.add_argument("--raw", action="store_true", help="with headers and sizes")


def _run(arguments: argparse.Namespace) -> int:
    try:
        if arguments.file != "-":
            with Path(arguments.file).open("rb") as file:
                return _decode(file.fileno(), arguments.raw)
        if is_terminal(sys.stdin):
            note("decode: reads the stream from standard input, up to Ctrl-D")
        return _decode(0, arguments.raw)
    except BrokenPipeError:
        raise
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"FILE: {arguments.file} cannot be read ({why})") from None


def _decode(source: int, raw: bool) -> int:
    """Lines go out as frames come in."""
    import orjson

    from kiroproxy.eventstream import FrameDecoder

    decoder, at = FrameDecoder(), 0
    try:
        while data := os.read(source, _READ_BYTES):
            frames = decoder.feed(data)
            for frame in frames:
                line = orjson.dumps(_line(frame, at, raw))
                sys.stdout.buffer.write(line + b"\n")
                at += _size(frame)
            sys.stdout.flush()
            if decoder.fault is not None:
                break
        decoder.finish()
    except EventStreamError as error:
        sys.stdout.flush()
        is_placed = not isinstance(error, HeaderError | TruncatedStreamError)
        where = "" if is_placed else f"in the frame at byte {at}: "
        note(f"kiroproxy: {where}{error.message}")
        return 1
    return 0


def _size(frame: Frame) -> int:
    from kiroproxy.eventstream.wire import OVERHEAD_BYTES

    headers, payload = frame
    return OVERHEAD_BYTES + len(headers) + len(payload)


def _line(frame: Frame, at: int, raw: bool) -> dict[str, Any]:
    """``offset`` is where the frame begins. Raises HeaderError."""
    from kiroproxy.eventstream import parse_headers

    headers = parse_headers(frame[0])
    kind = str(headers.get(":message-type", "event"))
    line: dict[str, Any] = {"offset": at, "kind": kind}
    if name := headers.get(_TYPE_HEADERS.get(kind, "")):
        line["type"] = _plain(name)
    if kind == "error":
        line["message"] = _plain(headers.get(":error-message", ""))
    if raw:
        line["bytes"] = _size(frame)
        line["headers"] = {name: _plain(value) for name, value in headers.items()}
    line.update(_payload(bytes(frame[1])))
    return line


def _plain(value: HeaderValue) -> object:
    """As JSON has it: bytes in base64, a UUID as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return (
        value
        if isinstance(value, str | bool)
        else int(value)
        if isinstance(value, int)
        else str(value)
    )


def _payload(data: bytes) -> Iterator[tuple[str, object]]:
    """JSON as it stands, its numbers untouched; other payloads as text, or in base64."""
    import orjson

    if not data:
        return
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    else:  # line breaks can only stand between its tokens
        yield "payload", orjson.Fragment(data.replace(b"\r", b" ").replace(b"\n", b" "))
        return
    try:
        yield "text", data.decode()
    except UnicodeDecodeError:
        yield "base64", base64.b64encode(data).decode()
