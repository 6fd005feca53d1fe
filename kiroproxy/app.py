"""The composition root: every object is built here once and passed down. No globals elsewhere."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial

from kiroproxy import clientkey, derived
from kiroproxy.accounts import (
    AccountManager,
    LoadResult,
    StateBook,
    TokenStore,
)
from kiroproxy.accounts.files import claim_folder
from kiroproxy.admission import Admission
from kiroproxy.api.scaling import SCALE, Scale
from kiroproxy.clock import Clock, SystemClock
from kiroproxy.config import Config
from kiroproxy.database import FILE_NAME, Database
from kiroproxy.handlers.admin import Accounts, AdminHandlers
from kiroproxy.handlers.answers import AnswerHandler, Serving
from kiroproxy.handlers.count_tokens import CountTokensHandler
from kiroproxy.handlers.dialects import CHAT, COMPACT, MESSAGES, RESPONSES
from kiroproxy.handlers.errors import render_error
from kiroproxy.handlers.events import EventsHandler
from kiroproxy.handlers.finishing import Finisher
from kiroproxy.handlers.gate import Entrance, Gate
from kiroproxy.handlers.health import HealthHandler, hello
from kiroproxy.handlers.local import LocalGate
from kiroproxy.handlers.metrics import CONNECTIONS, HELD_BYTES, STRANGERS, MetricsHandler
from kiroproxy.handlers.models import ModelsHandler
from kiroproxy.handlers.process import own_process
from kiroproxy.handlers.responses import CodexPause, ResponsesReader
from kiroproxy.handlers.responses_compact import CompactReader, InputTokensHandler
from kiroproxy.handlers.responses_kept import KeptResponses
from kiroproxy.handlers.responses_store import ResponseStore
from kiroproxy.handlers.static import StaticHandler
from kiroproxy.handlers.system_prompt import SystemPrompt
from kiroproxy.http import HttpServer, Route, Router
from kiroproxy.kiro.endpoints import Overrides
from kiroproxy.logs import Sparing
from kiroproxy.metrics import Metrics
from kiroproxy.relay import Relay
from kiroproxy.reloading import Recipes, Reloading, own_ids
from kiroproxy.searching import SearchingRelay
from kiroproxy.secret import Secret
from kiroproxy.structured import StructuredRelay
from kiroproxy.upstream import (
    Fetcher,
    ProxyTable,
    Reach,
    UpstreamClient,
    load_tls_context,
)
from kiroproxy.upstream.calls import KiroCalls
from kiroproxy.usage import Feed, Journal, Ledger, Place, PromptLog, QuotaWatch, Team
from kiroproxy.usage.prompts import FOLDER, to_console, to_files

_log = logging.getLogger("kiroproxy.app")


@dataclass(frozen=True, slots=True)
class Running:
    """What a started program can tell its user."""

    urls: list[str]
    key: Secret
    accounts: list[str]
    problems: list[str]
    notes: list[str]


class App:
    """The program without its command line. ``start``, then ``stop``; both once, on one loop."""

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        *,
        place: Place | None = None,
        sockets: Sequence[socket.socket] | None = None,
        reach: Reach | None = None,
        scale: Scale | None = SCALE,
    ) -> None:
        """``place`` and ``sockets``: of a worker process, its place among the others and what it listens
        on. ``reach``: what fetched URLs may lead to, the public Internet by default. ``scale`` None: no
        picture is scaled down."""
        self._config = config
        self._clock = clock or SystemClock()
        self._cleanup = AsyncExitStack()
        self.server: HttpServer | None = None
        self._place = place
        self._sockets = sockets
        self._reach = reach
        self._scale = scale
        self._reloading: Reloading | None = None
        self.metrics = Metrics()

    async def start(self) -> Running:
        """Listen and serve. Raises ConfigError, or OSError when the address cannot be had; ``stop``
        is to be called all the same."""
        config = self._config
        if not await asyncio.to_thread(claim_folder, config.state_dir):
            _log.warning(
                "others can write into the state folder %s; choose one of yours", config.state_dir
            )
        key = config.server.client_token or clientkey.load_or_create(config.state_dir)
        seen = await asyncio.to_thread(own_ids, config.state_dir)
        loaded = await asyncio.to_thread(derived.load_sign_ins, config)
        database = await asyncio.to_thread(Database.open, config.state_dir / FILE_NAME)
        self._cleanup.push_async_callback(database.close)
        ledger = Ledger(database, self._clock, config.usage.retention_days)
        feed = Feed()
        journal = Journal(self.metrics, ledger, feed, self._clock)
        ledger.prune()
        await journal.restore()
        prompts = self._prompts(feed, key)
        system_prompt = SystemPrompt(self._clock)
        await system_prompt.use(config.prompt)
        tls = await self._tls()
        calls = self._calls(tls)
        finisher = self._finisher(tls)
        store = TokenStore(config.state_dir, self._clock)
        accounts = AccountManager(
            loaded.credentials,
            store,
            calls,
            self._clock,
            derived.account_settings(config, self._workers),
            book=StateBook(database),
        )
        await accounts.restore()
        relay = self._relay(accounts, calls)
        kept = derived.response_store(config.server, database, self._clock)
        quotas = QuotaWatch(accounts, calls, database, self._clock)
        gate = Gate(key)
        answering = StructuredRelay(SearchingRelay(relay))
        serving = self._serving(answering, gate, journal, finisher, system_prompt, prompts)
        team = self._team(accounts, journal)
        views = Accounts(accounts, quotas, team, self._clock)
        local = LocalGate(gate, asks_everybody=config.server.asks_everybody)
        events = EventsHandler(local, views, team, ledger, feed)
        routes = [
            *self._routes(serving, accounts, kept),
            *self._figures(local, accounts, quotas, views, ledger, team),
            Route("GET", "/api/events", events),
        ]
        self.server = server = self._http_server(routes, Entrance(gate, journal))
        addresses = await server.start(config.server.host, config.server.port, self._sockets)
        # Undone in reverse: answers finish while accounts and connections still work.
        self._cleanup.push_async_callback(team.stop)
        self._cleanup.push_async_callback(accounts.stop)
        self._cleanup.push_async_callback(server.shutdown, config.server.drain_s)
        self._cleanup.callback(events.close)
        await accounts.start()
        team.start()
        await quotas.start()
        self._cleanup.push_async_callback(quotas.stop)
        self._reloading = Reloading(
            config, self._recipes(), serving, relay, calls, accounts, self._models, self._tells
        )
        if config.uses_own_sign_ins:
            watch = asyncio.create_task(self._reloading.watch_sign_ins(seen), name="sign-ins")
            self._cleanup.callback(watch.cancel)
        if self._tells:
            _tell(config.notes, loaded)
        return _running(addresses, key, loaded, accounts, config.notes)

    def _relay(self, accounts: AccountManager, calls: KiroCalls) -> Relay:
        return Relay(
            accounts,
            calls,
            self._clock,
            self.metrics,
            derived.retry_policy(self._config.limits),
            aliases=self._config.model_aliases,
            description_chars=self._config.prompt.description_chars,
        )

    def _http_server(self, routes: list[Route], entrance: Entrance) -> HttpServer:
        """The API's routes ask for the key before they read a body."""
        checked = [replace(r, check=entrance.check) if r.api else r for r in routes]
        limits = derived.http_limits(self._config.server, self._workers)
        render = partial(render_error, refusals=Sparing(60, 60.0))
        return HttpServer(Router(checked), limits, error_renderer=render)

    async def stop(self) -> None:
        """Let running answers finish for the drain time, then close everything."""
        await self._cleanup.aclose()

    async def reload(self, config: Config) -> None:
        """Take new settings and sign-ins up. Raises ConfigError, and changes nothing then."""
        if self._reloading is not None:
            await self._reloading.apply(config)

    def _recipes(self) -> Recipes:
        return Recipes(
            sign_ins=derived.load_sign_ins,
            accounts=lambda config: derived.account_settings(config, self._workers),
            retries=lambda config: derived.retry_policy(config.limits),
            timeouts=lambda config: derived.call_timeouts(config.upstream),
            places=lambda config: derived.share(config.limits.sessions, self._workers),
        )

    def hurry(self) -> None:
        """Whoever stops the program does not want to wait for running answers."""
        if self.server is not None:
            self.server.hurry()

    @property
    def _tells(self) -> bool:
        """Whether this process says what all workers find: one of them is enough."""
        return self._place is None or self._place.index == 0

    @property
    def _workers(self) -> int:
        return self._place.board.slots if self._place else 1

    def _team(self, accounts: AccountManager, journal: Journal) -> Team:
        def active() -> dict[str, int]:
            return {view.id: view.active for view in accounts.accounts()}

        def gauges() -> dict[str, float]:
            server = self.server
            if server is None:
                return {}
            return {
                CONNECTIONS: server.connections,
                STRANGERS: server.strangers,
                HELD_BYTES: server.held_bytes,
            }

        return Team(self._place, self.metrics, journal.last_used, active, own_process, gauges)

    def _calls(self, tls: ssl.SSLContext | None) -> KiroCalls:
        upstream = self._config.upstream
        client = UpstreamClient(
            tls=tls,
            proxies=ProxyTable.from_env(self._config.environment),
            clock=self._clock,
            shows_paths=True,
        )
        self._cleanup.push_async_callback(client.aclose)
        overrides = Overrides(upstream.api_url, upstream.social_auth_url, upstream.oidc_url)
        timeouts = derived.call_timeouts(upstream)
        return KiroCalls(client, overrides, timeouts, self.metrics)

    def _finisher(self, tls: ssl.SSLContext | None) -> Finisher:
        if not self._config.server.fetch_urls:
            return Finisher(None, self._scale)
        proxies = ProxyTable.from_env(self._config.environment)
        fetcher = Fetcher(tls, proxies, self._clock, self._reach)
        self._cleanup.push_async_callback(fetcher.aclose)
        return Finisher(fetcher, self._scale)

    async def _tls(self) -> ssl.SSLContext | None:
        """None when every host is replaced by a plain one: reading the certificates takes a while."""
        upstream = self._config.upstream
        urls = (upstream.api_url, upstream.social_auth_url, upstream.oidc_url)
        plain_only = not self._config.server.fetch_urls
        if plain_only and all(url is not None and url.startswith("http://") for url in urls):
            return None
        return await load_tls_context(self._config.environment)

    def _prompts(self, feed: Feed, key: Secret) -> PromptLog | None:
        mode = self._config.usage.prompts
        if mode == "none":
            return None
        write = to_console if mode == "console" else to_files(self._config.state_dir / FOLDER)
        prompts = PromptLog(write, key)
        feed.listen(prompts.finished)
        self._cleanup.push_async_callback(prompts.close)
        if self._tells:
            _log.warning("PROMPT_LOG_MODE=%s: prompts and answers are being logged", mode)
        return prompts

    def _serving(
        self,
        relay: StructuredRelay,
        gate: Gate,
        journal: Journal,
        finisher: Finisher,
        system_prompt: SystemPrompt,
        prompts: PromptLog | None,
    ) -> Serving:
        server, limits = self._config.server, self._config.limits
        return Serving(
            relay,
            gate,
            journal,
            Admission(
                derived.share(limits.sessions, self._workers),
                limits.queue_wait_s,
                limits.session_timeout_s,
            ),
            finisher,
            self._clock,
            server.ping_interval_s,
            system_prompt,
            limits,
            server.strict,
            server.whole_streams,
            prompts,
        )

    def _routes(
        self,
        serving: Serving,
        accounts: AccountManager,
        kept: ResponseStore,
    ) -> list[Route]:
        gate, system_prompt = serving.gate, serving.system_prompt
        reader = ResponsesReader(kept)
        input_tokens = InputTokensHandler(reader, gate, system_prompt)
        responses = AnswerHandler(RESPONSES, serving, reader)
        compact = AnswerHandler(COMPACT, serving, CompactReader(reader))
        pause_s = self._config.server.codex_pause_s
        pause = partial(CodexPause, clock=self._clock, pause_s=pause_s)
        past = KeptResponses(kept, gate)
        self._models = models = ModelsHandler(accounts, gate, self._config.model_aliases)
        count_tokens = CountTokensHandler(gate, system_prompt)
        static = StaticHandler()
        return [
            Route("POST", "/v1/messages", AnswerHandler(MESSAGES, serving), api=True),
            Route("POST", "/v1/chat/completions", AnswerHandler(CHAT, serving), api=True),
            Route("POST", "/v1/responses", pause(responses), api=True),
            Route("POST", "/v1/responses/compact", pause(compact), api=True),
            Route("POST", "/v1/responses/input_tokens", input_tokens, api=True),
            Route("GET", "/v1/responses/{id}", past.retrieve, api=True),
            Route("DELETE", "/v1/responses/{id}", past.delete, api=True),
            Route("GET", "/v1/responses/{id}/input_items", past.input_items, api=True),
            Route("POST", "/v1/responses/{id}/cancel", past.cancel, api=True),
            Route("POST", "/v1/messages/count_tokens", count_tokens, api=True),
            Route("GET", "/v1/models", models.list, api=True),
            Route("GET", "/v1/models/{id}", models.retrieve, api=True),
            Route("GET", "/health", HealthHandler(self._config.server.instance)),
            Route("GET", "/api/hello", hello),
            Route("GET", "/", static.page),
            Route("GET", "/static/{name}", static.file),
        ]

    def _figures(
        self,
        gate: LocalGate,
        accounts: AccountManager,
        quotas: QuotaWatch,
        views: Accounts,
        ledger: Ledger,
        team: Team,
    ) -> list[Route]:
        admin = AdminHandlers(gate, accounts, views, ledger, team, self._clock)
        routes = [
            Route("GET", "/api/tokens", admin.tokens),
            Route("GET", "/api/usage", admin.usage),
            Route("GET", "/api/requests", admin.requests),
        ]
        if self._config.usage.metrics:
            metrics = MetricsHandler(gate, team, accounts, quotas, self._config.server.instance)
            routes.append(Route("GET", "/metrics", metrics))
        return routes


def _tell(notes: Sequence[str], loaded: LoadResult) -> None:
    for note in notes:
        _log.warning("%s", note)
    for problem in loaded.problems:
        _log.warning("credential not used: %s", problem)


def _running(
    addresses: list[tuple[str, int]],
    key: Secret,
    loaded: LoadResult,
    accounts: AccountManager,
    notes: Sequence[str],
) -> Running:
    return Running(
        urls=[f"http://{f'[{host}]' if ':' in host else host}:{port}" for host, port in addresses],
        key=key,
        accounts=[f"{view.label} ({view.kind.value})" for view in accounts.accounts()],
        problems=loaded.problems,
        notes=[*notes, *loaded.notes],
    )
