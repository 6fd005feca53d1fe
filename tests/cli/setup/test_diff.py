"""What a diff shows, and what it never does."""

from __future__ import annotations

import json

import pytest

from kiroproxy.cli.setup.diff import MAX_LINE_CHARS, unified

SECRET = "sk-ant-oat01-SECRET"


@pytest.mark.parametrize(
    "line",
    [
        f'  "accessToken": "{SECRET}",',
        f'  "ANTHROPIC_API_KEY" : "{SECRET} with \\" a blank"',
        f'{{"apiKeyHelper": "{SECRET}", "x": 1}}',
        f'experimental_bearer_token = "{SECRET}"',
        f"http_headers = {{ Authorization = 'Bearer {SECRET}' }}",
        f'    "{SECRET * 2}",',
        f"unheard_of = '{SECRET * 2}'",
        "the key itself: mine",
    ],
)
def test_no_secret_is_shown(line: str) -> None:
    shown = "\n".join(unified("file", f"a\n{line}\nb\n", f"a\n{line}\nb\nc\n", ["mine"]))
    assert "SECRET" not in shown
    assert "mine" not in shown
    assert "***" in shown


def test_the_rest_is_shown_as_it_is() -> None:
    before = '{\n  "model": "opus"\n}\n'
    after = '{\n  "model": "opus",\n  "url": "http://127.0.0.1:8080/a/long/way/to/go"\n}\n'
    assert unified("file", before, after, []) == [
        "--- file (now)",
        "+++ file (then)",
        "@@ -1,3 +1,4 @@",
        " {",
        '-  "model": "opus"',
        '+  "model": "opus",',
        '+  "url": "http://127.0.0.1:8080/a/long/way/to/go"',
        " }",
    ]


def test_of_a_file_without_line_ends_the_change_is_shown() -> None:
    document = {"pad": "a b " * 500, "tail": "c d " * 500}
    before = json.dumps(document)
    after = json.dumps({**document, "hasCompletedOnboarding": True})
    *_, old, new = unified("file", before, after, [])
    assert "hasCompletedOnboarding" in new
    assert max(len(old), len(new)) < MAX_LINE_CHARS + 10
