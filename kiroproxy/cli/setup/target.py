"""Where the other program shall find the proxy, and with which key."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from kiroproxy import clientkey
from kiroproxy.cli.environment import base_url
from kiroproxy.config import Config
from kiroproxy.errors import ConfigError
from kiroproxy.secret import Secret
from kiroproxy.values import is_loopback, parse_host, parse_key

_PROBE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """``url`` without a slash at its end and without ``/v1``."""

    url: str
    key: Secret


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="the proxy's address (default: HOST and PORT, as serving)")
    parser.add_argument("--key", help="the proxy's key (default: the one that the server uses)")
    parser.add_argument("--undo", action="store_true", help="put everything back as it was")
    parser.add_argument("--dry-run", action="store_true", help="show the change and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def find_target(arguments: argparse.Namespace, config: Config, *, make_key: bool) -> Target:
    """``make_key`` False: where there is no key yet, a stand-in. Raises ConfigError."""
    url = check_url(arguments.url) if arguments.url else own_url(config)
    return Target(url, _key(arguments.key, config, make_key=make_key))


def own_url(config: Config) -> str:
    """Where a server with these settings can be reached from this machine. Raises ConfigError."""
    try:
        host = parse_host(config.environment.get("HOST", "").strip() or config.server.host)
    except ValueError as error:
        raise ConfigError(f"HOST: {error}") from None
    if config.server.port == 0:
        raise ConfigError("--url: must be given when PORT is 0 (each start takes another port)")
    return base_url(host, config.server.port)


def check_url(text: str) -> str:
    """Raises ConfigError."""
    try:
        parts = urlsplit(text)
        is_plain = parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        is_plain = False
    if (
        not is_plain
        or "@" in parts.netloc
        or parts.scheme not in ("http", "https")
        or not parts.hostname
    ):
        raise ConfigError("--url: must be an address such as http://127.0.0.1:8080")
    if not text.isascii() or not text.isprintable() or set(text) & set(" \"'\\"):
        raise ConfigError("--url: must be plain ASCII, without spaces and quotes")
    return text.rstrip("/").removesuffix("/v1").rstrip("/")


def _key(given: str | None, config: Config, *, make_key: bool) -> Secret:
    if given:
        try:
            return parse_key(given)
        except ValueError as error:
            raise ConfigError(f"--key: {error}") from None
    if config.server.client_token is not None:
        return config.server.client_token
    if not make_key and not (config.state_dir / clientkey.FILE_NAME).exists():
        return Secret("made-when-it-is-written")
    return clientkey.load_or_create(config.state_dir)


def notes(target: Target) -> list[str]:
    """What the user may want to know about this target."""
    found = []
    host = urlsplit(target.url).hostname or ""
    if target.url.startswith("http://") and not is_loopback(host):
        found.append(f"the key travels in clear to {host}; use https:// beyond this machine")
    if is_loopback(host) and not answers(target.url):
        found.append(f"no server answers at {target.url} now; start it with: kiroproxy")
    return found


def answers(url: str) -> bool:
    """Whether a server of ours is there. Blocks for a second at most."""
    import http.client  # slow to import, and ``--help`` has no need of it

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_PROBE_S)
    try:
        connection.request("GET", f"{parts.path}/health")
        answer = json.loads(connection.getresponse().read(4096))
        return isinstance(answer, dict) and answer.get("status") == "ok"
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()
