"""When the key is said at start, and where it stands otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from kiroproxy.app import Running
from kiroproxy.cli.welcome import hidden_key, welcome
from kiroproxy.config import load
from kiroproxy.secret import Secret

CASES = {
    # flags, environment, .env, is_demo, is_terminal → the words instead of the key; '' shows it
    "made here, terminal": ({}, {}, {}, False, True, ""),
    "made here, a log": ({}, {}, {}, False, False, "the one in {home}/state/client-key"),
    "made here, demo": ({}, {}, {}, True, False, ""),
    "command line": ({"KIRO_CLIENT_TOKEN": "k"}, {}, {}, False, False, ""),
    "environment, terminal": ({}, {"KIRO_CLIENT_TOKEN": "k"}, {}, False, True, ""),
    "environment, a log": (
        {}, {"KIRO_CLIENT_TOKEN": "k"}, {}, False, False, "the one in KIRO_CLIENT_TOKEN (environment)",
    ),
    "environment, demo": ({}, {"KIRO_CLIENT_TOKEN": "k"}, {}, True, False, ""),
    ".env, a log": (
        {}, {}, {"KIRO_CLIENT_TOKEN": "k"}, False, False, "the one in KIRO_CLIENT_TOKEN (.env)",
    ),
    "secret file, terminal": (
        {}, {"KIRO_CLIENT_TOKEN_FILE": "{home}/key"}, {}, False, True,
        "the one in KIRO_CLIENT_TOKEN_FILE (environment)",
    ),
    "secret file, demo": (
        {}, {"KIRO_CLIENT_TOKEN_FILE": "{home}/key"}, {}, True, False,
        "the one in KIRO_CLIENT_TOKEN_FILE (environment)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_key_is_shown_to_persons_only(name: str, tmp_path: Path) -> None:
    flags, environment, dotenv, is_demo, is_terminal, expected = CASES[name]
    (tmp_path / "key").write_text("key-from-a-file")
    environment = {k: v.format(home=tmp_path) for k, v in environment.items()}
    environment["KIROPROXY_STATE_DIR"] = str(tmp_path / "state")
    config = load(flags, environment, dotenv, tmp_path)

    assert hidden_key(config, is_demo, is_terminal) == expected.format(home=tmp_path)


@pytest.mark.parametrize(
    ("serves", "lead_to"),
    [
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://[::]:8080", "'http://[::1]:8080'"),
        ("http://192.0.2.7:9000", "http://192.0.2.7:9000"),
    ],
)
def test_the_lines_to_paste_name_an_address_that_can_be_called(serves: str, lead_to: str) -> None:
    running = Running(urls=[serves], key=Secret("k"), accounts=[], problems=[], notes=[])
    said = welcome(running, demo=False)
    assert f"serves on {serves}\n" in said
    assert f"export ANTHROPIC_BASE_URL={lead_to}\n" in said
