"""The control plane: usage limits, models, profiles, and the MCP side door with web search."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import orjson

from kiroproxy.http import Response
from kiroproxy.simulator import refusals
from kiroproxy.simulator.catalogue import DEFAULT_MODEL_ID, JsonObject, model_entry
from kiroproxy.simulator.gate import JSON_REST, Call, Operation, Outcome
from kiroproxy.simulator.refusals import Refusal
from kiroproxy.simulator.rules_model import is_arn_allowed, is_arn_known
from kiroproxy.simulator.settings import API_KEY, BUILDER, DEMO_NEXT_RESET_EPOCH_S, SOCIAL, Account

MAX_PAGE = 100
_INVALID_REQUEST = -32600
_INVALID_PARAMS = -32602
_METHOD_NOT_FOUND = -32601
_SEARCH_RESULTS = 10
_RPC_MEMBERS = {"id", "jsonrpc", "method", "params", "profileArn"}


async def usage_limits(call: Call) -> Outcome:
    """GetUsageLimits; the e-mail only when asked for."""
    inputs = _inputs(call)
    if isinstance(inputs, Refusal):
        return inputs
    if not inputs.get("origin"):
        return refusals.IMPROPER
    wants_email = str(inputs.get("isEmailRequired", "")).lower() == "true"
    return _json(_usage(call.signed_in, email=wants_email), call)


async def list_models(call: Call) -> Outcome:
    """ListAvailableModels, in pages."""
    inputs = _inputs(call)
    if isinstance(inputs, Refusal):
        return inputs
    start, size = _page(call, inputs)
    if not inputs.get("origin") or start is None:
        return refusals.IMPROPER
    models = call.world.models_of(call.signed_in)
    reply: JsonObject = {
        "defaultModel": {"modelId": DEFAULT_MODEL_ID, "modelName": "Auto"},
        "models": [model_entry(model) for model in models[start : start + size]],
    }
    if start + size < len(models):
        reply["nextToken"] = f"page-{start + size}"
    return _json(reply, call)


async def list_profiles(call: Call) -> Outcome:
    """ListAvailableProfiles: organisations have one, social sign-ins an empty list."""
    if _parsed(call) is None:
        return refusals.IMPROPER
    account = call.signed_in
    if account.kind == BUILDER:
        return refusals.BUILDER_PROFILES
    if account.kind == API_KEY:
        return refusals.KEY_PROFILES
    profiles = []
    if account.kind != SOCIAL and account.arn:
        profiles.append({"arn": account.arn, "profileName": "Demo organisation"})
    return _json({"profiles": profiles, "nextToken": None}, call)


async def mcp(call: Call) -> Outcome:
    """JSON-RPC with one tool, ``web_search``."""
    if call.entry.headers.get("content-type", "").partition(";")[0].strip() != JSON_REST:
        return refusals.MEDIA_TYPE
    body = _parsed(call)
    if body is None:
        return refusals.IMPROPER
    has_arn = "profileArn" in body or "x-amzn-kiro-profile-arn" in call.entry.headers
    needs_arn = call.world.settings.arn_required and call.signed_in.kind != API_KEY
    if needs_arn and not has_arn:
        return refusals.ARN_REQUIRED
    refused = _arn_refusal(call, body)
    if refused is not None:
        return refused
    return _json({"jsonrpc": "2.0", "id": body.get("id"), **_rpc(body)}, call)


def _rpc(body: JsonObject) -> JsonObject:
    """Members that nobody has seen in a call of the service's own clients are refused, so that none is
    sent in the hope of an effect."""
    call_id = body.get("id")
    named = isinstance(call_id, str | int) and not isinstance(call_id, bool) and call_id != ""
    if not named or not body.keys() <= _RPC_MEMBERS or body.get("jsonrpc") != "2.0":
        return _rpc_error(_INVALID_REQUEST, "Invalid Request")
    if body.get("method") == "tools/list":
        return {"result": {"tools": [_SEARCH_TOOL]}}
    if body.get("method") != "tools/call":
        return _rpc_error(_METHOD_NOT_FOUND, "Method not found")
    query = _asked(body.get("params"))
    if query is None:
        return _rpc_error(_INVALID_PARAMS, "Invalid params")
    found = orjson.dumps(_search(query)).decode()
    return {"result": {"isError": False, "content": [{"type": "text", "text": found}]}}


def _asked(params: Any) -> str | None:
    """The query of a call that is right: the tool's name and its one argument, nothing else."""
    if not isinstance(params, dict) or params.keys() != {"name", "arguments"}:
        return None
    arguments = params["arguments"]
    if params["name"] != "web_search" or not isinstance(arguments, dict):
        return None
    query = arguments.get("query")
    right = arguments.keys() == {"query"} and isinstance(query, str) and query.strip()
    return query if right else None


def _rpc_error(code: int, message: str) -> JsonObject:
    return {"error": {"code": code, "message": message}}


_SEARCH_TOOL: JsonObject = {
    "name": "web_search",
    "description": "Searches the web",
    "inputSchema": {
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
    },
}


def _search(query: str) -> JsonObject:
    results = [
        {
            "title": f"{query}: result {number}",
            "url": f"https://example.com/{number}",
            "snippet": f"What page {number} says about {query}.",
            "publishedDate": 1_759_881_600_000,
            "id": f"result-{number}",
            "domain": "example.com",
            "maxVerbatimWordLimit": 30,
            "publicDomain": False,
        }
        for number in range(1, _SEARCH_RESULTS + 1)
    ]
    return {"results": results, "totalResults": len(results), "query": query, "error": None}


def _usage(account: Account, *, email: bool) -> JsonObject:
    user: JsonObject = {"userId": account.user_id}
    if email:
        user["email"] = account.email
    return {
        "daysUntilReset": 0,
        "nextDateReset": DEMO_NEXT_RESET_EPOCH_S,
        "limits": [],
        "subscriptionInfo": {
            "type": account.subscription,
            "subscriptionTitle": account.title,
            "upgradeCapability": "UPGRADE_CAPABLE",
            "overageCapability": "OVERAGE_CAPABLE",
            "subscriptionManagementTarget": "MANAGE",
        },
        "overageConfiguration": {"overageStatus": "DISABLED"},
        "userInfo": user,
        "usageBreakdownList": [_breakdown(account)],
    }


def _breakdown(account: Account) -> JsonObject:
    return {
        "resourceType": "CREDIT",
        "displayName": "Credit",
        "displayNamePlural": "Credits",
        "unit": "INVOCATIONS",
        "currency": "USD",
        "currentUsage": int(account.credits_used),
        "currentUsageWithPrecision": round(account.credits_used, 4),
        "usageLimit": int(account.credits_limit),
        "usageLimitWithPrecision": account.credits_limit,
        "currentOverages": 0,
        "currentOveragesWithPrecision": 0.0,
        "overageCap": 10_000,
        "overageRate": 0.04,
        "overageCharges": 0.0,
        "nextDateReset": DEMO_NEXT_RESET_EPOCH_S,
        "bonuses": [],
    }


def _page(call: Call, inputs: JsonObject) -> tuple[int | None, int]:
    """Start and size of the asked page; start None when a parameter is no good."""
    token = str(inputs.get("nextToken") or "page-0").removeprefix("page-")
    wanted = str(inputs.get("maxResults") or call.world.settings.page_size)
    if not token.isdigit() or not wanted.isdigit() or not 1 <= int(wanted) <= MAX_PAGE:
        return None, 0
    return int(token), min(int(wanted), call.world.settings.page_size)


def _inputs(call: Call) -> JsonObject | Refusal:
    """Inputs from the query string and, for POST, the body; both places count. A profile ARN must
    be one the account may name."""
    inputs: JsonObject = {name: values[0] for name, values in parse_qs(call.request.query).items()}
    if call.request.method == "POST":
        body = _parsed(call)
        if body is None:
            return refusals.IMPROPER
        inputs |= body
    return _arn_refusal(call, inputs) or inputs


def _arn_refusal(call: Call, inputs: JsonObject) -> Refusal | None:
    arn = inputs.get("profileArn") or call.entry.headers.get("x-amzn-kiro-profile-arn")
    account = call.signed_in
    if not arn:
        required = call.world.settings.arn_required and account.kind != API_KEY
        return refusals.ARN_REQUIRED if required else None
    caller = account.caller(arn_required=False)
    if not is_arn_known(str(arn), caller):
        return refusals.BODY_INVALID
    return None if is_arn_allowed(str(arn), caller) else refusals.TOKEN_INVALID


def _parsed(call: Call) -> JsonObject | None:
    try:
        parsed: Any = orjson.loads(call.request.body or b"{}")
    except orjson.JSONDecodeError:
        return None
    call.entry.json = parsed
    return parsed if isinstance(parsed, dict) else None


def _json(value: JsonObject, call: Call) -> Response:
    kind = b"application/x-amz-json-1.0" if call.typed else b"application/json"
    return Response(200, orjson.dumps(value), [(b"content-type", kind)])


USAGE = Operation("usage", usage_limits)
MODELS = Operation("models", list_models)
PROFILES = Operation("profiles", list_profiles)
MCP = Operation("mcp", mcp)
