"""PROMPT_LOG_MODE: prompts and answers as JSON lines, for whoever has to see what a client sends.

Off unless asked for. Everything costly happens in a thread of its own; a disk that does not keep up
loses lines, never time. Secrets of known shapes and pictures are taken out; what else stands in a
prompt is the user's own text.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from kiroproxy.api.events import AnswerEvent
from kiroproxy.private import make_folders
from kiroproxy.redaction import redact
from kiroproxy.secret import Secret
from kiroproxy.usage.record import RequestRecord

_log = logging.getLogger("kiroproxy.prompts")

FOLDER: Final = "prompts"
MAX_WAITING: Final = 200
_MAX_DATA_CHARS: Final = 200

# What users' own secrets look like in prompts, beside ours (redaction.py).
_SECRETS: Final = re.compile(
    r"\bsk-[A-Za-z0-9_\-]{16,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"
    r"|\bxox[abprs]-[A-Za-z0-9\-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|(?=\"))",
    re.DOTALL,
)

# The fields that name pictures and documents by URL, and the parts of such a URL that may be secret.
_URL_NAMES: Final = frozenset({"url", "image_url", "file_url"})
_URL_SECRETS: Final = re.compile(r"(?<=:)//[^/?#]*@|[?#].*\Z", re.DOTALL)

Write = Callable[[str, float], None]
"""Takes a finished line and its wall time; called in the log's thread. May raise OSError."""


class PromptLog:
    """``open`` when a request comes in; its line is written when its record is published."""

    def __init__(self, write: Write, key: Secret) -> None:
        self._write = write
        self.use(key)
        self._open: dict[str, tuple[bytes, list[AnswerEvent]]] = {}
        self._thread = ThreadPoolExecutor(1, "prompts")
        self._waiting = 0
        self._lost = 0

    def use(self, key: Secret) -> None:
        """The key that is taken out of the lines from now on."""
        # As it stands in a line of JSON.
        self._key = json.dumps(key.reveal(), ensure_ascii=False)[1:-1]

    def open(self, request_id: str, body: bytes) -> list[AnswerEvent]:
        """Keeps ``body``; the answer's events are to be put into the list."""
        events: list[AnswerEvent] = []
        self._open[request_id] = (body, events)
        return events

    def finished(self, record: RequestRecord) -> None:
        """A listener of the feed."""
        body, events = self._open.pop(record.id, (b"", []))
        if self._waiting >= MAX_WAITING:
            self._lost += 1
            if self._lost == 1:
                _log.warning("the prompt log does not keep up; some prompts are lost")
            return
        self._waiting += 1
        # Where the system starts no more threads, it waits for the next try.
        with contextlib.suppress(RuntimeError):
            self._thread.submit(self._keep, record, body, events)

    async def close(self) -> None:
        """Write what waits."""
        await asyncio.to_thread(self._thread.shutdown)

    def _keep(self, record: RequestRecord, body: bytes, events: list[AnswerEvent]) -> None:
        try:
            line = self._censored(as_line(record, body, events))
            self._write(line, record.time_epoch_s)
        except OSError as error:
            _log.warning("a prompt could not be written (%s)", error.strerror)
        except Exception:
            _log.exception("a prompt could not be written")
        finally:
            self._waiting -= 1

    def _censored(self, line: str) -> str:
        if self._key:
            line = line.replace(self._key, "***")
        return _SECRETS.sub("***", redact(line))


def as_line(record: RequestRecord, body: bytes, events: list[AnswerEvent]) -> str:
    """One JSON object: the record's main fields, ``prompt`` (the request's body) and ``answer``."""
    try:
        prompt = _without_data(orjson.loads(body))
    except (orjson.JSONDecodeError, RecursionError):
        prompt = body.decode("utf-8", "replace")
    line = {
        "time": datetime.fromtimestamp(record.time_epoch_s, UTC).isoformat(timespec="milliseconds"),
        "request_id": record.id,
        "dialect": record.dialect,
        "account": record.account,
        "outcome": record.outcome,
        "error": record.error,
        "prompt": prompt,
        "answer": joined(events),
    }
    try:
        return orjson.dumps(line).decode()
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return orjson.dumps({**line, "prompt": body.decode("utf-8", "replace")}).decode()


def _without_data(value: Any) -> Any:
    """Pictures and documents travel as base64 under ``data``, or as ``data:`` URLs; or they are named by
    URL, whose query may be what opens them."""
    if isinstance(value, dict):
        return {name: _member(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_data(item) for item in value]
    if isinstance(value, str) and value.startswith("data:") and _is_long(value):
        return _placeholder(value)
    return value


def _member(name: str, item: Any) -> Any:
    if name == "data" and _is_long(item):
        return _placeholder(item)
    if name in _URL_NAMES and isinstance(item, str):
        item = _URL_SECRETS.sub(lambda match: "?***" if match[0][0] in "?#" else "//***@", item)
    return _without_data(item)


def _is_long(value: object) -> bool:
    return isinstance(value, str) and len(value) > _MAX_DATA_CHARS


def _placeholder(value: str) -> str:
    return f"<{len(value)} characters>"


def joined(events: list[AnswerEvent]) -> list[list[str]]:
    """Events as ``[name, strings…]``, neighbours of one kind that carry one text put together."""
    parts: list[list[str]] = []
    for number, *items in events:
        texts = [item if isinstance(item, str) else str(item) for item in items]
        if parts and parts[-1][0] == _NAMES[number] and len(texts) == len(parts[-1]) - 1 == 1:
            parts[-1][1] += texts[0]
        else:
            parts.append([_NAMES[number], *texts])
    return parts


# api/events.py's numbers, in order.
_NAMES: Final = (
    "text",
    "thinking",
    "thinking_end",
    "redacted",
    "tool",
    "tool_input",
    "tool_end",
    "search",
)


def to_console(line: str, at_epoch_s: float) -> None:
    """Into the program's own log, where that goes."""
    _log.info("%s", line)


def to_files(folder: Path) -> Write:
    """One file a day (UTC) in ``folder``, readable by this user only."""

    def write(line: str, at_epoch_s: float) -> None:
        make_folders(folder)
        day = datetime.fromtimestamp(at_epoch_s, UTC).date().isoformat()
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(folder / f"{day}.jsonl", flags, 0o600)
        with open(handle, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    return write
