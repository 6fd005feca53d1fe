"""Settings and sign-ins taken up by a running server: SIGHUP, and new sign-ins of ``kiroproxy login``.

Everything that can fail is done first; what follows cannot, so that a broken new configuration leaves the
old one as it was. Answers under way keep what they began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiroproxy import clientkey
from kiroproxy.accounts import AccountManager, AccountSettings, LoadResult
from kiroproxy.accounts.sign_ins import own_sign_ins
from kiroproxy.config import Config
from kiroproxy.errors import KiroProxyError
from kiroproxy.handlers.answers import Serving
from kiroproxy.handlers.models import ModelsHandler
from kiroproxy.relay import Relay
from kiroproxy.retry import RetryPolicy
from kiroproxy.upstream.calls import CallTimeouts, KiroCalls

_log = logging.getLogger("kiroproxy.reload")

LOOK_S: Final = 5.0
APPLIED: Final = frozenset(
    {
        "KIRO_CLIENT_TOKEN",
        "KIRO_CLIENT_TOKEN_FILE",
        "LOG_LEVEL",
        "LOG_FORMAT",
        "LOG_FILE",
        "LOG_CONSOLE",
        "GIN_MODE",
        "KIRO_REGION",
        "KIROPROXY_IMPORT",
        "KIROPROXY_CONNECT_TIMEOUT_S",
        "KIROPROXY_FIRST_BYTE_TIMEOUT_S",
        "KIROPROXY_IDLE_TIMEOUT_S",
        "KIROPROXY_TOTAL_TIMEOUT_S",
        "SIMPLE_REQUEST_TIMEOUT_MINUTES",
        "REQUEST_TIMEOUT_MINUTES",
        "STREAM_REQUEST_TIMEOUT_MINUTES",
        "TOKEN_REFRESH_TIMEOUT",
        "DISABLE_STREAM",
        "KIROPROXY_PING_INTERVAL_S",
        "SYSTEM_PROMPT_FILE_PATH",
        "SYSTEM_PROMPT_MODE",
        "MAX_TOOL_DESCRIPTION_LENGTH",
        "TOKEN_SELECTION_STRATEGY",
        "MODEL_ALIASES",
        "KIROPROXY_ACCOUNT_CONCURRENCY",
        "KIROPROXY_ACCOUNT_REQUESTS_PER_MINUTE",
        "CRON_NEAR_MINUTES",
        "CRON_REFRESH_TOKEN",
        "REQUEST_MAX_RETRIES",
        "REQUEST_BASE_DELAY",
        "MAX_CONCURRENT_SESSIONS",
        "SESSION_TIMEOUT_MINUTES",
        "KIROPROXY_QUEUE_WAIT_S",
        "KIROPROXY_STRICT",
    }
)
"""Settings that a reload applies; all others need a restart."""


@dataclass(frozen=True, slots=True)
class Recipes:
    """How settings become what the parts take."""

    sign_ins: Callable[[Config], LoadResult]
    accounts: Callable[[Config], AccountSettings]
    retries: Callable[[Config], RetryPolicy]
    timeouts: Callable[[Config], CallTimeouts]
    places: Callable[[Config], int]


class Reloading:
    """One for the program, on its loop."""

    def __init__(
        self,
        config: Config,
        recipes: Recipes,
        serving: Serving,
        relay: Relay,
        calls: KiroCalls,
        accounts: AccountManager,
        models: ModelsHandler,
        tells: bool = True,
    ) -> None:
        """``tells`` False: another worker says what all of them find."""
        self._config = config
        self._recipes = recipes
        self._serving = serving
        self._relay = relay
        self._calls = calls
        self._accounts = accounts
        self._models = models
        self._tells = tells
        self._turn = asyncio.Lock()

    async def apply(self, config: Config) -> None:
        """Take ``config`` up. Raises ConfigError, and changes nothing then."""
        async with self._turn:
            loaded = await asyncio.to_thread(self._recipes.sign_ins, config)
            key = config.server.client_token
            if key is None:
                folder = self._config.state_dir
                key = await asyncio.to_thread(clientkey.load_or_create, folder)
            recipes, serving, limits = self._recipes, self._serving, config.limits
            reading = await serving.system_prompt.read(config.prompt)
            settings, timeouts = recipes.accounts(config), recipes.timeouts(config)
            retries, places = recipes.retries(config), recipes.places(config)
            # Nothing below fails.
            await self._accounts.replace(loaded.credentials, settings)
            serving.system_prompt.take(reading)
            self._calls.configure(timeouts)
            self._relay.configure(retries, config.model_aliases, config.prompt.description_chars)
            self._models.aliases = config.model_aliases
            serving.gate.use(key)
            if serving.prompts is not None:
                serving.prompts.use(key)
            serving.admission.configure(places, limits.queue_wait_s, limits.session_timeout_s)
            serving.limits = limits
            serving.ping_interval_s = config.server.ping_interval_s
            serving.strict = config.server.strict
            serving.whole_streams = config.server.whole_streams
            self._tell(config, loaded)
            self._config = config

    def _tell(self, config: Config, loaded: LoadResult) -> None:
        before = self._config.values
        changed = [name for name, value in config.values.items() if value != before.get(name)]
        waiting = [name for name in changed if name not in APPLIED]
        if self._tells:
            for problem in loaded.problems:
                _log.warning("credential not used: %s", problem)
            for note in config.notes:
                _log.warning("%s", note)
            if waiting:
                _log.warning("these settings need a restart: %s", ", ".join(waiting))
        applied = ", ".join(name for name in changed if name in APPLIED) or "none"
        _log.info("reloaded: %d accounts; changed: %s", len(loaded.credentials), applied)

    async def watch_sign_ins(self, seen: list[str]) -> None:
        """Sign-ins that ``kiroproxy login`` adds or ``logout`` removes are taken up within seconds.
        ``seen``: ``own_ids`` from before the sign-ins were loaded."""
        while True:
            await asyncio.sleep(LOOK_S)
            found = await asyncio.to_thread(own_ids, self._config.state_dir)
            if found != seen:
                seen = found
                await self._take_sign_ins()

    async def _take_sign_ins(self) -> None:
        async with self._turn:
            config = self._config
            try:
                loaded = await asyncio.to_thread(self._recipes.sign_ins, config)
                await self._accounts.replace(loaded.credentials, self._recipes.accounts(config))
            except KiroProxyError as error:
                _log.warning("sign-ins could not be read again: %s", error.message)
                return
            _log.info("sign-ins were read again: %d accounts", len(loaded.credentials))


def own_ids(state_dir: Path) -> list[str]:
    """The sign-ins in the state folder. Blocking."""
    try:
        return sorted(sign_in.id for sign_in in own_sign_ins(state_dir))
    except OSError:
        return []
