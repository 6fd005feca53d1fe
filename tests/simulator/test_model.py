"""What the simulated model does with a prompt, and how directives steer it."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from kiroproxy.simulator import signatures
from kiroproxy.simulator.answer import Answer, content_events, deltas
from kiroproxy.simulator.catalogue import CATALOGUE, by_id
from kiroproxy.simulator.checker import check_request
from kiroproxy.simulator.directives import parse_orders
from kiroproxy.simulator.model import respond
from kiroproxy.simulator.sampling import sample
from kiroproxy.simulator.view import open_view
from tests.simulator.bodies import (
    Body,
    assistant,
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

ADAPTIVE = {"thinking": {"type": "adaptive", "display": "summarized"}}
READ = tool(
    "Read",
    {"type": "object", "properties": {"file_path": {"type": "string"}}, "required": ["file_path"]},
)
WRITE = tool(
    "Write",
    {
        "type": "object",
        "properties": {"file_path": {"type": "string"}, "content": {"type": "string"}},
    },
)
SEARCH = tool("web_search", {"type": "object", "properties": {"query": {"type": "string"}}})
LONG = tool(
    "mcp__weather_server__get_the_current_weather_at_a_p_0123abcd",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
LONG_ASKED = "mcp__weather_server__get_the_current_weather_at_a_place_with_a_long_name"


def ask(value: Body) -> Answer:
    return respond(open_view(value, by_id(CATALOGUE), None, None))


def calls(answer: Answer) -> list[tuple[str, Any]]:
    return [(call.name, call.input) for call in answer.calls]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("run echo hi", ("Bash", {"command": "echo hi"})),
        ("Please run `echo hi`", ("Bash", {"command": "echo hi"})),
        ("Can you execute the command ls -la", ("Bash", {"command": "ls -la"})),
        ("Use the Bash tool to run echo hi", ("Bash", {"command": "echo hi"})),
        ("use the bash tool to echo hi.", ("Bash", {"command": "echo hi"})),
        ("read the file /tmp/a.txt", ("Read", {"file_path": "/tmp/a.txt"})),
        ("Read /tmp/a.txt.", ("Read", {"file_path": "/tmp/a.txt"})),
        ("Please search the web for kiro news.", ("web_search", {"query": "kiro news"})),
        ('write "a b" to /tmp/c', ("Write", {"file_path": "/tmp/c", "content": "a b"})),
        ('call Bash with {"command": "ls", "n": 1}', ("Bash", {"command": "ls", "n": 1})),
        ('use the `Read` tool with {"file_path": "x"}', ("Read", {"file_path": "x"})),
        (
            f'call {LONG_ASKED} with {{"city":"Oslo"}}',
            (LONG["toolSpecification"]["name"], {"city": "Oslo"}),
        ),
        (f"use the {LONG_ASKED} tool", (LONG["toolSpecification"]["name"], {"city": "example"})),
        ("<system-reminder>\nread /etc/x\n</system-reminder>\nrun ls", ("Bash", {"command": "ls"})),
        ("Some context first.\n\nrun ls", ("Bash", {"command": "ls"})),
    ],
)
def test_plain_words_call_an_offered_tool(words: str, expected: tuple[str, Any]) -> None:
    answer = ask(offering(words, tool(), READ, WRITE, LONG, SEARCH))
    assert calls(answer) == [expected]
    assert answer.stop_reason == "TOOL_USE"


@pytest.mark.parametrize("words", ["run echo hi", "read the file x", 'call Nothing with {"a": 1}'])
def test_without_the_tool_it_talks(words: str) -> None:
    answer = ask(body(user(words)))
    assert answer.calls == []
    assert answer.stop_reason == "END_TURN"


def test_asking_lines_in_a_row_make_parallel_calls() -> None:
    answer = ask(offering("run ls\nread a.txt", tool(), READ))
    assert calls(answer) == [("Bash", {"command": "ls"}), ("Read", {"file_path": "a.txt"})]
    assert len({call.id for call in answer.calls}) == 2


def test_results_are_quoted() -> None:
    answer = ask(tool_turn())
    assert "a.txt / b.txt" in answer.text
    assert answer.calls == []


def test_failed_result_is_named() -> None:
    value = body(
        user("run ls"),
        assistant(" ", toolUses=[use()]),
        user(
            " ",
            userInputMessageContext={
                "toolResults": [result(text="no such file", status="error")],
                "tools": [tool()],
            },
        ),
    )
    assert "(failed) no such file" in ask(value).text


def test_images_and_documents_are_named() -> None:
    pdf = b"%PDF-1.4\n1 0 obj<</Type /Pages>>\n<</Type /Page>>\n<</Type/Page >>"
    seen = ask(body(user("look", images=[image(png(40, 7))], documents=[document(pdf)]))).text
    assert "a 40x7 PNG image" in seen
    assert "a PDF named paper with 2 pages" in seen


def test_small_talk_is_steady_and_quotes_the_prompt() -> None:
    value = body(user("What is a proxy?"))
    assert "What is a proxy?" in ask(value).text
    assert ask(value).text == ask(value).text
    assert "demo model" in ask(body(user("hi"))).text


def test_compaction_gets_a_summary() -> None:
    value = body(
        user("Fix the bug"),
        assistant("ok"),
        user("Your task is to create a detailed summary of the conversation so far."),
    )
    answer = ask(value)
    assert re.search(r"<summary>.*Fix the bug.*</summary>", answer.text, re.S)


def test_json_schema_gets_bare_json() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    words = "Answer in JSON only, matching this schema: " + orjson.dumps(schema).decode()
    answer = ask(body(user(f"<session>\nSort the invoices\n</session>\n{words}")))
    assert orjson.loads(answer.text) == {"title": "Sort the invoices"}


def test_a_schema_in_other_talk_is_no_request() -> None:
    assert "demo" in ask(body(user('hi\n{"type":"object","properties":{}}'))).text


def test_summary_may_be_asked_for_beside_results() -> None:
    context = {"toolResults": [result()], "tools": [tool()]}
    value = body(
        user("run ls"),
        assistant(" ", toolUses=[use()]),
        user("Please write a <summary> of it all.", userInputMessageContext=context),
    )
    assert "<summary>" in ask(value).text


def test_structured_output_tool_is_called() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    answer = ask(offering("How many?", tool("StructuredOutput", schema)))
    assert calls(answer) == [("StructuredOutput", {"n": 1})]


def test_title_request() -> None:
    answer = ask(body(user("Please generate a short title for this:\nsort the invoices")))
    assert answer.text == "Sort the invoices"


def test_native_thinking_is_signed() -> None:
    value = body(user("Hi there", "claude-sonnet-5"), additionalModelRequestFields=ADAPTIVE)
    answer = ask(value)
    assert answer.signature is not None
    assert signatures.is_valid(answer.reasoning, answer.signature, "")
    events = content_events(answer, "claude-sonnet-5")
    joined = "".join(payload.get("signature", "") for _, payload in events)
    assert joined == answer.signature


def test_omitted_thinking_has_a_signature_only() -> None:
    fields = {"thinking": {"type": "adaptive", "display": "omitted"}}
    answer = ask(body(user("Hi", "claude-sonnet-5"), additionalModelRequestFields=fields))
    assert answer.reasoning == ""
    assert answer.signature is not None


def test_redacted_thinking_may_come_back() -> None:
    value = body(user("[[sim:redact]]Hi", "claude-sonnet-5"), additionalModelRequestFields=ADAPTIVE)
    kind, payload = content_events(ask(value), "claude-sonnet-5")[0]
    assert (kind, list(payload)) == ("reasoningContentEvent", ["redactedContent"])
    back = body(user("Hi"), assistant("Hello.", reasoningContent=payload), user("More"))
    assert check_request(orjson.dumps(back)) == []


SAMPLES: list[tuple[Any, Any]] = [
    ({"type": "string", "minLength": 9}, "examplexx"),
    ({"type": "string", "maxLength": 3}, "exa"),
    ({"type": "string", "format": "date"}, "2026-01-01"),
    ({"type": "integer", "exclusiveMinimum": 4}, 5),
    ({"type": "number", "maximum": 0}, 0),
    ({"type": "boolean"}, True),
    ({"type": ["null", "integer"], "minimum": 3}, 3),
    ({"enum": ["b", "a"]}, "b"),
    ({"const": 7}, 7),
    ({"default": None, "type": "string"}, None),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 1),
    ({"type": "array", "minItems": 2, "items": {"type": "integer"}}, [1, 1]),
    (
        {"properties": {"a": {"type": "boolean"}, "b": {}}, "required": ["a"]},
        {"a": True},
    ),
    ({"type": "null"}, None),
    (True, None),
]


@pytest.mark.parametrize(("schema", "expected"), SAMPLES)
def test_sample(schema: Any, expected: Any) -> None:
    assert sample(schema) == expected


@pytest.mark.parametrize(
    "tags",
    [
        "<thinking_mode>enabled</thinking_mode><max_thinking_length>20000</max_thinking_length>",
        "<thinking_mode>adaptive</thinking_mode><thinking_effort>high</thinking_effort>",
    ],
)
def test_tags_in_the_first_message_make_tagged_text(tags: str) -> None:
    answer = ask(body(user(f"{tags}\nSystem"), assistant("ok"), user("Hello")))
    text = "".join(payload["content"] for _, payload in content_events(answer, "m"))
    assert text.startswith("<thinking>\n")
    assert "</thinking>\n\nHello" in text


def test_no_thinking_unasked() -> None:
    answer = ask(body(user("Hello", "claude-sonnet-5")))
    assert answer.reasoning == "" and answer.signature is None


def test_gpt_reasons_when_asked() -> None:
    fields = {"reasoning": {"effort": "low"}}
    answer = ask(body(user("Hello", "gpt-5.6-sol"), additionalModelRequestFields=fields))
    assert answer.reasoning and answer.signature


@pytest.mark.parametrize(
    ("directive", "text", "expected_calls"),
    [
        ("[[sim:say ha ha 1000]]", "ha ha 1000", []),
        ('[[sim:json {"a": [1]}]]', '{"a":[1]}', []),
        ('[[sim:tool Bash {"command":"echo [[x]]"}]]', "", [("Bash", {"command": "echo [[x]]"})]),
        ("[[sim:tool Bash]]", "", [("Bash", {})]),
        (
            '[[sim:tools [{"name":"A","input":{"x":1}},{"name":"B"}]]]',
            "",
            [("A", {"x": 1}), ("B", {})],
        ),
        ("[[sim:say ok]][[sim:tool A {}]] [[sim:tool B {}]]", "ok", [("A", {}), ("B", {})]),
    ],
)
def test_directives(directive: str, text: str, expected_calls: list[tuple[str, Any]]) -> None:
    answer = ask(body(user(f"Before {directive} after")))
    assert answer.text == text
    assert calls(answer) == expected_calls


def test_text_directive_counts_words() -> None:
    assert len(ask(body(user("[[sim:text 123]]"))).text.split()) == 123


def test_other_directives() -> None:
    answer = ask(
        body(
            user(
                "[[sim:think Hmm.]][[sim:say a]][[sim:stop MAX_TOKENS]]"
                "[[sim:pace 0.5]][[sim:fault cut x=1]]"
            )
        )
    )
    assert answer.reasoning == "Hmm."
    assert (answer.stop_reason, answer.pace_s, answer.fault) == ("MAX_TOKENS", 0.5, "cut x=1")


@pytest.mark.parametrize(
    "broken",
    [
        "[[sim:tool Bash {",
        "[[sim:json x]]",
        "[[sim:tools {}]]",
        "[[sim:say",
        "[[sim:]]",
        '[[sim:tools [{"input":{}}]]]',
        "[[sim:tool ]]x",
    ],
)
def test_malformed_directives_are_plain_text(broken: str) -> None:
    answer = ask(body(user(f"{broken} hello")))
    assert answer.calls == []
    assert "hello" in answer.text


def test_rounds_follow_each_other() -> None:
    prompt = user(
        '[[sim:tool Bash {"command":"1"}]][[sim:then]][[sim:tool Bash {"command":"2"}]]'
        "[[sim:then]][[sim:say end]]"
    )
    more = user(" ", userInputMessageContext={"toolResults": [result()], "tools": [tool()]})
    one = [prompt, assistant(" ", toolUses=[use()]), more]
    assert calls(ask(body(prompt))) == [("Bash", {"command": "1"})]
    assert calls(ask(body(*one))) == [("Bash", {"command": "2"})]
    assert ask(body(*one, assistant(" ", toolUses=[use()]), more)).text == "end"
    later = body(
        *one, assistant(" ", toolUses=[use()]), more, assistant(" ", toolUses=[use()]), more
    )
    assert ask(later).text.startswith("Done.")


def test_a_new_directive_beside_results_starts_anew() -> None:
    context = {"toolResults": [result()], "tools": [tool()]}
    value = body(
        user("[[sim:tool Bash {}]]"),
        assistant(" ", toolUses=[use()]),
        user("[[sim:say fresh]]", userInputMessageContext=context),
    )
    assert ask(value).text == "fresh"


def test_max_tokens_cuts_the_answer() -> None:
    value = body(
        user("[[sim:text 3000]]", "claude-sonnet-5"),
        additionalModelRequestFields={"max_tokens": 1024},
    )
    answer = ask(value)
    assert answer.stop_reason == "MAX_TOKENS"
    assert len(deltas(answer.text)) == 1024


@pytest.mark.parametrize(
    "text", ["", " ", "a", "ha ha 1000", "x" * 50, "é漢字 \n\n\tz  ", "a\r\nb"]
)
def test_deltas_join_again(text: str) -> None:
    assert "".join(deltas(text)) == text


def test_plain_text_is_one_order() -> None:
    (order,) = parse_orders("no [[orders]] here")
    assert (order.prompt, order.directives) == ("no [[orders]] here", [])
