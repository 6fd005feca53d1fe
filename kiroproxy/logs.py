"""Logging: the standard library's, as text or JSON lines, with a request id and one redaction filter.

Code logs with ``logger.info("text", extra={"fields": {...}})``; fields become JSON keys or
``key=value`` pairs. The filter is the last line of defence: secrets travel as ``Secret`` and should
never get here, but an upstream error text may quote one.
"""

from __future__ import annotations

import contextlib
import contextvars
import errno
import functools
import logging
import math
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

import orjson

from kiroproxy.config import Log
from kiroproxy.pipes import OwnSink, PipeHandler, Sink, make_sink
from kiroproxy.private import make_folders

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")

# What our secrets look like on the wire: Kiro access and refresh tokens, API keys, JWTs, and
# anything behind an Authorization scheme. Long runs only, so that words are left alone.
_SECRETS = re.compile(
    r"\b(?:aoa|aor|ksk_)[A-Za-z0-9_\-:/+=.]{6,}"
    r"|\beyJ[A-Za-z0-9_\-]{10,}(?:\.[A-Za-z0-9_\-]+)*"
    r"|(?i:\b(?:bearer|basic))\s+[A-Za-z0-9_\-.~+/:]{6,}=*"
    r"|(?i:(?<=\"refreshToken\":\")|(?<=\"accessToken\":\")|(?<=\"clientSecret\":\"))[^\"]+"
)


# One of these stands in every ASCII text that ``_SECRETS`` finds something in, whatever the letters'
# case. Looking for them takes a tenth of the time, and a line has a dozen values.
_HINTS = ("ao", "ksk_", "eyj", "bearer", "basic", '":"')


def redact(text: str) -> str:
    """``text`` with everything that looks like one of our secrets replaced by ``***``."""
    return text if _is_innocent(text) else _SECRETS.sub("***", text)


def _is_innocent(text: str) -> bool:
    if not text.isascii():
        return False
    lower = text.lower()
    for hint in _HINTS:  # any() would make a generator, which takes twice the time
        if hint in lower:
            return False
    return True


class Sparing:
    """Lets ``most`` lines through in ``period_s`` seconds: strangers shall not fill a disk."""

    def __init__(
        self, most: int, period_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._period_s = period_s
        self._monotonic = monotonic
        self._end_s = -math.inf
        self._count = 0

    def left_out(self) -> int | None:
        """None: say nothing. Else how many lines have not been said since the last that was."""
        now_s = self._monotonic()
        unsaid = 0
        if now_s >= self._end_s:
            unsaid = max(0, self._count - self._most)
            self._end_s, self._count = now_s + self._period_s, 0
        self._count += 1
        return unsaid if self._count <= self._most else None


def _is_harmless(line: str) -> bool:
    """Whether nothing in the line has to be cut, escaped or redacted: nearly all of them."""
    return len(line) <= _LONGEST and line.isprintable() and _is_innocent(line)


# What ends a line, moves a terminal's cursor, or turns the direction of writing.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_LONGEST = 4_000  # characters of a message or value; a client's own words can have millions
_LONGEST_TRACEBACK = 40_000


def _clean(text: str) -> str:
    """Words of others, fit to stand in a log: redacted, cut, nothing in them that is no character."""
    return _cut(redact(text), _LONGEST)


def _cut(text: str, longest: int) -> str:
    if len(text) > longest:
        text = f"{text[:longest]}… ({len(text)} characters)"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _one_line(text: str) -> str:
    """Line breaks and the like as escapes, so that nobody can forge a line."""
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _indented(traceback: str) -> str:
    """Set in from the margin: an exception's words may hold line breaks and cursor movements of others."""
    return "\n".join(f"  {_one_line(line)}" for line in traceback.split("\n"))


class _Redaction(logging.Filter):
    """Formats early, so that arguments and tracebacks are covered too; once, for all handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "request_id"):
            return True
        record.msg = _clean(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = _cut(redact(record.exc_text), _LONGEST_TRACEBACK)
        record.request_id = request_id.get()
        return True


_BLANK = logging.LogRecord("", 0, "", 0, "", (), None).__dict__


def say(logger: logging.Logger, level: int, words: str, fields: dict[str, Any]) -> None:
    """``logger.log(level, words, extra={"fields": fields})`` for the line that every request has: what a
    record has beside them (file, line, thread) is not looked for, which is a fifth of a line's cost, and
    ``words`` of ours need no redaction."""
    if logger.isEnabledFor(level):
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__.update(_BLANK)
        record.name, record.msg, record.created = logger.name, words, time.time()
        record.levelno, record.levelname = level, logging.getLevelName(level)
        record.fields, record.request_id = fields, request_id.get()
        logger.handle(record)


def _fields(record: logging.LogRecord, instance: str) -> dict[str, Any]:
    fields = dict(getattr(record, "fields", {}))
    if rid := getattr(record, "request_id", ""):
        fields.setdefault("request_id", rid)
    if instance:
        fields.setdefault("instance", instance)
    return fields


@functools.lru_cache(maxsize=2)
def _second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat()[:19]


def _time(record: logging.LogRecord) -> str:
    """ISO 8601 in UTC, to the millisecond; the second is written out once a second."""
    epoch_s, ms = divmod(int(record.created * 1000), 1000)
    return f"{_second(epoch_s)}.{ms:03d}+00:00"


class _LineFormatter(logging.Formatter):
    """``instance``: the server's own name, in every line if it has one."""

    def __init__(self, instance: str) -> None:
        super().__init__()
        self._instance = instance


class _TextFormatter(_LineFormatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record, self._instance)
        words = record.msg + "".join([f" {k}={v}" for k, v in fields.items() if v != ""])
        if not _is_harmless(words):
            pairs = "".join(f" {k}={_clean(str(v))}" for k, v in fields.items() if v != "")
            words = _one_line(f"{record.msg}{pairs}")
        line = f"{_time(record)} {record.levelname.lower():7} {words}"
        return f"{line}\n{_indented(record.exc_text)}" if record.exc_text else line


class _JsonFormatter(_LineFormatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.msg,
        }
        fields = _fields(record, self._instance)
        line.update((k, _clean(v) if isinstance(v, str) else v) for k, v in fields.items())
        if record.exc_text:
            line["exception"] = record.exc_text
        return orjson.dumps(line, default=str).decode()


def setup(config: Log) -> None:
    """Install handlers on the ``kiroproxy`` logger. Raises OSError if the file can't be opened."""
    install(config, open_handlers(config))


def open_handlers(config: Log) -> list[logging.Handler]:
    """What ``install`` takes. Raises OSError if the file can't be opened."""
    handlers: list[logging.Handler] = []
    if config.console:
        handlers.append(_console_handler(sys.stderr))
    if config.file is not None:
        handlers.append(_file_handler(config.file))
    return handlers


def _console_handler(stream: TextIO) -> logging.Handler:
    """One that never waits, where somebody has to read what is written."""
    sink = _sink_of(stream)
    if sink is None:
        return _LineHandler(stream)
    return PipeHandler(sink, lambda error: None)  # there is no other place to complain at


def _sink_of(stream: TextIO) -> Sink | None:
    try:
        return make_sink(stream.fileno())
    except (OSError, ValueError):  # it is no file, or closed
        return None


def _file_handler(path: Path) -> logging.Handler:
    """Raises OSError if it can't be opened."""
    fd = _open_log(path)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return PipeHandler(OwnSink(fd), _Complaint())
    os.set_blocking(fd, True)
    return _FileHandler(path, open(fd, "a", encoding="utf-8"))


def install(config: Log, handlers: Sequence[logging.Handler]) -> None:
    """These handlers, and no others, on the ``kiroproxy`` logger. Does not fail."""
    logger = logging.getLogger("kiroproxy")
    old = list(logger.handlers)
    make = _JsonFormatter if config.format == "json" else _TextFormatter
    formatter = make(config.instance)
    for handler in handlers or [logging.NullHandler()]:
        handler.addFilter(_Redaction())
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    for handler in old:
        logger.removeHandler(handler)
    close(old)
    logger.setLevel(config.level.upper())
    logger.propagate = False


def close(handlers: Sequence[logging.Handler]) -> None:
    """Those that are not wanted any more. The console stays open."""
    for handler in handlers:
        with contextlib.suppress(OSError):  # what a full disk has not taken
            handler.close()


class _LineHandler(logging.StreamHandler[Any]):
    """The standard library's takes its own lock a second time to flush, and first asks whether it can."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is None:  # a closed file, which is opened again
            super().emit(record)
            return
        try:
            self.stream.write(f"{self.format(record)}\n")
            self.stream.flush()
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)


class _FileHandler(_LineHandler, logging.FileHandler):
    """Opens once, before it is used. A file that cannot be written is one line on standard error a minute,
    instead of a traceback for every line."""

    def __init__(self, path: Path, stream: TextIOWrapper) -> None:
        super().__init__(path, encoding="utf-8", delay=True)
        self._complain = _Complaint()
        self.stream = stream

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._complain(error)
        else:
            super().handleError(record)


class _Complaint:
    """Of a log that cannot be written, on standard error, which may be read by nobody either."""

    def __init__(self) -> None:
        self._sparing = Sparing(1, 60.0)

    def __call__(self, error: OSError) -> None:
        if self._sparing.left_out() is None or sys.stderr is None:
            return
        text = f"kiroproxy: LOG_FILE: cannot be written ({error.strerror or error})\n"
        sink = _sink_of(sys.stderr)
        with contextlib.suppress(OSError, ValueError):
            if sink is None:
                sys.stderr.write(text)
            else:
                sink.write(text.encode("utf-8", "replace"))
                sink.close()


def _open_log(path: Path) -> int:
    """For appending, made 0600, not blocking. Raises OSError, also for a pipe that nobody reads: waiting
    for somebody who does would keep the server from starting."""
    make_folders(path.parent)
    flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC
    try:
        fd = os.open(path, flags | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno == errno.ENXIO and path.is_fifo():
            raise OSError(error.errno, "it is a pipe that nobody reads", str(path)) from None
        raise
    return fd
