"""The checker refuses each rule's smallest bad body, and lets the good ones pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from kiroproxy.simulator import signatures
from kiroproxy.simulator.checker import RULES, Violation, check_request
from kiroproxy.simulator.view import BUILDER_ARN, SOCIAL_ARN, Caller
from tests.simulator.bodies import (
    Body,
    assistant,
    b64,
    body,
    document,
    image,
    offering,
    png,
    result,
    tool,
    tool_turn,
    use,
    user,
)

SOCIAL = Caller("social", SOCIAL_ARN)
ORGANISATION_ARN = "arn:aws:codewhisperer:eu-central-1:111122223333:profile/ABCDEFGHIJKL"
FIELDS = {
    "output_config": {"effort": "high"},
    "thinking": {"type": "adaptive", "display": "summarized"},
    "max_tokens": 32000,
}


def check(value: Body, **more: Any) -> list[Violation]:
    return check_request(orjson.dumps(value), **more)


def rules(found: list[Violation]) -> set[str]:
    return {violation.rule for violation in found}


def results(*all_results: Body, tools: bool = True) -> Body:
    context: Body = {"toolResults": list(all_results)}
    if tools:
        context["tools"] = [tool()]
    return user(" ", userInputMessageContext=context)


def signed(text: str, signature: str) -> Body:
    return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}


def with_schema(schema: Any) -> Body:
    return offering("Hi", tool(schema=schema))


GOOD: dict[str, Body] = {
    "smallest": body(),
    "with profile": body(profileArn=SOCIAL_ARN),
    "tool turn": tool_turn(),
    "history": body(user("a"), assistant("b"), user("c")),
    "no model id": {
        "conversationState": {
            "chatTriggerType": "MANUAL",
            "conversationId": "3f2b8c1e-5a77-4f0e-9f0b-0b6f4f1f2a10",
            "currentMessage": {"userInputMessage": {"content": "hi"}},
            "history": [],
        }
    },
    "all state members": {
        "conversationState": {
            **body()["conversationState"],
            "agentTaskType": "vibe",
            "agentContinuationId": "0c2d8c1e-5a77-4f0e-9f0b-0b6f4f1f2a10",
        },
        "agentMode": "vibe",
    },
    "environment": body(
        user(
            userInputMessageContext={
                "envState": {"operatingSystem": "linux", "currentWorkingDirectory": "/tmp"}
            }
        )
    ),
    "empty content beside results": body(
        user("a"),
        assistant(" ", toolUses=[use()]),
        user("", userInputMessageContext={"toolResults": [result()], "tools": [tool()]}),
    ),
    "parallel calls": body(
        user("a"),
        assistant(" ", toolUses=[use("a"), use("b")]),
        results(result("b"), result("a", status="error")),
    ),
    "image": body(user(images=[image()])),
    "image of the most pixels": body(user(images=[image(png(8_000, 2))])),
    "jpeg": body(user(images=[image(b"\xff\xd8\xff\xe0", "jpeg")])),
    "gif": body(user(images=[image(b"GIF89a", "gif")])),
    "webp": body(user(images=[image(b"RIFF\0\0\0\0WEBP", "webp")])),
    "pdf": body(user(documents=[document()])),
    "text document": body(user(documents=[document("é".encode(), "txt")])),
    "cache point on a message": body(user(cachePoint={"type": "default"})),
    "extra fields": body(
        user(model="claude-sonnet-5"), additionalModelRequestFields=copy.deepcopy(FIELDS)
    ),
    "gpt fields": body(
        user(model="gpt-5.6-sol"), additionalModelRequestFields={"reasoning": {"effort": "low"}}
    ),
    "own signature": body(
        user("a"), assistant("b", **signed("thought", signatures.sign("thought", ""))), user("c")
    ),
    "redacted": body(
        user("a"),
        assistant("b", reasoningContent={"redactedContent": signatures.redact("x", "")}),
        user("c"),
    ),
    "long name": offering("Hi", tool("a" * 64)),
    "longest description": offering("Hi", tool(description="é" * 10_240)),
    "property called like a keyword": with_schema(
        {
            "type": "object",
            "properties": {
                "$ref": {"type": "string"},
                "additionalProperties": {"type": ["string", "null"], "default": None},
            },
            "required": ["$ref"],
        }
    ),
    "root anyOf": with_schema({"type": "object", "anyOf": [{"required": ["a"]}]}),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_body_passes(name: str) -> None:
    assert check(GOOD[name]) == []


def state(**changes: Any) -> Body:
    changed = body()
    changed["conversationState"].update(changes)
    return changed


HISTORY_USE = [user("a"), assistant("b", toolUses=[use()])]

# rule → bodies that breach it and nothing else.
BAD: dict[str, list[Body]] = {
    "shape": [
        {},
        {"conversationState": None},
        body(systemPrompt="x"),
        body(inferenceConfig={"maxTokens": 1}),
        body(profileArn=None),
        body(agentMode="chat"),
        state(chatTriggerType="AUTO"),
        state(agentTaskType="chat"),
        state(history=None),
        state(currentMessage={}),
        state(currentMessage={**user(), **assistant()}),
        body(user(orgin="AI_EDITOR")),
        body({"userInputMessage": {"modelId": "auto"}}),
        body({"userInputMessage": {"content": None}}),
        body({"userInputMessage": {"content": [{"type": "text"}]}}),
        body({"userInputMessage": {"content": "x", "origin": "WEB"}}),
        body(user(images=[{"format": "bmp", "source": {"bytes": ""}}])),
        body(user(images=[{"format": "png", "source": {"url": "http://x"}}])),
        body(user(documents=[document(format_="docx")])),
        body(user(documents=[document(name="")])),
        body(user(cachePoint={"type": "ephemeral"})),
        body(user(userInputMessageContext={"toolResults": [{"toolUseId": "a"}]})),
        body(*HISTORY_USE, results(result(status="ok"))),
        body(*HISTORY_USE, results({**result(), "content": "text"})),
        body(*HISTORY_USE, results({**result(), "content": [image()]})),
        body(user(), assistant(reasoningContent={"text": "x", "signature": "y"}), user()),
        body(user(), assistant(reasoningContent={"reasoningText": {"text": "x"}}), user()),
        body(user(), assistant(toolUses=[{"name": "Bash", "input": {}}]), user()),
        offering("Hi", {"toolSpecification": {"name": "x", "description": "y"}}),
        offering("Hi", {"name": "x", "description": "y", "inputSchema": {"json": {}}}),
        with_schema(None) | {"conversationState": None},
        offering("Hi", tool(description="x") | {"cachePoint": {"type": "default"}}),
    ],
    "conversation-id": [state(conversationId="conv-1"), state(conversationId="")],
    "continuation-id": [state(agentContinuationId="1")],
    "current-is-user": [body(assistant())],
    "history-starts-user": [body(assistant("a"), user("b"))],
    "history-ends-assistant": [body(user("a"), user("b"))],
    "history-alternates": [
        body(user("a"), user("b"), assistant("c"), user("d")),
        body(user("a"), assistant("b"), assistant("c"), user("d")),
    ],
    "no-results-first": [
        body(results(result(), tools=False)),
        body(results(result(), tools=False), assistant("b"), user("c")),
    ],
    "results-after-uses": [
        body(user("a"), assistant("b"), results(result())),
        body(*HISTORY_USE, results(result(), result("toolu_02"))),
    ],
    "uses-answered": [
        body(*HISTORY_USE, user("c", userInputMessageContext={"tools": [tool()]})),
        body(
            user("a"),
            assistant("b", toolUses=[use("a"), use("b")]),
            results(result("a")),
        ),
    ],
    "unique-result-ids": [body(*HISTORY_USE, results(result(), result()))],
    "unique-use-ids": [body(user("a"), assistant("b", toolUses=[use(), use()]), results(result()))],
    "tool-use-id": [
        body(user("a"), assistant("b", toolUses=[use(bad)]), results(result(bad)))
        for bad in ("", "a.b", "é", "a" * 65, "a\n")
    ],
    "tool-input": [
        body(user("a"), assistant("b", toolUses=[use(input_=bad)]), results(result()))
        for bad in ('{"command":"ls"}', [], {"": 1}, {"a": [{"b": {"": 1}}]})
    ],
    "tools-only-current": [
        body(
            user("a", userInputMessageContext={"tools": [tool()]}),
            assistant("b"),
            user("c", userInputMessageContext={"tools": [tool()]}),
        )
    ],
    "history-tools-declared": [
        body(*HISTORY_USE, results(result(), tools=False)),
        body(
            user("a"),
            assistant("b", toolUses=[use(name="bash")]),
            results(result()),
        ),
    ],
    "no-tool-cache-point": [offering("Hi", tool(), {"cachePoint": {"type": "default"}})],
    "tool-name": [
        offering("Hi", tool(bad))
        for bad in ("", "1st", "_a", "-a", "a.b", "a/b", "é", "a b", "a\n", "a" * 65)
    ],
    "unique-tool-names": [offering("Hi", tool(), tool())],
    "tool-description": [
        offering("Hi", tool(description="")),
        offering("Hi", tool(description="x" * 10_241)),
    ],
    "schema-root": [
        with_schema({}),
        with_schema({"type": "string"}),
        with_schema({"type": ["object"]}),
        with_schema({"anyOf": [{"type": "object"}]}),
    ],
    "schema-null": [
        with_schema({"type": "object", "properties": None}),
        with_schema({"type": "object", "required": None}),
        with_schema({"type": "object", "properties": {"a": None}}),
        with_schema({"type": "object", "properties": {"a": {"type": None}}}),
        with_schema({"type": "object", "items": {"anyOf": [{"properties": None}]}}),
    ],
    "schema-keyword": [
        with_schema({"type": "object", "additionalProperties": False}),
        with_schema(
            {"type": "object", "properties": {"a": {"additionalProperties": {"type": "string"}}}}
        ),
        with_schema({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}}),
        with_schema({"type": "object", "$schema": "https://json-schema.org/draft/2020-12/schema"}),
    ],
    "schema-properties": [
        with_schema({"type": "object", "properties": []}),
        with_schema({"type": "object", "properties": {"": {}}}),
        with_schema({"type": "object", "properties": {"a": {"properties": {"": {}}}}}),
    ],
    "schema-required": [
        with_schema({"type": "object", "required": []}),
        with_schema({"type": "object", "required": "a"}),
        with_schema({"type": "object", "required": [1]}),
        with_schema({"type": "object", "required": ["a", "a"]}),
        with_schema({"type": "object", "properties": {"a": {"required": True}}}),
    ],
    "content-empty": [
        body(user("")),
        body(user("a"), assistant(""), user("b")),
        body(user("a"), assistant("", toolUses=[use()]), results(result())),
    ],
    "content-length": [body(user("x" * 600_001, model="claude-sonnet-5"))],
    "result-content": [
        body(*HISTORY_USE, results({**result(), "content": []})),
        body(*HISTORY_USE, results(result(text=""))),
    ],
    "tags-with-results": [
        body(
            *HISTORY_USE,
            user(
                "<thinking_mode>enabled</thinking_mode>",
                userInputMessageContext={"toolResults": [result()], "tools": [tool()]},
            ),
        )
    ],
    "image-count": [body(user(images=[image()] * 11))],
    "image": [
        body(user(images=[image(format_="jpeg")])),
        body(user(images=[image(b"")])),
        body(user(images=[{"format": "png", "source": {"bytes": "data:image/png;base64,"}}])),
        body(user(images=[{"format": "png", "source": {"bytes": b64(png()).rstrip("=") + "!"}}])),
        body(user("a", images=[image(b"BM")]), assistant("b"), user("c")),
        body(user(images=[image(png(8_001, 1))])),
        body(user(images=[image(png(1, 8_001))])),
    ],
    "document": [
        body(user(documents=[document(b"hello")])),
        body(user(documents=[document(b"\xff\xfe", "txt")])),
        body(user(documents=[document(b"")])),
    ],
    "known-model": [
        body(user(model="claude-sonnet-4-5")),
        body(user("a", model="claude-2"), assistant("b"), user("c")),
    ],
    "fields-supported": [
        body(user(model="claude-sonnet-4.5"), additionalModelRequestFields=FIELDS),
        body(user(model="auto"), additionalModelRequestFields={}),
    ],
    "fields-schema": [
        body(user(model="claude-sonnet-5"), additionalModelRequestFields=bad)
        for bad in (
            {"reasoning": {"effort": "low"}},
            {"temperature": 1},
            {"output_config": {"effort": "huge"}},
            {"output_config": "high"},
            {"thinking": {"type": "enabled"}},
            {"thinking": {"display": "omitted"}},
            {"thinking": {"type": "adaptive", "budget_tokens": 1}},
            {"max_tokens": 1023},
            {"max_tokens": 64_001},
            {"max_tokens": 1e4},
            {"max_tokens": True},
        )
    ],
    "signature": [
        body(user("a"), assistant("b", **signed("thought", bad)), user("c"))
        for bad in (
            "",
            "EqQB",
            signatures.sign("thought", "")[:-4],
            signatures.sign("other", ""),
            signatures.sign("thought", "somebody"),
        )
    ]
    + [body(user(), assistant(reasoningContent={"redactedContent": "!"}), user())],
    "window": [body(*[user("x" * 500_000), assistant("x" * 500_000)], user("x"))],
}
ARN_RULES = {"arn-shape", "arn-known", "arn-present", "arn-allowed"}


@pytest.mark.parametrize(
    ("rule", "index"), [(rule, index) for rule in BAD for index in range(len(BAD[rule]))]
)
def test_bad_body_breaches_its_rule(rule: str, index: int) -> None:
    assert rules(check(BAD[rule][index])) == {rule}


def test_every_rule_has_a_bad_body() -> None:
    assert {rule.name for rule in RULES} == (BAD.keys() - {"shape"}) | ARN_RULES


def test_rule_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'"x"', b"\xff", b'{"a":NaN}', b"null"])
def test_not_a_json_object(raw: bytes) -> None:
    assert rules(check_request(raw)) <= {"json", "shape"}
    assert check_request(raw)


# caller, ARN in the body, ARN in the header → rules breached
ARNS: list[tuple[Caller | None, str | None, str | None, set[str]]] = [
    (SOCIAL, SOCIAL_ARN, None, set()),
    (SOCIAL, None, SOCIAL_ARN, set()),
    (SOCIAL, SOCIAL_ARN, SOCIAL_ARN, set()),
    (SOCIAL, None, None, set()),
    (SOCIAL, "arn:aws:codewhisperer", None, {"arn-shape"}),
    (SOCIAL, "", None, {"arn-shape"}),
    (SOCIAL, SOCIAL_ARN, BUILDER_ARN, {"arn-shape", "arn-allowed"}),
    (SOCIAL, ORGANISATION_ARN, None, {"arn-known"}),
    (SOCIAL, BUILDER_ARN, None, {"arn-allowed"}),
    (None, "x", None, {"arn-shape"}),
    (None, ORGANISATION_ARN, None, set()),
    (Caller("idc", ORGANISATION_ARN), ORGANISATION_ARN, None, set()),
    (Caller("idc", ORGANISATION_ARN), SOCIAL_ARN, None, {"arn-allowed"}),
    (Caller("social", SOCIAL_ARN, arn_required=True), None, None, {"arn-present"}),
    (Caller("builder"), None, None, set()),
    (Caller("builder"), BUILDER_ARN, None, set()),
    (Caller("builder"), SOCIAL_ARN, None, {"arn-allowed"}),
    (Caller("builder", builder_arn="refuse"), None, None, set()),
    (Caller("builder", builder_arn="refuse"), BUILDER_ARN, None, {"arn-allowed"}),
    (Caller("builder", builder_arn="require"), None, None, {"arn-allowed"}),
    (Caller("builder", builder_arn="require"), BUILDER_ARN, None, set()),
    (Caller("api_key", ORGANISATION_ARN), None, None, set()),
    (Caller("api_key", ORGANISATION_ARN, arn_required=True), None, None, set()),
    (Caller("api_key", ORGANISATION_ARN), ORGANISATION_ARN, None, set()),
    (Caller("api_key", ORGANISATION_ARN), BUILDER_ARN, None, set()),
    (Caller("api_key", ORGANISATION_ARN), SOCIAL_ARN, None, {"arn-allowed"}),
]


@pytest.mark.parametrize(("caller", "in_body", "in_header", "expected"), ARNS)
def test_profile_arn_rules(
    caller: Caller | None, in_body: str | None, in_header: str | None, expected: set[str]
) -> None:
    value = body() if in_body is None else body(profileArn=in_body)
    found = check(value, caller=caller, profile_arn_header=in_header)
    assert rules(found) == expected


def test_signature_is_bound_to_its_owner() -> None:
    theirs = signed("t", signatures.sign("t", "alice"))
    value = body(user("a"), assistant("b", **theirs), user("c"))
    assert check(value, caller=Caller("social", SOCIAL_ARN, owner="alice")) == []
    found = check(value, caller=Caller("social", SOCIAL_ARN, owner="bob"))
    assert found[0].refusal.reason == "THINKING_SIGNATURE_INVALID"


def change(mutate: Callable[[Body], None]) -> Body:
    value = tool_turn()
    mutate(value)
    return value


def test_violation_names_the_place() -> None:
    (found,) = check(
        change(
            lambda value: value["conversationState"]["history"][1]["assistantResponseMessage"][
                "toolUses"
            ][0].update(input="{}")
        )
    )
    assert found.path == (
        "$.conversationState.history[1].assistantResponseMessage.toolUses[0].input"
    )
    assert found.refusal.message == "Invalid tool use format."
    assert "tool-input at $.conversationState" in str(found)


def test_schema_answer_names_the_property() -> None:
    (found,) = check(
        body(user(model="claude-sonnet-5"), additionalModelRequestFields={"reasoning": {}})
    )
    assert found.refusal.message == "property 'reasoning' is not defined in the schema"


def test_a_crowd_of_calls_is_no_crowd_of_comparisons() -> None:
    """150,000 in one message, the last answered twice: the limit of time of all tests is the measure."""
    ids = [f"t{number}" for number in range(150_000)]
    uses = [use(id_) for id_ in ids]
    answers = [result(id_, "1") for id_ in [*ids, ids[-1]]]
    value = body(user(), assistant("", toolUses=uses), results(*answers))
    assert {v.rule for v in check(value)} >= {"unique-result-ids"}
