"""Every command of every page is run, in order, by somebody who reads it for the first time.

A ``text output`` block behind commands is what they print: its lines occur in that order, ``…`` stands
for anything. A block that cannot be run says so: ``sh no-run="reason"``.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clients.conftest import need
from tests.clients.harness import CLIENTS
from tests.docs.checked import RULES, Instead, Looked, Serve, rule_for
from tests.docs.pages import PAGES, Block, blocks, commands
from tests.docs.reader import Done, Reader

# A page is many programs, one after the other.
pytestmark = pytest.mark.timeout(300)
SHELL, PYTHON, NODE = ("sh",), ("python",), ("js",)
OTHERS = {"", "text", "toml", "json", "ini", "yaml", "fish", "powershell", "nginx", "haproxy"}
CLIENT_PACKAGES = re.compile(r"^\s*(?:from|import) (?:langchain|litellm)", re.MULTILINE)
CLIENT_PYTHON = CLIENTS.parent / "python" / "bin" / "python"


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    one = Reader(tmp_path / "home")
    await one.start()
    yield one
    await one.stop()


def is_client_program(block: Block) -> bool:
    """Needs packages that ``make clients`` installs."""
    return block.language in NODE or CLIENT_PACKAGES.search(block.text) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_page(page: Path, reader: Reader) -> None:
    await follow(page, reader, clients=False)


@pytest.mark.clients
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(map(is_client_program, blocks(page)))],
    ids=lambda page: page.stem,
)
async def test_page_with_the_clients_packages(page: Path, reader: Reader) -> None:
    need(CLIENT_PYTHON)
    need(CLIENTS)
    await follow(page, reader, clients=True)


async def follow(page: Path, reader: Reader, *, clients: bool) -> None:
    said = ""
    for block in blocks(page):
        if block.language in SHELL and "no-run" not in block.attributes:
            said = ""
            for command in commands(block):
                said += await obey(command, reader, block)
        elif block.language in (*PYTHON, *NODE):
            if is_client_program(block) and not clients:
                said = ""
                continue
            said = await program(block, reader)
        elif "output" in block.attributes and said:
            assert_said(block, reader.here(block.text), said)


async def obey(command: str, reader: Reader, block: Block) -> str:
    """What the command printed."""
    rule = rule_for(command)
    if isinstance(rule, Looked):
        rule.check(command)
        return ""
    if isinstance(rule, Serve):
        return (await reader.serve(command)).output
    codes = rule.codes if isinstance(rule, Instead) else (0,)
    done = await reader.run(
        rule.command.replace("{}", command) if isinstance(rule, Instead) else command
    )
    assert done.code in codes, f"{block}: {command}: exit code {done.code}\n{done.output}"
    assert "Traceback" not in done.output, done.output
    return done.output


async def program(block: Block, reader: Reader) -> str:
    if block.language in NODE:
        done = await reader.node(block.text, CLIENTS, "node")
    elif is_client_program(block):
        done = await reader.python(block.text, str(CLIENT_PYTHON))
    else:
        done = await reader.python(block.text)
    assert done.code == 0, f"{block}: exit code {done.code}\n{done.output}"
    return done.output


def assert_said(block: Block, expected: str, said: str) -> None:
    rest = said
    for line in filter(None, expected.splitlines()):
        pattern = ".*".join(re.escape(part.strip()) for part in line.split("…"))
        found = re.search(pattern, rest)
        assert found is not None, f"{block}: {line!r} is not in\n{said}"
        rest = rest[found.end() :]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_command_is_left_out_in_silence(page: Path) -> None:
    for block in blocks(page):
        assert block.language in {*SHELL, *PYTHON, *NODE, *OTHERS}, block
        assert block.attributes.get("no-run") != "", f"{block}: no-run wants a reason"
        assert set(block.attributes) <= {"no-run", "output"}, block
        if "output" in block.attributes:
            assert block.language == "text", block


def test_what_is_not_run_has_its_reason() -> None:
    assert all(rule.why for _, rule in RULES if not isinstance(rule, Serve))
    for page in PAGES:
        for block in blocks(page):
            assert len(block.attributes.get("no-run", "a reason")) > 5


def test_a_wrong_output_is_found() -> None:
    block = Block(PAGES[0], 1, "text", {"output": ""}, "HTTP 401\n… wrong key …\n")
    assert_said(block, block.text, "HTTP 401\nsay wrong key: no\n")
    with pytest.raises(AssertionError):
        assert_said(block, block.text, "HTTP 200\nsay wrong key: no\n")


async def test_a_command_that_fails_is_found(reader: Reader) -> None:
    assert (await reader.run("false")).code == 1
    done: Done = await reader.run("kiroproxy models --nonsense")
    assert done.code == 2
