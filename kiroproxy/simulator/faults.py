"""Everything that can go wrong upstream, by name.

A fault is chosen by ``[[sim:fault NAME key=value …]]`` in the prompt, or by program::

    sim.faults.next("rate", retry_after=2)              the next chat request
    sim.faults.next("internal", times=3, account="idc")  three requests of one account
    sim.faults.next("invalid_grant", route="refresh")    the next refresh
    sim.faults.always("stall"); sim.faults.clear()

Routes: ``chat``, ``refresh``, ``models``, ``usage``, ``profiles``, ``mcp``. A fault is drawn after the
bearer was accepted and before the body is checked. Three sorts: whole replies (``REPLIES``), changed
events (``fault_events.CHANGES``), changed bytes and timing (``fault_bytes.CHANGES``). ``after`` counts
frames from the start of the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from kiroproxy.http import RawHeader
from kiroproxy.simulator import fault_bytes, fault_events, refusals
from kiroproxy.simulator.answer import Event
from kiroproxy.simulator.params import Params
from kiroproxy.simulator.refusals import NAMESPACE, Refusal
from kiroproxy.simulator.scripts import Step


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name, with its parameters as text."""

    name: str
    params: Params = field(default_factory=Params)


@dataclass(frozen=True, slots=True)
class Canned:
    """A whole reply in place of the real one."""

    status: int
    body: bytes
    content_type: str
    headers: tuple[RawHeader, ...] = ()


REFUSALS: dict[str, Refusal] = {
    "improper": refusals.IMPROPER,
    "body_invalid": refusals.BODY_INVALID,
    "tool_format": refusals.TOOL_FORMAT,
    "too_long": refusals.TOO_LONG,
    "bad_model": refusals.BAD_MODEL,
    "bad_signature": refusals.BAD_SIGNATURE,
    "no_fields": refusals.NO_FIELDS,
    "arn_required": refusals.ARN_REQUIRED,
    "unauthenticated": refusals.NO_TOKEN,
    "token_expired": refusals.TOKEN_EXPIRED,
    "token_invalid": refusals.TOKEN_INVALID,
    "management_token": refusals.MANAGEMENT_TOKEN_INVALID,
    "not_authorized": refusals.NOT_AUTHORIZED,
    "feature": refusals.FEATURE,
    "suspended": refusals.SUSPENDED,
    "locked": refusals.LOCKED,
    "quota": refusals.MONTHLY,
    "quota_400": refusals.MONTHLY_400,
    "overage": refusals.OVERAGE,
    "conversation_limit": refusals.CONVERSATION_LIMIT,
    "not_found": refusals.UNKNOWN_OPERATION,
    "request_timeout": refusals.TIMED_OUT,
    "conflict": refusals.CONFLICT,
    "too_large": refusals.TOO_LARGE,
    "rate": refusals.RATE,
    "capacity": refusals.CAPACITY,
    "daily": refusals.DAILY,
    "suspicious": refusals.SUSPICIOUS,
    "internal": refusals.INTERNAL,
    "high_load": refusals.HIGH_LOAD,
    "model_away": refusals.MODEL_AWAY,
    "bad_gateway": refusals.BAD_GATEWAY,
    "unavailable": refusals.UNAVAILABLE,
    "gateway_timeout": refusals.GATEWAY_TIMEOUT,
}
_HTML = b"<!DOCTYPE html><html><body><h1>%d</h1><p>Request blocked.</p></body></html>"


def _html(params: Params) -> Canned:
    status = params.count("status", 502)
    return Canned(status, _HTML % status, "text/html")


def _empty(params: Params) -> Canned:
    return Canned(params.count("status", 403), b"", "application/json")


def _json_200(params: Params) -> Canned:
    body = {"__type": f"{NAMESPACE}#ThrottlingException", "message": refusals.RATE.message}
    return Canned(200, orjson.dumps(body), "application/json")


def _openai_shape(params: Params) -> Canned:
    error = {"code": "internal_error", "message": "Upstream failed.", "type": "server_error"}
    return Canned(500, orjson.dumps({"error": error}), "application/json")


def _rpc_error(params: Params) -> Canned:
    error = {"code": -32603, "message": "Internal error"}
    return _rpc({"error": error})


def _tool_error(params: Params) -> Canned:
    content = [{"type": "text", "text": "The search is not available."}]
    return _rpc({"result": {"isError": True, "content": content}})


def _no_results(params: Params) -> Canned:
    found = {"results": [], "totalResults": 0, "query": "", "error": None}
    content = [{"type": "text", "text": orjson.dumps(found).decode()}]
    return _rpc({"result": {"isError": False, "content": content}})


def _rpc(reply: dict[str, object]) -> Canned:
    return Canned(200, orjson.dumps({"jsonrpc": "2.0", "id": "1", **reply}), "application/json")


def _invalid_grant(params: Params) -> Canned:
    return oidc_error("invalid_grant", "Invalid refresh token provided")


def _expired_client(params: Params) -> Canned:
    return oidc_error("invalid_client", "Client is expired", "ExpiredClientException")


def _bad_credentials(params: Params) -> Canned:
    return Canned(401, b'{"message":"Bad credentials"}', "application/json")


def oidc_error(code: str, words: str, exception: str = "") -> Canned:
    """An error of the OIDC service: OAuth's names in the body, the exception in the header."""
    name = exception or "".join(part.capitalize() for part in code.split("_")) + "Exception"
    body = {"error": code, "error_description": words}
    header = (b"x-amzn-errortype", name.encode())
    return Canned(400, orjson.dumps(body), "application/json", (header,))


REPLIES: dict[str, Callable[[Params], Canned]] = {
    "html": _html,  # status=502
    "empty_reply": _empty,  # status=403
    "json_200": _json_200,
    "openai_shape": _openai_shape,
    "rpc_error": _rpc_error,  # mcp alone, as the next two
    "tool_error": _tool_error,
    "no_results": _no_results,
    "invalid_grant": _invalid_grant,
    "expired_client": _expired_client,
    "bad_credentials": _bad_credentials,
}

# Handled by the server, because they concern the time before the reply or a whole exchange.
SLOW_FIRST_BYTE = "slow_first_byte"  # seconds=5: before the head
CLOSE_AT_ONCE = "close_at_once"  # the connection closes before a byte of the reply
NO_ROTATION = "no_rotation"  # refresh: the reply holds no refreshToken
WRONG_TYPE = "wrong_type"  # chat: the frames come as text/plain
ECHO = (
    "echo"  # status=403: the error's words repeat the secrets of the request; in=frame: in a stream
)
SERVER_FAULTS = frozenset({SLOW_FIRST_BYTE, CLOSE_AT_ONCE, NO_ROTATION, WRONG_TYPE, ECHO})

NAMES = frozenset(
    {*REFUSALS, *REPLIES, *fault_events.CHANGES, *fault_bytes.CHANGES, *SERVER_FAULTS}
)


def reply_of(fault: Fault) -> Refusal | Canned | None:
    """The reply that takes the real one's place; any refusal takes ``retry_after=SECONDS|DATE``."""
    refusal = REFUSALS.get(fault.name)
    if refusal is not None:
        retry_after = fault.params.get("retry_after")
        return refusal.after(retry_after) if retry_after else refusal
    canned = REPLIES.get(fault.name)
    return canned(fault.params) if canned else None


def make_fault(name: str, params: Params) -> Fault:
    """A fault by name. Raises KeyError for a name nobody knows."""
    if name not in NAMES:
        raise KeyError(f"No fault is called {name!r}; known are {', '.join(sorted(NAMES))}.")
    return Fault(name, params)


def parse_fault(text: str) -> Fault | None:
    """``NAME key=value …`` as in the directive; None when there is no such fault."""
    name, *pairs = text.split() or [""]
    params = Params(pair.split("=", 1) for pair in pairs if "=" in pair)
    return Fault(name, params) if name in NAMES else None


def change_events(fault: Fault | None, events: list[Event]) -> list[Event]:
    """The events as the fault leaves them."""
    change = fault_events.CHANGES.get(fault.name) if fault else None
    return change(events, fault.params) if fault and change else events


def change_steps(fault: Fault | None, steps: list[Step]) -> list[Step]:
    """The steps as the fault leaves them."""
    change = fault_bytes.CHANGES.get(fault.name) if fault else None
    return change(steps, fault.params) if fault and change else steps


@dataclass(slots=True)
class _Pending:
    fault: Fault
    route: str
    account: str | None
    left: int | None  # None: for ever


class Faults:
    """The faults still to come, drawn in order by requests they fit."""

    def __init__(self) -> None:
        self._pending: list[_Pending] = []
        self._seen: dict[tuple[str, str], int] = {}

    def next(
        self,
        name: str,
        /,
        *,
        times: int = 1,
        route: str = "chat",
        account: str | None = None,
        **params: object,
    ) -> None:
        """Break the next ``times`` requests on ``route`` (of ``account``, by label)."""
        self._add(name, times, route, account, params)

    def always(
        self, name: str, /, *, route: str = "chat", account: str | None = None, **params: object
    ) -> None:
        """Break all requests on ``route`` until ``clear``."""
        self._add(name, None, route, account, params)

    def clear(self) -> None:
        """Forget everything still to come."""
        self._pending.clear()
        self._seen.clear()

    @property
    def pending(self) -> int:
        """How many orders are not used up."""
        return len(self._pending)

    def draw(self, route: str, account: str | None) -> Fault | None:
        """The first fault that fits, used up once."""
        for entry in self._pending:
            if entry.route == route and entry.account in (None, account):
                self._use(entry)
                return entry.fault
        return None

    def by_directive(self, text: str, conversation_id: str) -> Fault | None:
        """The fault a prompt asks for; ``times`` counts per conversation and wording."""
        fault = parse_fault(text)
        if fault is None:
            return None
        key = (conversation_id, text)
        self._seen[key] = self._seen.get(key, 0) + 1
        limit = fault.params.get("times", "")
        return None if limit.isdigit() and self._seen[key] > int(limit) else fault

    def _add(
        self,
        name: str,
        left: int | None,
        route: str,
        account: str | None,
        params: dict[str, object],
    ) -> None:
        fault = make_fault(name, Params({key: str(value) for key, value in params.items()}))
        self._pending.append(_Pending(fault, route, account, left))

    def _use(self, entry: _Pending) -> None:
        if entry.left is None:
            return
        entry.left -= 1
        if entry.left <= 0:
            self._pending.remove(entry)
