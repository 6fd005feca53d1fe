"""``GET /metrics``: counters of this server, all its workers together, as Prometheus text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kiroproxy import __version__
from kiroproxy.accounts import AccountManager, AccountView, State
from kiroproxy.handlers.local import LocalGate
from kiroproxy.handlers.process import add_processes
from kiroproxy.http import Exchange, Request, Response
from kiroproxy.metrics import CONTENT_TYPE, Exposition, Metrics
from kiroproxy.usage import QuotaWatch, Team

CONNECTIONS: Final = "kiroproxy_client_connections"
STRANGERS: Final = "kiroproxy_stranger_connections"
HELD_BYTES: Final = "kiroproxy_request_held_bytes"
GAUGES: Final = {
    CONNECTIONS: "Open connections of clients.",
    STRANGERS: "Those of them that have not shown the key.",
    HELD_BYTES: "Bytes of requests in memory, until they are answered.",
}


class MetricsHandler:
    def __init__(
        self,
        gate: LocalGate,
        team: Team,
        manager: AccountManager,
        quotas: QuotaWatch,
        instance: str = "",
    ) -> None:
        self._instance = (("instance_id", instance),) if instance else ()
        self._gate = gate
        self._team = team
        self._manager = manager
        self._quotas = quotas

    async def __call__(self, request: Request, exchange: Exchange) -> Response:
        self._gate.check(request)
        text = Exposition()
        labels = (("version", __version__), *self._instance)
        text.family("kiroproxy_build_info", "gauge", "Always 1.", [(labels, 1)])
        _add_requests(text, self._team.metrics())
        gauges = self._team.gauges()
        for name, meaning in GAUGES.items():
            text.single(name, "gauge", meaning, gauges.get(name))
        views = self._manager.accounts()
        _add_accounts(text, views, self._team.active())
        self._add_quotas(text, views)
        add_processes(text, self._team.processes())
        headers = [(b"content-type", CONTENT_TYPE), (b"cache-control", b"no-store")]
        return Response(200, text.encode(), headers)

    def _add_quotas(self, text: Exposition, views: Sequence[AccountView]) -> None:
        """Accounts whose figures were never fetched have none: a zero would raise alarms."""
        remaining, limits = [], []
        for view in views:
            quota = self._quotas.quota(view.id)
            if quota is not None and quota.figures["remaining"] is not None:
                labels = (("account", view.id),)
                remaining.append((labels, quota.figures["remaining"]))
                limits.append((labels, quota.figures["limit"]))
        meaning = "Credits left, as last reported by the service."
        text.family("kiro2api_token_usage_remaining", "gauge", meaning, remaining)
        text.family("kiroproxy_account_credits_remaining", "gauge", meaning, remaining)
        meaning = "Credits of the plan, trial and bonuses together."
        text.family("kiroproxy_account_credits_limit", "gauge", meaning, limits)


def _add_requests(text: Exposition, metrics: Metrics) -> None:
    text.family(
        "kiroproxy_requests_total",
        "counter",
        "Finished requests by API and outcome.",
        [
            ((("dialect", dialect), ("outcome", outcome)), count)
            for (dialect, outcome), count in sorted(metrics.requests.items())
        ],
    )
    failed = metrics.failures
    text.counts("kiroproxy_requests_failed_total", "Failed requests by kind.", "kind", failed)
    text.single(
        "kiro2api_requests_failed_total", "counter", "Failed requests.", sum(failed.values())
    )
    text.single("kiroproxy_active_streams", "gauge", "Answers under way.", metrics.active)
    text.histogram(
        "kiroproxy_first_token_seconds",
        "From the request to the first event of its answer.",
        metrics.first_token,
    )
    text.histogram("kiroproxy_request_seconds", "The whole request.", metrics.total)
    text.counts("kiroproxy_tokens_total", "Tokens of answers.", "direction", metrics.tokens)
    text.single("kiroproxy_credits_total", "counter", "Credits metered.", metrics.credits)
    text.counts(
        "kiroproxy_retries_total", "Further tries by what was done.", "step", metrics.retries
    )
    text.counts("kiroproxy_refreshes_total", "Renewals of sign-ins.", "result", metrics.refreshes)
    text.counts(
        "kiroproxy_event_stream_errors_total",
        "Answers that were no valid event stream.",
        "error",
        metrics.stream_errors,
    )
    text.counts(
        "kiroproxy_unknown_events_total",
        "Events of the service that are not known.",
        "event_type",
        metrics.unknown_events,
    )


def _add_accounts(
    text: Exposition, views: Sequence[AccountView], active: Mapping[str, int]
) -> None:
    text.family(
        "kiroproxy_account_state",
        "gauge",
        "1 for the state an account is in.",
        [
            ((("account", view.id), ("state", state.value)), float(view.status.state is state))
            for view in views
            for state in State
        ],
    )
    text.family(
        "kiroproxy_account_active_requests",
        "gauge",
        "Requests under way by account.",
        [((("account", view.id),), active.get(view.id, 0)) for view in views],
    )
