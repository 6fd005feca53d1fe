"""Rules about tool declarations, the asked model with its extra fields, and the profile."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kiroproxy.simulator import schemas
from kiroproxy.simulator.shapes import Say
from kiroproxy.simulator.view import BUILDER_ARN, DEMO_ORGANISATION_ARN, SOCIAL_ARN, Caller, View

MAX_NAME_CHARS = 64
MAX_DESCRIPTION_CHARS = 10_240

_TOOL_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]*\Z")
_ARN = re.compile(
    r"arn:aws:codewhisperer:[a-z]{2}(-gov)?-[a-z]+-\d{1,2}:\d{12}:profile/[a-zA-Z0-9]{12}\Z"
)

SchemaCheck = Callable[[Any, str, Say], None]


def no_cache_points(view: View, say: Say) -> None:
    """A cache point among the tools draws the 400, although the API model allows it."""
    for index, entry in enumerate(view.tools):
        if "cachePoint" in entry:
            say(f"{view.tools_path}[{index}].cachePoint", "cache point among the tools")


def tool_names(view: View, say: Say) -> None:
    """Up to 64 letters, digits, dashes and underscores, a letter first."""
    for path, specification in view.specifications():
        name = specification["name"]
        if len(name) > MAX_NAME_CHARS or not _TOOL_NAME.match(name):
            say(f"{path}.name", "not a tool name")


def unique_tool_names(view: View, say: Say) -> None:
    """No two tools share a name."""
    seen: set[str] = set()
    for path, specification in view.specifications():
        if specification["name"] in seen:
            say(f"{path}.name", "a tool of this name is already declared")
        seen.add(specification["name"])


def tool_descriptions(view: View, say: Say) -> None:
    """1 to 10,240 characters."""
    for path, specification in view.specifications():
        if not 1 <= len(specification["description"]) <= MAX_DESCRIPTION_CHARS:
            say(f"{path}.description", f"expected 1 to {MAX_DESCRIPTION_CHARS} characters")


def schema_root(view: View, say: Say) -> None:
    """The input schema describes an object."""
    for path, specification in view.specifications():
        schemas.check_root(specification["inputSchema"]["json"], f"{path}.inputSchema.json", say)


def schema_nodes(check: SchemaCheck) -> Callable[[View, Say], None]:
    """A rule that holds for every schema inside each tool's input schema."""

    def rule(view: View, say: Say) -> None:
        for path, specification in view.specifications():
            root = specification["inputSchema"]["json"]
            for at, node in schemas.walk_schema(root, f"{path}.inputSchema.json"):
                check(node, at, say)

    return rule


def known_model(view: View, say: Say) -> None:
    """Each named model is in the account's catalogue."""
    for turn in view.turns:
        name = turn.message.get("modelId")
        if name is not None and name not in view.models:
            say(f"{turn.path}.modelId", "not in the catalogue")


def fields_supported(view: View, say: Say) -> None:
    """Extra fields go only to models that publish a schema for them."""
    model = view.model
    if "additionalModelRequestFields" in view.body and model and model.fields_schema is None:
        say("$.additionalModelRequestFields", "the model has no schema")


def fields_match(view: View, say: Say) -> None:
    """Extra fields match the model's schema."""
    fields = view.body.get("additionalModelRequestFields")
    if fields is not None and view.model and view.model.fields_schema is not None:
        schemas.validate(fields, view.model.fields_schema, "$.additionalModelRequestFields", say)


def arn_shape(view: View, say: Say) -> None:
    """A profile ARN is one, wherever it stands, and both places say the same."""
    arns = _arns(view)
    for path, arn in arns:
        if not _ARN.match(arn):
            say(path, "not a profile ARN")
    if len({arn for _, arn in arns}) > 1:
        say("$.profileArn", "differs from the header x-amzn-kiro-profile-arn")


def arn_present(view: View, say: Say) -> None:
    """The newer hosts insist on a profile from everybody but API keys."""
    caller = view.caller
    if caller and caller.arn_required and caller.kind != "api_key" and not _arns(view):
        say("$.profileArn", "required on this host")


def arn_known(view: View, say: Say) -> None:
    """A right-looking ARN that belongs to no profile in sight."""
    for path, arn in _arns(view):
        if view.caller and _ARN.match(arn) and not is_arn_known(arn, view.caller):
            say(path, "no such profile")


def arn_allowed(view: View, say: Say) -> None:
    """The ARN fits the kind of sign-in."""
    caller = view.caller
    if caller is None:
        return
    arns = [arn for _, arn in _arns(view)]
    if not arns and caller.kind == "builder" and caller.builder_arn == "require":
        say("$.profileArn", "this Builder ID needs the shared profile")
    if any(is_arn_known(arn, caller) and not is_arn_allowed(arn, caller) for arn in arns):
        say("$.profileArn", "belongs to another kind of sign-in")


def is_arn_known(arn: str, caller: Caller) -> bool:
    """Whether a profile of this name exists, for whomever."""
    return arn in (SOCIAL_ARN, BUILDER_ARN, DEMO_ORGANISATION_ARN, caller.arn)


def is_arn_allowed(arn: str, caller: Caller) -> bool:
    """Whether this caller may name this profile: the own one, or the shared one of Builder ID."""
    if arn == caller.arn:
        return True
    may_share = caller.kind == "api_key" or (
        caller.kind == "builder" and caller.builder_arn in ("either", "require")
    )
    return arn == BUILDER_ARN and may_share


def _arns(view: View) -> list[tuple[str, str]]:
    found = []
    if "profileArn" in view.body:
        found.append(("$.profileArn", view.body["profileArn"]))
    if view.profile_arn_header is not None:
        found.append(("header x-amzn-kiro-profile-arn", view.profile_arn_header))
    return found
