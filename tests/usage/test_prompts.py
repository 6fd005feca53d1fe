"""The prompt log: what stands in a line, and above all what does not."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import orjson
import pytest

from kiroproxy.api import events
from kiroproxy.secret import Secret
from kiroproxy.usage.prompts import PromptLog, joined, to_files
from tests.usage.test_ledger import NOON, RECORD

KEY = Secret("the-proxy's-own-key")


async def line_of(
    body: bytes, said: list[tuple[Any, ...]] | None = None, key: Secret = KEY
) -> dict[str, Any]:
    lines: list[str] = []
    log = PromptLog(lambda line, at: lines.append(line), key)
    log.open(RECORD.id, body).extend(said or [])
    log.finished(RECORD)
    await log.close()
    (line,) = lines
    value: dict[str, Any] = json.loads(line)
    return value


async def test_a_line_holds_prompt_answer_and_outcome() -> None:
    body = orjson.dumps({"messages": [{"role": "user", "content": "Hi"}]})
    line = await line_of(body, [(events.TEXT, "Hel"), (events.TEXT, "lo")])
    assert line["prompt"]["messages"][0]["content"] == "Hi"
    assert line["answer"] == [["text", "Hello"]]
    assert (line["request_id"], line["account"]) == (RECORD.id, RECORD.account)
    assert (line["outcome"], line["error"]) == ("answered", "")


@pytest.mark.parametrize("levels", [300, 1000])
async def test_a_body_nested_too_deeply_is_kept_as_its_text(levels: int) -> None:
    body = b'{"messages":' + b"[" * levels + b"]" * levels + b"}"
    assert (await line_of(body))["prompt"] == body.decode()


SECRETS = [
    "sk-" + "sample" * 5,
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "xoxb-123456789012-abcdef",
    "aorAAAAAGsecretRefreshToken:MGUCMQ",
    "ksk_0123456789abcdef",
    "eyJhbGciOiJIUzI1NiIs.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----",
    KEY.reveal(),
]


@pytest.mark.parametrize("secret", SECRETS)
async def test_secrets_are_taken_out_and_the_line_stays_json(secret: str) -> None:
    text = f"before {secret} after"
    body = orjson.dumps({"messages": [{"content": text}], "system": text})
    line = await line_of(body, [(events.TEXT, text)])
    assert line["prompt"]["system"] == "before *** after"
    assert line["prompt"]["messages"] == [{"content": "before *** after"}]
    assert line["answer"] == [["text", "before *** after"]]


async def test_key_that_json_spells_differently_is_taken_out_too() -> None:
    key = 'quote"back\\slash-ü'
    line = await line_of(orjson.dumps({"system": f"before {key} after"}), key=Secret(key))
    assert line["prompt"] == {"system": "before *** after"}


async def test_pictures_are_counted_and_not_kept() -> None:
    data = base64.b64encode(bytes(3000)).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    url = f"data:image/png;base64,{data}"
    body = orjson.dumps({"content": [{"source": source}, {"image_url": {"url": url}}]})
    first, second = (await line_of(body))["prompt"]["content"]
    assert first["source"] == {**source, "data": "<4000 characters>"}
    assert second["image_url"]["url"] == "<4022 characters>"


async def test_urls_of_pictures_are_kept_without_what_may_open_them() -> None:
    url, plain = "https://me:hunter2@x.org/a.png?token=hunter2#hunter2", "https://x.org/a.png"
    content = [
        {"source": {"type": "url", "url": url}},
        {"image_url": {"url": url}},
        {"image_url": url},
        {"file_url": url.upper()},
        {"file_url": plain},
        {"text": "see https://x.org/a?b=1"},
    ]
    shown = (await line_of(orjson.dumps({"content": content})))["prompt"]["content"]
    cut = "https://***@x.org/a.png?***"
    assert shown == [
        {"source": {"type": "url", "url": cut}},
        {"image_url": {"url": cut}},
        {"image_url": cut},
        {"file_url": "HTTPS://***@X.ORG/A.PNG?***"},
        {"file_url": plain},
        {"text": "see https://x.org/a?b=1"},
    ]


async def test_a_body_that_is_no_json_is_kept_as_text() -> None:
    assert (await line_of(b"{\xff oops"))["prompt"] == "{\ufffd oops"


def test_events_are_put_together_by_kind() -> None:
    said = [
        (events.THINKING, "a"),
        (events.THINKING, "b"),
        (events.THINKING_END, "sig"),
        (events.TOOL_START, "id1", "Bash"),
        (events.TOOL_INPUT, "{"),
        (events.TOOL_INPUT, "}"),
        (events.TOOL_END,),
        (events.TOOL_START, "id2", "Read"),
    ]
    assert joined(said) == [
        ["thinking", "ab"],
        ["thinking_end", "sig"],
        ["tool", "id1", "Bash"],
        ["tool_input", "{}"],
        ["tool_end"],
        ["tool", "id2", "Read"],
    ]


def test_every_event_has_a_name() -> None:
    numbers = [v for k, v in vars(events).items() if k.isupper() and isinstance(v, int)]
    assert len(joined([(number, "x") for number in numbers])) == len(numbers) == 8


def test_files_are_private_and_one_a_day(tmp_path: Path) -> None:
    write = to_files(tmp_path / "prompts")
    write("{}", NOON)
    write("{}", NOON + 1)
    write("{}", NOON + 86_400)
    files = sorted((tmp_path / "prompts").iterdir())
    assert [file.read_text() for file in files] == ["{}\n{}\n", "{}\n"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "prompts").stat().st_mode) == 0o700


async def test_a_disk_that_fails_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "prompts").write_text("in the way")
    log = PromptLog(to_files(tmp_path / "prompts"), KEY)
    log.open(RECORD.id, b"{}")
    log.finished(RECORD)
    await log.close()
    assert (tmp_path / "prompts").read_text() == "in the way"
