"""Codex, the pinned release from npm, headless, with a home of its own."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path

from tests.clients.harness import CLIENTS, KEY, Json, bare_environment, outputs, read_json_lines

CODEX = CLIENTS / ".bin" / "codex"

UNKNOWN = "claude-sonnet-4-5"  # to Codex: functions and namespaces
PATCHING = "gpt-5.5"  # gets the custom apply_patch tool
CODE_MODE = "gpt-5.6-sol"  # gets its tools as an input item, in namespaces


@dataclass
class CodexRun:
    """What one run printed."""

    events: list[Json]
    stderr: str
    code: int

    @property
    def items(self) -> list[Json]:
        """Everything that was completed, in order."""
        return [event["item"] for event in self.events if event["type"] == "item.completed"]

    def of(self, kind: str) -> list[Json]:
        return [item for item in self.items if item["type"] == kind]

    @property
    def text(self) -> str:
        """The last message; the run must have succeeded."""
        assert self.code == 0, (self.stderr, self.events[-3:])
        text: str = self.of("agent_message")[-1]["text"]
        return text

    @property
    def errors(self) -> str:
        """All that it complained about."""
        kinds = ("error", "turn.failed")
        return json.dumps([event for event in self.events if event["type"] in kinds])

    @property
    def usage(self) -> Json:
        (ended,) = [event for event in self.events if event["type"] == "turn.completed"]
        usage: Json = ended["usage"]
        return usage


@dataclass
class Codex:
    """Codex in a work folder of its own. ``compact_at``: tokens above which it compacts; ``settings`` and
    ``provider``: more lines of its configuration. ``builtin``: not as a provider of its own,
    but in the place of the built-in one. ``web_search``: disabled, cached or live."""

    home: Path
    base_url: str
    model: str = UNKNOWN
    compact_at: int = 160_000
    settings: list[str] = field(default_factory=list)
    provider: list[str] = field(default_factory=list)
    builtin: bool = False
    web_search: str = "disabled"

    @property
    def folder(self) -> Path:
        """The work folder."""
        folder = self.home / "work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _configure(self) -> Path:
        """What docs tell the user to write, and nothing that phones anywhere else."""
        folder = self.home / "codex"
        folder.mkdir(parents=True, exist_ok=True)
        address = f'base_url = "{self.base_url}/v1"'
        lines = [
            f"openai_{address}" if self.builtin else 'model_provider = "kiro"',
            "model_context_window = 200000",
            f"model_auto_compact_token_limit = {self.compact_at}",
            "check_for_update_on_startup = false",
            f'web_search = "{self.web_search}"',
            *self.settings,
            "[analytics]",
            "enabled = false",
            "[model_providers.kiro]",
            'name = "Kiro"',
            address,
            'env_key = "KIROPROXY_KEY"',
            'wire_api = "responses"',
            *self.provider,
        ]
        (folder / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    async def start(self, prompt: str, *flags: str, key: str = KEY) -> asyncio.subprocess.Process:
        """Start a run; the caller reads its output."""
        environment = bare_environment(
            self.home / "home",
            CODEX_HOME=str(self._configure()),
            KIROPROXY_KEY=key,
            CODEX_API_KEY=key,
        )
        return await asyncio.create_subprocess_exec(
            str(CODEX), "exec", "--json", "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",  # a container has no sandbox to offer
            "--model", self.model, *flags, prompt,
            cwd=self.folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=16 * 1024 * 1024,
        )  # fmt: skip

    async def run(self, prompt: str, *flags: str, key: str = KEY) -> CodexRun:
        """One run to its end."""
        process = await self.start(prompt, *flags, key=key)
        out, err = await outputs(process, "Codex")
        assert process.returncode is not None
        lines = [line for line in out.splitlines() if line.startswith("{")]
        return CodexRun(read_json_lines(lines), err, process.returncode)
