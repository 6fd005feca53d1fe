"""Client messages → alternating steps that keep every rule of a conversation upstream.

``repair`` takes messages in any order and with any faults, and gives steps for which holds:

- the first and the last step are the user's, and the two kinds alternate;
- the calls of an assistant step are answered by exactly its ids, in its order, in the step after it,
  and results stand nowhere else: an orphan becomes quoted text, an unanswered call gets an error
  result, a further result for one call is quoted behind the first, whose status counts;
- ids fit ``[a-zA-Z0-9_-]{1,64}`` and no id is used twice in a conversation;
- no text, image or document is lost, and no assistant text is changed (models imitate fillers).

A client keeps its history, faults included, so the same repair happens on every request; it depends
only on what came before, which keeps the sent prefix stable.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from kiroproxy.api.turn import (
    Block,
    Document,
    Image,
    Message,
    Reasoning,
    RedactedReasoning,
    Text,
    ToolResult,
    ToolUse,
)

ID_CHARS: Final = 64
IMAGES_PER_MESSAGE: Final = 10  # the service's model
CONTINUE: Final = "Continue."
NOT_RUN: Final = "The call was interrupted: there is no result."

_FIT_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NUMBERED_CHARS: Final = ID_CHARS - 8  # what no number takes the place of
_UNFIT_ID_CHARS: Final = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(slots=True)
class Call:
    """One tool use with the id it goes out under and, once matched, its result."""

    id: str
    name: str
    input: dict[str, Any]
    client_id: str


@dataclass(slots=True)
class Answer:
    """One tool result, its pictures and files already taken out."""

    id: str
    text: str
    is_error: bool


_Item = TypeVar("_Item")
_NOTHING: Final[list[Any]] = []  # shared, never changed


def _grow(items: list[_Item], item: _Item) -> list[_Item]:
    """``items`` with one more at its end: the list itself, or a new one in place of the shared one."""
    if items is _NOTHING:
        return [item]
    items.append(item)
    return items


class UserStep:
    """What the user's side says between two answers. ``asks``: some of it is the user's own, not only
    system text. ``results`` are as they came, ``answers`` as they go out.

    Written out, like its twin below, and with one shared empty list where most steps have nothing: six
    defaults of a dataclass cost three times as much. Lists are therefore replaced, or grown by ``_grow``.
    """

    __slots__ = ("answers", "asks", "documents", "images", "results", "texts")

    def __init__(self, *texts: str) -> None:
        self.texts: list[str] = [*texts]
        self.images: list[Image] = _NOTHING
        self.documents: list[Document] = _NOTHING
        self.results: list[ToolResult] = []
        self.answers: list[Answer] = _NOTHING
        self.asks = False


class AssistantStep:
    """One answer. ``uses`` are as they came, ``calls`` as they go out."""

    __slots__ = ("calls", "reasoning", "texts", "uses")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.uses: list[ToolUse] = []
        self.calls: list[Call] = _NOTHING
        self.reasoning: list[Reasoning | RedactedReasoning] = _NOTHING


Step = UserStep | AssistantStep
_USER_KINDS: Final = (ToolResult, Image, Document)


def repair(messages: list[Message]) -> list[Step]:
    """The conversation as steps; see the module's promises. Any list gives a valid result."""
    steps = _Sorter().sort(messages)
    if not steps or isinstance(steps[0], AssistantStep):
        steps.insert(0, UserStep(CONTINUE))
    last = steps[-1]
    if isinstance(last, AssistantStep):
        steps.append(UserStep(CONTINUE))
    elif not last.asks and not last.results and last.texts != [CONTINUE]:
        last.texts.append(CONTINUE)
    if len(steps) > 1 or (isinstance(last, UserStep) and last.results):
        _pair(steps)
    return _spread_images(steps)


class _Sorter:
    """Puts each block on the side it belongs to; neighbours of one side merge."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def sort(self, messages: list[Message]) -> list[Step]:
        for message in messages:
            if message.role == "system":
                self._system(message)
            elif message.role == "user":
                self._from_user(message)
            else:
                self._from_assistant(message)
        return self._steps

    def _user(self) -> UserStep:
        last = self._steps[-1] if self._steps else None
        if not isinstance(last, UserStep):
            last = UserStep()
            self._steps.append(last)
        return last

    def _assistant(self) -> AssistantStep:
        last = self._steps[-1] if self._steps else None
        if not isinstance(last, AssistantStep):
            last = AssistantStep()
            self._steps.append(last)
        return last

    def _system(self, message: Message) -> None:
        """System text in the middle keeps its place, marked, in the user message beside it."""
        step = self._user()
        for block in message.blocks:
            if isinstance(block, Text):
                step.texts.append(_marked(block.text))
            else:
                self._user_block(step, block)

    def _from_user(self, message: Message) -> None:
        step = self._user()
        step.asks = True
        for block in message.blocks:
            if isinstance(block, Text):
                step.texts.append(block.text)
            else:
                self._user_block(step, block)

    @staticmethod
    def _user_block(step: UserStep, block: Block) -> None:
        if isinstance(block, ToolResult):
            step.results.append(block)
        elif isinstance(block, Image):
            step.images = _grow(step.images, block)
        elif isinstance(block, Document):
            step.documents = _grow(step.documents, block)
        elif isinstance(block, Text):
            step.texts.append(block.text)
        elif isinstance(block, ToolUse):
            # Only a model calls tools; whoever writes one into a user message quotes it.
            step.texts.append(_quoted_use(block))

    def _from_assistant(self, message: Message) -> None:
        step = self._assistant()
        for block in message.blocks:
            if isinstance(block, _USER_KINDS):
                # Results and files that a server put into its own answer are input to the model.
                self._user_block(self._user(), block)
                continue
            if self._steps[-1] is not step:
                step = self._assistant()
            if isinstance(block, Text):
                step.texts.append(block.text)
            elif isinstance(block, ToolUse):
                step.uses.append(block)
            else:
                step.reasoning = _grow(step.reasoning, block)


def _marked(text: str) -> str:
    if text.lstrip().startswith("<system-reminder>"):
        return text
    return f"<system-reminder>\n{text}\n</system-reminder>"


def _quoted_use(use: ToolUse) -> str:
    return f"[Tool call {use.name}: {orjson.dumps(use.input).decode()}]"


def _pair(steps: list[Step]) -> None:
    """Give every call an id and its answer; turn every other result into text."""
    ids = _Ids()
    calls: list[Call] = []
    for step in steps:
        if isinstance(step, AssistantStep):
            step.calls = calls = [
                Call(ids.take(use.id), use.name, use.input, use.id) for use in step.uses
            ]
        else:
            _answer(step, calls)
            calls = []


def _answer(step: UserStep, calls: list[Call]) -> None:
    """Match results to calls by the client's id, repeats of an id in order of appearance."""
    results = step.results
    if not calls and not results:
        return
    if len(calls) == len(results) == 1 and calls[0].client_id == results[0].tool_use_id:
        step.answers = [_matched(step, calls[0], results[0])]
        return
    waiting: dict[str, list[Call]] = {}  # the first of them last
    for call in reversed(calls):
        waiting.setdefault(call.client_id, []).append(call)
    found: dict[str, Answer] = {}
    taken: dict[str, _Taken] = {}  # by the client's id, the last one
    orphans: list[str] = []
    for result in results:
        known = waiting.get(result.tool_use_id)
        if known is None:
            orphans.append(_quoted_result(step, result))
        elif known:
            call = known.pop()
            answer = found[call.id] = _matched(step, call, result)
            taken[result.tool_use_id] = _Taken(answer, result)
        else:
            taken[result.tool_use_id].add(step, result)
    for one in taken.values():
        one.finish()
    step.texts[:0] = orphans
    step.answers = [found.get(call.id) or Answer(call.id, NOT_RUN, True) for call in calls]


def _matched(step: UserStep, call: Call, result: ToolResult) -> Answer:
    return Answer(call.id, _result_text(step, result), result.is_error)


class _Taken:
    """A call that has its answer. It has one upstream, so more results for it stand in that one; a mere
    repetition, as clients make when they send a message again, says nothing new."""

    __slots__ = ("_answer", "_first", "_more", "_said")

    def __init__(self, answer: Answer, first: ToolResult) -> None:
        self._answer = answer
        self._first = first
        self._more: list[str] = []
        self._said: set[str] = set()  # written out, since a search through all would be quadratic

    def add(self, step: UserStep, result: ToolResult) -> None:
        if not self._said:
            self._said.add(repr(self._first))
        said = repr(result)
        if said not in self._said:
            self._said.add(said)
            head = "Error from the same" if result.is_error else "Another result of the same"
            self._more.append(f"\n\n[{head} call]\n{_result_text(step, result)}")

    def finish(self) -> None:
        if self._more:
            self._answer.text += "".join(self._more)


def _quoted_result(step: UserStep, result: ToolResult) -> str:
    head = "Error of an earlier tool call" if result.is_error else "Result of an earlier tool call"
    return f"[{head}]\n{_result_text(step, result)}"


def _result_text(step: UserStep, result: ToolResult) -> str:
    """The text of a result. Images and files are not allowed inside one: they move to the message, and a
    line in their place says which they are."""
    content = result.content
    if len(content) == 1 and type(content[0]) is Text:
        return content[0].text or "(empty)"
    lines: list[str] = []
    for block in content:
        if isinstance(block, Text):
            lines.append(block.text)
        elif isinstance(block, Image):
            step.images = _grow(step.images, block)
            lines.append(f"[image {len(step.images)}: attached to this message]")
        else:
            step.documents = _grow(step.documents, block)
            lines.append(f"[document {len(step.documents)}: attached to this message]")
    return "\n".join(lines) or "(empty)"


class _Ids:
    """Fits ids and keeps them unique; depends only on the order of the calls."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}  # the last one given, by how an id begins

    def take(self, client_id: str) -> str:
        fit = client_id
        if _FIT_ID.fullmatch(fit) is None:
            fit = _fitted_id(client_id)
        if fit in self._taken:
            base, begins = fit, fit[:_NUMBERED_CHARS]
            number = self._numbers.get(begins, 1)
            while fit in self._taken:
                number += 1
                mark = f"_{number}"
                fit = base[: ID_CHARS - len(mark)] + mark
            self._numbers[begins] = number
        self._taken.add(fit)
        return fit


def _fitted_id(client_id: str) -> str:
    tail = hashlib.sha256(client_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_UNFIT_ID_CHARS.sub('_', client_id)[: ID_CHARS - 17]}_{tail}"


def _spread_images(steps: list[Step]) -> list[Step]:
    """More images than one message may hold go on in further messages; none is left out.

    The assistant steps between them are empty: any words there would be imitated.
    """
    for step in steps:  # any() would make a generator, which takes several times as long
        if isinstance(step, UserStep) and len(step.images) > IMAGES_PER_MESSAGE:
            break
    else:
        return steps
    spread: list[Step] = []
    for step in steps:
        if isinstance(step, UserStep):
            spread += _image_batches(step)
        else:
            spread.append(step)
    return spread


def _image_batches(step: UserStep) -> list[Step]:
    """Answers go first, since they must follow their calls; words go last, after all images."""
    most = IMAGES_PER_MESSAGE
    batches = [step.images[at : at + most] for at in range(0, len(step.images), most)]
    if len(batches) < 2:
        return [step]
    parts: list[Step] = []
    for batch in batches:
        part = UserStep()
        part.images = batch
        parts += [part, AssistantStep()]
        if len(parts) == 2:
            part.answers = step.answers
    part.texts, part.documents = step.texts, step.documents
    return parts[:-1]
