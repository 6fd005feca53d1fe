"""A request body whose shape is known to be right, opened for the rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kiroproxy.simulator.catalogue import DEFAULT_MODEL_ID, JsonObject, ModelSpec

SOCIAL_ARN = "arn:aws:codewhisperer:us-east-1:699475941385:profile/EHGA3GRVQMUK"
BUILDER_ARN = "arn:aws:codewhisperer:us-east-1:638616132270:profile/AAAACCCCXXXX"
DEMO_ORGANISATION_ARN = "arn:aws:codewhisperer:us-east-1:111122223333:profile/DEMOKIROPROX"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as the rules care.

    ``kind``: social, idc, builder, external_idp or api_key. ``arn``: the profile bound to the sign-in.
    ``builder_arn``: what happens to a Builder ID that sends the shared ARN: ``either`` (accepted with
    or without), ``refuse`` (403, as early 2026) or ``require`` (403 without). ``arn_required``: the
    newer runtime hosts, which insist on an ARN from everybody but API keys. ``owner`` binds
    reasoning signatures.
    """

    kind: str
    arn: str | None = None
    owner: str = ""
    builder_arn: str = "either"
    arn_required: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: its path in the body, who speaks, and its members."""

    path: str
    role: str  # user | assistant
    message: JsonObject

    @property
    def context(self) -> JsonObject:
        """The user message's context object, or an empty one."""
        found: JsonObject = self.message.get("userInputMessageContext") or {}
        return found

    @property
    def results(self) -> list[JsonObject]:
        """The tool results this message carries."""
        found: list[JsonObject] = self.context.get("toolResults") or []
        return found

    @property
    def uses(self) -> list[JsonObject]:
        """The tool calls this message makes."""
        found: list[JsonObject] = self.message.get("toolUses") or []
        return found

    @property
    def text(self) -> str:
        """The message's own text."""
        content: str = self.message["content"]
        return content


@dataclass(frozen=True, slots=True)
class View:
    """The whole request. ``models`` by id; ``caller`` None leaves profile rules out."""

    body: JsonObject
    models: Mapping[str, ModelSpec]
    caller: Caller | None = None
    profile_arn_header: str | None = None
    history: list[Turn] = field(default_factory=list)

    @property
    def state(self) -> JsonObject:
        """``conversationState``."""
        found: JsonObject = self.body["conversationState"]
        return found

    @property
    def current(self) -> Turn:
        """The current message."""
        return _turn("$.conversationState.currentMessage", self.state["currentMessage"])

    @property
    def turns(self) -> list[Turn]:
        """History and current message, oldest first."""
        return [*self.history, self.current]

    @property
    def tools(self) -> list[JsonObject]:
        """The current message's tool entries."""
        found: list[JsonObject] = self.current.context.get("tools") or []
        return found

    @property
    def tools_path(self) -> str:
        """Where ``tools`` stands."""
        return f"{self.current.path}.userInputMessageContext.tools"

    def specifications(self) -> Iterator[tuple[str, JsonObject]]:
        """(path, toolSpecification) of each declared tool."""
        for index, entry in enumerate(self.tools):
            if "toolSpecification" in entry:
                yield f"{self.tools_path}[{index}].toolSpecification", entry["toolSpecification"]

    @property
    def model_id(self) -> str:
        """The asked model, or the service's default."""
        found: str = self.current.message.get("modelId") or DEFAULT_MODEL_ID
        return found

    @property
    def model(self) -> ModelSpec | None:
        """The asked model, None when it is not in the catalogue."""
        return self.models.get(self.model_id)


def open_view(
    body: JsonObject,
    models: Mapping[str, ModelSpec],
    caller: Caller | None,
    profile_arn_header: str | None,
) -> View:
    """A view on a body that passed the shape check."""
    state: JsonObject = body["conversationState"]
    entries: list[Any] = state.get("history") or []
    history = [
        _turn(f"$.conversationState.history[{index}]", entry) for index, entry in enumerate(entries)
    ]
    return View(body, models, caller, profile_arn_header, history)


def _turn(path: str, entry: JsonObject) -> Turn:
    ((member, message),) = entry.items()
    role = "user" if member == "userInputMessage" else "assistant"
    return Turn(f"{path}.{member}", role, message)
