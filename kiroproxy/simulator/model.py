"""A small, deterministic stand-in for a language model.

It is built for demos and tests: it calls an offered tool when the prompt asks for one in plain words,
quotes tool results, tells the size of images, fills JSON schemas, writes summaries, and chats a
little. Directives (see ``directives``) give full control. ``respond`` is a table of habits: the first
one that has something to say answers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import orjson

from kiroproxy.simulator import signatures
from kiroproxy.simulator.answer import Answer, Call, deltas
from kiroproxy.simulator.prompt import Prompt, read_prompt
from kiroproxy.simulator.sampling import find_schema, sample
from kiroproxy.simulator.small_talk import chat, summary, title, words
from kiroproxy.simulator.view import View
from kiroproxy.simulator.wishes import wished_calls

Habit = Callable[[Prompt, View], Answer | None]

MAX_WORDS = 200_000  # of one ordered text
_QUOTED_LINES = 3
_QUOTED_CHARS = 300
_SUMMARY = re.compile(
    r"<summary>|summary of (the|this|our) conversation|summari[sz]e the conv", re.I
)
_TITLE = re.compile(r"\b(generate|write|create|give)\b.{0,60}\btitle\b", re.I | re.S)
_STRUCTURED = "StructuredOutput"  # Claude Code's tool for --json-schema


def respond(view: View) -> Answer:
    """The answer to a request; the same request always gets the same one."""
    prompt = read_prompt(view)
    answer = next(found for habit in HABITS if (found := habit(prompt, view)) is not None)
    _think(answer, prompt, view)
    _finish(answer, prompt, view)
    return answer


def _by_order(prompt: Prompt, view: View) -> Answer | None:
    """Directives: text, say, json, tool, tools."""
    text = _ordered_text(prompt)
    calls = [(order.text, order.value) for order in prompt.order.all("tool")]
    for order in prompt.order.all("tools"):
        calls += [(entry["name"], entry.get("input", {})) for entry in order.value]
    if text is None and not calls:
        return None
    return _calling(text or "", calls, view)


def _ordered_text(prompt: Prompt) -> str | None:
    for name, write in _TEXT_ORDERS.items():
        order = prompt.order.first(name)
        if order is not None:
            return write(order.text, order.value)
    return None


_TEXT_ORDERS: dict[str, Callable[[str, Any], str]] = {
    "say": lambda text, value: text,
    "json": lambda text, value: orjson.dumps(value).decode(),
    "text": lambda text, value: words(min(int(text), MAX_WORDS) if text.isdigit() else 20),
}


def _summarise(prompt: Prompt, view: View) -> Answer | None:
    if not _SUMMARY.search(prompt.said):
        return None
    return Answer(summary([turn.text for turn in view.history if turn.role == "user"]))


def _after_tools(prompt: Prompt, view: View) -> Answer | None:
    """After results: quote their first lines, and say what was seen."""
    if not prompt.after_tools:
        return None
    quotes = [_quote(result) for result in prompt.results]
    said = " ".join(f"The result begins: {quote}" for quote in quotes)
    if prompt.sights:
        said += f" I can see {', '.join(prompt.sights)}."
    return Answer(f"Done. {said}".strip())


def _structured(prompt: Prompt, view: View) -> Answer | None:
    tool = prompt.tool(_STRUCTURED)
    if tool is None or tool.name != _STRUCTURED:
        return None
    return _calling("", [(_STRUCTURED, sample(tool.schema))], view)


def _bare_json(prompt: Prompt, view: View) -> Answer | None:
    """A schema in a prompt that speaks of JSON: answer with the bare JSON."""
    said = prompt.said.lower()
    schema = find_schema(prompt.said) if "json" in said and "schema" in said else None
    if schema is None:
        return None
    value = sample(schema)
    if isinstance(value, dict) and isinstance(value.get("title"), str):
        value["title"] = title(prompt.text)
    return Answer(orjson.dumps(value).decode())


def _titled(prompt: Prompt, view: View) -> Answer | None:
    return Answer(title(prompt.text)) if _TITLE.search(prompt.text) else None


def _by_wish(prompt: Prompt, view: View) -> Answer | None:
    """Plain words that ask for a tool that is on offer."""
    calls = wished_calls(prompt)
    return _calling("I'll do that now.", calls, view) if calls else None


def _looking(prompt: Prompt, view: View) -> Answer | None:
    if not prompt.sights:
        return None
    return Answer(f"I can see {', '.join(prompt.sights)}. What would you like to know about it?")


def _chatting(prompt: Prompt, view: View) -> Answer | None:
    return Answer(chat(prompt.text))


HABITS: tuple[Habit, ...] = (
    _by_order,
    _summarise,
    _after_tools,
    _structured,
    _bare_json,
    _titled,
    _by_wish,
    _looking,
    _chatting,
)


def _calling(text: str, calls: list[tuple[str, Any]], view: View) -> Answer:
    seed = view.current.text + str(len(view.history))
    made = [
        Call(_call_id(f"{seed}/{index}"), name, input_)
        for index, (name, input_) in enumerate(calls)
    ]
    return Answer(text, calls=made)


def _call_id(seed: str) -> str:
    digest = hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()
    return f"tooluse_{digest[:22]}"


def _quote(result: str) -> str:
    lines = result.strip().splitlines()[:_QUOTED_LINES]
    return " / ".join(lines)[:_QUOTED_CHARS] or "(nothing)"


def _think(answer: Answer, prompt: Prompt, view: View) -> None:
    """Reasoning comes when the request switched it on, or a directive asks for it."""
    ordered = prompt.order.first("think")
    if not (prompt.native_thinking or prompt.tag_thinking or ordered):
        return
    answer.reasoning = ordered.text if ordered else "The request is clear, so I answer it directly."
    if not prompt.native_thinking:
        return
    fields = view.body["additionalModelRequestFields"]
    if fields.get("thinking", {}).get("display") == "omitted":
        answer.reasoning = ""
    owner = view.caller.owner if view.caller else ""
    answer.signature = signatures.sign(answer.reasoning, owner)
    if prompt.order.first("redact"):
        answer.redacted = signatures.redact(answer.reasoning, owner)


def _finish(answer: Answer, prompt: Prompt, view: View) -> None:
    fields = view.body.get("additionalModelRequestFields") or {}
    limit = fields.get("max_tokens")
    if answer.calls:
        answer.stop_reason = "TOOL_USE"
    pieces = deltas(answer.text)
    if limit is not None and len(pieces) > limit:
        answer.text, answer.calls, answer.stop_reason = "".join(pieces[:limit]), [], "MAX_TOKENS"
    if (stop := prompt.order.first("stop")) is not None:
        answer.stop_reason = stop.text
    if (fault := prompt.order.first("fault")) is not None:
        answer.fault = fault.text
    if (pace := prompt.order.first("pace")) is not None:
        answer.pace_s = _seconds(pace.text)


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
