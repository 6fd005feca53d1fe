"""Checks of Claude Code's and Codex's settings on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kiroproxy.cli.claude import Files
from kiroproxy.cli.codex import PROVIDER, config_file, overriding_profile
from kiroproxy.cli.doctor.examination import Examination
from kiroproxy.cli.doctor.report import Line, fail, ok, skip, warn
from kiroproxy.cli.setup.document import Document
from kiroproxy.cli.setup.kept import MOST_BYTES
from kiroproxy.cli.setup.values import value_at
from kiroproxy.errors import ConfigError
from kiroproxy.regular import read_regular
from kiroproxy.values import is_loopback

_SET_UP: Final = "kiroproxy claude writes them"
_PROJECT_FILES: Final = (".claude/settings.json", ".claude/settings.local.json")
_IN_THE_WAY: Final = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX")


async def claude_code(exam: Examination) -> list[Line]:
    files = Files.of(exam.environment, exam.home)
    try:
        settings = _read(files.settings)
        state = _read(files.state)
    except ConfigError as error:
        return [fail(error.message, "mend it: Claude Code does not load such a file")]
    inside = value_at(settings, ("env",))
    env = {**exam.environment, **(inside if isinstance(inside, dict) else {})}
    url = str(env.get("ANTHROPIC_BASE_URL") or "")
    if not url:
        return [skip(f"does not use a proxy ({files.settings}); kiroproxy claude sets it up")]
    lines = [_address(exam, "Claude Code", url, _SET_UP), *_token(exam, env)]
    if value_at(state, ("hasCompletedOnboarding",)) is not True:
        lines.append(warn("asks its first-run questions before it starts", _SET_UP))
    lines += [*_conflicts(env, settings), *_projects(url), *_proxied(exam, url)]
    return lines


async def tool_search(exam: Examination) -> list[Line]:
    """On by itself: Claude Code then lists a dozen tools and finds the others when needed."""
    try:
        settings = _read(Files.of(exam.environment, exam.home).settings)
    except ConfigError:
        return [skip("the settings cannot be read: see above")]
    inside = value_at(settings, ("env", "ENABLE_TOOL_SEARCH"))
    value = str(
        inside if isinstance(inside, str) else exam.environment.get("ENABLE_TOOL_SEARCH", "")
    )
    if value.lower() in ("false", "0", "no", "off"):
        remedy = "unset ENABLE_TOOL_SEARCH, unless you want every tool in every request"
        return [warn("is switched off: each request lists all tools and costs more", remedy)]
    return [ok(f"ENABLE_TOOL_SEARCH={value}" if value else "on, as by default")]


async def codex(exam: Examination) -> list[Line]:
    path = config_file(exam.environment, exam.home)
    try:
        config = _read(path)
    except ConfigError as error:
        return [fail(error.message, "mend it: Codex does not start with it")]
    profile = overriding_profile(config)
    if profile is not None and config.get("model_provider") == PROVIDER:
        text = f"its profile {profile[0]} uses the provider {profile[1]}, not the proxy"
        return [warn(text, f"take out profile in {path}, or that profile's model_provider")]
    name = config.get("model_provider")
    provider = value_at(config, ("model_providers", str(name)))
    if not isinstance(name, str) or not isinstance(provider, dict) or "base_url" not in provider:
        return [skip(f"does not use a proxy ({path}); kiroproxy codex sets it up")]
    url, remedy = str(provider["base_url"]), "kiroproxy codex writes them"
    if name != PROVIDER and not _is_ours(exam, url):
        return [skip(f"uses its provider {name} ({path}); kiroproxy codex changes that")]
    lines = [_address(exam, "Codex", url, remedy), *_proxied(exam, url)]
    if provider.get("wire_api", "responses") != "responses":
        lines.append(fail("wire_api must be responses", remedy))
    variable = provider.get("env_key")
    held = exam.environment.get(str(variable)) if variable else None
    token = held if variable else provider.get("experimental_bearer_token")
    if variable and not held:
        lines.append(fail(f"env_key names {variable}, which is not set in this shell", remedy))
    elif exam.target is not None and _is_ours(exam, url) and token != exam.target.key.reveal():
        lines.append(fail("sends a key that the server does not take", remedy))
    return lines


def _read(path: Path) -> dict[str, Any]:
    """Empty when there is none. Raises ConfigError."""
    try:
        return Document(path.suffix, read_regular(path, MOST_BYTES)).parse()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _plain(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1").rstrip("/").replace("//localhost", "//127.0.0.1")


def _is_ours(exam: Examination, url: str) -> bool:
    return exam.target is not None and _plain(url) == _plain(exam.target.url)


def _address(exam: Examination, who: str, url: str, remedy: str) -> Line:
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if exam.target is None or _is_ours(exam, url):
        return ok(f"{who} uses {shown}")
    return warn(f"{who} uses {shown}, and not {exam.target.url}", remedy)


def _token(exam: Examination, env: Mapping[str, Any]) -> list[Line]:
    token, api_key = env.get("ANTHROPIC_AUTH_TOKEN"), env.get("ANTHROPIC_API_KEY")
    if not token and not api_key:
        return [fail("sends no key: ANTHROPIC_AUTH_TOKEN is not set", _SET_UP)]
    lines = []
    if token and api_key and token != api_key:
        remedy = "unset ANTHROPIC_API_KEY where it is set"
        lines.append(fail("ANTHROPIC_API_KEY is set too, and would count before the token", remedy))
    known = exam.target is not None and _is_ours(exam, str(env.get("ANTHROPIC_BASE_URL")))
    if known and exam.target is not None and (token or api_key) != exam.target.key.reveal():
        lines.append(fail("sends a key that the server does not take", _SET_UP))
    return lines


def _conflicts(env: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Line]:
    lines = [
        warn(f"{name} is set, so another service is asked", f"unset {name}")
        for name in _IN_THE_WAY
        if env.get(name)
    ]
    if settings.get("apiKeyHelper"):
        lines.append(warn("apiKeyHelper is set and may give another key", "take it out"))
    if not env.get("CLAUDE_CODE_AUTO_COMPACT_WINDOW"):
        text = "CLAUDE_CODE_AUTO_COMPACT_WINDOW is not set: compaction comes late"
        lines.append(warn(text, _SET_UP))
    return lines


def _projects(url: str) -> list[Line]:
    """Settings of this folder win over the user's."""
    lines = []
    for name in _PROJECT_FILES:
        try:
            other = value_at(_read(Path(name)), ("env", "ANTHROPIC_BASE_URL"))
        except ConfigError as error:
            lines.append(warn(error.message, "mend it"))
            continue
        if isinstance(other, str) and _plain(other) != _plain(url):
            lines.append(warn(f"{name} of this folder names another address", "take it out there"))
    return lines


def _proxied(exam: Examination, url: str) -> list[Line]:
    """Clients do not all leave loopback out by themselves."""
    env = {name.upper(): value for name, value in exam.environment.items() if value}
    host = urlsplit(url).hostname or ""
    proxies = [name for name in ("HTTP_PROXY", "ALL_PROXY") if env.get(name)]
    exceptions = env.get("NO_PROXY", "").lower().replace(",", " ").split()
    covered = host in exceptions or "*" in exceptions
    if not proxies or not is_loopback(host) or not url.startswith("http://") or covered:
        return []
    text = f"{', '.join(proxies)} is set, and NO_PROXY does not name {host}"
    return [warn(text, f"export NO_PROXY={host},localhost")]
