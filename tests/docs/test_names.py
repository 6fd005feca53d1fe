"""Settings, flags, commands, metrics, routes, states and files that pages name exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kiroproxy.accounts.state import State
from kiroproxy.cli import COMMANDS, parser
from kiroproxy.cli.completion import commands_of
from kiroproxy.config import CREDENTIAL_SETTINGS, SETTINGS
from kiroproxy.config.peers import CONFIG_NO_EFFECT, NO_EFFECT, RENAMED
from kiroproxy.kiro.events import PARSERS
from kiroproxy.simulator import check_request
from kiroproxy.simulator.faults import NAMES as FAULTS
from kiroproxy.simulator.faults import parse_fault
from kiroproxy.simulator.scenarios import SCENARIOS, scenario
from kiroproxy.simulator.view import Caller
from kiroproxy.usage.journal import _RECURRING
from tests.docs.pages import PAGES, ROOT, blocks, prose

OURS = {setting.name for setting in SETTINGS} | set(CREDENTIAL_SETTINGS)
PEERS = {
    *(*NO_EFFECT, *RENAMED, *CONFIG_NO_EFFECT, "MODEL_PROVIDER"),
    *("REFRESH_TOKEN", "PROXY_API_KEY", "KIRO_CREDS_FILE"),
}
CLIENTS = {
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_AUTO_COMPACT_WINDOW",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY",
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "ENABLE_TOOL_SEARCH",
    "KIROPROXY_KEY",  # the variable that Codex's section names
    "OPENAI_API_KEY",
}
SYSTEM = {
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "NO_COLOR"),
    *("SSL_CERT_DIR", "SSL_CERT_FILE", "XDG_CONFIG_HOME", "PYTHON_IMAGE", "KIROPROXY_CONFIG"),
    "OSV_URL",
}
STOPS = {"END_TURN", "TOOL_USE", "MAX_TOKENS", "MODEL_CONTEXT_WINDOW_EXCEEDED", "CONTENT_FILTERED"}
WIRE = {*STOPS, "API_KEY", "EXTERNAL_IDP"}
OTHER_FLAGS = {"--permission-mode", "--build-arg", "--platform", "--upgrade"}
CODE = re.compile(r"`([^`\n]+)`")
ARN = "arn:aws:codewhisperer:us-east-1:111122223333:profile/ABCDEFGHIJKL"
WIRE_FORMAT = ROOT / "docs" / "wire-format.md"


def code(page: Path) -> list[str]:
    """What stands in backticks."""
    return CODE.findall(prose(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_variables_exist(page: Path) -> None:
    named = {
        name
        for text in code(page)
        for name in re.findall(r"(?<![\w$/.-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w*])", text)
    }
    allowed = OURS | PEERS | CLIENTS | SYSTEM | (WIRE if page == WIRE_FORMAT else set())
    templates = {"NAMESPACE__NAME", "KIRO_OAUTH_CREDS", "KIROPROXY_1"}
    assert named - allowed - templates == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_flags_and_commands_exist(page: Path) -> None:
    known = {
        flag for one in commands_of(parser()) for option in one.options for flag in option.names
    }
    for text in code(page):
        flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
        assert flags - known <= OTHER_FLAGS, text
        if match := re.match(r"kiroproxy ([a-z][a-zA-Z]*)\b", text):
            assert match[1] in COMMANDS, text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_metrics_exist(page: Path) -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "kiroproxy").rglob("*.py"))
    names = {
        name
        for text in [*code(page), (ROOT / "deploy" / "alerts.yml").read_text("utf-8")]
        for name in re.findall(r"\bkiro(?:proxy|2api)_[a-z_]+[a-z]\b", text)
    }
    alert_groups = {"kiroproxy_auth"}
    assert {name for name in names if name not in source} - alert_groups == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_routes_exist(page: Path) -> None:
    app = (ROOT / "kiroproxy" / "app.py").read_text("utf-8")
    routes = set(re.findall(r'Route\(\s*"([A-Z]+)", "([^"]+)"', app))
    assert ("POST", "/v1/messages") in routes
    for text in code(page):
        if match := re.fullmatch(r"(GET|POST|DELETE) (/[\w/{}.-]*)(?:\?.*)?", text):
            outside = page == WIRE_FORMAT  # the service's own
            assert match.groups() in routes or outside, text


def test_states_are_all_told() -> None:
    page = (ROOT / "docs" / "accounts.md").read_text("utf-8")
    told = re.findall(r"^\| (\w+) \|", page.split("## When one fails")[1], re.MULTILINE)
    assert set(told) - {"state"} == {state.value for state in State}


def test_log_fields_are_all_told() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rows = page.split("| field | meaning |")[1].split("\n\n")[0]
    told = {
        name
        for row in rows.splitlines()
        for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    journal = (ROOT / "kiroproxy" / "usage" / "journal.py").read_text("utf-8")
    written = journal.split("fields: dict[str, Any] = {")[
        1
    ]  # those of the record's own come before it
    names = set(re.findall(r'^\s+"(\w+)": ', written, re.MULTILINE))
    names |= set(re.findall(r'fields\["(\w+)"\]', written)) | set(_RECURRING.names)
    inner = {"input", "output", "cache_read", "cache_write", "source"}
    assert names - inner <= told
    assert {
        "response_time",
        "credits",
        "stop",
        "note",
        "error_type",
        "upstream_request_id",
    } <= names
    assert {"request_id", "instance"} <= told


def test_events_of_the_service_are_those_that_are_read() -> None:
    events = WIRE_FORMAT.read_text("utf-8").split("## Events")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+Event)`", events))
    assert named <= set(PARSERS)
    assert named >= {name for name in PARSERS if "Unavailable" in name}


def test_the_request_shown_is_one_that_the_service_takes() -> None:
    (block,) = [block for block in blocks(WIRE_FORMAT) if block.language == "json"]
    assert check_request(block.text.encode(), caller=Caller("idc", arn=ARN)) == []


def test_faults_and_scenarios_named_exist() -> None:
    for page in PAGES:
        text = page.read_text("utf-8")
        for order in re.findall(r"\[\[sim:fault ([^\]]+)\]\]", text):
            assert parse_fault(order) is not None, order
    troubles = "".join(b.text for b in blocks(ROOT / "docs" / "troubleshooting.md"))
    tried = [
        quoted or bare
        for quoted, bare in re.findall(r'^try (?:"([^"]+)"|(\S+))', troubles, re.MULTILINE)
    ]
    assert len(tried) > 4
    for words in tried:
        assert words in SCENARIOS or words.split()[0] in FAULTS
        scenario(words)


def test_symptoms_enough() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    assert len(re.findall(r"^### ", page, re.MULTILINE)) >= 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_data_is_well_formed(page: Path) -> None:
    for block in blocks(page):
        if block.language == "json" and "…" not in block.text:
            json.loads(block.text)
        if block.language == "toml":
            tomllib.loads(block.text)


def test_the_codex_section_is_what_the_command_writes(tmp_path: Path) -> None:
    (block,) = [b for b in blocks(ROOT / "README.md") if b.language == "toml"]
    given = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "kiroproxy", "codex", "--yes", "--key", "any-key"],
        cwd=tmp_path, env=given, check=True, capture_output=True,
    )  # fmt: skip
    written = tomllib.loads((tmp_path / ".codex" / "config.toml").read_text("utf-8"))
    shown = tomllib.loads(block.text)
    # By hand the key stands in a variable.
    assert shown["model_providers"]["kiro"].pop("env_key") == "KIROPROXY_KEY"
    assert written["model_providers"]["kiro"].pop("experimental_bearer_token") == "any-key"
    assert written == shown
