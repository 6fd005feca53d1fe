"""Real programs against a real server: everything in processes of its own, nothing patched.

    Claude Code, SDKs  →  kiroproxy (python -m kiroproxy server)  →  Simulator (in this process)

Each program gets an environment made from nothing, a home of its own, and only loopback addresses.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kiroproxy.simulator import Simulator

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
CLIENTS = ROOT / ".clients" / "node_modules"
CLAUDE = CLIENTS / ".bin" / "claude"
NODE = CLIENTS / ".bin" / "node"

KEY = "key-of-the-client-tests"
TIMEOUT_S = 50.0  # below the 60 s of a test, so that the output is shown

Json = dict[str, Any]


def bare_environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of the machine's but the way to its programs."""
    home.mkdir(parents=True, exist_ok=True)
    paths = os.pathsep.join([str(NODE.parent), "/usr/local/bin", "/usr/bin", "/bin"])
    return {"PATH": paths, "HOME": str(home), "LANG": "C.UTF-8", "TERM": "dumb", **more}


def order(name: str, argument: object = "") -> str:
    """One directive for the simulated model; ``tool`` takes ``(name, input)``."""
    if isinstance(argument, tuple):
        tool, given = argument
        return f"[[sim:{name} {tool} {json.dumps(given)}]]"
    if not isinstance(argument, str):
        argument = json.dumps(argument)
    return f"[[sim:{name} {argument}]]" if argument else f"[[sim:{name}]]"


def tool(name: str, **given: object) -> str:
    """Call this tool."""
    return order("tool", (name, given))


def rounds(*orders: str) -> str:
    """A prompt whose orders are carried out one round after another."""
    return order("then").join(orders)


def sign_in(kiro: Simulator, url: str, *labels: str) -> dict[str, str]:
    """The environment that leads a proxy to this service, with these of its accounts."""
    services = ("KIRO_API_URL", "KIRO_SOCIAL_AUTH_URL", "KIRO_OIDC_URL")
    urls = dict.fromkeys(services, url)
    if labels == ("api_key",):
        return {"KIRO_API_KEY": kiro.account("api_key").api_key, **urls}
    return {"KIRO_AUTH_TOKEN": json.dumps(kiro.demo_credentials(*labels)), **urls}


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """The tokens that ``sign_in`` put there."""
    entries = json.loads(environment.get("KIRO_AUTH_TOKEN", "[]"))
    named = [entry.get(name, "") for entry in entries for name in ("refreshToken", "clientSecret")]
    return [secret for secret in (*named, environment.get("KIRO_API_KEY", "")) if secret]


async def noticed_abort(kiro: Simulator) -> None:
    """Returns once the service saw its client leave; the test's own timeout is the limit."""
    while not any(entry.aborted for entry in kiro.received("chat")):
        await asyncio.sleep(0.01)
    assert kiro.open_streams == 0


# --- the proxy ------------------------------------------------------------------------------------


@dataclass
class Proxy:
    """The server as a user runs it. ``url`` without ``/v1``; ``secrets`` must never be in its log."""

    home: Path
    process: asyncio.subprocess.Process
    secrets: list[str]
    url: str = ""
    stopping: bool = False

    @classmethod
    async def start(cls, home: Path, environment: Mapping[str, str]) -> Proxy:
        """Start on a free port; returns once it says where it listens."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kiroproxy", "server",
            cwd=home,
            env=bare_environment(
                home,
                PORT="0",
                KIRO_CLIENT_TOKEN=KEY,
                KIROPROXY_STATE_DIR=str(home / "state"),
                LOG_FILE=str(home / "proxy.log"),
                LOG_FORMAT="json",
                LOG_LEVEL="debug",
                LOG_CONSOLE="false",
                **environment,
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        proxy = cls(home, process, [KEY, *secrets_in(environment)])
        assert process.stdout is not None
        said = (await asyncio.wait_for(process.stdout.readline(), TIMEOUT_S)).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        if found is None:
            said += (await process.stdout.read()).decode()
            raise AssertionError(f"the proxy did not start:\n{said}")
        proxy.url = found.group()
        return proxy

    def terminate(self) -> None:
        """SIGTERM, once."""
        if not self.stopping and self.process.returncode is None:
            self.process.terminate()
        self.stopping = True

    async def stop(self) -> None:
        """A server that does not end by itself when told to, or not cleanly, is a defect."""
        self.terminate()
        try:
            out, _ = await asyncio.wait_for(self.process.communicate(), TIMEOUT_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError("the proxy did not stop on SIGTERM") from None
        assert self.process.returncode == 0, out.decode()
        assert "Traceback" not in out.decode()
        assert [record["exception"] for record in self.records if "exception" in record] == []
        log = self.log.read_text(encoding="utf-8")
        assert [secret for secret in self.secrets if secret in log] == []

    @property
    def log(self) -> Path:
        """Its log file."""
        return self.home / "proxy.log"

    @property
    def records(self) -> list[Json]:
        """Its log."""
        return read_json_lines(self.log.read_text(encoding="utf-8").splitlines())

    def accesses(self) -> list[Json]:
        """One record for each request for an answer, in order; message: answered or failed."""
        return [record for record in self.records if record["logger"] == "kiroproxy.access"]

    def answers(self) -> list[Json]:
        """Those that got a proper end."""
        return [record for record in self.accesses() if record["message"] == "answered"]


def read_json_lines(lines: Iterable[str]) -> list[Json]:
    return [json.loads(line) for line in lines if line.strip()]


# --- Claude Code ----------------------------------------------------------------------------------


@dataclass
class ClaudeRun:
    """What one headless run printed."""

    events: list[Json]
    stderr: str
    code: int

    @property
    def result(self) -> Json:
        """The last line: how it ended."""
        assert self.events, self.stderr
        assert self.events[-1]["type"] == "result", self.stderr
        return self.events[-1]

    @property
    def text(self) -> str:
        """The final answer; the run must have succeeded."""
        assert self.code == 0, (self.stderr, self.events[-1:])
        assert not self.result["is_error"], self.result
        text: str = self.result["result"]
        return text

    def raw(self, kind: str | None = None) -> list[Json]:
        """The stream's events as they came from the proxy."""
        found = [line["event"] for line in self.events if line["type"] == "stream_event"]
        return [event for event in found if kind is None or event["type"] == kind]

    def blocks(self, role: str, kind: str) -> list[Json]:
        """Content blocks of whole messages: role assistant or user, block type ``kind``."""
        contents = [line["message"]["content"] for line in self.events if line["type"] == role]
        blocks = [block for content in contents if isinstance(content, list) for block in content]
        return [block for block in blocks if block["type"] == kind]

    def calls(self) -> list[tuple[str, Json]]:
        """The tool calls in order."""
        return [(block["name"], block["input"]) for block in self.blocks("assistant", "tool_use")]

    def results(self) -> list[Json]:
        """What the tools gave."""
        return self.blocks("user", "tool_result")

    def statuses(self, subtype: str) -> list[Json]:
        """Claude Code's own notes, such as ``compact_boundary`` or ``api_retry``."""
        lines = [line for line in self.events if line["type"] == "system"]
        return [line for line in lines if line["subtype"] == subtype]

    def streamed(self) -> bool:
        """Every assistant message came as a stream of its own: nothing was fetched with stream: false.
        (Of subagents no raw events are shown; the proxy's log covers them.)"""
        begun = {event["message"]["id"] for event in self.raw("message_start")}
        messages = [line for line in self.events if line["type"] == "assistant"]
        shown = {line["message"]["id"] for line in messages if not line["parent_tool_use_id"]}
        return bool(shown) and shown <= begun


@dataclass
class Claude:
    """Claude Code, headless, in a work folder of its own."""

    home: Path
    base_url: str
    model: str = "claude-sonnet-4-5"
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The work folder."""
        folder = self.home / "work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def start(
        self, prompt: str | None, *flags: str, key: str = KEY
    ) -> asyncio.subprocess.Process:
        """Start a run; the caller reads its output. Without a prompt, messages are read from stdin."""
        environment = bare_environment(
            self.home / "home",
            CLAUDE_CONFIG_DIR=str(self.home / "config"),
            ANTHROPIC_BASE_URL=self.base_url,
            ANTHROPIC_AUTH_TOKEN=key,
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
            DISABLE_AUTOUPDATER="1",
            CLAUDE_CODE_AUTO_COMPACT_WINDOW="180000",
            **self.environment,
        )
        asked = ("--input-format", "stream-json") if prompt is None else ("--", prompt)
        stdin = asyncio.subprocess.PIPE if prompt is None else asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(
            str(CLAUDE), "-p", "--output-format", "stream-json", "--include-partial-messages",
            "--verbose", "--model", self.model, "--strict-mcp-config", *flags, *asked,
            cwd=self.folder,
            env=environment,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=16 * 1024 * 1024,  # one line holds a whole message, pictures included
        )  # fmt: skip

    async def run(
        self, prompt: str, *flags: str, allow: Iterable[str] = (), key: str = KEY
    ) -> ClaudeRun:
        """One run to its end."""
        allowed = ("--allowedTools", ",".join(allow)) if allow else ()
        return await finish(await self.start(prompt, *flags, *allowed, key=key))

    async def converse(self, *messages: object) -> ClaudeRun:
        """Several user messages (their content) in one process, each after the answer to the last."""
        process = await self.start(None)
        assert process.stdin is not None
        assert process.stdout is not None
        events: list[Json] = []
        for content in messages:
            line = {"type": "user", "message": {"role": "user", "content": content}}
            process.stdin.write(json.dumps(line).encode() + b"\n")
            events.append(json.loads(await process.stdout.readline()))
            while events[-1]["type"] != "result":
                events.append(json.loads(await process.stdout.readline()))
        process.stdin.close()
        ending = await finish(process)
        return ClaudeRun(events + ending.events, ending.stderr, ending.code)


async def outputs(
    process: asyncio.subprocess.Process, who: str, given: bytes | None = None
) -> tuple[str, str]:
    """What it wrote to its end; one that hangs is killed and fails the test with its words."""
    try:
        out, err = await asyncio.wait_for(process.communicate(given), TIMEOUT_S)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(f"{who} hung:\n{out.decode()[-3000:]}\n{err.decode()}") from None
    return out.decode(), err.decode()


async def finish(process: asyncio.subprocess.Process, given: bytes | None = None) -> ClaudeRun:
    """Wait for the end of a started run."""
    out, err = await outputs(process, "Claude Code", given)
    assert process.returncode is not None
    lines = [line for line in out.splitlines() if line.startswith("{")]
    return ClaudeRun(read_json_lines(lines), err, process.returncode)


async def interrupt(process: asyncio.subprocess.Process) -> None:
    """What Ctrl-C does; waits for the end."""
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), TIMEOUT_S)


# --- Node -----------------------------------------------------------------------------------------


async def run_node(script: Path, scenario: str, home: Path, **environment: str) -> Json:
    """Run one scenario of a script that prints one JSON object."""
    process = await asyncio.create_subprocess_exec(
        str(NODE) if NODE.exists() else "node", str(script), scenario,
        cwd=home,
        env=bare_environment(home, CLIENTS=str(CLIENTS.parent), **environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await outputs(process, scenario)
    assert process.returncode == 0, out + err
    answer: Json = json.loads(out)
    return answer
