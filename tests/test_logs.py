"""Logging: both formats, fields, the redaction of last resort."""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy import logs
from kiroproxy.config import Log
from kiroproxy.redaction import _SECRETS, redact

SECRETS = [
    "aorAAAAAGkMARKED-refresh:token/x+y=",
    "aoaAAAAAGkMARKED",
    "ksk_MARKEDabcdefghijklmnopqrstuvwxyz",
    "Bearer MARKED.token-value",
    "authorization: bearer MARKEDtokenvalue",
    '{"refreshToken":"MARKED any thing"}',
    "eyJhbGciOiJIUzI1MARKED.eyJzdWIiOiIxMARKED.c2lnMARKED",
]


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    logger = logging.getLogger("kiroproxy")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


def _logged(format: str, write: object) -> str:
    stream = io.StringIO()
    with redirect_stderr(stream):
        logs.setup(Log(level="debug", format=format))
        write(logging.getLogger("kiroproxy.test"))  # type: ignore[operator]
    return stream.getvalue()


@pytest.mark.parametrize("secret", SECRETS)
def test_redact_hides_what_looks_like_ours(secret: str) -> None:
    assert "MARKED" not in redact(f"before {secret} after")


@pytest.mark.parametrize("text", ["a bearer of news", "aorta", "ksk_", "basic facts", "eyJ"])
def test_redact_leaves_words_alone(text: str) -> None:
    assert redact(text) == text


PIECES = st.sampled_from(
    [
        *SECRETS,
        "basic ",
        "BEARER ",
        "ba\u017fic abcdefgh",
        "bas\u0131c abcdefgh",
        "aoa",
        "x",
        " ",
        '"',
    ]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=4).map("".join))
def test_looking_for_hints_first_overlooks_nothing(text: str) -> None:
    assert redact(text) == _SECRETS.sub("***", text)


def test_time_is_utc_to_the_millisecond(restored: None) -> None:
    assert logs._time(1_700_000_000.0129) == "2023-11-14T22:13:20.012+00:00"


@pytest.mark.parametrize("format", ["text", "json"])
def test_message_arguments_fields_and_traceback_are_redacted(format: str, restored: None) -> None:
    def write(logger: logging.Logger) -> None:
        try:
            raise ValueError(SECRETS[0])
        except ValueError:
            logger.exception("arg %s", SECRETS[1], extra={"fields": {"detail": SECRETS[2]}})

    out = _logged(format, write)
    assert "ValueError" in out
    assert "MARKED" not in out


def test_json_lines_hold_fields_and_request_id(restored: None) -> None:
    def write(logger: logging.Logger) -> None:
        token = logs.request_id.set("req_1")
        logger.info("answered", extra={"fields": {"status": 200}})
        logs.request_id.reset(token)

    line = orjson.loads(_logged("json", write))
    assert (line["message"], line["status"], line["request_id"]) == ("answered", 200, "req_1")
    assert line["level"] == "info"


def test_text_line_shows_fields(restored: None) -> None:
    out = _logged("text", lambda logger: logger.info("x", extra={"fields": {"a": 1, "b": ""}}))
    assert out.endswith("info    x a=1\n")


@pytest.mark.parametrize(
    "text", ["a\n2026-01-01 warning forged", "a\r\nb", "\x1b[2J", "\x85", "\u2028"]
)
def test_text_of_others_cannot_make_lines_or_move_the_cursor(text: str, restored: None) -> None:
    def write(logger: logging.Logger) -> None:
        logger.info("failed: %s", text, extra={"fields": {"model": text}})

    out = _logged("text", write)
    assert len(out.splitlines()) == 1
    assert out.rstrip("\n").isprintable()


def test_an_exceptions_words_cannot_make_lines_or_move_the_cursor(restored: None) -> None:
    def write(logger: logging.Logger) -> None:
        try:
            raise ValueError(
                "a\r\n2026-01-01T00:00:00.000+00:00 info    forged\x1b[2J\x85\u202e\ud83d"
            )
        except ValueError:
            logger.exception("broke")

    first, *rest = _logged("text", write).rstrip("\n").split("\n")
    assert first.endswith("broke")
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
    assert rest[-1] == r"  2026-01-01T00:00:00.000+00:00 info    forged\x1b[2J\x85\u202e?"


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_exceptions_words_are_cut(format: str, restored: None) -> None:
    def write(logger: logging.Logger) -> None:
        try:
            raise ValueError("x" * 1_000_000)
        except ValueError:
            logger.exception("broke")

    assert len(_logged(format, write)) < 50_000


@pytest.mark.parametrize("format", ["text", "json"])
def test_long_value_is_cut(format: str, restored: None) -> None:
    def write(logger: logging.Logger) -> None:
        logger.info("x" * 50_000, extra={"fields": {"model": "y" * 50_000}})

    out = _logged(format, write)
    assert len(out) < 10_000
    assert "50000 characters" in out


@pytest.mark.parametrize("format", ["text", "json"])
def test_half_a_surrogate_pair_can_be_logged(format: str, restored: None) -> None:
    def write(logger: logging.Logger) -> None:
        logger.info("read \udcff", extra={"fields": {"path": "\ud83d"}})

    out = _logged(format, write)
    assert "Logging error" not in out
    assert out.encode("utf-8").startswith((b"{", b"2"))


def test_file_and_console_say_the_same(tmp_path: Path, restored: None) -> None:
    stream, file = io.StringIO(), tmp_path / "log"
    with redirect_stderr(stream):
        logs.setup(Log(file=file))
        logging.getLogger("kiroproxy.test").info("x" * 50_000)
    assert file.read_text() == stream.getvalue()


def test_file_that_cannot_be_written_is_told_in_one_line(restored: None) -> None:
    stream = io.StringIO()
    with redirect_stderr(stream):
        logs.setup(Log(console=False, file=Path("/dev/full")))
        for _ in range(3):
            logging.getLogger("kiroproxy.test").info("x" * 10_000)
        logs.setup(Log(console=False))  # closes it, with all that could not be written
    assert stream.getvalue() == "kiroproxy: LOG_FILE: cannot be written (No space left on device)\n"


def test_pipe_that_nobody_reads_is_refused(tmp_path: Path, restored: None) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="it is a pipe that nobody reads"):
        logs.setup(Log(console=False, file=pipe))


def test_pipe_takes_the_log(tmp_path: Path, restored: None) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    logs.setup(Log(console=False, file=pipe))
    logging.getLogger("kiroproxy.test").info("hello")
    assert os.read(reading, 1000).endswith(b"hello\n")
    os.close(reading)


@pytest.mark.parametrize("format", ["text", "json"])
def test_instance_stands_in_every_line(format: str, restored: None) -> None:
    stream = io.StringIO()
    with redirect_stderr(stream):
        logs.setup(Log(format=format, instance="node-1"))
        logging.getLogger("kiroproxy.test").info("hello")
    said = {"text": " instance=node-1", "json": '"instance":"node-1"'}
    assert said[format] in stream.getvalue()


def test_sparing_bounds_the_lines_of_a_period_and_says_what_was_left_out() -> None:
    now_s = 0.0
    sparing = logs.Sparing(2, 10.0, lambda: now_s)
    assert [sparing.left_out() for _ in range(5)] == [0, 0, None, None, None]
    now_s = 10.0
    assert [sparing.left_out() for _ in range(3)] == [3, 0, None]
    now_s = 30.0
    assert sparing.left_out() == 1


RECURRING = logs.Recurring("status", "model", "key", "empty")


def _say(words: str, model: str) -> None:
    values = (200, model, "ksk_" + "k" * 32, "")
    logger = logging.getLogger("kiroproxy.access")
    logs.say(logger, words, RECURRING, values, {"ms": 1.5, "usage": {"input": 1}, "note": ""})


def _log(words: str, model: str) -> None:
    fields = {"status": 200, "model": model, "key": "ksk_" + "k" * 32, "empty": ""}
    fields |= {"ms": 1.5, "usage": {"input": 1}, "note": ""}
    logging.getLogger("kiroproxy.access").info(words, extra={"fields": fields})


@pytest.mark.parametrize("instance", ["", "node-1"])
@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize(
    "model", ["sonnet", "a\nb\x1b[2J", "Bearer MARKED.token-value", "y" * 50_000]
)
def test_saying_is_logging(
    format: str, model: str, instance: str, tmp_path: Path, restored: None
) -> None:
    stream, file = io.StringIO(), tmp_path / "log"
    with redirect_stderr(stream):
        logs.setup(Log(format=format, instance=instance, file=file))
        token = logs.request_id.set("req_1")
        for write in (_say, _log, _say):
            write("answered", model)
        logs.request_id.reset(token)
    assert file.read_text() == stream.getvalue()
    at = len("2026-11-21T16:51:25.942+00:00") + (9 if format == "json" else 0)
    said, logged, again = (line[at:] for line in stream.getvalue().splitlines())
    assert said == logged == again
    assert "req_1" in said
    assert "***" in said
    assert "MARKED" not in said
    assert "ksk_" not in said


def test_what_is_not_asked_for_is_not_said(restored: None) -> None:
    stream = io.StringIO()
    with redirect_stderr(stream):
        logs.setup(Log(level="warning"))
        _say("answered", "sonnet")
    assert stream.getvalue() == ""


def test_pipe_takes_what_is_said(tmp_path: Path, restored: None) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    logs.setup(Log(console=False, file=pipe))
    _say("answered", "sonnet")
    assert b" answered status=200 model=sonnet" in os.read(reading, 1000)
    os.close(reading)


def test_said_to_a_full_disk_is_told_in_one_line(restored: None) -> None:
    stream = io.StringIO()
    with redirect_stderr(stream):
        logs.setup(Log(console=False, file=Path("/dev/full")))
        for _ in range(3):
            _say("answered", "sonnet")
        logs.setup(Log(console=False))
    assert stream.getvalue() == "kiroproxy: LOG_FILE: cannot be written (No space left on device)\n"


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.mark.parametrize("name", ["kiroproxy", "kiroproxy.access"])
def test_who_listens_as_well_gets_what_is_said(name: str, restored: None) -> None:
    stream, listener = io.StringIO(), _Listener()
    with redirect_stderr(stream):
        logs.setup(Log())
        logging.getLogger(name).addHandler(listener)
        _say("answered", "sonnet")
        logging.getLogger(name).removeHandler(listener)
    (record,) = listener.records
    assert (record.getMessage(), record.levelname) == ("answered", "INFO")
    assert record.__dict__["fields"]["model"] == "sonnet"
    assert stream.getvalue().count("answered") == 1
