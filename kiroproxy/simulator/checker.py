"""The strict reader: everything the service refuses about a chat request, as one table.

Where reports about the service differ, the rule takes the stricter side, so that a request that
passes here passes everywhere. Each breach has a rule name and a JSON path for tests; on the wire the
service says only the terse words of the rule's refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import orjson

from kiroproxy.simulator import refusals, schemas
from kiroproxy.simulator import rules_content as content
from kiroproxy.simulator import rules_history as history
from kiroproxy.simulator import rules_model as model
from kiroproxy.simulator.catalogue import CATALOGUE, ModelSpec, by_id
from kiroproxy.simulator.refusals import Refusal
from kiroproxy.simulator.request_shape import check_body_shape
from kiroproxy.simulator.shapes import Say
from kiroproxy.simulator.view import Caller, View, open_view


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach: which rule, where in the body, what was wrong, and what the service answers."""

    rule: str
    path: str
    detail: str
    refusal: Refusal

    def __str__(self) -> str:
        return f"{self.rule} at {self.path}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A short name, the check, the answer. ``tells``: the answer's message is the breach's detail."""

    name: str
    check: Callable[[View, Say], None]
    refusal: Refusal
    tells: bool = False


# In the order in which the service looks: the first breach decides the answer.
RULES: tuple[Rule, ...] = (
    Rule("arn-shape", model.arn_shape, refusals.BODY_INVALID),
    Rule("arn-known", model.arn_known, refusals.BODY_INVALID),
    Rule("arn-present", model.arn_present, refusals.ARN_REQUIRED),
    Rule("arn-allowed", model.arn_allowed, refusals.TOKEN_INVALID),
    Rule("conversation-id", history.conversation_id, refusals.BAD_CONVERSATION),
    Rule("continuation-id", history.continuation_id, refusals.IMPROPER),
    Rule("current-is-user", history.current_is_user, refusals.IMPROPER),
    Rule("history-starts-user", history.starts_with_user, refusals.IMPROPER),
    Rule("history-ends-assistant", history.ends_with_assistant, refusals.IMPROPER),
    Rule("history-alternates", history.alternates, refusals.IMPROPER),
    Rule("no-results-first", history.no_results_first, refusals.IMPROPER),
    Rule("results-after-uses", history.results_after_uses, refusals.IMPROPER),
    Rule("uses-answered", history.uses_answered, refusals.IMPROPER),
    Rule("unique-result-ids", history.unique_result_ids, refusals.IMPROPER),
    Rule("unique-use-ids", history.unique_use_ids, refusals.TOOL_FORMAT),
    Rule("tool-use-id", history.tool_use_ids, refusals.TOOL_FORMAT),
    Rule("tool-input", history.tool_inputs, refusals.TOOL_FORMAT),
    Rule("tools-only-current", history.tools_only_current, refusals.IMPROPER),
    Rule("history-tools-declared", history.history_tools_declared, refusals.IMPROPER),
    Rule("no-tool-cache-point", model.no_cache_points, refusals.IMPROPER),
    Rule("tool-name", model.tool_names, refusals.IMPROPER),
    Rule("unique-tool-names", model.unique_tool_names, refusals.IMPROPER),
    Rule("tool-description", model.tool_descriptions, refusals.IMPROPER),
    Rule("schema-root", model.schema_root, refusals.IMPROPER),
    Rule("schema-null", model.schema_nodes(schemas.check_nulls), refusals.IMPROPER),
    Rule("schema-keyword", model.schema_nodes(schemas.check_keywords), refusals.IMPROPER),
    Rule("schema-properties", model.schema_nodes(schemas.check_properties), refusals.IMPROPER),
    Rule("schema-required", model.schema_nodes(schemas.check_required), refusals.IMPROPER),
    Rule("content-empty", content.not_empty, refusals.IMPROPER),
    Rule("content-length", content.content_length, refusals.TOO_LONG),
    Rule("result-content", content.result_content, refusals.IMPROPER),
    Rule("tags-with-results", content.no_tags_with_results, refusals.IMPROPER),
    Rule("image-count", content.image_count, refusals.IMPROPER),
    Rule("image", content.images, refusals.IMPROPER),
    Rule("document", content.documents, refusals.IMPROPER),
    Rule("known-model", model.known_model, refusals.BAD_MODEL),
    Rule("fields-supported", model.fields_supported, refusals.NO_FIELDS),
    Rule("fields-schema", model.fields_match, refusals.BAD_FIELDS, tells=True),
    Rule("signature", content.reasoning, refusals.BAD_SIGNATURE),
    Rule("window", content.window, refusals.TOO_LONG),
)


def check_request(
    body: bytes,
    *,
    models: Iterable[ModelSpec] = CATALOGUE,
    caller: Caller | None = None,
    profile_arn_header: str | None = None,
) -> list[Violation]:
    """Every breach in a GenerateAssistantResponse body, in the service's order; empty when it passes.

    ``caller`` None leaves out the rules that depend on who asks; reasoning must then be signed for
    the owner ``""``. JSON and shape come first: when they fail, nothing else is looked at.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return [Violation("json", "$", str(error), refusals.IMPROPER)]
    found = check_shape(parsed)
    return found or check_rules(open_view(parsed, by_id(models), caller, profile_arn_header))


def check_shape(parsed: object) -> list[Violation]:
    """Breaches of the body's shape: members missing, unknown, or of the wrong type."""
    found: list[Violation] = []
    check_body_shape(parsed, _collector(found, "shape", refusals.IMPROPER))
    return found


def check_rules(view: View) -> list[Violation]:
    """Breaches of the rules by a body whose shape is right."""
    found: list[Violation] = []
    for rule in RULES:
        rule.check(view, _collector(found, rule.name, rule.refusal, rule.tells))
    return found


def _collector(found: list[Violation], name: str, refusal: Refusal, tells: bool = False) -> Say:
    def say(path: str, detail: str) -> None:
        answer = refusal.saying(detail) if tells else refusal
        found.append(Violation(name, path, detail, answer))

    return say
