"""Logging: both formats, fields, the redaction of last resort."""

import io
import logging
from collections.abc import Iterator
from contextlib import redirect_stderr

import orjson
import pytest

from kiroproxy import logs
from kiroproxy.config import Log

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
    assert "MARKED" not in logs.redact(f"before {secret} after")


@pytest.mark.parametrize("text", ["a bearer of news", "aorta", "ksk_", "basic facts", "eyJ"])
def test_redact_leaves_words_alone(text: str) -> None:
    assert logs.redact(text) == text


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
