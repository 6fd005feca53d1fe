"""The two authentication services: refresh of both, device sign-in of the OIDC service."""

from __future__ import annotations

from typing import Any

import orjson

from kiroproxy.http import Response
from kiroproxy.simulator.catalogue import JsonObject
from kiroproxy.simulator.desk import Desk, Grant
from kiroproxy.simulator.faults import NO_ROTATION, Canned, oidc_error
from kiroproxy.simulator.gate import Call, Operation, Outcome, with_fault
from kiroproxy.simulator.settings import BUILDER, IDC, SOCIAL, Account

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
BUILDER_START_URL = "https://view.awsapps.com/start"
CLIENT_TTL_S = 90 * 24 * 3600
_BAD_CREDENTIALS = Canned(401, b'{"message":"Bad credentials"}', "application/json")
_INVALID_REQUEST = oidc_error("invalid_request", "Invalid request")


async def social_refresh(call: Call) -> Outcome:
    """``POST /refreshToken`` with ``{"refreshToken"}``; the old token dies."""
    body = _body(call)
    if body is None or not isinstance(body.get("refreshToken"), str):
        return _INVALID_REQUEST
    account = _holder(call, body["refreshToken"], social=True)
    if account is None:
        return _BAD_CREDENTIALS
    fault = call.world.faults.draw("refresh", account.label)
    return await with_fault(call, fault, _grant_social)


async def oidc_token(call: Call) -> Outcome:
    """``POST /token``, JSON camelCase: refresh_token and device_code grants."""
    body = _body(call)
    if body is None or "scope" in body:
        return _INVALID_REQUEST
    if not call.world.desk.knows_client(body.get("clientId"), body.get("clientSecret")):
        return oidc_error("invalid_client", "Invalid client provided")
    if body.get("grantType") == DEVICE_GRANT:
        return _poll(call, body)
    if body.get("grantType") != "refresh_token" or not isinstance(body.get("refreshToken"), str):
        return _INVALID_REQUEST
    account = _holder(call, body["refreshToken"], social=False)
    if account is None or call.world.desk.issued_to(body["refreshToken"]) != body["clientId"]:
        return oidc_error("invalid_grant", "Invalid refresh token provided")
    fault = call.world.faults.draw("refresh", account.label)
    return await with_fault(call, fault, _grant_oidc)


async def register_client(call: Call) -> Outcome:
    """``POST /client/register``."""
    body = _body(call)
    if body is None or body.get("clientType") != "public" or not body.get("clientName"):
        return oidc_error("invalid_client_metadata", "Invalid client metadata")
    id_, secret = call.world.desk.register()
    now = int(call.world.clock.wall())
    return _json(
        {
            "clientId": id_,
            "clientSecret": secret,
            "clientIdIssuedAt": now,
            "clientSecretExpiresAt": now + CLIENT_TTL_S,
        }
    )


async def device_authorization(call: Call) -> Outcome:
    """``POST /device_authorization``: a code to type on a page that does not exist.

    Builder ID's start URL signs its account in, any other the organisation's."""
    body = _body(call)
    if body is None or not call.world.desk.knows_client(
        body.get("clientId"), body.get("clientSecret")
    ):
        return oidc_error("invalid_client", "Invalid client provided")
    start_url = body.get("startUrl", BUILDER_START_URL)
    if not isinstance(start_url, str) or not start_url.startswith("https://"):
        return oidc_error("invalid_request", "Invalid start url provided")
    kind = BUILDER if start_url == BUILDER_START_URL else IDC
    now_s = call.world.clock.monotonic()
    code, user_code = call.world.desk.start_device(kind, body["clientId"], now_s)
    page = f"{call.world.base_url}/device"
    return _json(
        {
            "deviceCode": code,
            "userCode": user_code,
            "verificationUri": page,
            "verificationUriComplete": f"{page}?user_code={user_code}",
            "expiresIn": int(call.world.settings.device_ttl_s),
            "interval": 1,
        }
    )


async def _grant_social(call: Call) -> Outcome:
    grant = _redeem(call)
    if grant is None:
        return _BAD_CREDENTIALS
    reply: JsonObject = {"accessToken": grant.access_token, "expiresIn": int(grant.ttl_s)}
    if _rotates(call):
        reply["refreshToken"] = grant.refresh_token
    reply["profileArn"] = grant.account.arn
    return _json(reply)


async def _grant_oidc(call: Call) -> Outcome:
    grant = _redeem(call)
    if grant is None:
        return oidc_error("invalid_grant", "Invalid refresh token provided")
    return _json(_oidc_reply(grant, rotated=_rotates(call)))


def _poll(call: Call, body: JsonObject) -> Outcome:
    now_s = call.world.clock.monotonic()
    code = body.get("deviceCode")
    if not isinstance(code, str):
        return _INVALID_REQUEST
    found = call.world.desk.poll_device(code, body["clientId"], now_s)
    if isinstance(found, str):
        return oidc_error(found, "Authorization is not complete")
    call.entry.account = found.account.label
    return _json(_oidc_reply(found, rotated=True))


def _oidc_reply(grant: Grant, *, rotated: bool) -> JsonObject:
    reply: JsonObject = {
        "accessToken": grant.access_token,
        "expiresIn": int(grant.ttl_s),
        "tokenType": "Bearer",
        "idToken": None,
    }
    if rotated:
        reply["refreshToken"] = grant.refresh_token
    return reply


def _holder(call: Call, token: str, *, social: bool) -> Account | None:
    """The account of a refresh token, if it is of the kind this service knows."""
    account = call.world.desk.by_refresh(token)
    if account is None or (account.kind == SOCIAL) is not social:
        return None
    call.entry.account = account.label
    return account


def _redeem(call: Call) -> Grant | None:
    desk: Desk = call.world.desk
    token = call.entry.json["refreshToken"]
    return desk.redeem(token, call.world.clock.monotonic(), rotate=_rotates(call))


def _rotates(call: Call) -> bool:
    return call.fault is None or call.fault.name != NO_ROTATION


def _body(call: Call) -> JsonObject | None:
    """The JSON object of a request, None for anything else, forms included."""
    if not call.entry.headers.get("content-type", "").startswith(
        ("application/json", "application/x-amz-json-1.1")
    ):
        return None
    try:
        parsed: Any = orjson.loads(call.request.body)
    except orjson.JSONDecodeError:
        return None
    call.entry.json = parsed
    return parsed if isinstance(parsed, dict) else None


def _json(value: JsonObject) -> Response:
    return Response(200, orjson.dumps(value), [(b"content-type", b"application/json")])


SOCIAL_REFRESH = Operation("refresh", social_refresh, bearer=False)
OIDC_TOKEN = Operation("refresh", oidc_token, bearer=False)
REGISTER = Operation("register", register_client, bearer=False)
DEVICE = Operation("device", device_authorization, bearer=False)
