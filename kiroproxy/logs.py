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
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

import orjson

from kiroproxy.config import Log
from kiroproxy.pipes import OwnSink, PipeHandler, Sink, make_sink
from kiroproxy.private import make_folders
from kiroproxy.redaction import (
    LONGEST_TRACEBACK,
    clean,
    cut,
    indented,
    is_harmless,
    one_line,
    redact,
)

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")


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


class _Redaction(logging.Filter):
    """Formats early, so that arguments and tracebacks are covered too; once, for all handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "request_id"):
            return True
        record.msg = clean(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = cut(redact(record.exc_text), LONGEST_TRACEBACK)
        record.request_id = request_id.get()
        return True


class Recurring:
    """Fields whose values come again from request to request: what a line says of them is made, and
    redacted, once for the same values."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.text = functools.lru_cache(maxsize=256)(self._text)
        self.json = functools.lru_cache(maxsize=256)(self._json)

    def _text(self, values: tuple[Any, ...]) -> str:
        return _pairs("", zip(self.names, values, strict=True))

    def _json(self, values: tuple[Any, ...]) -> dict[str, Any]:
        return dict(_clean_values(zip(self.names, values, strict=True)))


def say(
    logger: logging.Logger,
    words: str,
    recurring: Recurring,
    values: tuple[Any, ...],
    fields: dict[str, Any],
) -> None:
    """``logger.info(words, extra={"fields": ...})`` for the line that every request has, with the names and
    values of ``recurring``, then ``fields``. It takes a quarter of the time: there is no record between
    the caller and the line, and only the recurring values can be words of others. ``words`` and ``fields``
    are numbers and words of ours, and are written as they are. ``fields`` gets the request's id."""
    if not logger.isEnabledFor(logging.INFO):
        return
    lines = _lines
    if lines is None or logger.handlers or _ROOT.handlers != lines.installed:
        # Somebody else listens, and wants records.
        logger.info(words, extra={"fields": {**recurring.json(values), **fields}})
        return
    fields["request_id"] = request_id.get()
    line = lines.formatter.line(logger.name, words, recurring, values, fields)
    for handler in lines.handlers:
        handler.put(line)


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


def _time(epoch_s: float) -> str:
    """ISO 8601 in UTC, to the millisecond; the second is written out once a second."""
    second, ms = divmod(int(epoch_s * 1000), 1000)
    return f"{_second(second)}.{ms:03d}+00:00"


class _LineFormatter(logging.Formatter):
    """``instance``: the server's own name, in every line if it has one. ``line`` makes of what is said what
    ``format`` makes of a record."""

    def __init__(self, instance: str) -> None:
        super().__init__()
        self._instance = instance


class _TextFormatter(_LineFormatter):
    def format(self, record: logging.LogRecord) -> str:
        said = _pairs(record.msg, _fields(record, self._instance).items())
        line = f"{_time(record.created)} {record.levelname.lower():7} {said}"
        return f"{line}\n{indented(record.exc_text)}" if record.exc_text else line

    def line(
        self,
        logger: str,
        words: str,
        recurring: Recurring,
        values: tuple[Any, ...],
        fields: dict[str, Any],
    ) -> str:
        pairs = "".join([f" {k}={v}" for k, v in fields.items() if v != ""])
        said = f"{_time(time.time())} info    {words}{recurring.text(values)}{pairs}"
        return f"{said} instance={self._instance}" if self._instance else said


class _JsonFormatter(_LineFormatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.msg,
        }
        line.update(_clean_values(_fields(record, self._instance).items()))
        if record.exc_text:
            line["exception"] = record.exc_text
        return orjson.dumps(line, default=str).decode()

    def line(
        self,
        logger: str,
        words: str,
        recurring: Recurring,
        values: tuple[Any, ...],
        fields: dict[str, Any],
    ) -> str:
        line = {"time": _time(time.time()), "level": "info", "logger": logger, "message": words}
        line |= recurring.json(values)
        line |= fields
        if self._instance:
            line["instance"] = self._instance
        return orjson.dumps(line, default=str).decode()


def _pairs(words: str, fields: Iterable[tuple[str, Any]]) -> str:
    """As one line; empty values are left out."""
    shown = [(name, value) for name, value in fields if value != ""]
    said = words + "".join([f" {name}={value}" for name, value in shown])
    if is_harmless(said):
        return said
    return one_line(words + "".join([f" {name}={clean(str(value))}" for name, value in shown]))


def _clean_values(fields: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    return ((name, clean(value) if isinstance(value, str) else value) for name, value in fields)


class _StreamHandler(logging.StreamHandler[Any]):
    """The standard library's takes its own lock a second time to flush, and first asks whether it can."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is None:  # a closed file, which is opened again
            super().emit(record)
            return
        try:
            line = self.format(record)
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)
        else:
            self.put(line)

    def put(self, line: str) -> None:
        """Write a whole line, its end not included. Does not fail."""
        try:
            with self.lock:  # type: ignore[union-attr]  # a handler has one
                self.stream.write(f"{line}\n")
                self.stream.flush()
        except Exception:
            self.handleError(_NO_RECORD)


class _FileHandler(_StreamHandler, logging.FileHandler):
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


LineHandler = PipeHandler | _StreamHandler


class _Lines(NamedTuple):
    """What ``say`` writes through. ``installed``: all there was on the logger; more came later if it has
    others now."""

    formatter: _TextFormatter | _JsonFormatter
    handlers: Sequence[LineHandler]
    installed: list[logging.Handler]


_ROOT: Final = logging.getLogger("kiroproxy")
_NO_RECORD: Final = logging.LogRecord("kiroproxy", logging.INFO, "", 0, "", (), None)
_lines: _Lines | None = None


def setup(config: Log) -> None:
    """Install handlers on the ``kiroproxy`` logger. Raises OSError if the file can't be opened."""
    install(config, open_handlers(config))


def open_handlers(config: Log) -> list[LineHandler]:
    """What ``install`` takes. Raises OSError if the file can't be opened."""
    handlers: list[LineHandler] = []
    if config.console:
        handlers.append(_console_handler(sys.stderr))
    if config.file is not None:
        handlers.append(_file_handler(config.file))
    return handlers


def _console_handler(stream: TextIO) -> LineHandler:
    """One that never waits, where somebody has to read what is written."""
    sink = _sink_of(stream)
    if sink is None:
        return _StreamHandler(stream)
    return PipeHandler(sink, lambda error: None)  # there is no other place to complain at


def _sink_of(stream: TextIO) -> Sink | None:
    try:
        return make_sink(stream.fileno())
    except (OSError, ValueError):  # it is no file, or closed
        return None


def _file_handler(path: Path) -> LineHandler:
    """Raises OSError if it can't be opened."""
    fd = _open_log(path)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return PipeHandler(OwnSink(fd), _Complaint())
    os.set_blocking(fd, True)
    return _FileHandler(path, open(fd, "a", encoding="utf-8"))


def install(config: Log, handlers: Sequence[LineHandler]) -> None:
    """These handlers, and no others, on the ``kiroproxy`` logger. Does not fail."""
    global _lines
    old = list(_ROOT.handlers)
    make = _JsonFormatter if config.format == "json" else _TextFormatter
    formatter = make(config.instance)
    new: list[logging.Handler] = [*handlers] or [logging.NullHandler()]
    for handler in new:
        handler.addFilter(_Redaction())
        handler.setFormatter(formatter)
        _ROOT.addHandler(handler)
    for handler in old:
        _ROOT.removeHandler(handler)
    _lines = _Lines(formatter, handlers, new)
    close(old)
    _ROOT.setLevel(config.level.upper())
    _ROOT.propagate = False


def close(handlers: Sequence[logging.Handler]) -> None:
    """Those that are not wanted any more. The console stays open."""
    for handler in handlers:
        with contextlib.suppress(OSError):  # what a full disk has not taken
            handler.close()


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
