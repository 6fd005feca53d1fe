"""The invariants of the request, on every Turn Hypothesis can think of, and case by case."""

import base64
import re
import uuid
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiroproxy.api.signatures import PLACEHOLDER_SIGNATURE
from kiroproxy.api.to_kiro import KiroRequest, build
from kiroproxy.api.turn import (
    Document,
    Image,
    Message,
    Reasoning,
    RedactedReasoning,
    Text,
    Thinking,
    ThinkingKind,
    Tool,
    ToolChoice,
    ToolChoiceKind,
    ToolResult,
    ToolUse,
    Turn,
    WebSearch,
)
from kiroproxy.kiro.models import ModelInfo
from kiroproxy.simulator.catalogue import CATALOGUE
from kiroproxy.simulator.checker import check_request
from tests.api.turns import PDF, PNG, PROPERTY, TURNS

MODELS = [
    ModelInfo(
        spec.id, spec.id, max_input_tokens=spec.max_input_tokens, fields_schema=spec.fields_schema
    )
    for spec in CATALOGUE
]
PLAIN = ModelInfo("claude-sonnet-4.5", "Claude Sonnet 4.5", 200_000)
NATIVE = next(m for m in MODELS if m.fields_schema and m.id.startswith("claude"))
NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def sent(turn: Turn, model: ModelInfo = PLAIN) -> dict[str, Any]:
    """conversationState of the encoded request."""
    state: dict[str, Any] = orjson.loads(build(turn, model).encode(None))["conversationState"]
    return state


def history(turn: Turn, model: ModelInfo = PLAIN) -> list[dict[str, Any]]:
    """The history as plain messages, the system pair included."""
    entries: list[dict[str, Any]] = sent(turn, model).get("history", [])
    return [next(iter(entry.values())) for entry in entries]


def current(turn: Turn, model: ModelInfo = PLAIN) -> dict[str, Any]:
    message: dict[str, Any] = sent(turn, model)["currentMessage"]["userInputMessage"]
    return message


def tools_of(turn: Turn, model: ModelInfo = PLAIN) -> list[dict[str, Any]]:
    context = current(turn, model).get("userInputMessageContext", {})
    return [tool["toolSpecification"] for tool in context.get("tools", [])]


def user(*blocks: Any) -> Message:
    return Message("user", [Text(b) if isinstance(b, str) else b for b in blocks])


def assistant(*blocks: Any) -> Message:
    return Message("assistant", [Text(b) if isinstance(b, str) else b for b in blocks])


def system(*texts: str) -> Message:
    return Message("system", [Text(text) for text in texts])


def turn_of(*messages: Message, **more: Any) -> Turn:
    return Turn("claude-sonnet-4-5", list(messages), **more)


def use(use_id: str = "toolu_1", name: str = "Bash", **arguments: Any) -> ToolUse:
    return ToolUse(use_id, name, arguments)


def result(use_id: str = "toolu_1", text: str = "done", is_error: bool = False) -> ToolResult:
    return ToolResult(use_id, [Text(text)], is_error)


BASH = Tool(
    "Bash", "Run a command", {"type": "object", "properties": {"command": {"type": "string"}}}
)


# --- every Turn ---


@given(TURNS, st.sampled_from(MODELS))
@PROPERTY
def test_build_any_turn_passes_the_independent_checker(turn: Turn, model: ModelInfo) -> None:
    body = build(turn, model).encode(None, reasoning=False)
    assert [str(v) for v in check_request(body)] == []


def nulls(value: Any) -> Iterator[Any]:
    if value is None:
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from nulls(item)


@given(TURNS, st.sampled_from(MODELS))
@PROPERTY
def test_build_any_turn_holds_the_invariants(turn: Turn, model: ModelInfo) -> None:
    request = build(turn, model)
    state = orjson.loads(request.encode(None))["conversationState"]
    entries = [*state.get("history", []), state["currentMessage"]]
    kinds = [next(iter(entry)) for entry in entries]
    assert kinds == ["userInputMessage", "assistantResponseMessage"] * (len(kinds) // 2) + [
        "userInputMessage"
    ]
    messages = [next(iter(entry.values())) for entry in entries]
    assert all(message["content"] for message in messages)
    asked: list[str] = []
    for kind, message in zip(kinds, messages, strict=True):
        if kind == "userInputMessage":
            assert message["modelId"] == model.id
            assert message["origin"] == "AI_EDITOR"
            assert len(message.get("images", [])) <= 10
            results = message.get("userInputMessageContext", {}).get("toolResults", [])
            assert [r["toolUseId"] for r in results] == asked
            assert all(r["content"][0]["text"] for r in results)
        asked = [u["toolUseId"] for u in message.get("toolUses", [])]
        assert all(ID.fullmatch(use_id) for use_id in asked)
    declared = tools_of_entry(entries[-1])
    names = [spec["name"] for spec in declared]
    assert len(set(names)) == len(names)
    assert all(NAME.fullmatch(name) for name in names)
    used = {u["name"] for message in messages for u in message.get("toolUses", [])}
    assert used <= set(names)
    for spec in declared:
        assert 1 <= len(spec["description"]) <= 10_240
        assert spec["inputSchema"]["json"]["type"] == "object"
        assert not list(nulls(spec["inputSchema"]["json"]))
    if turn.tool_choice.kind is not ToolChoiceKind.NONE:
        assert request.plan.tool_names.keys() <= set(names)
    uuid.UUID(state["conversationId"])


def tools_of_entry(entry: dict[str, Any]) -> list[dict[str, Any]]:
    context = entry["userInputMessage"].get("userInputMessageContext", {})
    return [tool["toolSpecification"] for tool in context.get("tools", [])]


@given(TURNS)
@PROPERTY
def test_build_any_turn_maps_every_offered_name_back(turn: Turn) -> None:
    turn.tool_choice = ToolChoice()
    request = build(turn, PLAIN)
    entry = orjson.loads(request.encode(None))["conversationState"]["currentMessage"]
    back = [request.plan.tool_names.get(s["name"], s["name"]) for s in tools_of_entry(entry)]
    offered = list(dict.fromkeys(tool.name for tool in turn.tools))
    assert back[: len(offered)] == offered


@given(TURNS)
@PROPERTY
def test_build_any_turn_loses_no_image_and_no_word(turn: Turn) -> None:
    body = build(turn, PLAIN).encode(None, reasoning=False)
    state = orjson.loads(body)["conversationState"]
    entries = [*state.get("history", []), state["currentMessage"]]
    images = sum(len(next(iter(e.values())).get("images", [])) for e in entries)
    texts = orjson.dumps([next(iter(e.values()))["content"] for e in entries]).decode()
    loose = 0
    for message in turn.messages:
        for block in message.blocks:
            loose += isinstance(block, Image)
            if isinstance(block, Text):
                assert orjson.dumps(block.text).decode()[1:-1] in texts
    assert images >= loose


@given(TURNS)
@PROPERTY
def test_build_twice_gives_the_same_bytes(turn: Turn) -> None:
    assert build(turn, PLAIN).encode("arn:x") == build(turn, PLAIN).encode("arn:x")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.sampled_from([PLAIN, NATIVE]))
@PROPERTY
def test_growing_conversation_keeps_its_prefix(rounds: list[int], model: ModelInfo) -> None:
    """A normal client: each request repeats the messages before and adds an answer and a new turn."""
    messages = [user("Fix it"), system("# Environment")]
    before = b""
    conversation = ""
    for number, calls in enumerate(rounds):
        turn = turn_of(*messages, system=["You are helpful."], tools=[BASH])
        turn.thinking = Thinking(ThinkingKind.ADAPTIVE)
        state = orjson.loads(build(turn, model).encode(None))["conversationState"]
        prefix = orjson.dumps(state["history"])[:-1]
        assert prefix.startswith(before)
        assert conversation in ("", state["conversationId"])
        before, conversation = prefix, state["conversationId"]
        ids = [f"call:{number}:{at}" for at in range(calls)]
        messages.append(assistant("Doing.", *(use(i, command="x") for i in ids)))
        messages.append(user(*(result(i, "é") for i in reversed(ids)), f"next {number}"))


# --- the system prompt ---


def test_system_prompt_is_a_pair_of_its_own() -> None:
    turn = turn_of(user("Hi"), system=["One.", "Two."])
    first, second = history(turn)
    assert first["content"] == "One.\n\nTwo."
    assert second["content"] == "I will follow these instructions."
    assert current(turn)["content"] == "Hi"


def test_no_system_prompt_no_history() -> None:
    assert "history" not in sent(turn_of(user("Hi")))


def test_system_message_in_the_middle_keeps_its_place() -> None:
    turn = turn_of(user("a"), system("b"), user("c"), assistant("d"), system("e"), user("f"))
    assert [m["content"] for m in history(turn)] == [
        "a\n\n<system-reminder>\nb\n</system-reminder>\n\nc",
        "d",
    ]
    assert current(turn)["content"] == "<system-reminder>\ne\n</system-reminder>\n\nf"


def test_system_message_at_the_end_belongs_to_the_last_user_message() -> None:
    turn = turn_of(user("fix it"), system("# Environment"))
    assert current(turn)["content"].startswith("fix it\n\n<system-reminder>\n# Environment")
    assert "Continue." not in current(turn)["content"]


def test_system_message_after_an_answer_is_not_the_turn() -> None:
    turn = turn_of(user("a"), assistant("b"), system("c"))
    assert current(turn)["content"].endswith("</system-reminder>\n\nContinue.")


# --- alternation ---


def test_neighbours_of_one_role_merge() -> None:
    turn = turn_of(
        user("a"), user("b"), assistant("c", use()), assistant("d"), user(result()), user("e")
    )
    first, second = history(turn)
    assert first["content"] == "a\n\nb"
    assert second["content"] == "c\n\nd"
    assert [u["toolUseId"] for u in second["toolUses"]] == ["toolu_1"]
    assert current(turn)["content"] == "e"


def test_assistant_first_gets_a_user_message_before_it() -> None:
    assert [m["content"] for m in history(turn_of(assistant("a"), user("b")))] == ["Continue.", "a"]


def test_prefill_becomes_history() -> None:
    turn = turn_of(user("a"), assistant("{"))
    assert [m["content"] for m in history(turn)] == ["a", "{"]
    assert current(turn)["content"] == "Continue."


def test_no_messages_still_make_a_request() -> None:
    assert current(turn_of())["content"] == "Continue."


def test_empty_texts_become_a_blank() -> None:
    turn = turn_of(user(""), assistant(), user(""))
    assert [m["content"] for m in history(turn)] == [" ", " "]
    assert current(turn)["content"] == " "


# --- calls and results ---


def results_of(turn: Turn) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = current(turn)["userInputMessageContext"]["toolResults"]
    return found


def test_results_stand_in_the_order_of_the_calls() -> None:
    turn = turn_of(
        user("a"), assistant(use("x"), use("y")), user(result("y", "2"), result("x", "1"))
    )
    assert [(r["toolUseId"], r["content"][0]["text"]) for r in results_of(turn)] == [
        ("x", "1"),
        ("y", "2"),
    ]


def test_error_result_stays_an_error() -> None:
    turn = turn_of(user("a"), assistant(use()), user(result(is_error=True)))
    assert results_of(turn)[0]["status"] == "error"


def test_unanswered_call_gets_an_error_result() -> None:
    turn = turn_of(user("a"), assistant(use()), user("never mind"))
    [answer] = results_of(turn)
    assert (answer["toolUseId"], answer["status"]) == ("toolu_1", "error")
    assert current(turn)["content"] == "never mind"


def test_call_at_the_very_end_is_answered_too() -> None:
    turn = turn_of(user("a"), assistant(use()))
    assert results_of(turn)[0]["status"] == "error"


def test_orphan_result_becomes_quoted_text() -> None:
    turn = turn_of(user("a"), assistant("b"), user(result("nobody", "42"), "c"))
    assert "userInputMessageContext" not in current(turn)
    assert current(turn)["content"] == "[Result of an earlier tool call]\n42\n\nc"


def test_result_in_the_first_message_becomes_text() -> None:
    turn = turn_of(user(result()))
    assert current(turn)["content"] == "[Result of an earlier tool call]\ndone"


def test_further_results_for_one_call_stand_behind_the_first() -> None:
    further = ToolResult("toolu_1", [Text("2"), Image("png", "AAAA")], is_error=True)
    results = [result(text="1"), further, result(text="3")]
    turn = turn_of(user("a"), assistant(use()), user(*results))
    (answer,) = results_of(turn)
    assert answer["content"][0]["text"] == (
        "1\n\n[Error from the same call]\n2\n[image 1: attached to this message]"
        "\n\n[Another result of the same call]\n3"
    )
    assert answer["status"] == "success"
    assert [image["source"]["bytes"] for image in current(turn)["images"]] == ["AAAA"]


def test_a_result_that_is_sent_twice_counts_once() -> None:
    turn = turn_of(user("a"), assistant(use()), user(*[result(text="1")] * 3))
    assert [r["content"][0]["text"] for r in results_of(turn)] == ["1"]


def test_more_results_than_calls_of_one_id_go_to_the_last_call() -> None:
    results = [result("c", word) for word in ("1", "2", "3")]
    turn = turn_of(user("a"), assistant(use("c"), use("c")), user(*results))
    texts = [r["content"][0]["text"] for r in results_of(turn)]
    assert texts == ["1", "2\n\n[Another result of the same call]\n3"]


def test_empty_result_gets_a_text() -> None:
    turn = turn_of(user("a"), assistant(use()), user(ToolResult("toolu_1", [])))
    assert results_of(turn)[0]["content"] == [{"text": "(empty)"}]


def test_repeated_ids_are_told_apart() -> None:
    turn = turn_of(
        user("a"),
        assistant(use("c")),
        user(result("c", "1")),
        assistant(use("c")),
        user(result("c", "2")),
    )
    ids = [u["toolUseId"] for m in history(turn) for u in m.get("toolUses", [])]
    assert ids == ["c", "c_2"]
    assert results_of(turn)[0]["toolUseId"] == "c_2"


def test_unfit_ids_change_on_both_sides() -> None:
    turn = turn_of(user("a"), assistant(use("call:1/ü")), user(result("call:1/ü")))
    [sent_use] = history(turn)[1]["toolUses"]
    assert ID.fullmatch(sent_use["toolUseId"])
    assert results_of(turn)[0]["toolUseId"] == sent_use["toolUseId"]
    assert results_of(turn)[0]["status"] == "success"


def test_call_in_a_user_message_is_quoted() -> None:
    turn = turn_of(user(use(command="ls"), "a"))
    assert current(turn)["content"] == '[Tool call Bash: {"command":"ls"}]\n\na'


def test_empty_property_names_in_inputs_are_renamed() -> None:
    call = ToolUse("i", "Bash", {"": 1, "_": 2, "deep": [{"": 3}]})
    turn = turn_of(user("a"), assistant(call), user(result("i")))
    assert history(turn)[1]["toolUses"][0]["input"] == {"_": 2, "deep": [{"_": 3}], "__": 1}


def test_results_inside_an_answer_become_the_users() -> None:
    turn = turn_of(user("a"), assistant(use(), result(), "b"), user("c"))
    assert [m["content"] for m in history(turn)] == ["a", " ", " ", "b"]


# --- images and documents ---


def test_images_in_results_move_to_the_message() -> None:
    pictures = ToolResult("toolu_1", [Text("shot:"), Image("png", PNG)])
    turn = turn_of(user("a"), assistant(use()), user(pictures))
    assert current(turn)["images"] == [{"format": "png", "source": {"bytes": PNG}}]
    assert results_of(turn)[0]["content"] == [
        {"text": "shot:\n[image 1: attached to this message]"}
    ]


def test_documents_are_attached_under_safe_names() -> None:
    in_result = ToolResult("toolu_1", [Document("../a*b.pdf", "pdf", PDF)])
    turn = turn_of(user("a"), assistant(use()), user(in_result, Document("", "pdf", PDF)))
    names = [d["name"] for d in current(turn)["documents"]]
    assert names == ["document", "a b"]
    assert "[document 2: attached" in results_of(turn)[0]["content"][0]["text"]


def test_same_document_names_are_told_apart() -> None:
    turn = turn_of(user(Document("a.pdf", "pdf", PDF), Document("a.pdf", "pdf", PDF)))
    assert [d["name"] for d in current(turn)["documents"]] == ["a", "a 2"]


def test_more_images_than_one_message_holds_are_spread() -> None:
    images = [
        Image("png", base64.b64encode(base64.b64decode(PNG) + bytes([n])).decode())
        for n in range(23)
    ]
    turn = turn_of(user("a"), assistant(use()), user(result(), *images, "look"))
    messages = history(turn)
    assert [len(m.get("images", [])) for m in messages] == [0, 0, 10, 0, 10, 0]
    assert messages[2]["userInputMessageContext"]["toolResults"]
    assert current(turn)["content"] == "look"
    every = [i["source"]["bytes"] for m in [*messages, current(turn)] for i in m.get("images", [])]
    assert every == [i.data for i in images]


# --- tools ---


def test_tools_stand_on_the_current_message_in_the_clients_order() -> None:
    turn = turn_of(user("a"), tools=[Tool("Read", "r", {}), BASH])
    assert [s["name"] for s in tools_of(turn)] == ["Read", "Bash"]


def test_tools_of_the_history_are_declared() -> None:
    turn = turn_of(user("a"), assistant(use(name="Gone")), user(result()), tools=[BASH])
    assert [s["name"] for s in tools_of(turn)] == ["Bash", "Gone"]
    assert tools_of(turn)[1]["inputSchema"]["json"] == {"type": "object", "properties": {}}


def test_history_name_in_another_case_is_the_declared_tool() -> None:
    turn = turn_of(user("a"), assistant(use(name="bash")), user(result()), tools=[BASH])
    assert [s["name"] for s in tools_of(turn)] == ["Bash"]
    assert history(turn)[1]["toolUses"][0]["name"] == "Bash"


def test_long_description_moves_into_the_system_prompt_whole() -> None:
    text = "word " * 3000
    turn = turn_of(user("a"), tools=[Tool("Big", text, {})], system=["S."])
    assert history(turn)[0]["content"] == f"S.\n\n# Tool Big\n\n{text}"
    assert '"# Tool Big"' in tools_of(turn)[0]["description"]


def test_empty_description_is_the_name() -> None:
    assert (
        tools_of(turn_of(user("a"), tools=[Tool("Big", "", {})]))[0]["description"] == "Tool: Big"
    )


def test_tool_choice_none_keeps_only_what_the_history_needs() -> None:
    turn = turn_of(
        user("a"),
        assistant(use()),
        user(result()),
        tools=[BASH, Tool("Read", "r", {})],
        tool_choice=ToolChoice(ToolChoiceKind.NONE),
    )
    assert [s["description"] for s in tools_of(turn)] == ["Run a command"]
    assert current(turn)["content"].endswith("Answer without calling a tool.")


def test_tool_choice_is_said_in_the_current_message() -> None:
    choice = ToolChoice(ToolChoiceKind.NAMED, "mcp.x")
    turn = turn_of(user("a"), tools=[Tool("mcp.x", "d", {})], tool_choice=choice)
    [spec] = tools_of(turn)
    assert current(turn)["content"] == f"a\n\nAnswer by calling the tool {spec['name']}."
    turn.tool_choice = ToolChoice(ToolChoiceKind.ANY)
    assert current(turn)["content"] == "a\n\nAnswer by calling one of your tools."


def test_renamed_tool_maps_back() -> None:
    long = "mcp__" + "n" * 100
    request = build(turn_of(user("a"), tools=[Tool(long, "d", {})]), PLAIN)
    [(short, back)] = request.plan.tool_names.items()
    assert back == long
    assert len(short) <= 64


def test_web_search_is_no_matter_of_the_request() -> None:
    turn = turn_of(user("a"), tools=[BASH], web_search=WebSearch("web_search"))
    assert [s["name"] for s in tools_of(turn)] == ["Bash"]
    assert turn.ignored == []
    alone = turn_of(user("a"), web_search=WebSearch("web_search"))
    build(alone, PLAIN)
    assert alone.ignored == []


# --- thinking ---


def fields_of(request: KiroRequest) -> Any:
    return orjson.loads(request.encode(None)).get("additionalModelRequestFields")


def test_thinking_off_sends_neither_tags_nor_fields() -> None:
    for model in (PLAIN, NATIVE):
        request = build(turn_of(user("a"), system=["S."]), model)
        assert fields_of(request) is None
        assert b"thinking" not in request.encode(None)
        assert not request.plan.split_thinking
        assert not request.plan.show_thinking


@pytest.mark.parametrize(
    ("thinking", "tags"),
    [
        (
            Thinking(ThinkingKind.BUDGET, 31_999),
            "<thinking_mode>enabled</thinking_mode><max_thinking_length>24576</max_thinking_length>",
        ),
        (
            Thinking(ThinkingKind.BUDGET, 5),
            "<thinking_mode>enabled</thinking_mode><max_thinking_length>1024</max_thinking_length>",
        ),
        (
            Thinking(ThinkingKind.ADAPTIVE, effort="low"),
            "<thinking_mode>adaptive</thinking_mode><thinking_effort>low</thinking_effort>",
        ),
        (
            Thinking(ThinkingKind.ADAPTIVE),
            "<thinking_mode>adaptive</thinking_mode><thinking_effort>high</thinking_effort>",
        ),
    ],
)
def test_thinking_tags_head_the_system_prompt(thinking: Thinking, tags: str) -> None:
    turn = turn_of(user("a"), system=["S."], thinking=thinking)
    assert history(turn)[0]["content"] == f"{tags}\n\nS."
    assert build(turn, PLAIN).plan.split_thinking


def test_thinking_tags_of_the_client_are_not_doubled() -> None:
    text = "<thinking_mode>enabled</thinking_mode> S."
    turn = turn_of(user("a"), system=[text], thinking=Thinking(ThinkingKind.ADAPTIVE))
    assert history(turn)[0]["content"] == text
    assert build(turn, PLAIN).plan.split_thinking


def test_thinking_on_a_model_that_has_none_is_named_as_ignored() -> None:
    turn = turn_of(user("a"), thinking=Thinking(ThinkingKind.ADAPTIVE))
    request = build(turn, ModelInfo("glm-5", "GLM 5"))
    assert turn.ignored == ["thinking"]
    assert not request.plan.split_thinking


def test_effort_without_a_place_for_it_is_named_as_ignored() -> None:
    off = turn_of(user("a"), thinking=Thinking(effort="low"))
    budget = turn_of(user("a"), thinking=Thinking(ThinkingKind.BUDGET, 5000, "low"))
    for turn in (off, budget):
        build(turn, PLAIN)
        assert turn.ignored == ["output_config.effort"]
    spoken = turn_of(user("a"), thinking=Thinking(ThinkingKind.BUDGET, 5000, "low"))
    build(spoken, NATIVE)
    assert spoken.ignored == []


def test_thinking_native_sends_fields_instead_of_tags() -> None:
    turn = turn_of(user("a"), thinking=Thinking(ThinkingKind.ADAPTIVE, effort="high"), max_tokens=5)
    request = build(turn, NATIVE)
    fields = fields_of(request)
    assert fields["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert fields["output_config"] == {"effort": "high"}
    assert not request.plan.split_thinking
    assert request.plan.max_tokens == 5
    assert b"<thinking_mode>" not in request.encode(None)
    assert b"additionalModelRequestFields" not in request.encode(None, extra_fields=False)


def test_thinking_omitted_is_not_shown() -> None:
    turn = turn_of(user("a"), thinking=Thinking(ThinkingKind.ADAPTIVE, omit=True))
    request = build(turn, NATIVE)
    assert fields_of(request)["thinking"]["display"] == "omitted"
    assert not request.plan.show_thinking


def reasoning_of(*blocks: Any, model: ModelInfo = NATIVE) -> Any:
    turn = turn_of(user("a"), assistant(*blocks, "b"), user("c"))
    turn.thinking = Thinking(ThinkingKind.ADAPTIVE)
    request = build(turn, model)
    assert b"reasoningContent" not in request.encode(None, reasoning=False)
    state = orjson.loads(request.encode(None))["conversationState"]
    return state["history"][-1]["assistantResponseMessage"].get("reasoningContent")


def test_signed_reasoning_goes_back_nested() -> None:
    assert reasoning_of(Reasoning("t", "sig")) == {
        "reasoningText": {"text": "t", "signature": "sig"}
    }
    assert reasoning_of(RedactedReasoning("cmVk")) == {"redactedContent": "cmVk"}


def test_reasoning_that_cannot_be_checked_is_left_out() -> None:
    assert reasoning_of(Reasoning("t", "")) is None
    assert reasoning_of(Reasoning("t", PLACEHOLDER_SIGNATURE)) is None
    assert reasoning_of(Reasoning("t", "s"), Reasoning("u", "s")) is None
    assert reasoning_of(Reasoning("t", "sig"), model=PLAIN) is None


# --- the rest of the plan and the body ---


def test_output_schema_is_put_into_the_current_message() -> None:
    turn = turn_of(user("a"), output_schema={"type": "object"})
    assert current(turn)["content"].endswith('{"type":"object"}')
    assert build(turn, PLAIN).plan.strip_fence


def test_plan_carries_limits() -> None:
    turn = turn_of(user("a"), max_tokens=9, stop_sequences=("x",))
    plan = build(turn, PLAIN).plan
    assert (plan.max_tokens, plan.stop_sequences, plan.context_window) == (9, ("x",), 200_000)
    assert plan.input_tokens >= 1


def test_encode_injects_the_arn_of_each_account() -> None:
    request = build(turn_of(user("a")), PLAIN)
    assert orjson.loads(request.encode("arn:1"))["profileArn"] == "arn:1"
    assert orjson.loads(request.encode("arn:2"))["profileArn"] == "arn:2"
    assert "profileArn" not in orjson.loads(request.encode(None))


def test_state_says_vibe_and_manual() -> None:
    state = sent(turn_of(user("a")))
    assert (state["agentTaskType"], state["chatTriggerType"]) == ("vibe", "MANUAL")


def test_conversation_id_is_the_session() -> None:
    session = "3f2b8c1e-5a77-4f0e-9f0b-0b6f4f1f2a10"
    assert sent(turn_of(user("a"), session=session))["conversationId"] == session
    named = sent(turn_of(user("a"), session="mine"))["conversationId"]
    assert named == sent(turn_of(user("other"), session="mine"))["conversationId"]
    assert uuid.UUID(named).version == 4


def test_conversation_id_without_session_follows_the_opening() -> None:
    first = sent(turn_of(user("a"), system=["s"]))["conversationId"]
    later = sent(turn_of(user("a"), assistant("b"), user("c"), system=["s"]))["conversationId"]
    other = sent(turn_of(user("z"), system=["s"]))["conversationId"]
    assert first == later != other


def test_one_call_at_a_time_is_said_and_planned() -> None:
    turn = Turn("m", [user("a")], tools=[Tool("Read", "", {})], parallel_tools=False)
    assert current(turn)["content"] == "a\n\nCall at most one tool in this answer."
    assert build(turn, PLAIN).plan.single_call
    turn = Turn("m", [user("a")], parallel_tools=False)
    assert current(turn)["content"] == "a"
    assert not build(Turn("m", [user("a")]), PLAIN).plan.single_call
