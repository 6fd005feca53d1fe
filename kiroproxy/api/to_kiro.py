"""Turn → the request the service takes.

The service keeps no state and answers nearly every breach with the same "Improperly formed request.",
so these rules hold for every Turn that goes in (tool inputs and schemas nested no deeper than
``checks.MAX_DEPTH``, which the parsers see to):

1. History starts with a user message, ends with an assistant message, and alternates; the current
   message is the user's. The system prompt is a pair of its own in front, so that the user's words
   stay untouched and the prefix stays the same from turn to turn.
2. The first user message has no tool results. Results stand only in the message after the calls they
   answer: exactly those ids, in their order, none twice, none missing.
3. Tools stand only on the current message. Every tool that history names is declared there.
4. Tool names match ``[a-zA-Z][a-zA-Z0-9_-]{0,63}`` and are unique; changed ones map back exactly
   (``plan.tool_names``). Ids match ``[a-zA-Z0-9_-]{1,64}`` on both sides.
5. Descriptions have 1 to 10,240 characters; a longer one stands whole in the system prompt.
6. Schemas follow ``schemas``: an object at the root, no null, no references, no empty required.
7. No content is empty (``" "`` is the service's own blank); tool results have text.
8. Images stand in the message, at most ten each, never inside a result; documents likewise.
9. ``modelId`` on every user message, one origin, one trigger, a stable conversation id.
10. ``additionalModelRequestFields`` only in words the model's schema admits; thinking tags only in
    the system prompt, never beside tool results, and never both.
11. Reasoning goes back only when it is whole: signed upstream, one block, to a model that thinks
    natively. Unsigned thinking is left out in both modes: natively it is a 400, and as tagged text it
    would be paid for again in every later turn and change the cached prefix.

Steps 1, 2 and 8 are ``history``, 4 and 5 ``tools``, 6 ``schemas``, 10 ``kiro.fields``.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Any, Final, NamedTuple

import orjson

from kiroproxy.api.history import Answer, AssistantStep, UserStep, repair
from kiroproxy.api.plan import AnswerPlan
from kiroproxy.api.signatures import is_placeholder
from kiroproxy.api.tokens import estimate_turn
from kiroproxy.api.tools import DESCRIPTION_CHARS, Declared, ToolNames
from kiroproxy.api.turn import (
    Document,
    Image,
    Reasoning,
    Text,
    Thinking,
    ThinkingKind,
    ToolChoiceKind,
    Turn,
)
from kiroproxy.ids import uuid_of
from kiroproxy.kiro import request as wire
from kiroproxy.kiro.fields import Wish, native_fields
from kiroproxy.kiro.models import ModelInfo

BLANK: Final = " "
ACKNOWLEDGED: Final = "I will follow these instructions."
THINKING_TAG: Final = "<thinking_mode>"
DEFAULT_EFFORT: Final = "high"  # what Anthropic's API takes when none is given
_LEAST_BUDGET: Final = 1024
_MOST_BUDGET: Final = 24_576  # longer thinking was seen to be refused or ignored
_TAGGED_MODELS: Final = ("claude", "auto")

# Members as globals: on Python 3.11 to look one up in its enum takes a thousand instructions.
_OFF: Final = ThinkingKind.OFF
_ADAPTIVE: Final = ThinkingKind.ADAPTIVE
_NO_TOOL: Final = ToolChoiceKind.NONE

_UNFIT_FILE_NAME: Final = re.compile(r"[^a-zA-Z0-9()\[\] -]+| {2,}")
_FILE_NAME_CHARS: Final = 100
_CONTAINERS: Final = (dict, list)


class Conversation(NamedTuple):
    """The parts that make up the service's state of a conversation."""

    id: str
    history: list[wire.Part]
    current: wire.Part

    def encode(self) -> bytes:
        return wire.encode_state(self.id, self.history, self.current)

    def without_reasoning(self) -> Conversation:
        return self._replace(history=wire.without_reasoning(self.history))


class KiroRequest:
    """A request that lacks only the account: ``encode`` may be called for one account after another.

    The conversation is serialised once, when the request is made; without reasoning it is serialised
    again, which happens only after the service has refused a signature.
    """

    def __init__(
        self,
        model_id: str,
        plan: AnswerPlan,
        conversation: Conversation,
        state: bytes,
        fields: dict[str, Any] | None,
    ) -> None:
        self.model_id = model_id
        self.plan = plan
        self.conversation_id = conversation.id
        self._conversation = conversation
        self._state = state
        self._fields = fields

    def encode(
        self, profile_arn: str | None, *, reasoning: bool = True, extra_fields: bool = True
    ) -> bytes:
        """The JSON body. ``reasoning`` and ``extra_fields`` False leave those parts out."""
        fields = self._fields if extra_fields else None
        state = self._state if reasoning else self._conversation.without_reasoning().encode()
        return wire.encode_body(state, profile_arn, fields)


def build(
    turn: Turn,
    model: ModelInfo,
    description_chars: int = DESCRIPTION_CHARS,
    conversation: str = "",
) -> KiroRequest:
    """Make the request of a Turn. Never fails for a Turn that a dialect's parser has made.

    Adds to ``turn.ignored`` what this model cannot do. ``description_chars``: a tool's longer description
    stands in the system prompt. ``conversation``: its ``conversation_id`` where it is known already.
    """
    return _Builder(turn, model, description_chars, conversation).build()


class _Builder:
    """One pass over one Turn."""

    __slots__ = ("_conversation", "_declared", "_fields", "_model", "_names", "_tags", "_turn")

    def __init__(
        self, turn: Turn, model: ModelInfo, description_chars: int, conversation: str
    ) -> None:
        self._turn = turn
        self._conversation = conversation or conversation_id(turn)
        self._model = model
        self._names = ToolNames([tool.name for tool in turn.tools])
        self._declared = Declared(description_chars)
        thinks = turn.thinking.kind is not _OFF
        self._fields = self._native_fields() if thinks else None
        self._tags = self._thinking_tags() if thinks and self._fields is None else ""
        if turn.thinking.effort:
            self._name_ignored()

    def build(self) -> KiroRequest:
        steps = repair(self._turn.messages)
        used = self._used_names(steps)
        self._declare(used)
        history = self._system_pair()
        for step in steps[:-1]:
            history.append(
                self._user(step) if isinstance(step, UserStep) else self._assistant(step)
            )
        last = steps[-1]
        current = self._current(last if isinstance(last, UserStep) else UserStep())
        conversation = Conversation(self._conversation, history, current)
        # Before the estimate: serialising leaves each text's UTF-8 form behind, which it needs too.
        state = conversation.encode()
        return KiroRequest(self._model.id, self._plan(), conversation, state, self._fields)

    def _ignore(self, name: str) -> None:
        if name not in self._turn.ignored:
            self._turn.ignored.append(name)
            self._turn.ignored.sort()

    def _name_ignored(self) -> None:
        turn = self._turn
        # Tags take a budget or an effort; without thinking there is no place for an effort at all.
        if self._fields is None and turn.thinking.kind is not _ADAPTIVE:
            self._ignore("output_config.effort")

    # --- thinking ---

    def _native_fields(self) -> dict[str, Any] | None:
        thinking = self._turn.thinking
        budget = thinking.budget_tokens if thinking.kind is ThinkingKind.BUDGET else 0
        wish = Wish(thinking.effort, budget, thinking.omit, self._turn.max_tokens)
        return native_fields(self._model.fields_schema, wish)

    def _thinking_tags(self) -> str:
        """Tags for models without native thinking."""
        if not self._model.id.startswith(_TAGGED_MODELS):
            self._ignore("thinking")
            return ""
        return thinking_tags(self._turn.thinking)

    # --- tools ---

    def _used_names(self, steps: list[UserStep | AssistantStep]) -> dict[str, None]:
        names: dict[str, None] = {}
        for step in steps:
            if isinstance(step, AssistantStep):
                for call in step.calls:
                    call.name = self._names.upstream(call.name)
                    names[call.name] = None
        return names

    def _declare(self, used: dict[str, None]) -> None:
        if self._turn.tools:
            nothing_new = self._turn.tool_choice.kind is _NO_TOOL
            for tool in self._turn.tools:
                sent = self._names.upstream(tool.name)
                if not nothing_new or sent in used:
                    self._declared.add(tool, sent)
        for sent in used:
            self._declared.add_past(sent)

    # --- messages ---

    def _system_pair(self) -> list[wire.Part]:
        parts = [text for text in self._turn.system if text.strip()]
        if self._tags and not any(THINKING_TAG in text for text in parts):
            parts.insert(0, self._tags)
        parts += self._declared.moved
        if not parts:
            return []
        return [
            wire.user_message("\n\n".join(parts), self._model.id),
            wire.assistant_message(ACKNOWLEDGED),
        ]

    def _user(self, step: UserStep, tools: list[wire.Part] | None = None) -> wire.Part:
        return wire.user_message(
            _content(step.texts),
            self._model.id,
            images=_images(step.images) if step.images else None,
            documents=_documents(step.documents) if step.documents else None,
            results=_results(step.answers) if step.answers else None,
            tools=tools,
        )

    def _assistant(self, step: AssistantStep) -> wire.Part:
        uses = [wire.tool_use(c.id, c.name, _named_properties(c.input)) for c in step.calls]
        reasoning = self._reasoning(step) if self._fields is not None else None
        return wire.assistant_message(_content(step.texts), tool_uses=uses, reasoning=reasoning)

    @staticmethod
    def _reasoning(step: AssistantStep) -> wire.Part | None:
        """One block fits into a message; a part of several would break the signature check."""
        if len(step.reasoning) != 1:
            return None
        block = step.reasoning[0]
        if not isinstance(block, Reasoning):
            return wire.reasoning_redacted(block.data) if block.data else None
        if is_placeholder(block.signature):
            return None
        return wire.reasoning_text(block.text, block.signature)

    def _current(self, step: UserStep) -> wire.Part:
        """The message to answer. What holds for this answer alone stands at its end, so that the history
        of the next turn begins with the history of this one."""
        if self._turn.output_schema is not None:
            step.texts.append(
                "Answer with one JSON value that fits this JSON schema. Write the bare JSON: no other "
                f"words, no code fence.\n{orjson.dumps(self._turn.output_schema).decode()}"
            )
        if self._turn.tools or self._declared.specs:
            step.texts += self._tool_wishes()
        return self._user(step, self._declared.specs)

    def _tool_wishes(self) -> list[str]:
        wishes: list[str] = []
        choice = self._turn.tool_choice
        if choice.kind is _NO_TOOL and self._declared.specs:
            wishes.append("Answer without calling a tool.")
        elif choice.kind is ToolChoiceKind.ANY and self._turn.tools:
            wishes.append("Answer by calling one of your tools.")
        elif choice.kind is ToolChoiceKind.NAMED and self._offers(choice.name):
            wishes.append(f"Answer by calling the tool {self._names.upstream(choice.name)}.")
        if not self._turn.parallel_tools and self._turn.tools:
            wishes.append("Call at most one tool in this answer.")
        return wishes

    def _offers(self, name: str) -> bool:
        return any(tool.name == name for tool in self._turn.tools)

    def _plan(self) -> AnswerPlan:
        turn = self._turn
        return AnswerPlan(
            input_tokens=estimate_turn(turn),
            context_window=self._model.max_input_tokens,
            split_thinking=bool(self._tags),
            show_thinking=turn.thinking.kind is not _OFF and not turn.thinking.omit,
            tool_names=self._names.renamed(),
            stop_sequences=turn.stop_sequences,
            max_tokens=turn.max_tokens,
            strip_fence=turn.output_schema is not None,
            single_call=not turn.parallel_tools,
        )


def thinking_tags(thinking: Thinking) -> str:
    """The words that make a Claude model write its thinking into the text."""
    if thinking.kind is ThinkingKind.BUDGET:
        budget = min(max(thinking.budget_tokens, _LEAST_BUDGET), _MOST_BUDGET)
        return (
            f"{THINKING_TAG}enabled</thinking_mode>"
            f"<max_thinking_length>{budget}</max_thinking_length>"
        )
    effort = thinking.effort or DEFAULT_EFFORT
    return f"{THINKING_TAG}adaptive</thinking_mode><thinking_effort>{effort}</thinking_effort>"


def _content(texts: list[str]) -> str:
    text = texts[0] if len(texts) == 1 else "\n\n".join(filter(None, texts))
    return text or BLANK


def _images(images: list[Image]) -> list[wire.Part]:
    return [wire.image(image.format, image.data) for image in images]


def _results(answers: list[Answer]) -> list[wire.Part]:
    return [wire.tool_result(a.id, a.text, is_error=a.is_error) for a in answers]


def _documents(documents: list[Document]) -> list[wire.Part]:
    """File names in the letters the service knows, each once per message."""
    parts: list[wire.Part] = []
    taken: dict[str, int] = {}  # and the last number that was added to each
    for document in documents:
        stem = document.name.removesuffix(f".{document.format}")
        name = base = _UNFIT_FILE_NAME.sub(" ", stem)[:_FILE_NAME_CHARS].strip() or "document"
        number = taken.get(base, 1)
        while name in taken:
            number += 1
            name = f"{base} {number}"
        taken[name] = 1
        taken[base] = number
        parts.append(wire.document(name, document.format, document.data))
    return parts


def _named_properties(value: dict[str, Any]) -> dict[str, Any]:
    """A tool's input without empty property names, which the service refuses: ``""`` becomes ``_``."""
    return _renamed(value) if _has_empty_name(value) else value


def _has_empty_name(value: object) -> bool:
    if isinstance(value, dict):
        if "" in value:
            return True
        return any(_has_empty_name(v) for v in value.values() if isinstance(v, _CONTAINERS))
    if isinstance(value, list):
        return any(_has_empty_name(v) for v in value if isinstance(v, _CONTAINERS))
    return False


def _renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renamed(item) for item in value]
    if not isinstance(value, dict):
        return value
    fitted = {key: _renamed(item) for key, item in value.items() if key}
    if "" in value:
        name = "_"
        while name in fitted:
            name += "_"
        fitted[name] = _renamed(value[""])
    return fitted


def conversation_id(turn: Turn) -> str:
    """A UUID that stays the same through a conversation: the client's session if it names one, else
    made of what every turn of it begins with."""
    if turn.session:
        try:
            return str(uuid.UUID(turn.session))
        except ValueError:
            return _uuid_of(turn.session)
    return _uuid_of(*turn.system, "\0", *_opening(turn))


def _opening(turn: Turn) -> list[str]:
    """The words of the first user message."""
    for message in turn.messages:
        if message.role == "user":
            return [block.text for block in message.blocks if isinstance(block, Text)]
    return []


def _uuid_of(*parts: str) -> str:
    words = "\0".join((*parts, "")).encode("utf-8", "surrogatepass")
    return uuid_of(hashlib.blake2b(words, digest_size=16).digest())
