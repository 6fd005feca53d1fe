"""Rules about the order of messages and the pairing of tool calls with their results."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from kiroproxy.simulator.shapes import Say, type_name
from kiroproxy.simulator.view import Turn, View

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")


def conversation_id(view: View, say: Say) -> None:
    """A UUID. Other ids were accepted at times, and drew INVALID_CONVERSATION_ID at others."""
    if not _UUID.match(view.state["conversationId"]):
        say("$.conversationState.conversationId", "not a UUID")


def continuation_id(view: View, say: Say) -> None:
    """A UUID when it is there at all."""
    value = view.state.get("agentContinuationId")
    if value is not None and not _UUID.match(value):
        say("$.conversationState.agentContinuationId", "not a UUID")


def current_is_user(view: View, say: Say) -> None:
    """The current message is the user's."""
    if view.current.role != "user":
        say(view.current.path, "the current message must be a userInputMessage")


def starts_with_user(view: View, say: Say) -> None:
    """History starts with a user message."""
    if view.history and view.history[0].role != "user":
        say(view.history[0].path, "the history must start with a user message")


def ends_with_assistant(view: View, say: Say) -> None:
    """History ends with an assistant message."""
    if view.history and view.history[-1].role != "assistant":
        say(view.history[-1].path, "the history must end with an assistant message")


def alternates(view: View, say: Say) -> None:
    """No role speaks twice in a row; the seam to the current message has rules of its own."""
    for earlier, later in pairwise(view.history):
        if earlier.role == later.role:
            say(later.path, f"two {later.role} messages in a row")


def no_results_first(view: View, say: Say) -> None:
    """The first user message of a conversation answers no tool call."""
    first = next((turn for turn in view.turns if turn.role == "user"), None)
    if first and first.results:
        say(f"{first.path}.userInputMessageContext.toolResults", "results in the first message")


def results_after_uses(view: View, say: Say) -> None:
    """Results stand only right after the calls, and each names one of them."""
    for earlier, later in _pairs(view):
        known = {use["toolUseId"] for use in earlier.uses}
        for index, result in enumerate(later.results):
            if result["toolUseId"] not in known:
                say(_result_path(later, index), "answers no call of the message before")


def uses_answered(view: View, say: Say) -> None:
    """Each call is answered in the next message."""
    for earlier, later in _pairs(view):
        answered = {result["toolUseId"] for result in later.results}
        for index, use in enumerate(earlier.uses):
            if use["toolUseId"] not in answered:
                say(f"{earlier.path}.toolUses[{index}]", "has no result in the next message")


def unique_result_ids(view: View, say: Say) -> None:
    """No call is answered twice."""
    for turn in view.turns:
        for index in _repeats([result["toolUseId"] for result in turn.results]):
            say(_result_path(turn, index), "a second result for one call")


def unique_use_ids(view: View, say: Say) -> None:
    """No two calls of one message share an id."""
    for turn in view.turns:
        for index in _repeats([use["toolUseId"] for use in turn.uses]):
            say(f"{turn.path}.toolUses[{index}].toolUseId", "stands twice in one message")


def tool_use_ids(view: View, say: Say) -> None:
    """Ids hold 1 to 64 letters, digits, dashes and underscores."""
    for turn in view.turns:
        for index, use in enumerate(turn.uses):
            if not _TOOL_USE_ID.match(use["toolUseId"]):
                say(f"{turn.path}.toolUses[{index}].toolUseId", "not an id")
        for index, result in enumerate(turn.results):
            if not _TOOL_USE_ID.match(result["toolUseId"]):
                say(f"{_result_path(turn, index)}.toolUseId", "not an id")


def tool_inputs(view: View, say: Say) -> None:
    """Input is an object (not a string of JSON), and no name inside is empty."""
    for turn in view.turns:
        for index, use in enumerate(turn.uses):
            path = f"{turn.path}.toolUses[{index}].input"
            if not isinstance(use["input"], dict):
                say(path, f"expected an object, got {type_name(use['input'])}")
            elif _has_empty_name(use["input"]):
                say(path, "holds a member with an empty name")


def tools_only_current(view: View, say: Say) -> None:
    """History carries no tool declarations."""
    for turn in view.history:
        if "tools" in turn.context:
            say(f"{turn.path}.userInputMessageContext.tools", "tools in the history")


def history_tools_declared(view: View, say: Say) -> None:
    """Each tool called in the history is declared now, letter for letter."""
    declared = {specification["name"] for _, specification in view.specifications()}
    for turn in view.history:
        for index, use in enumerate(turn.uses):
            if use["name"] not in declared:
                say(f"{turn.path}.toolUses[{index}].name", "not among the current tools")


def _pairs(view: View) -> list[tuple[Turn, Turn]]:
    turns = view.turns
    return list(pairwise(turns))


def _result_path(turn: Turn, index: int) -> str:
    return f"{turn.path}.userInputMessageContext.toolResults[{index}]"


def _repeats(ids: list[str]) -> list[int]:
    first = {value: index for index, value in reversed([*enumerate(ids)])}
    return [index for index, value in enumerate(ids) if first[value] != index]


def _has_empty_name(value: Any) -> bool:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "" in node:
                return True
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return False
