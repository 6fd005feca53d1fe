"""The way in: log, user agent, bearer, drawn fault, operation, error body. The same for every call."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson

from kiroproxy.eventstream.encoder import encode_exception
from kiroproxy.http import Exchange, RawHeader, Request, Response
from kiroproxy.simulator import refusals
from kiroproxy.simulator.faults import (
    CLOSE_AT_ONCE,
    ECHO,
    SLOW_FIRST_BYTE,
    Canned,
    Fault,
    reply_of,
)
from kiroproxy.simulator.params import Params
from kiroproxy.simulator.refusals import Refusal
from kiroproxy.simulator.settings import Account
from kiroproxy.simulator.world import Received, World

JSON_REST = "application/json"
JSON_10 = "application/x-amz-json-1.0"
_ECHO_CHARS = 400

Outcome = Response | Refusal | Canned | None


@dataclass(slots=True)
class Call:
    """One request on its way through an operation. ``typed``: it came by the JSON 1.0 binding.
    ``account`` is set for every operation that needs a bearer."""

    world: World
    request: Request
    exchange: Exchange
    entry: Received
    typed: bool
    account: Account | None = None
    fault: Fault | None = None

    @property
    def signed_in(self) -> Account:
        """The account; only for operations behind a bearer."""
        if self.account is None:
            raise LookupError("the operation takes no bearer")
        return self.account


@dataclass(frozen=True, slots=True)
class Operation:
    """``route`` as faults name it; ``bearer``: whether a sign-in is needed."""

    route: str
    run: Callable[[Call], Awaitable[Outcome]]
    bearer: bool = True


async def serve(
    world: World, request: Request, exchange: Exchange, operation: Operation, *, typed: bool
) -> Response | None:
    """Answer one request and complete its log entry, whatever happens to it."""
    entry = world.log(request, operation.route)
    call = Call(world, request, exchange, entry, typed)
    try:
        response = render(await _answer(call, operation), typed, world)
    except asyncio.CancelledError:
        entry.aborted = True
        raise
    finally:
        entry.ended_at_s = world.clock.monotonic()
    if response is not None:
        entry.status = response.status
    return response


async def _answer(call: Call, operation: Operation) -> Outcome:
    if not call.entry.headers.get("user-agent"):
        return refusals.IMPROPER
    if operation.bearer:
        found = authenticate(call)
        if isinstance(found, Refusal):
            return found
        call.account, call.entry.account = found, found.label
        if found.suspended:
            return refusals.SUSPENDED
        fault = call.world.faults.draw(operation.route, found.label)
        return await with_fault(call, fault, operation.run)
    return await operation.run(call)


async def with_fault(
    call: Call, fault: Fault | None, run: Callable[[Call], Awaitable[Outcome]]
) -> Outcome:
    """Run the operation, or what the fault makes of it. Changes of the stream are left to ``run``."""
    if fault is None:
        return await run(call)
    call.fault, call.entry.fault = fault, fault.name
    if fault.name == CLOSE_AT_ONCE:
        call.exchange.abort()
        return None
    if fault.name == SLOW_FIRST_BYTE:
        await call.world.clock.sleep(fault.params.number("seconds", 5))
    canned = echo(call, fault.params) if fault.name == ECHO else reply_of(fault)
    return canned if canned is not None else await run(call)


def echo(call: Call, params: Params) -> Canned:
    """An error that repeats what it was sent, as careless services do."""
    sent = call.request.body.decode("utf-8", "replace")[:_ECHO_CHARS]
    bearer = call.entry.headers.get("authorization", "")
    words = f"Cannot use '{bearer}' ({bearer.rpartition(' ')[2]}): {sent}"
    body = orjson.dumps({"message": words, "error": "invalid_request", "error_description": words})
    if params.get("in") == "frame":
        frame = encode_exception("ValidationException", body)
        return Canned(200, frame, "application/vnd.amazon.eventstream")
    return Canned(params.count("status", 403), body, "application/json")


def authenticate(call: Call) -> Account | Refusal:
    """The account behind the bearer; the token's kind must fit the tokentype header."""
    headers = call.entry.headers
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return refusals.NO_TOKEN
    as_key = headers.get("tokentype", "").upper() == "API_KEY"
    desk, now_s = call.world.desk, call.world.clock.monotonic()
    if as_key != token.startswith("ksk_"):
        return refusals.TOKEN_INVALID
    account = desk.by_key(token) if as_key else desk.by_access(token, now_s)
    if account is None:
        return refusals.TOKEN_EXPIRED if desk.is_expired(token, now_s) else refusals.TOKEN_INVALID
    return account


def render(outcome: Outcome, typed: bool, world: World) -> Response | None:
    """The outcome as an HTTP answer; None when the exchange was used already."""
    if outcome is None:
        return None
    if isinstance(outcome, Response):
        outcome.headers.append(request_id())
        return outcome
    if isinstance(outcome, Canned):
        headers = [(b"content-type", outcome.content_type.encode()), *outcome.headers]
        return Response(outcome.status, outcome.body, [*headers, request_id()])
    status = outcome.status
    if typed and world.settings.folded_statuses:
        status = 500 if status >= 500 else 400
    headers = [
        (b"content-type", (JSON_10 if typed else JSON_REST).encode()),
        (b"x-amzn-errortype", outcome.exception.encode()),
        *outcome.headers,
        request_id(),
    ]
    return Response(status, outcome.body(typed=typed), headers)


def request_id() -> RawHeader:
    """A fresh id, as every answer of the service has one."""
    return b"x-amzn-requestid", str(uuid.uuid4()).encode()
